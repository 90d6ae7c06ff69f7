"""The executor: the only loop. Answers and timers come in, go through the scheduler, are journaled, and only then acted on.

One thread owns all state. Worker threads make the calls to the backend and post the answers to the inbox; `notify`, `stop` and
`detach` post there too. Each turn drains the inbox, so that one sync of the journal covers everything that happened meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dsjobs.backends.protocol import Backend
from dsjobs.errors import BackendError
from dsjobs.inbox import Inbox
from dsjobs.model import Failure, Job, Operation, Plan, Status
from dsjobs.redaction import redacted, redacted_failure, withheld
from dsjobs.run import failed_calls, records
from dsjobs.run.calls import MAX_THREADS, Workers
from dsjobs.run.dispatch import Dispatch
from dsjobs.run.events import (
    Action,
    AttemptFailed,
    Cancel,
    Event,
    Finished,
    GiveUp,
    Hold,
    RetryDue,
    Skip,
    Started,
    StopRequested,
    Submit,
    Watch,
)
from dsjobs.run.failed_calls import CANCEL_PATIENCE, GivenUp
from dsjobs.run.flights import Answer, CancelFailed, Clock, Detach, Flight, Look, RunContext, TimedOut, Timers, Turn
from dsjobs.run.news import News
from dsjobs.run.outcome import Outcome, duration, judge, still_running
from dsjobs.run.pace import Durations, Pace
from dsjobs.run.recovery import Recovered
from dsjobs.run.remarks import Remarks
from dsjobs.run.requests import Requests, idempotency_key
from dsjobs.run.retries import next_delay
from dsjobs.run.rules import needs_of_run, reused_before, rules_of, skipped_before
from dsjobs.run.scheduler import Scheduler, run_status
from dsjobs.run.secret_values import SecretValues

Record = dict[str, Any]
Listener = Callable[[Sequence[Record]], float | None]
"""Told of the records of each turn, after they were acted on. May return seconds after which it wants to be called again,
with no records."""


class Log(Protocol):
    """What the executor needs of a journal."""

    def append(self, records: Sequence[Record]) -> None: ...


class Executor:
    """Runs a plan on a backend. Call `run` once; `hold`, `stop` and `detach` may be called from any thread, also from a signal
    handler."""

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
        recovered: Recovered | None = None,
        remark: Callable[[str], None] | None = None,
        secrets: SecretValues | None = None,
    ) -> None:
        """`log` gets every record before it is acted on; `listeners` after that, in the given order. `durations`: how long
        the same notebooks took in earlier runs (`kind` names them). `recovered`: the run goes on where its journal ends.
        `remark` is told of what fails on the way and is tried again. `secrets`: of the plan; without them a job that takes
        one fails."""
        self._plan = plan
        self._backend = backend
        self._log = log
        self._context = context
        self._clock = clock
        self._listeners = listeners
        self._recovered = recovered
        secrets = secrets or SecretValues()
        self._secrets, self._redactor = secrets, secrets.redactor
        self._jobs: dict[str, Job] = {p.job.name: p.job for p in plan.jobs if p.action == "run"}
        self._scheduler = Scheduler(needs_of_run(plan), rules_of(plan, fail_fast=fail_fast))
        self._inbox: Inbox[Any] = Inbox()
        self._workers = Workers(min(MAX_THREADS, plan.max_parallel), self._inbox.put)
        self._timers = Timers(clock.ticks)
        self._news = News(self._inbox, self._timers, self._workers)
        self._remarks = Remarks(remark, clock.ticks)
        pace = Pace(backend.capabilities.looks, durations or Durations(), random.uniform)
        self._dispatch = Dispatch(
            backend, context.folder, self._workers, self._timers, pace, secrets, post=self._inbox.put, ticks=clock.ticks
        )
        run = {"id": context.run_id, "started_at": records.moment(context.started_at)}
        self._requests = Requests(plan, run, context.header.get("git") or {}, self._redactor)
        self._failed_attempts: dict[str, tuple[int, Outcome]] = {}
        self._stop_written: StopRequested | None = recovered.written_stop if recovered else None
        self._detached: str | None = None
        self.denied: BackendError | None = None
        """Why nobody here may ask the backend any more, where the run was left because of that."""

    def stop(self, reason: str, *, cancel: bool) -> None:
        """Ask for the end of the run: nothing new starts, and with `cancel` what is in flight is asked to end."""
        self._inbox.put(StopRequested(reason, cancel))

    def hold(self) -> None:
        """Start nothing new, until `stop` or `detach` says what becomes of the run."""
        self._inbox.put(Hold())

    def detach(self, reason: str) -> None:
        """Leave the run as it is: what is in flight goes on at the backend, and the journal says where to go on."""
        self._inbox.put(Detach(reason))

    def run(self, plan_digest: str) -> Status:
        """Run to the end and return what the run came to; RUNNING where it was left before. Raises what is not an outcome: a
        full disk, a bug."""
        try:
            self._take(self._first_turn(plan_digest))
            while not self._scheduler.is_finished and self._detached is None:
                turn = Turn()
                for message in self._news.take():
                    self._receive(message, turn)
                self._take(turn)
            if self._detached is not None and not self._scheduler.is_finished:
                self._take(Turn([records.run_detached(self._clock.now(), self._detached)]))
                return Status.RUNNING
            allowed = frozenset(name for name, job in self._jobs.items() if job.allow_failure)
            stopped = self._scheduler.stop is not None
            status = run_status(self._scheduler.statuses, stopped=stopped, allowed_failures=allowed)
            self._take(Turn([records.run_finished(self._clock.now(), status)]))
            return status
        finally:
            self._workers.close()

    # --- the turn ---

    def _first_turn(self, plan_digest: str) -> Turn:
        if self._recovered is not None:
            turn = Turn([records.run_resumed(self._clock.now(), self._context.header)])
            self._take_up(self._recovered, turn)
            return turn
        turn = Turn([records.run_started(self._context.started_at, self._context.header, self._plan, plan_digest)])
        turn.records += records.jobs_planned(self._plan)
        self._plan_actions(self._scheduler.start(skipped_before(self._plan), reused_before(self._plan)), turn)
        return turn

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

    def _receive(self, message: Any, turn: Turn) -> None:
        if isinstance(message, Answer):
            self._answered(message, turn)
        elif isinstance(message, Look):
            self._dispatch.look(message.operation_id)
        elif isinstance(message, RetryDue | Hold):
            self._handle(message, turn)
        elif isinstance(message, TimedOut):
            self._timed_out(message, turn)
        elif isinstance(message, StopRequested):
            self._stop(message, turn)
        elif isinstance(message, Detach):
            self._detached = message.reason
        elif isinstance(message, CancelFailed):
            self._remarks.cancel_failed(message.job, message.error)
            self._dispatch.cancel_later(message.operation_id)
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
                self._skip(action, turn)
            elif isinstance(action, GiveUp):
                attempt, outcome = self._failed_attempts[action.job]
                ended.append(self._ended(action.job, attempt, outcome, turn))
            elif isinstance(action, Watch):
                turn.actions.append(lambda action=action: self._dispatch.watch(action.job))  # type: ignore[misc]
            elif isinstance(action, Cancel):
                self._plan_cancel(action.job, "stopped", turn)
        return ended

    def _skip(self, skip: Skip, turn: Turn) -> None:
        self._requests.note_end(skip.job, Status.SKIPPED)
        turn.records.append(records.job_skipped(self._clock.now(), skip.job, skip.reason, skip.cause))

    def _stop(self, event: StopRequested, turn: Turn) -> None:
        self._handle(event, turn)
        if event.cancel:
            for flight in [flight for flight in self._dispatch if flight.put_off is not None]:
                self._give_up(flight, failed_calls.before_submit(flight), turn)

    # --- taking up ---

    def _take_up(self, recovered: Recovered, turn: Turn) -> None:
        """Go on where the journal ends. What the backend still knows is looked at; the rest is submitted again with its key,
        which starts nothing anew."""
        for name, (status, outputs) in recovered.ended.items():
            self._requests.note_end(name, status, outputs)
        self._failed_attempts.update(recovered.failed_attempts)
        for attempt in recovered.open_attempts:
            flight = Flight.taken_up(attempt, self._clock)
            self._dispatch.add(flight)
            if attempt.operation_id is not None and self._backend.capabilities.survives:
                self._dispatch.accept(flight, Operation(attempt.operation_id))
                turn.actions.append(lambda flight=flight: self._dispatch.poll(flight))  # type: ignore[misc]
                self._limit(flight, turn)
                if flight.cancelling is not None:
                    turn.actions.append(lambda flight=flight: self._dispatch.cancel(flight.operation_id))  # type: ignore[misc]
            else:
                flight.is_unsure = True
                turn.actions.append(lambda flight=flight: self._dispatch.submit(flight))  # type: ignore[misc]
        self._plan_actions(self._scheduler.restore(recovered.past), turn)
        for job, due in recovered.due.items():
            self._rest(job, max(0.0, due - self._clock.now()), turn)

    # --- submitting ---

    def _plan_submit(self, action: Submit, turn: Turn) -> list[Finished]:
        """Plan a submit; where its request cannot even be rendered, the job has ended."""
        job = self._jobs[action.job]
        reason = self._requests.skip_reason(job) if action.attempt == 1 else None
        if isinstance(reason, str):
            self._skip(Skip(job.name, reason, reason), turn)
            return [Finished(job.name, Status.SKIPPED, reason)]
        request = reason or self._requests.request(job)
        if isinstance(request, Failure):
            return [self._ended(action.job, action.attempt, Outcome(Status.FAILED, request), turn)]
        key = idempotency_key(self._context.run_id, action.job, action.attempt)
        submitting = records.job_submitting(self._clock.now(), action.job, action.attempt, key, request)
        flight = Flight(action.job, action.attempt, request, key, self._clock.ticks())
        flight.submitted_at = records.seconds(submitting["at"])
        self._dispatch.add(flight)
        turn.records.append(submitting)
        turn.actions.append(lambda: self._dispatch.submit(flight))
        return []

    # --- answers ---

    def _answered(self, answer: Answer, turn: Turn) -> None:
        flight = self._dispatch[answer.job]
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
        is_early = self._dispatch.accept(flight, operation)
        if flight.known_as != operation.id:
            turn.records.append(records.job_submitted(self._clock.now(), flight.job, flight.attempt, operation.id))
        flight.accepted = self._clock.ticks()
        if operation.done:
            self._seen(flight, operation, turn)
            return
        self._handle(Started(flight.job, operation.id), turn)
        self._limit(flight, turn)
        if is_early:
            turn.actions.append(lambda: self._dispatch.poll(flight))

    def _seen(self, flight: Flight, operation: Operation, turn: Turn) -> None:
        if operation.done:
            job = self._jobs[flight.job]
            # Before the contracts are looked at: what is said of a broken one quotes the value.
            operation = redacted(withheld(operation, self._secrets.unknown(flight.request)), self._redactor)
            self._finish(flight, judge(operation, job.outputs, cancelling=flight.cancelling, timeout=job.timeout), turn)
            return
        self._remarks.looked(flight.job)
        flight.refused_since = None
        flight.running_at = self._clock.ticks() - flight.accepted
        flight.hint = operation.poll_after
        turn.actions.append(
            lambda: self._dispatch.poll(flight) if flight.look_again else self._dispatch.watch(flight.job)
        )

    def _call_failed(self, flight: Flight, verb: str, error: BackendError, turn: Turn) -> None:
        if error.is_denied:
            self.denied, self._detached = error, self._redactor.mask(str(error))
        elif verb == "submit":
            self._submit_failed(flight, error, turn)
        elif (given_up := failed_calls.after_look(flight, error, self._clock.ticks())) is not None:
            self._give_up(flight, given_up, turn)
        else:
            self._remarks.look_failed(flight.job, error)
            turn.actions.append(lambda: self._dispatch.watch(flight.job))

    def _submit_failed(self, flight: Flight, error: BackendError, turn: Turn) -> None:
        given_up = failed_calls.after_submit(flight, error, self._clock.ticks())
        stop = self._scheduler.stop
        if given_up is not None:
            self._give_up(flight, given_up, turn)
        elif stop is not None and stop.cancel:
            self._give_up(flight, failed_calls.before_submit(flight), turn)
        else:
            self._remarks.submit_failed(flight.job, error)
            turn.actions.append(lambda: self._dispatch.submit_later(flight))

    def _give_up(self, flight: Flight, given_up: GivenUp, turn: Turn) -> None:
        failure = redacted_failure(given_up.failure, self._redactor)
        self._finish(flight, Outcome(Status.FAILED, failure), turn, is_over=given_up.is_over)

    def _finish(self, flight: Flight, outcome: Outcome, turn: Turn, *, is_over: bool = True) -> None:
        """An attempt has ended: with it the job, unless it is tried again, which it is only when it `is_over` at the backend."""
        job = self._jobs[flight.job]
        delay = next_delay(job.retry, flight.attempt, outcome.failure, random.uniform)
        if delay is None or not is_over or self._scheduler.stop is not None:
            self._handle(self._ended(flight.job, flight.attempt, outcome, turn), turn)
            return
        self._dispatch.remove(flight.job, duration(outcome))
        self._failed_attempts[flight.job] = (flight.attempt, outcome)
        turn.records.append(records.job_retrying(self._clock.now(), flight.job, flight.attempt, outcome, delay))
        self._handle(AttemptFailed(flight.job), turn)
        self._rest(flight.job, delay, turn)

    def _rest(self, job: str, delay: float, turn: Turn) -> None:
        turn.actions.append(lambda: self._timers.add(delay, lambda: self._inbox.put(RetryDue(job))))

    def _ended(self, job: str, attempt: int, outcome: Outcome, turn: Turn) -> Finished:
        """Write down an outcome; what comes back is for the scheduler."""
        self._dispatch.remove(job, duration(outcome))
        self._requests.note_end(job, outcome.status, outcome.outputs)
        turn.records.append(records.job_finished(self._clock.now(), job, attempt, outcome))
        return Finished(job, outcome.status)

    # --- time limits and cancelling ---

    def _limit(self, flight: Flight, turn: Turn) -> None:
        """Have an attempt end in time, where its job says what that is."""
        timeout = self._jobs[flight.job].timeout
        if timeout is not None:
            left = max(0.0, flight.accepted + timeout - self._clock.ticks())
            late = TimedOut(flight)
            turn.actions.append(lambda: self._timers.add(left, lambda: self._inbox.put(late)))

    def _timed_out(self, late: TimedOut, turn: Turn) -> None:
        flight, timeout = late.flight, self._jobs[late.flight.job].timeout or 0.0
        if self._dispatch[flight.job] is not flight:
            return
        if late.is_asked:
            outcome = still_running(flight.operation_id, timeout, CANCEL_PATIENCE)
            self._finish(flight, outcome, turn, is_over=False)
            return
        self._plan_cancel(flight.job, "timeout", turn)
        again = TimedOut(flight, is_asked=True)
        turn.actions.append(lambda: self._timers.add(CANCEL_PATIENCE, lambda: self._inbox.put(again)))

    def _plan_cancel(self, job: str, reason: str, turn: Turn) -> None:
        flight = self._dispatch[job]
        if flight is None or flight.operation_id is None:
            return
        operation_id = flight.operation_id
        if flight.cancelling is None:
            flight.cancelling = reason
            turn.records.append(records.job_cancelling(self._clock.now(), job, flight.attempt, reason))
        turn.actions.append(lambda: self._dispatch.cancel(operation_id))
