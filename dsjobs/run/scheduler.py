"""The scheduler: a pure state machine. Events in, actions out; it does no I/O, asks no clock and starts no thread.

Rules. A job is decided when every job that it needs has ended: its `run_if` says whether it runs or is skipped; with
`all_success`, the default, it is skipped as soon as one has not succeeded. Of the jobs that are ready, the one with the
longest remaining path starts first, then the one that stands first in the file; at most `max_parallel` are in flight, from
the moment they are submitted, and at most as many of a pool as it holds. A job that waits to be tried again holds nothing.
While it is held, and after a stop, nothing starts. After a stop what has not started is skipped, what waits to be tried again
ends as it last failed, and what is in flight is cancelled where the stop says so, else left to end. With `fail_fast` the first
failure that is not allowed is a stop that lets the others end, also where its run died before that stop was written.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from dsjobs.model import RunIf, Status
from dsjobs.plan.conditions import obstacle
from dsjobs.plan.graph import Needs, dependents, priorities
from dsjobs.run.events import (
    Action,
    AttemptFailed,
    Cancel,
    Event,
    Finished,
    GiveUp,
    Hold,
    Past,
    RetryDue,
    Rules,
    Skip,
    Started,
    StopRequested,
    Submit,
    Watch,
)
from dsjobs.run.pools import Entry, Pools


class Scheduler:
    """Decides what happens next in one run. `start` or `restore` once, then `handle` for each event, until `is_finished`."""

    def __init__(self, needs: Needs, rules: Rules) -> None:
        """`needs`: every job of the run, in the file's order, with the jobs it needs; without a cycle."""
        self._rules = rules
        self._run_if = rules.run_if or {}
        self._needs = needs
        self._below = dependents(needs)
        self._keys = priorities(needs)
        self._waiting = {name: len(needed) for name, needed in needs.items()}
        self._status = dict.fromkeys(needs, Status.PENDING)
        self._attempts = dict.fromkeys(needs, 0)
        self._causes: dict[str, str] = {}
        self._ready: list[Entry] = []
        self._offered: set[str] = set()  # made ready, and not yet submitted
        self._resting: set[str] = set()
        self._in_flight: dict[str, str | None] = {}
        self._pools = Pools(rules.pools or {}, rules.limits or {})
        self._left = len(needs)
        self._stop: StopRequested | None = None
        self._is_held = False

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

    def start(self, skipped: Mapping[str, str] | None = None, reused: Iterable[str] = ()) -> list[Action]:
        """The first actions of the run. `skipped`: jobs that do not run, which is known already, and why; `reused`: jobs that
        need not, because an earlier success of theirs stands."""
        causes = skipped or {}
        ended = dict.fromkeys(causes, Status.SKIPPED) | dict.fromkeys(reused, Status.SUCCEEDED)
        return self.restore(Past(ended, causes, {}, frozenset(), {}, None))

    def restore(self, past: Past) -> list[Action]:
        """Take up a run where it was, and return what follows. What is in flight counts as submitted: looking at it, or
        submitting it again, is the caller's. What waits to be tried again waits for its `RetryDue`."""
        self._attempts.update(past.attempts)
        self._resting.update(past.resting)
        for name, operation_id in past.in_flight.items():
            self._status[name] = Status.RUNNING
            self._in_flight[name] = operation_id
            self._pools.take(name)
        for name, status in past.ended.items():
            self._end(name, status)
        self._causes.update(past.causes)
        actions = self._settle(name for name in self._needs if name not in past.resting)
        failed = next((name for name, status in past.ended.items() if self._is_stop(name, status)), None)
        stop = past.stop or (_fail_fast(failed) if failed is not None else None)
        return actions + (self._stopped(stop) if stop is not None else self._submissions())

    def handle(self, event: Event) -> list[Action]:
        """What to do after `event`. An event of a job that has ended already changes nothing."""
        if isinstance(event, Started):
            return self._started(event)
        if isinstance(event, Finished):
            return self._finished(event)
        if isinstance(event, AttemptFailed):
            return self._attempt_failed(event.job)
        if isinstance(event, RetryDue):
            return self._retry_due(event.job)
        if isinstance(event, Hold):
            self._is_held = True
            return []
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
        name = event.job
        if self._status[name].is_terminal:
            return []
        self._land(name)
        self._resting.discard(name)
        self._causes[name] = event.cause
        self._end(name, event.status)
        # While a job waits for others, a success decides nothing.
        decided = event.status is not Status.SUCCEEDED
        actions = self._settle([below for below in self._below[name] if decided or self._waiting[below] == 0])
        if self._is_stop(name, event.status):
            actions += self._stopped(_fail_fast(name))
        return actions + self._submissions()

    def _is_stop(self, name: str, status: Status) -> bool:
        """Whether the run stops because a job came to this."""
        return self._rules.fail_fast and status is Status.FAILED and name not in self._rules.allowed_failures

    def _attempt_failed(self, name: str) -> list[Action]:
        if name not in self._in_flight:
            return []
        self._land(name)
        self._status[name] = Status.PENDING
        if self._stop is not None:
            return [GiveUp(name)]
        self._resting.add(name)
        return self._submissions()

    def _retry_due(self, name: str) -> list[Action]:
        if name not in self._resting or self._stop is not None:
            return []
        self._resting.discard(name)
        self._make_ready([name])
        return self._submissions()

    def _stopped(self, event: StopRequested) -> list[Action]:
        if self._stop is None or (event.cancel and not self._stop.cancel):
            self._stop = event
        self._ready.clear()
        self._pools.clear()
        pending = [name for name, status in self._status.items() if status is Status.PENDING]
        actions: list[Action] = []
        for name in pending:
            if self._attempts[name]:
                actions.append(GiveUp(name))
                continue
            self._end(name, Status.SKIPPED)
            cause = f"the run was stopped: {self._stop.reason}"
            actions.append(Skip(name, cause, cause))
        if event.cancel:
            actions += [Cancel(job, operation) for job, operation in self._in_flight.items() if operation is not None]
        return actions

    def _submissions(self) -> list[Action]:
        actions: list[Action] = []
        may_start = self._stop is None and not self._is_held
        while may_start and self._ready and len(self._in_flight) < self._rules.max_parallel:
            entry = heapq.heappop(self._ready)
            name = entry[1]
            if not self._pools.take(name):
                for woken in self._pools.wait(entry):
                    heapq.heappush(self._ready, woken)
                continue
            self._status[name] = Status.RUNNING
            self._in_flight[name] = None
            self._attempts[name] += 1
            self._offered.discard(name)
            actions.append(Submit(name, self._attempts[name]))
        return actions

    def _land(self, name: str) -> None:
        """A job is no longer in flight: others may have its place."""
        if name in self._in_flight:
            del self._in_flight[name]
            for woken in self._pools.give_back(name):
                heapq.heappush(self._ready, woken)

    def _settle(self, names: Iterable[str]) -> list[Action]:
        """Decide those of `names` that can be decided, and what that decides below them, nearest first."""
        actions: list[Action] = []
        queue = list(names)
        for name in queue:
            if self._status[name] is not Status.PENDING or self._attempts[name]:
                continue
            run_if = self._run_if.get(name, "all_success")
            if self._waiting[name] and run_if != "all_success":
                continue
            ended = [(need, self._status[need]) for need in self._needs[name] if self._status[need].is_terminal]
            why = obstacle(run_if, ended)
            if why is not None:
                self._end(name, Status.SKIPPED)
                actions.append(self._skipped(name, run_if, ended, why))
                queue += self._below[name]
            elif self._waiting[name] == 0:
                self._make_ready([name])
        return actions

    def _skipped(self, name: str, run_if: RunIf, ended: Sequence[tuple[str, Status]], why: str) -> Skip:
        """Why a job does not run, in words that name the job that caused it."""
        if run_if != "all_success":
            self._causes[name] = f"run_if {run_if}: {why}"
            return Skip(name, self._causes[name], self._causes[name])
        need, status = next((need, status) for need, status in ended if status is not Status.SUCCEEDED)
        if status is not Status.SKIPPED:
            self._causes[name] = why
            return Skip(name, f"needs '{need}', which {why.split(' ', 1)[1]}", why)
        self._causes[name] = cause = self._causes.get(need, "")
        because = f" because {cause}" if cause else ""
        return Skip(name, f"needs '{need}', which was skipped{because}", cause)

    def _make_ready(self, names: Iterable[str]) -> None:
        for name in names:
            if self._status[name] is Status.PENDING and name not in self._offered:
                self._offered.add(name)
                heapq.heappush(self._ready, (self._keys[name], name))

    def _end(self, job: str, status: Status) -> None:
        self._status[job] = status
        self._left -= 1
        for name in self._below[job]:
            self._waiting[name] -= 1


def _fail_fast(job: str) -> StopRequested:
    return StopRequested(f"'{job}' failed (fail-fast)", cancel=False)


def run_status(
    statuses: Mapping[str, Status], *, stopped: bool, allowed_failures: frozenset[str] = frozenset()
) -> Status:
    """What a run comes to: failed when a job failed whose failure is not allowed, cancelled when it was stopped before its
    end, else succeeded."""
    values = {
        status for name, status in statuses.items() if name not in allowed_failures or status is not Status.FAILED
    }
    if Status.FAILED in values:
        return Status.FAILED
    if Status.CANCELLED in values or (stopped and Status.SKIPPED in values):
        return Status.CANCELLED
    return Status.SUCCEEDED
