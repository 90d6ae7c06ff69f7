"""The scheduler: a pure state machine. Events in, actions out; it does no I/O, asks no clock and starts no thread.

Rules. A job is ready when every job that it needs has succeeded. Of the ready jobs, the one with the longest remaining path
starts first, then the one that stands first in the file; at most `max_parallel` are in flight, from the moment they are
submitted. A job that needs one that failed, was skipped or was cancelled is skipped, and its reason names the job that
caused it. After a stop nothing starts: what has not started is skipped; what is in flight is cancelled where the stop says so,
else left to end. With `fail_fast` the first failure is a stop that lets the others end.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsjobs.model import Status
from dsjobs.plan.graph import Needs, dependents, priorities


@dataclass(frozen=True, slots=True)
class Started:
    """The backend accepted a job."""

    job: str
    operation_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A job has its outcome; it may come without a `Started`, when it could not be submitted."""

    job: str
    status: Status


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Nothing new starts. `cancel`: and what is in flight is asked to end."""

    reason: str
    cancel: bool


Event = Started | Finished | StopRequested


@dataclass(frozen=True, slots=True)
class Submit:
    """Start an attempt of a job (attempts count from 1)."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Look at an operation until it is done."""

    job: str
    operation_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask for the end of an operation."""

    job: str
    operation_id: str


@dataclass(frozen=True, slots=True)
class Skip:
    """A job will not run, and why."""

    job: str
    reason: str


Action = Submit | Watch | Cancel | Skip


class Scheduler:
    """Decides what happens next in one run. `start` once, then `handle` for each event, until `is_finished`."""

    def __init__(self, needs: Needs, *, max_parallel: int, fail_fast: bool = False) -> None:
        """`needs`: every job that runs, in the file's order, with the jobs it needs; without a cycle."""
        self._max_parallel = max_parallel
        self._fail_fast = fail_fast
        self._needs = needs
        self._below = dependents(needs)
        self._keys = priorities(needs)
        self._waiting = {name: len(needed) for name, needed in needs.items()}
        self._status = dict.fromkeys(needs, Status.PENDING)
        self._ready = [(self._keys[name], name) for name, count in self._waiting.items() if count == 0]
        heapq.heapify(self._ready)
        self._in_flight: dict[str, str | None] = {}
        self._left = len(needs)
        self._stop: StopRequested | None = None

    @property
    def is_finished(self) -> bool:
        """Whether every job has a final status."""
        return self._left == 0

    @property
    def statuses(self) -> Mapping[str, Status]:
        """Where each job stands."""
        return self._status

    @property
    def stop(self) -> StopRequested | None:
        """The stop that is in force: the first one, or a later one that cancels."""
        return self._stop

    def start(self) -> list[Action]:
        """The first actions of the run."""
        return self._submissions()

    def handle(self, event: Event) -> list[Action]:
        """What to do after `event`. An event of a job that has ended already changes nothing."""
        if isinstance(event, Started):
            return self._started(event)
        if isinstance(event, Finished):
            return self._finished(event)
        return self._stopped(event)

    def _started(self, event: Started) -> list[Action]:
        if event.job not in self._in_flight:
            return []
        self._in_flight[event.job] = event.operation_id
        actions: list[Action] = [Watch(event.job, event.operation_id)]
        if self._stop and self._stop.cancel:
            actions.append(Cancel(event.job, event.operation_id))
        return actions

    def _finished(self, event: Finished) -> list[Action]:
        if self._status[event.job].is_terminal:
            return []
        self._in_flight.pop(event.job, None)
        self._end(event.job, event.status)
        if event.status is Status.SUCCEEDED:
            self._release(event.job)
            return self._submissions()
        actions = self._skip_below(event.job, f"'{event.job}' {_past(event.status)}")
        if event.status is Status.FAILED and self._fail_fast:
            actions += self._stopped(StopRequested(f"'{event.job}' failed (fail-fast)", cancel=False))
        return actions + self._submissions()

    def _stopped(self, event: StopRequested) -> list[Action]:
        if self._stop is None or (event.cancel and not self._stop.cancel):
            self._stop = event
        self._ready.clear()
        pending = [name for name, status in self._status.items() if status is Status.PENDING]
        actions: list[Action] = []
        for name in pending:
            self._end(name, Status.SKIPPED)
            actions.append(Skip(name, f"the run was stopped: {self._stop.reason}"))
        if event.cancel:
            actions += [Cancel(job, operation) for job, operation in self._in_flight.items() if operation is not None]
        return actions

    def _submissions(self) -> list[Action]:
        actions: list[Action] = []
        while self._ready and len(self._in_flight) < self._max_parallel:
            _, name = heapq.heappop(self._ready)
            self._status[name] = Status.RUNNING
            self._in_flight[name] = None
            actions.append(Submit(name, attempt=1))
        return actions

    def _release(self, job: str) -> None:
        for name in self._below[job]:
            self._waiting[name] -= 1
            if self._waiting[name] == 0 and self._status[name] is Status.PENDING:
                heapq.heappush(self._ready, (self._keys[name], name))

    def _skip_below(self, job: str, cause: str) -> list[Action]:
        """Skip everything below `job`, nearest first. `cause` is the first failure, in words."""
        actions: list[Action] = []
        queue = [(name, job) for name in self._below[job]]
        for name, through in queue:
            if self._status[name] is not Status.PENDING:
                continue
            self._end(name, Status.SKIPPED)
            via = "" if through == job else f"needs '{through}', which was skipped because "
            actions.append(Skip(name, f"{via}{cause}" if via else f"needs '{job}', which {cause.split(' ', 1)[1]}"))
            queue += [(below, name) for below in self._below[name]]
        return actions

    def _end(self, job: str, status: Status) -> None:
        self._status[job] = status
        self._left -= 1


def _past(status: Status) -> str:
    return "was cancelled" if status is Status.CANCELLED else status.value


def run_status(statuses: Sequence[Status] | Mapping[str, Status], *, stopped: bool) -> Status:
    """What a run comes to: failed when a job failed, cancelled when it was stopped before its end, else succeeded."""
    values = set(statuses.values() if isinstance(statuses, Mapping) else statuses)
    if Status.FAILED in values:
        return Status.FAILED
    if Status.CANCELLED in values or (stopped and Status.SKIPPED in values):
        return Status.CANCELLED
    return Status.SUCCEEDED
