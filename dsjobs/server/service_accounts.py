"""Authorized keys of service accounts, and the JWTs that are signed with them.

Page: IAM, "Get an IAM token for a service account": PS256, `kid` in the header, `iss`, `aud`, `iat`, `exp`, an hour at most.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsjobs.errors import UsageError
from dsjobs.server.errors import ApiError, unauthenticated

MAX_LIFETIME = 3600
_PEM_START = "-----BEGIN"


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """The public half of an authorized key."""

    id: str
    service_account_id: str
    public_key: str


def read_key(path: Path) -> ServiceAccountKey:
    """The key of a file that `yc iam key create` wrote; its private half is not kept. Raises UsageError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        key_id = data["id"]
        account = data.get("service_account_id") or data["serviceAccountId"]
        pem = data.get("public_key") or data.get("publicKey") or _public_half(data)
        if not all(isinstance(value, str) and value for value in (key_id, account, pem)):
            raise ValueError("an empty value")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: is not the authorized key of a service account: {error}",
            hint="a JSON file with id, service_account_id and public_key, as `yc iam key create` writes it",
        ) from None
    return ServiceAccountKey(key_id, account, pem[max(0, pem.find(_PEM_START)) :])


def verify(token: str, keys: Sequence[ServiceAccountKey], audiences: Sequence[str], now: float) -> str:
    """The ID of the service account that signed `token`. Raises ApiError (16) for anything that is not as the page says.

    `now`: seconds since the epoch. No leeway: a token from the future is refused.
    """
    import jwt

    try:
        key_id = jwt.get_unverified_header(token).get("kid")
        key = next((key for key in keys if key.id == key_id), None)
        if key is None:
            raise _refusal("its kid is not the ID of a known key")
        unchecked = dict.fromkeys(("verify_exp", "verify_iat", "verify_nbf", "verify_aud", "verify_iss"), False)
        claims = jwt.decode(token, key.public_key, algorithms=["PS256"], options=unchecked)  # type: ignore[arg-type]
    except jwt.InvalidAlgorithmError:
        raise _refusal("its algorithm is not PS256") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise _refusal("its signature does not match") from None
    _check_claims(claims, key, audiences, now)
    return key.service_account_id


def _check_claims(claims: Mapping[str, Any], key: ServiceAccountKey, audiences: Sequence[str], now: float) -> None:
    audience = claims.get("aud")
    given = audience if isinstance(audience, list) else [audience]
    issued, expires = _number(claims.get("iat")), _number(claims.get("exp"))
    if claims.get("iss") != key.service_account_id:
        raise _refusal("its iss is not the service account of the key")
    if not any(isinstance(name, str) and name in audiences for name in given):
        raise _refusal(f"its aud is not {audiences[0]}")
    if issued is None or expires is None:
        raise _refusal("its iat and exp must be numbers")
    if not 0 < expires - issued <= MAX_LIFETIME:
        raise _refusal(f"its exp must be at most {MAX_LIFETIME} seconds after its iat")
    if issued > now:
        raise _refusal("its iat is in the future")
    if expires <= now:
        raise _refusal("it has expired")


def _refusal(reason: str) -> ApiError:
    return unauthenticated(f"The JWT is invalid: {reason}.")


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _public_half(data: Mapping[str, Any]) -> str:
    from cryptography.hazmat.primitives import serialization

    private = (data.get("private_key") or data["privateKey"]).replace("\\n", "\n")
    loaded = serialization.load_pem_private_key(private[max(0, private.find(_PEM_START)) :].encode(), password=None)
    return (
        loaded.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
