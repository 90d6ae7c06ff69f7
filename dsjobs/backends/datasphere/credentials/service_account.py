"""An authorized key of a service account: YC_SERVICE_ACCOUNT_KEY_FILE, the path of the key file or its content.

The key signs a JWT (PS256), which the IAM API exchanges for a token. Page: IAM, Getting an IAM token for a service account.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dsjobs.backends.datasphere.credentials import exchange
from dsjobs.backends.datasphere.credentials.source import Surroundings, Token, unusable, variable
from dsjobs.backends.datasphere.scrubbing import scrub
from dsjobs.errors import BackendError

VARIABLE = "YC_SERVICE_ACCOUNT_KEY_FILE"
AUDIENCE = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
LIFETIME = 3600
"""Seconds from `iat` to `exp`: the most that the service takes."""
SKEW = 30
"""Seconds that `iat` lies in the past: a clock a little ahead of the service's would make it the future."""
LONGEST_PATH = 1024
"""Characters. The base64 of a key has more, and is on one line as a path is."""
_MARK, _PEM_START = "\ufeff", "-----BEGIN"
_KEY_HINT = "make one with `yc iam key create --service-account-name NAME --output key.json`"


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """`account`: whom the key belongs to, `key_id`: which of their keys it is."""

    where: str
    account: str
    key_id: str
    private_key: str = field(repr=False)
    around: Surroundings = field(repr=False)
    kind: str = "service account key"
    renewal: None = None

    @property
    def note(self) -> str:
        return f"account {self.account}, key {self.key_id}"

    def token(self) -> Token:
        return exchange.iam_token(self.around, {"jwt": self._jwt()})

    def _jwt(self) -> str:
        jwt = _jwt_package()
        issued = int(self.around.now()) - SKEW
        claims = {
            "iss": self.account,
            "aud": _audience(self.around.url("iam")),
            "iat": issued,
            "exp": issued + LIFETIME,
        }
        try:
            signed: str = jwt.encode(claims, self.private_key, algorithm="PS256", headers={"kid": self.key_id})
        except (ValueError, TypeError, jwt.exceptions.PyJWTError) as error:
            raise unusable(self.where, f"its private_key is not an RSA key: {error}", _KEY_HINT) from error
        return signed


def find(around: Surroundings) -> ServiceAccountKey | None:
    """The key that the variable names or holds."""
    found = variable(around.environ, VARIABLE)
    if found is None:
        return None
    name, value = found[0], found[1].removeprefix(_MARK).lstrip()
    if value.startswith("{"):
        return _parse(value, name, around)
    if not _may_be_path(value):
        hint = "give the path of the key file, or the file's content as it is: JSON, neither quoted nor in base64"
        raise unusable(name, "it holds neither the path nor the JSON of a key file", hint)
    where = f"{name} ({scrub(value)})"
    return _parse(_read(value, where), where, around)


def _may_be_path(value: str) -> bool:
    """Whether `value` may be read as a path, and shown as one: a key in any form is not."""
    return len(value) <= LONGEST_PATH and len(value.splitlines()) == 1 and _PEM_START not in value


def _read(path: str, where: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(where, error.strerror) from error
    except UnicodeDecodeError as error:
        raise _unreadable(where, "it is not text") from error
    except RuntimeError as error:  # of `~name`
        raise _unreadable(where, "nobody here has this name") from error


def _unreadable(where: str, reason: str | None) -> BackendError:
    hint = "it holds the path of a key file, or the file's content"
    return unusable(where, f"the key file cannot be read: {reason}", hint)


def _parse(text: str, where: str, around: Surroundings) -> ServiceAccountKey:
    try:
        # Pasted into a CI secret, the key's line ends may have become real ones, which JSON does not allow in a string.
        data = json.loads(text.removeprefix(_MARK), strict=False)
    except ValueError as error:
        raise unusable(where, "the key file is not JSON", _KEY_HINT) from error
    if not isinstance(data, Mapping):
        raise unusable(where, "the key file is not a JSON object", _KEY_HINT)
    account = _field(data, where, "service_account_id", "serviceAccountId", "user_account_id", "userAccountId")
    key = _field(data, where, "private_key", "privateKey")
    return ServiceAccountKey(where, account, _field(data, where, "id"), _pem(key, where), around)


def _field(data: Mapping[str, Any], where: str, *names: str) -> str:
    value = next((data[name] for name in names if isinstance(data.get(name), str) and data[name]), None)
    if value is None:
        raise unusable(where, f"the key file has no {names[0]}", _KEY_HINT)
    return str(value)


def _pem(text: str, where: str) -> str:
    """The PEM block alone: yc puts a line `PLEASE DO NOT REMOVE THIS LINE!` before it, and CI secrets hold `\\n` as text."""
    start = text.find(_PEM_START)
    if start < 0:
        raise unusable(where, "its private_key is not in PEM form", _KEY_HINT)
    return text[start:].replace("\\n", "\n").strip() + "\n"


def _audience(iam: str) -> str:
    """The address of the IAM service's own installation. A server at another name (a test server) takes the published one."""
    parts = urlsplit(iam)
    is_installation = parts.scheme == "https" and (parts.hostname or "").startswith("iam.")
    return f"{iam}/iam/v1/tokens" if is_installation else AUDIENCE


def _jwt_package() -> Any:
    try:
        import cryptography  # noqa: F401 (PyJWT signs PS256 only with it, and says so late)
        import jwt
    except ImportError as error:
        message = f"a service account key needs the package {error.name}, which is not installed"
        raise BackendError(message, retryable=False, hint='pip install "dsjobs[auth]"') from error
    return jwt
