"""What no record says, because it may be better the next time: calls that failed and are made again. Said now and then."""

from __future__ import annotations

from collections.abc import Callable

from dsjobs.errors import BackendError

EVERY = 30.0
"""Seconds between two remarks on the same kind of call: when a service is away, every call fails."""

MISSED_LOOKS = 3
"""Looks at one operation that fail in a row before that is worth a word."""


class Remarks:
    """Tells a person of what is tried again. `tell` may be None: nobody listens."""

    def __init__(self, tell: Callable[[str], None] | None, ticks: Callable[[], float]) -> None:
        """`ticks`: seconds on a clock that never goes back."""
        self._tell = tell
        self._ticks = ticks
        self._next: dict[str, float] = {}
        self._missed: dict[str, int] = {}

    def submit_failed(self, job: str, error: BackendError) -> None:
        """The submit of a job's attempt is going to be repeated."""
        self._say("submit", f"{job} is not submitted yet, trying again: {error}", error.hint)

    def look_failed(self, job: str, error: BackendError) -> None:
        """A look at a job's operation is going to be repeated."""
        missed = self._missed[job] = self._missed.get(job, 0) + 1
        if missed >= MISSED_LOOKS:
            self._say("look", f"no news of {job}, looking again: {error}", error.hint)

    def cancel_failed(self, job: str, error: BackendError) -> None:
        """The request for the end of a job's operation is going to be repeated."""
        self._say("cancel", f"{job} was not cancelled yet, asking again: {error}", error.hint)

    def looked(self, job: str) -> None:
        """A look at a job's operation has been answered."""
        self._missed.pop(job, None)

    def _say(self, kind: str, text: str, hint: str | None) -> None:
        now = self._ticks()
        if self._tell is not None and now >= self._next.get(kind, now):
            self._next[kind] = now + EVERY
            self._tell(f"{text} ({hint})" if hint else text)
