"""Who asks: the server's own token, or IAM tokens that it gave in exchange for a JWT or for its own token.

IAM tokens carry their subject and end and are signed with a key of the state folder, so that nothing needs to be stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsjobs.errors import UsageError
from dsjobs.server import service_accounts
from dsjobs.server.errors import unauthenticated
from dsjobs.server.service_accounts import ServiceAccountKey

# The subject of the server's own token: the same after a restart with another token, because keys belong to a subject.
USER_ID = "ajedsjobsserveruser0"
JWT_AUDIENCE = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
MIN_TOKEN = 16
_MAX_IAM_TOKEN = 1000


@dataclass(frozen=True, slots=True)
class IamToken:
    """A token and its end, in nanoseconds since the epoch."""

    token: str
    expires_at: int


class Tokens:
    """Checks and gives tokens. `lifetime` of IAM tokens is in seconds, the `clock` in nanoseconds since the epoch."""

    def __init__(
        self, own: str, key: bytes, accounts: Sequence[ServiceAccountKey], *, lifetime: float, clock: Callable[[], int]
    ) -> None:
        self._own = _digest(own)
        self._key = key
        self._accounts = tuple(accounts)
        self._lifetime = lifetime
        self._clock = clock

    def authenticate(self, authorization: str | None) -> str:
        """The subject of an Authorization header. Raises ApiError (16)."""
        scheme, _, token = (authorization or "").partition(" ")
        subject = self._subject(token.strip()) if scheme.casefold() == "bearer" else None
        if subject is None:
            raise unauthenticated()
        return subject

    def exchange(self, form: str, value: str, audiences: Sequence[str]) -> IamToken:
        """The IAM token for a JWT or for the server's own token given as OAuth token. Raises ApiError (16).

        `audiences`: this server's own addresses of the exchange; a JWT may be for them as well as for the real one.
        """
        if form == "jwt":
            now = self._clock() / 10**9
            return self.mint(service_accounts.verify(value, self._accounts, (JWT_AUDIENCE, *audiences), now))
        if not hmac.compare_digest(_digest(value), self._own):
            raise unauthenticated("OAuth token is invalid or expired.")
        return self.mint(USER_ID)

    def mint(self, subject: str) -> IamToken:
        """A new IAM token, in the form that the documentation gives: `t1.<payload>.<86 characters>`."""
        expires_at = self._clock() + int(self._lifetime * 10**9)
        content = {"sub": subject, "exp": expires_at, "id": secrets.token_hex(8)}
        payload = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
        return IamToken(f"t1.{payload}.{self._signature(payload)}", expires_at)

    def seconds_left(self, token: IamToken) -> int:
        """For how many whole seconds a token is still good."""
        return max(0, (token.expires_at - self._clock()) // 10**9)

    def _subject(self, token: str) -> str | None:
        if hmac.compare_digest(_digest(token), self._own):
            return USER_ID
        prefix, _, rest = token.partition(".")
        payload, _, signature = rest.partition(".")
        if prefix != "t1" or len(token) > _MAX_IAM_TOKEN or not token.isascii():
            return None
        if not hmac.compare_digest(signature.rstrip("=").encode(), self._signature(payload).encode()):
            return None
        content = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(content["sub"]) if content["exp"] > self._clock() else None

    def _signature(self, payload: str) -> str:
        mac = hmac.new(self._key, payload.encode(), hashlib.sha512).digest()
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def new_token() -> str:
    """A token that nobody can guess, in the form of an OAuth token, so that clients which look at prefixes take it."""
    return f"y0_{secrets.token_urlsafe(32)}"


def read_token(path: Path) -> str:
    """The token that a file holds. Raises UsageError where it is missing, or short enough to be guessed."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: the token cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"{path}: a token is one line of at least {MIN_TOKEN} ASCII characters without spaces")
    return token


def _digest(token: str) -> bytes:
    """Of one length for all, so that a comparison tells nothing about the length either."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
