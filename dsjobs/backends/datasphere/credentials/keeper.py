"""Has a good token ready for many threads: renewed ahead of its end by one of them, and once when the service rejects it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from dsjobs.backends.datasphere.credentials.source import Source, Token
from dsjobs.errors import BackendError

AHEAD = 300.0
"""Seconds before its end at which a token is renewed; a fifth of its life where that is shorter."""
AGAIN = 30.0
"""Seconds until the next try where a renewal ahead of time failed and the old token is still good."""


class Keeper:
    """The token of a source that `find` finds when the first token is wanted. `now`: seconds since the epoch."""

    def __init__(self, find: Callable[[], Source], now: Callable[[], float]) -> None:
        self._find = find
        self._now = now
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._token: Token | None = None
        self._renew_at = 0.0
        self._renewal: Future[Token] | None = None

    def current(self) -> str:
        """The token to use now. While one thread renews it ahead of its end, the others go on with the old one."""
        with self._lock:
            token, now = self._token, self._now()
            good = token if token is not None and _is_good(token, now) else None
            if good is not None and (now < self._renew_at or self._renewal is not None):
                return good.value
            renewal, is_mine = self._join()
        return self._renewed(renewal, good, is_mine=is_mine)

    def instead_of(self, rejected: str) -> str:
        """Another token than the one that the service rejected; renewed once, however many threads saw it rejected.

        Raises BackendError where the source has no other.
        """
        with self._lock:
            if self._token is not None and self._token.value != rejected:
                return self._token.value
            source = self._source
            if source is not None and source.renewal is not None:
                message = f"the token from {source.where} is not valid any more, or never was, and it cannot be renewed"
                raise BackendError(message, retryable=False, hint=source.renewal)
            renewal, is_mine = self._join()
        return self._renewed(renewal, None, is_mine=is_mine)

    def _join(self) -> tuple[Future[Token], bool]:
        """The renewal that is under way, or a new one that the caller has to carry out. Called with the lock held."""
        if self._renewal is not None:
            return self._renewal, False
        self._renewal = Future()
        return self._renewal, True

    def _renewed(self, renewal: Future[Token], fallback: Token | None, *, is_mine: bool) -> str:
        if is_mine:
            self._carry_out(renewal)
        try:
            return renewal.result().value
        except BackendError:
            if fallback is None:
                raise
            return fallback.value

    def _carry_out(self, renewal: Future[Token]) -> None:
        try:
            if self._source is None:
                self._source = self._find()
            token = _believable(self._source.token(), self._now())
        except BaseException as error:  # noqa: BLE001 (whatever it is belongs to every thread that waits)
            with self._lock:
                self._renewal = None
                self._renew_at = self._now() + AGAIN
            renewal.set_exception(error)
            return
        with self._lock:
            self._renewal = None
            self._token = token
            self._renew_at = _renew_at(token, self._now())
        renewal.set_result(token)


def _believable(token: Token, now: float) -> Token:
    """A new token that has expired already comes from a clock that is wrong, here or there: then only a 401 tells its end."""
    return replace(token, expires_at=None) if token.expires_at is not None and token.expires_at <= now else token


def _is_good(token: Token, now: float) -> bool:
    return token.expires_at is None or now < token.expires_at


def _renew_at(token: Token, now: float) -> float:
    latest = now + token.reuse
    if token.expires_at is None:
        return latest
    life = token.expires_at - now
    return min(latest, token.expires_at - min(AHEAD, life / 5))
