"""What every kind of credentials gives: where it was found, and tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dsjobs.backends.datasphere.answer import Answer, Call
from dsjobs.backends.datasphere.settings import Settings
from dsjobs.errors import BackendError


@dataclass(frozen=True, slots=True)
class Token:
    """An IAM token. `expires_at`: seconds since the epoch, None where nobody said; `reuse`: use it at most so many seconds."""

    value: str = field(repr=False)
    expires_at: float | None = None
    reuse: float = 3600.0


class Source(Protocol):
    """Credentials that were found. `where` says in which variable, file or command; `note` what their owner should know."""

    @property
    def kind(self) -> str: ...

    @property
    def where(self) -> str: ...

    @property
    def note(self) -> str | None: ...

    @property
    def renewal(self) -> str | None:
        """None where `token` may be called again; else what its owner has to do to get another."""
        ...

    def token(self) -> Token:
        """A new token. Raises BackendError."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the search looks at. `ask` makes a call without credentials, with a few tries; `probe` makes one with a short
    time-out, once; `url` is the address of a service; `now` the time in seconds since the epoch."""

    environ: Mapping[str, str] = field(repr=False)
    settings: Settings
    ask: Callable[[Call], Answer]
    probe: Callable[[Call], Answer]
    url: Callable[[str], str]
    now: Callable[[], float]
    iam_token: str | None = field(default=None, repr=False)
    profile: str | None = None


def variable(environ: Mapping[str, str], *names: str) -> tuple[str, str] | None:
    """The first of these variables that is set, and its value without white space around it."""
    return next(((name, environ[name].strip()) for name in names if environ.get(name, "").strip()), None)


def unusable(where: str, what: str, hint: str | None = None) -> BackendError:
    """The error for credentials that were found and cannot be used."""
    return BackendError(f"the credentials in {where} cannot be used: {what}", retryable=False, hint=hint)
