"""The executor: the only loop. Answers and timers come in, go through the scheduler, are journaled, and only then acted on.

One thread owns all state. Worker threads make the calls to the backend and post the answers to the inbox; `notify` and `stop`
post there too. Each turn drains the inbox, so that one sync of the journal covers everything that happened meanwhile.
"""

from __future__ import annotations

import queue
import random
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dsjobs.backends.protocol import Backend, Submission
from dsjobs.errors import BackendError
from dsjobs.model import Failure, Job, Operation, Plan, Status
from dsjobs.run import records
from dsjobs.run.calls import Workers
from dsjobs.run.flights import Answer, CancelFailed, Clock, Flight, Look, RunContext, Timers, Turn
from dsjobs.run.outcome import Outcome, judge
from dsjobs.run.pace import Durations, Pace, kind
from dsjobs.run.requests import render_request
from dsjobs.run.scheduler import (
    Action,
    Cancel,
    Event,
    Finished,
    Scheduler,
    Skip,
    Started,
    StopRequested,
    Submit,
    Watch,
    run_status,
)

MAX_WORKERS = 16
"""More threads make `requests` slower, not faster."""

LONGEST_DELAY = 15.0
"""Seconds between two tries of a submit, at most; the first comes after one, and each waits twice as long as the last."""

SUBMIT_PATIENCE = 300.0
"""Seconds for which a submit that may succeed later is repeated, with the same idempotency key."""

CANCEL_AGAIN = 5.0
"""Seconds after which a request to cancel that may succeed later is repeated."""

KEY_NAMESPACE = uuid.UUID("6f1c1d3c-6a0b-5b5e-9a44-0d6a6f6b7a01")

Record = dict[str, Any]
Listener = Callable[[Sequence[Record]], float | None]
"""Told of the records of each turn, after they were acted on. May return seconds after which it wants to be called again,
with no records."""


class Log(Protocol):
    """What the executor needs of a journal."""

    def append(self, records: Sequence[Record]) -> None: ...


class Executor:
    """Runs a plan on a backend. Call `run` once; `stop` may be called from any thread, also from a signal handler."""

    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        log: Log,
        context: RunContext,
        *,
        clock: Clock,
        listeners: Sequence[Listener] = (),
        fail_fast: bool = False,
        durations: Durations | None = None,
    ) -> None:
        """`log` gets every record before it is acted on; `listeners` after that, in the given order. `durations`: how long
        the same notebooks took in earlier runs (`kind` names them)."""
        self._plan = plan
        self._backend = backend
        self._log = log
        self._context = context
        self._clock = clock
        self._listeners = listeners
        self._jobs: dict[str, Job] = {p.job.name: p.job for p in plan.jobs if p.action == "run"}
        self._scheduler = Scheduler(
            {name: [need for need in job.needs if need in self._jobs] for name, job in self._jobs.items()},
            max_parallel=plan.max_parallel,
            fail_fast=fail_fast,
        )
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._workers = Workers(min(MAX_WORKERS, plan.max_parallel), self._inbox.put)
        self._flights: dict[str, Flight] = {}
        self._by_operation: dict[str, str] = {}
        self._timers = Timers(clock.ticks)
        self._pace = Pace(backend.capabilities.looks, durations or Durations(), random.uniform)
        self._names: dict[str, Any] = self._template_names()
        self._early_looks: set[str] = set()
        self._stop_written: StopRequested | None = None

    def stop(self, reason: str, *, cancel: bool) -> None:
        """Ask for the end of the run: nothing new starts, and with `cancel` what is in flight is asked to end."""
        self._inbox.put(StopRequested(reason, cancel))

    def run(self, plan_digest: str) -> Status:
        """Run to the end and return what the run came to. Raises what is not an outcome: a full disk, a bug."""
        try:
            turn = Turn([records.run_started(self._context.started_at, self._context.header, self._plan, plan_digest)])
            turn.records += records.jobs_planned(self._plan)
            self._plan_actions(self._scheduler.start(), turn)
            self._take(turn)
            while not self._scheduler.is_finished:
                turn = Turn()
                for message in self._wait():
                    self._receive(message, turn)
                self._take(turn)
            status = run_status(self._scheduler.statuses, stopped=self._scheduler.stop is not None)
            self._take(Turn([records.run_finished(self._clock.now(), status)]))
            return status
        finally:
            self._workers.close()

    # --- the turn ---

    def _take(self, turn: Turn) -> None:
        if turn.records:
            self._log.append(turn.records)
        for action in turn.actions:
            action()
        if turn.records:
            for listener in self._listeners:
                self._tell(listener, turn.records)

    def _tell(self, listener: Listener, told: Sequence[Record]) -> None:
        again = listener(told)
        if again is not None:
            self._timers.add(again, lambda: self._tell(listener, ()))

    def _wait(self) -> list[Any]:
        """Block until something happens, then take everything that has."""
        while True:
            try:
                messages = [self._inbox.get(timeout=self._timers.run_due())]
            except queue.Empty:
                continue
            while not self._inbox.empty():
                messages.append(self._inbox.get())
            return messages

    def _receive(self, message: Any, turn: Turn) -> None:
        if isinstance(message, Answer):
            self._answered(message, turn)
        elif isinstance(message, Look):
            self._look(message.operation_id)
        elif isinstance(message, StopRequested):
            self._stop(message, turn)
        elif isinstance(message, CancelFailed):
            self._timers.add(CANCEL_AGAIN, lambda: self._cancel(message.operation_id))
        elif isinstance(message, BaseException):
            raise message

    def _handle(self, event: Event, turn: Turn) -> None:
        self._plan_actions(self._scheduler.handle(event), turn)

    def _plan_actions(self, actions: Sequence[Action], turn: Turn) -> None:
        """Plan `actions`, and what follows when some of them end a job at once."""
        ended = self._planned(actions, turn)
        while ended:
            ended = [later for event in ended for later in self._planned(self._scheduler.handle(event), turn)]

    def _planned(self, actions: Sequence[Action], turn: Turn) -> list[Finished]:
        stop = self._scheduler.stop
        if stop is not None and stop != self._stop_written:
            self._stop_written = stop
            turn.records.append(records.stop_requested(self._clock.now(), stop.reason, cancel=stop.cancel))
        ended = []
        for action in actions:
            if isinstance(action, Submit):
                ended += self._plan_submit(action, turn)
            elif isinstance(action, Skip):
                self._names["needs"][action.job] = {"outputs": {}, "status": Status.SKIPPED.value}
                turn.records.append(records.job_skipped(self._clock.now(), action.job, action.reason))
            elif isinstance(action, Watch):
                turn.actions.append(lambda action=action: self._watch(action.job))  # type: ignore[misc]
            elif isinstance(action, Cancel):
                turn.actions.append(lambda action=action: self._cancel(action.operation_id))  # type: ignore[misc]
        return ended

    def _stop(self, event: StopRequested, turn: Turn) -> None:
        self._handle(event, turn)
        if event.cancel:
            for flight in [flight for flight in self._flights.values() if flight.put_off is not None]:
                self._give_up(flight, turn)

    # --- submitting ---

    def _plan_submit(self, action: Submit, turn: Turn) -> list[Finished]:
        """Plan a submit; where its request cannot even be rendered, the job has ended."""
        job = self._jobs[action.job]
        request = render_request(job, self._names)
        if isinstance(request, Failure):
            return [self._ended(action.job, action.attempt, Outcome(Status.FAILED, request), turn)]
        key = str(uuid.uuid5(KEY_NAMESPACE, f"{self._context.run_id}/{action.job}/{action.attempt}"))
        flight = Flight(action.job, action.attempt, request, key, self._clock.ticks())
        self._flights[action.job] = flight
        turn.records.append(records.job_submitting(self._clock.now(), action.job, action.attempt, key, request))
        turn.actions.append(lambda: self._submit(flight))
        return []

    def _submit(self, flight: Flight) -> None:
        folder = self._context.folder
        executed = folder.notebook(flight.job) if folder else None
        submission = Submission(flight.job, flight.attempt, flight.request, executed)
        flight.tries += 1
        flight.put_off = None

        def call() -> Operation:
            return self._backend.submit(submission, idempotency_key=flight.key, notify=self._notify)

        self._call(flight.job, "submit", call)

    def _call(self, job: str, verb: str, call: Callable[[], Operation]) -> None:
        def answer() -> Answer:
            try:
                return Answer(job, verb, call())
            except BackendError as error:
                return Answer(job, verb, error)

        self._workers.run(answer, is_look=verb == "poll")

    def _notify(self, operation_id: str) -> None:
        self._inbox.put(Look(operation_id))

    # --- answers ---

    def _answered(self, answer: Answer, turn: Turn) -> None:
        flight = self._flights.get(answer.job)
        if flight is None:
            return
        flight.looking = False
        if isinstance(answer.result, BackendError):
            self._call_failed(flight, answer.verb, answer.result, turn)
        elif answer.verb == "submit":
            self._accepted(flight, answer.result, turn)
        else:
            self._seen(flight, answer.result, turn)

    def _accepted(self, flight: Flight, operation: Operation, turn: Turn) -> None:
        flight.operation_id = operation.id
        self._by_operation[operation.id] = flight.job
        turn.records.append(records.job_submitted(self._clock.now(), flight.job, flight.attempt, operation.id))
        if operation.done:
            self._seen(flight, operation, turn)
            return
        flight.accepted, flight.hint = self._clock.ticks(), operation.poll_after
        self._handle(Started(flight.job, operation.id), turn)
        if operation.id in self._early_looks:
            turn.actions.append(lambda: self._poll(flight))
        self._forget_early_looks()

    def _seen(self, flight: Flight, operation: Operation, turn: Turn) -> None:
        if operation.done:
            outcome = judge(operation, self._jobs[flight.job].outputs)
            self._finish(flight.job, flight.attempt, outcome, turn)
            return
        flight.hint = operation.poll_after
        turn.actions.append(lambda: self._poll(flight) if flight.look_again else self._watch(flight.job))

    def _call_failed(self, flight: Flight, verb: str, error: BackendError, turn: Turn) -> None:
        if verb == "submit":
            self._submit_failed(flight, error, turn)
        elif error.retryable:
            turn.actions.append(lambda: self._watch(flight.job))
        else:
            self._fail(flight, f"the job could not be watched: {error}", error.hint, turn)

    def _submit_failed(self, flight: Flight, error: BackendError, turn: Turn) -> None:
        waited = self._clock.ticks() - flight.since
        if not error.retryable or waited >= SUBMIT_PATIENCE:
            self._fail(flight, f"the job could not be submitted: {error}", error.hint, turn)
            return
        flight.put_off = error
        stop = self._scheduler.stop
        if stop is not None and stop.cancel:
            self._give_up(flight, turn)
            return
        delay = min(LONGEST_DELAY, 2.0 ** min(flight.tries - 1, 10))
        turn.actions.append(lambda: self._timers.add(delay, lambda: self._submit_again(flight)))

    def _submit_again(self, flight: Flight) -> None:
        if self._flights.get(flight.job) is flight:
            self._submit(flight)

    def _give_up(self, flight: Flight, turn: Turn) -> None:
        """End a job whose submit would have been repeated, had the run not been stopped."""
        message = f"the job could not be submitted before the run was stopped: {flight.put_off}"
        self._fail(flight, message, "whether the backend has started it is not known", turn)

    def _fail(self, flight: Flight, message: str, hint: str | None, turn: Turn) -> None:
        outcome = Outcome(Status.FAILED, Failure("backend", message, hint))
        self._finish(flight.job, flight.attempt, outcome, turn)

    def _finish(self, job: str, attempt: int, outcome: Outcome, turn: Turn) -> None:
        self._handle(self._ended(job, attempt, outcome, turn), turn)

    def _ended(self, job: str, attempt: int, outcome: Outcome, turn: Turn) -> Finished:
        """Write down an outcome; what comes back is for the scheduler."""
        flight = self._flights.pop(job, None)
        if flight is not None and flight.operation_id is not None:
            self._by_operation.pop(flight.operation_id, None)
            self._pace.ended(kind(flight.request), _duration(outcome, self._clock.ticks() - flight.accepted))
        self._forget_early_looks()
        self._names["needs"][job] = {"outputs": dict(outcome.outputs or {}), "status": outcome.status.value}
        turn.records.append(records.job_finished(self._clock.now(), job, attempt, outcome))
        return Finished(job, outcome.status)

    # --- watching ---

    def _watch(self, job: str) -> None:
        """Plan the next look at a job's operation, in place of any that was planned before."""
        flight = self._flights.get(job)
        if flight is None:
            return
        flight.next_look += 1
        number = flight.next_look
        elapsed = self._clock.ticks() - flight.accepted
        wait = self._pace.next_look(kind(flight.request), elapsed, len(self._flights), flight.hint)
        self._timers.add(wait, lambda: self._poll(flight) if flight.next_look == number else None)

    def _look(self, operation_id: str) -> None:
        job = self._by_operation.get(operation_id)
        if job is not None:
            self._poll(self._flights[job])
        elif self._is_submitting:
            # It may have ended before the answer to its submit was read.
            self._early_looks.add(operation_id)

    @property
    def _is_submitting(self) -> bool:
        """Whether the answer to a submit is still to come."""
        return len(self._flights) > len(self._by_operation)

    def _forget_early_looks(self) -> None:
        if not self._is_submitting:
            self._early_looks.clear()

    def _poll(self, flight: Flight) -> None:
        operation_id = flight.operation_id
        if operation_id is None or self._flights.get(flight.job) is not flight:
            return
        flight.look_again = flight.looking
        if flight.looking:
            return
        flight.looking = True
        flight.next_look += 1  # a look that is planned need not be made any more
        self._call(flight.job, "poll", lambda: self._backend.poll(operation_id))

    def _cancel(self, operation_id: str) -> None:
        if operation_id not in self._by_operation:
            return

        def call() -> Any:
            try:
                self._backend.cancel(operation_id)
            except BackendError as error:
                # Best effort: the outcome arrives through poll, whatever became of the request.
                return CancelFailed(operation_id) if error.retryable else None
            return Look(operation_id)

        self._workers.run(call)

    def _template_names(self) -> dict[str, Any]:
        return {
            "vars": {name: value.value for name, value in self._plan.variables.items()},
            "environment": self._plan.environment,
            "git": self._context.header.get("git") or {},
            "run": {"id": self._context.run_id, "started_at": records.moment(self._context.started_at)},
            "needs": {},
        }


def _duration(outcome: Outcome, seen: float) -> float:
    """Seconds that an operation took: by the backend's own times, else until its end was `seen`."""
    if outcome.started_at is None or outcome.finished_at is None:
        return seen
    return max(0.0, outcome.finished_at - outcome.started_at)
