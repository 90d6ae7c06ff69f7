"""What the executor's loop holds: attempts on their way, what is posted to it, what a turn will do, and timers."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dsjobs.errors import BackendError
from dsjobs.model import Operation, Request
from dsjobs.run.recovery import OpenAttempt
from dsjobs.run.store import RunFolder


@dataclass(frozen=True, slots=True)
class Clock:
    """Time from the edge: `now` in seconds since the epoch, for what is written; `ticks` never goes back, for waiting."""

    now: Callable[[], float]
    ticks: Callable[[], float]


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the edge knows of a run: its ID, when it began (seconds since the epoch), and what the header says of it."""

    run_id: str
    started_at: float
    header: Mapping[str, Any]
    folder: RunFolder | None = None


@dataclass(slots=True)
class Flight:
    """An attempt on its way. `since` and `accepted` are in ticks; `hint` is when the backend wants to be asked again;
    `put_off` is why its submit waits to be repeated; of the looks that are planned only the one with the number
    `next_look` counts. `cancelling`: why it was asked to end; `known_as`: the operation that the journal has already.
    `submitted_at`: when it was first submitted, as the journal has it (seconds since the epoch); `is_unsure`: a submit may have
    arrived though its answer did not; `refused_since`: no look has been answered since then;
    `running_at`: in seconds since `accepted`, when it was last seen to run."""

    job: str
    attempt: int
    request: Request
    key: str
    since: float
    operation_id: str | None = None
    accepted: float = 0.0
    hint: float | None = None
    looking: bool = False
    look_again: bool = False
    next_look: int = 0
    tries: int = 0
    put_off: BackendError | None = None
    cancelling: str | None = None
    known_as: str | None = None
    submitted_at: float = 0.0
    is_unsure: bool = False
    refused_since: float | None = None
    running_at: float | None = None

    @classmethod
    def taken_up(cls, attempt: OpenAttempt, clock: Clock) -> Flight:
        """An attempt of an earlier process, whose end is not known."""
        now = clock.ticks()
        return cls(
            attempt.job, attempt.number, attempt.request, attempt.key,
            since=now,
            accepted=now - max(0.0, clock.now() - attempt.submitted_at),
            cancelling=attempt.cancelling,
            known_as=attempt.operation_id,
            submitted_at=attempt.submitted_at,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to: an operation or a BackendError."""

    job: str
    verb: str
    result: Operation | BackendError


@dataclass(frozen=True, slots=True)
class Look:
    """An operation has something to see."""

    operation_id: str


@dataclass(frozen=True, slots=True)
class CancelFailed:
    """A request to cancel was not taken, and may be later."""

    job: str
    operation_id: str
    error: BackendError


@dataclass(frozen=True, slots=True)
class TimedOut:
    """An attempt has taken as long as it may; `is_asked`: it was asked to end, and has not."""

    flight: Flight
    is_asked: bool = False


@dataclass(frozen=True, slots=True)
class Detach:
    """Leave the run as it is."""

    reason: str


@dataclass(slots=True)
class Turn:
    """What one turn of the loop will write, and then do."""

    records: list[dict[str, Any]] = field(default_factory=list)
    actions: list[Callable[[], None]] = field(default_factory=list)


class Timers:
    """Actions that are due later, in one heap."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        """`ticks`: seconds on a clock that never goes back."""
        self._ticks = ticks
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = itertools.count()

    def add(self, delay: float, action: Callable[[], None]) -> None:
        """Have `action` done `delay` seconds from now."""
        heapq.heappush(self._due, (self._ticks() + delay, next(self._sequence), action))

    def run_due(self) -> float | None:
        """Do what is due; returns the seconds until something else is, or None where nothing waits."""
        now = self._ticks()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        return max(0.0, self._due[0][0] - now) if self._due else None
