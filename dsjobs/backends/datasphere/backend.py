"""Runs notebooks on DataSphere: Project.Execute, then looks at the operation until it is done, then fetches the outputs from
the output store, where there is one.

Only the looks happen here; when to look is the executor's. What is imported here costs every command that plans for
DataSphere, so the HTTP client waits until something is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from dsjobs.backends.access import Access
from dsjobs.backends.datasphere import answers, checks, endpoints, status, store
from dsjobs.backends.datasphere.credentials import given
from dsjobs.backends.datasphere.settings import Settings
from dsjobs.backends.datasphere.status import ServiceError
from dsjobs.backends.datasphere.store import Expected
from dsjobs.backends.protocol import Capabilities, Looks, Notify, Submission
from dsjobs.diagnostics import Diagnostic
from dsjobs.errors import BackendError
from dsjobs.model import Failure, Job, Operation

if TYPE_CHECKING:
    from dsjobs.backends.datasphere.answers import RawOperation
    from dsjobs.backends.datasphere.connection import Connection
    from dsjobs.backends.datasphere.transport import Timeouts

FORGIVEN_LOOKS, FORGIVEN_SECONDS = 3, 15.0
"""A new operation is not on all replicas yet: so many looks, and looks within so many seconds, may find nothing."""


@dataclass(slots=True)
class _Flight:
    """What this process knows of an operation that it submitted."""

    expected: Expected | None
    since: float
    not_found: int = 0


class DataSphereBackend:
    """The backend `datasphere`. `environ`: where credentials, proxies and endpoints are looked for; what is in `access` wins over
    it."""

    name = "datasphere"

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        access: Access | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._access = access or Access()
        self._timeouts = timeouts
        self._store = store.open_store(settings, environ)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._connected: Connection | None = None
        self._flights: dict[str, _Flight] = {}
        self._ended: dict[str, Operation] = {}
        self._asked_to_end: set[str] = set()

    @property
    def capabilities(self) -> Capabilities:
        looks = Looks(self._settings.poll_interval, self._settings.rate_limit)
        return Capabilities(
            outputs=self._store is not None, logs=False, executed_notebook=False, looks=looks, survives=True
        )

    def check(self, jobs: Sequence[Job]) -> list[Diagnostic]:
        """Limits of the API, paths that surely are mistakes, and what this machine lacks. Sends nothing."""
        return [*checks.check(jobs, has_store=self._store is not None), *self._lacking(jobs)]

    def submit(self, submission: Submission, *, idempotency_key: str, notify: Notify) -> Operation:
        """Project.Execute. An answer that was lost is asked for again, with the same key, which starts nothing anew.

        `notify` is not used: the service tells nobody, so the operation is looked at.
        """
        request = submission.request
        wrong = next(checks.problems(request), None)
        if wrong is not None:
            raise BackendError(wrong.message, retryable=False, hint=wrong.hint)
        connection = self._connection()
        expected = self._expected(idempotency_key, request.output_variable_names)
        raw = connection.api.execute(
            request,
            {**submission.variables(), **self._address(expected, submission.submitted_at)},
            key=idempotency_key,
            redactor=submission.redactor,
        )
        other = checks.echoes(request, raw.metadata)
        if other is not None:
            message = (
                f"the service took the request for another one: its operation {raw.id} is of {other}{raw.request_ids}"
            )
            raise BackendError(message, retryable=False, hint=f"the idempotency key was {idempotency_key}")
        self._remember(raw.id, expected)
        return self._seen(raw)

    def poll(self, operation_id: str) -> Operation:
        """Operation.Get. Where the service says when to come back, that is a look that saw nothing new, and its hint."""
        ended = self._ended.get(operation_id)
        if ended is not None:
            return ended
        try:
            raw = self._connection().api.operation(operation_id)
        except ServiceError as error:
            if self._is_forgiven(operation_id, error) or (error.retryable and error.retry_after is not None):
                return Operation(operation_id, poll_after=error.retry_after)
            raise
        if raw.id != operation_id:
            message = f"asked for operation {operation_id}, the service told of {raw.id}{raw.request_ids}"
            raise ServiceError(message, retryable=True)
        return self._seen(raw)

    def cancel(self, operation_id: str) -> None:
        """Operation.Cancel. The service does not promise anything: the outcome is what the next looks find."""
        if operation_id in self._ended:
            return
        self._asked_to_end.add(operation_id)
        self._connection().api.cancel(operation_id)

    def forget(self, operation_id: str) -> None:
        """Only this process lets go of it: the service keeps the operation, and the output store its outputs."""
        with self._lock:
            if self._ended.pop(operation_id, None) is not None:
                self._flights.pop(operation_id, None)
                self._asked_to_end.discard(operation_id)

    def close(self) -> None:
        """Close the connections. What was submitted goes on at the service, for a later process to take up."""
        self._closing.set()
        with self._lock:
            if self._connected is not None:
                self._connected.close()

    def _connection(self) -> Connection:
        with self._lock:
            if self._closing.is_set():
                raise BackendError("the datasphere backend is closed", retryable=False)
            if self._connected is None:
                from dsjobs.backends.datasphere.connection import connect, edge

                outside = edge(self._closing)
                self._connected = connect(
                    self._settings, self._environ, self._access, outside=outside, timeouts=self._timeouts
                )
            return self._connected

    def _expected(self, key: str, names: tuple[str, ...]) -> Expected | None:
        return Expected(key, names) if self._store is not None and names else None

    def _address(self, expected: Expected | None, submitted_at: float) -> dict[str, str]:
        """The extra input of an attempt that has outputs. A repeated request has to be the same request: nothing in it may
        come from the time of day."""
        if self._store is None or expected is None:
            return {}
        return {store.VARIABLE: self._store.address(expected.object_name, submitted_at)}

    def _remember(self, operation_id: str, expected: Expected | None) -> None:
        with self._lock:
            if operation_id not in self._flights:
                self._flights[operation_id] = _Flight(expected, time.monotonic())
        if self._store is None or expected is None:
            return
        try:
            store.remember(self._store, operation_id, expected)
        except BackendError as error:
            # The executor repeats the submit, which starts nothing anew. A store that refuses for good will say so when
            # the outputs are fetched; the job itself runs.
            if error.retryable:
                raise

    def _seen(self, raw: RawOperation) -> Operation:
        operation = answers.outcome(raw)
        if not operation.done:
            return operation
        operation = self._with_outputs(self._as_asked(operation))
        self._ended[operation.id] = operation
        return operation

    def _as_asked(self, operation: Operation) -> Operation:
        """An operation that was asked to end and was aborted is cancelled."""
        failure = operation.failure
        if failure is not None and failure.kind == "aborted" and operation.id in self._asked_to_end:
            return replace(operation, cancelled=True, failure=None)
        return operation

    def _with_outputs(self, operation: Operation) -> Operation:
        if self._store is None or operation.failure is not None or operation.cancelled:
            return operation
        flight = self._flights.get(operation.id)
        try:
            expected = flight.expected if flight is not None else store.recall(self._store, operation.id)
            found = store.find(self._store, expected) if expected is not None else {}
        except BackendError as error:
            if error.retryable:
                raise
            found = Failure("backend", f"the notebook ended well, but its outputs cannot be had: {error}", error.hint)
        if isinstance(found, Failure):
            return replace(operation, failure=found)
        return replace(operation, outputs=found)

    def _is_forgiven(self, operation_id: str, error: ServiceError) -> bool:
        """Whether NOT_FOUND only means that the operation is new. Of operations from elsewhere nothing is known."""
        flight = self._flights.get(operation_id)
        if flight is None or (error.status != 404 and error.code != status.NOT_FOUND):
            return False
        flight.not_found += 1
        return flight.not_found <= FORGIVEN_LOOKS or time.monotonic() - flight.since < FORGIVEN_SECONDS

    def _lacking(self, jobs: Sequence[Job]) -> list[Diagnostic]:
        found = []
        try:
            endpoints.layers(self._settings, self._environ, self._access)
        except BackendError as error:
            found.append(Diagnostic("DSJ106", str(error), hint=error.hint))
        place = self._settings.output_store or ""
        if jobs and place.startswith("s3://") and find_spec("boto3") is None:
            message = f"the output store {place} needs the package boto3, which is not installed"
            found.append(Diagnostic("DSJ404", message, hint='pip install "dsjobs[s3]"', severity="warning"))
        if jobs and self._access.iam_token is None and given.uses_oauth(self._environ):
            found.append(Diagnostic("DSJ403", given.OAUTH_NOTE, hint="see docs/datasphere.md", severity="warning"))
        return found
