"""What is in flight, and the calls about it: submits, looks and cancels, made by workers, whose answers go to the inbox.

Everything here belongs to the executor's loop; only the calls themselves run elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dsjobs.backends.protocol import Backend, Submission
from dsjobs.errors import BackendError
from dsjobs.model import Operation
from dsjobs.run.calls import REVIEW, Workers
from dsjobs.run.flights import Answer, CancelFailed, Flight, Look, Timers
from dsjobs.run.pace import Pace, kind
from dsjobs.run.secret_values import SecretValues
from dsjobs.run.store import RunFolder

LONGEST_DELAY = 15.0
"""Seconds between two tries of a submit, at most; the first comes after one, and each waits twice as long as the last."""

CANCEL_AGAIN = 5.0
"""Seconds after which a request to cancel that was not taken is repeated, for as long as the operation is not seen done."""


class Dispatch:
    """The attempts on their way, by job."""

    def __init__(
        self,
        backend: Backend,
        folder: RunFolder | None,
        workers: Workers,
        timers: Timers,
        pace: Pace,
        secrets: SecretValues,
        *,
        post: Callable[[Any], None],
        ticks: Callable[[], float],
    ) -> None:
        """`post` may be called from any thread; what it gets is for the executor."""
        self._backend = backend
        self._folder = folder
        self._workers = workers
        self._timers = timers
        self._pace = pace
        self._secrets = secrets
        self._post = post
        self._ticks = ticks
        self._flights: dict[str, Flight] = {}
        self._by_operation: dict[str, str] = {}
        self._early_looks: set[str] = set()
        self._is_reviewing = False

    def __getitem__(self, job: str) -> Flight | None:
        return self._flights.get(job)

    def __iter__(self) -> Iterator[Flight]:
        return iter(list(self._flights.values()))

    def add(self, flight: Flight) -> None:
        """An attempt begins."""
        self._flights[flight.job] = flight

    def accept(self, flight: Flight, operation: Operation) -> bool:
        """The backend took it. Returns whether somebody has said already that there is something to see."""
        flight.operation_id = operation.id
        self._by_operation[operation.id] = flight.job
        flight.hint = operation.poll_after
        is_early = operation.id in self._early_looks
        self._forget_early_looks()
        return is_early

    def remove(self, job: str, duration: float | None) -> None:
        """An attempt has ended, after so many seconds where that is known."""
        flight = self._flights.pop(job, None)
        if flight is not None and flight.operation_id is not None:
            self._by_operation.pop(flight.operation_id, None)
            if duration is not None:
                self._pace.ended(kind(flight.request), duration)
            else:
                self._pace.seen_ended(kind(flight.request), self._ticks() - flight.accepted, flight.running_at)
        self._forget_early_looks()

    def submit(self, flight: Flight) -> None:
        """Have it submitted, for the first time or again: the key is the same."""
        executed, notes = (self._folder.notebook(flight.job), self._folder.notes) if self._folder else (None, None)
        flight.tries += 1
        flight.put_off = None

        def call() -> Operation:
            given = self._secrets.given(flight.request, flight.key)
            submission = Submission(
                flight.job, flight.attempt, flight.request, executed, notes, given, self._secrets.redactor,
                submitted_at=flight.submitted_at,
            )  # fmt: skip
            return self._backend.submit(submission, idempotency_key=flight.key, notify=self._notify)

        self._call(flight.job, "submit", call)

    def submit_later(self, flight: Flight) -> None:
        """Have it submitted again after a while that grows."""
        delay = min(LONGEST_DELAY, 2.0 ** min(flight.tries - 1, 10))
        self._timers.add(delay, lambda: self.submit(flight) if self._flights.get(flight.job) is flight else None)

    def watch(self, job: str) -> None:
        """Plan the next look at a job's operation, in place of any that was planned before."""
        flight = self._flights.get(job)
        if flight is None:
            return
        flight.next_look += 1
        number = flight.next_look
        elapsed = self._ticks() - flight.accepted
        wait = self._pace.next_look(kind(flight.request), elapsed, len(self._flights), flight.hint)
        self._timers.add(wait, lambda: self.poll(flight) if flight.next_look == number else None)

    def look(self, operation_id: str) -> None:
        """There is something to see."""
        job = self._by_operation.get(operation_id)
        if job is not None:
            self.poll(self._flights[job])
        elif self._is_submitting:
            # It may have ended before the answer to its submit was read.
            self._early_looks.add(operation_id)

    def poll(self, flight: Flight) -> None:
        """Look now; while a look is under way, once more after it."""
        operation_id = flight.operation_id
        if operation_id is None or self._flights.get(flight.job) is not flight:
            return
        flight.look_again = flight.looking
        if flight.looking:
            return
        flight.looking = True
        flight.next_look += 1  # a look that is planned need not be made any more
        # Of looks that wait, the one at the oldest operation most probably finds its end; but none is to wait for ever.
        rank = flight.accepted + self._ticks()
        self._call(flight.job, "poll", lambda: self._backend.poll(operation_id), rank)

    def cancel(self, operation_id: str) -> None:
        """Ask for the end of an operation."""
        job = self._by_operation.get(operation_id)
        if job is None:
            return

        def call() -> Any:
            try:
                self._backend.cancel(operation_id)
            except BackendError as error:
                # One that is refused may be taken a moment later, when the operation is known everywhere.
                return CancelFailed(job, operation_id, error)
            return Look(operation_id)

        self._run(call)

    def cancel_later(self, operation_id: str) -> None:
        """Ask again in a while."""
        self._timers.add(CANCEL_AGAIN, lambda: self.cancel(operation_id))

    def _call(self, job: str, verb: str, call: Callable[[], Operation], rank: float | None = None) -> None:
        def answer() -> Answer:
            try:
                return Answer(job, verb, call())
            except BackendError as error:
                return Answer(job, verb, error)

        self._run(answer, rank)

    def _run(self, call: Callable[[], Any], rank: float | None = None) -> None:
        may_wait = self._workers.run(call, rank=rank)
        if may_wait and not self._is_reviewing:
            self._is_reviewing = True
            self._timers.add(REVIEW, self._review)

    def _review(self) -> None:
        self._is_reviewing = self._workers.review()
        if self._is_reviewing:
            self._timers.add(REVIEW, self._review)

    def _notify(self, operation_id: str) -> None:
        self._post(Look(operation_id))

    @property
    def _is_submitting(self) -> bool:
        """Whether the answer to a submit is still to come."""
        return len(self._flights) > len(self._by_operation)

    def _forget_early_looks(self) -> None:
        if not self._is_submitting:
            self._early_looks.clear()
