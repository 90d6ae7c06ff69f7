"""Workload identity: the ID token that a CI gives its job, exchanged for an IAM token of a service account.

Page: IAM, Workload identity federations. A federation has an issuer, audiences and the issuer's keys; a service account is
linked to it by the subject of the tokens that may act for it. The exchange is OAuth's (RFC 8693), its errors too (RFC 6749).
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsjobs.errors import UsageError

MAX_ID_TOKEN = 8000
_FORM = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
}
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_HINT = "a JSON file with issuer, audiences, jwks (the issuer's keys) and service_accounts (subject to account)"


@dataclass(frozen=True, slots=True)
class Federation:
    """An issuer that is trusted. `keys`: by `kid`; `accounts`: subject of a token to the service account that it acts for."""

    issuer: str
    audiences: tuple[str, ...]
    keys: Mapping[str, Any]
    accounts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an exchange asks for: a token of `account`, for this ID token."""

    account: str
    id_token: str


class OAuthError(Exception):
    """An exchange that is refused, in the words of OAuth."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.body = {"error": error, "error_description": description}


def read_federation(path: Path) -> Federation:
    """The federation that a file describes. Raises UsageError."""
    import jwt

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        keys = {key.key_id: key.key for key in jwt.PyJWKSet.from_dict(data["jwks"]).keys if key.key_id}
        found = Federation(data["issuer"], tuple(data["audiences"]), keys, dict(data["service_accounts"]))
        if not all(isinstance(text, str) for text in (found.issuer, *found.audiences, *found.accounts.values())):
            raise ValueError("a value that is not text")
        if not (found.issuer and found.audiences and found.keys and found.accounts):
            raise ValueError("an empty value")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise UsageError(f"{path}: is not a workload identity federation: {error}", hint=_HINT) from None
    return found


def parse(raw: bytes) -> Exchange:
    """The form of an exchange. Raises OAuthError."""
    try:
        given = urllib.parse.parse_qs(raw.decode(), strict_parsing=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise OAuthError("invalid_request", "the body is not a form") from None
    if any(len(values) > 1 for values in given.values()):
        raise OAuthError("invalid_request", "a parameter is given twice")
    form = {name: values[0] for name, values in given.items()}
    for name, expected in _FORM.items():
        if form.get(name) != expected:
            is_other_grant = name == "grant_type" and name in form
            error = "unsupported_grant_type" if is_other_grant else "invalid_request"
            raise OAuthError(error, f"{name} must be {expected}")
    if not form.get("audience") or not form.get("subject_token"):
        raise OAuthError("invalid_request", "audience and subject_token must be given")
    if len(form["subject_token"]) > MAX_ID_TOKEN:
        raise OAuthError("invalid_request", f"subject_token is longer than {MAX_ID_TOKEN} characters")
    return Exchange(form["audience"], form["subject_token"])


def verify(asked: Exchange, federations: Sequence[Federation], now: float) -> str:
    """The service account that the holder of this ID token may act for. `now`: seconds since the epoch. Raises OAuthError."""
    import jwt

    try:
        header = jwt.get_unverified_header(asked.id_token)
        unchecked = jwt.decode(asked.id_token, options={"verify_signature": False})
        federation = next((one for one in federations if one.issuer == unchecked.get("iss")), None)
        if federation is None:
            raise _refusal("its issuer is not that of a federation")
        key = federation.keys.get(str(header.get("kid")))
        if key is None:
            raise _refusal("its kid is not one of the issuer's keys")
        times = dict.fromkeys(("verify_exp", "verify_iat", "verify_nbf", "verify_aud", "verify_iss"), False)
        claims = jwt.decode(asked.id_token, key, algorithms=list(_ALGORITHMS), options=times)  # type: ignore[arg-type]
    except (jwt.PyJWTError, ValueError, TypeError):
        raise _refusal("its signature does not match") from None
    _check_claims(claims, federation, now)
    subject = claims.get("sub")
    if not isinstance(subject, str) or federation.accounts.get(subject) != asked.account:
        raise _refusal("its subject is not linked to this service account")
    return asked.account


def _check_claims(claims: Mapping[str, Any], federation: Federation, now: float) -> None:
    audience = claims.get("aud")
    given = audience if isinstance(audience, list) else [audience]
    if not any(name in federation.audiences for name in given):
        raise _refusal("its audience is not that of the federation")
    expires, begins = _number(claims.get("exp")), _number(claims.get("nbf", 0))
    if expires is None or begins is None:
        raise _refusal("its exp and nbf must be numbers")
    if expires <= now:
        raise _refusal("it has expired")
    if begins > now:
        raise _refusal("it is not valid yet")


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _refusal(reason: str) -> OAuthError:
    return OAuthError("invalid_grant", f"subject_token is refused: {reason}")
