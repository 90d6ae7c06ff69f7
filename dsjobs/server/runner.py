"""Runs accepted executions through a backend, so many at a time, in the order in which they came. One thread owns it all.

Rules: an operation is made `running` on the disk before the backend hears of it, so that no crash makes it start twice. After
a crash, what was queued runs; what was running is taken up where the backend still knows it (one that lives in another
process), and otherwise ends with code 14, because its kernel died with the server and it may have done anything until then.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dsjobs.backends.protocol import Backend, Submission
from dsjobs.errors import BackendError
from dsjobs.inbox import Inbox
from dsjobs.marks import MarkedMap, Source, pack
from dsjobs.model import Job, Operation, Request
from dsjobs.server import outcomes
from dsjobs.server.configuration import Configuration
from dsjobs.server.errors import Code
from dsjobs.server.operations import OperationStore, State, StoredOperation

# How often running operations are looked at although nothing was said of them; also when a full disk is tried again.
_SWEEP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _End:
    """What an operation came to. `backend_id`: how the backend knows it, where it does."""

    result: outcomes.Result
    record: outcomes.Record
    backend_id: str | None


@dataclass(slots=True)
class _Run:
    """An operation that the backend runs. `is_held`: it has ended, but a fault keeps that back."""

    operation_id: str
    backend_id: str
    cancel_requested: bool = False
    is_held: bool = False


class Runner:
    """Executions from `queued` to `done`. `add` and `cancel` may be called from any thread."""

    def __init__(self, store: OperationStore, backend: Backend, configuration: Configuration, notebooks: Path) -> None:
        self._store = store
        self._backend = backend
        self._configuration = configuration
        self._notebooks = notebooks
        self._inbox: Inbox[Callable[[], None]] = Inbox()
        self._queue: deque[str] = deque()
        self._runs: dict[str, _Run] = {}
        self._runs_by_backend_id: dict[str, _Run] = {}
        self._ends: dict[str, _End] = {}
        self._is_stopping = False
        self._thread = threading.Thread(target=self._loop, name="dsjobs-runner", daemon=True)

    def start(self) -> None:
        """Takes up what an earlier server left behind, then runs what comes."""
        for operation in self._store.unfinished():
            self._recover(operation)
        self._save_ends()
        self._inbox.put(lambda: None)  # what was queued need not wait for news
        self._thread.start()

    def add(self, operation_id: str) -> None:
        """An operation was accepted."""
        self._inbox.put(partial(self._queue.append, operation_id))

    def cancel(self, operation_id: str) -> None:
        """The end of a running operation was asked for."""
        self._inbox.put(partial(self._cancel, operation_id))

    def stop(self) -> None:
        """Ends what runs, as ABORTED, and returns when no kernel is left. What is queued stays so."""
        self._inbox.put(self._stop)
        self._thread.join()

    # What follows runs in the runner's thread, or before it starts.

    def _recover(self, operation: StoredOperation) -> None:
        if operation.kind == "execute" and operation.state is State.QUEUED:
            self._queue.append(operation.id)
            return
        if operation.kind == "execute" and operation.backend_id is not None:
            try:
                self._backend.poll(operation.backend_id)
            except BackendError:
                pass
            else:
                self._remember(_Run(operation.id, operation.backend_id))
                if operation.cancel_requested:
                    self._cancel(operation.id)
                return
        self._end(operation.id, outcomes.LOST)

    def _loop(self) -> None:
        while not self._is_stopping:
            try:
                self._turn()
            except (sqlite3.Error, OSError) as error:
                # A disk that is full now may not be so in two seconds: what could not be stored is still here.
                self._configuration.tell(f"cannot store what happened, trying again: {error}")
                time.sleep(_SWEEP_SECONDS)

    def _turn(self) -> None:
        news = self._inbox.take_one(_SWEEP_SECONDS)
        if news is not None:
            news()
        else:
            for run in list(self._runs.values()):
                self._look(run)
        self._save_ends()
        while self._queue and self._has_room() and not self._is_stopping:
            operation = self._store.get(self._queue[0])
            is_ours = operation is not None and self._store.claim(operation.id)
            self._queue.popleft()
            if is_ours and operation is not None:
                self._start(operation)
            self._save_ends()

    def _has_room(self) -> bool:
        return sum(not run.is_held for run in self._runs.values()) < self._configuration.max_running

    def _start(self, operation: StoredOperation) -> None:
        try:
            submitted = self._submit(operation)
        except BackendError as error:
            code = Code.UNAVAILABLE if error.retryable else Code.FAILED_PRECONDITION
            message = f"{error}; {error.hint}" if error.hint else str(error)
            self._end(operation.id, outcomes.error_result(code, message))
            return
        except Exception as bug:  # noqa: BLE001 (else the operation would stay as it is for ever)
            self._configuration.tell("".join(traceback.format_exception(bug)))
            self._end(operation.id, outcomes.error_result(Code.INTERNAL, f"dsjobs itself failed: {bug}"))
            return
        if submitted is None:
            return
        run = self._remember(_Run(operation.id, submitted.id))
        self._store.attach(operation.id, submitted.id)
        if submitted.done:
            self._finish(run, submitted)

    def _submit(self, operation: StoredOperation) -> Operation | None:
        """Hands an operation to the backend; None when it cannot run at all, and has ended because of that."""
        folder = self._configuration.projects.get(operation.project)
        if folder is None:
            message = f"Project {operation.project} is not served any more"
            self._end(operation.id, outcomes.error_result(Code.NOT_FOUND, message))
            return None
        request = _request(operation, folder)
        refusal = outcomes.refusal(self._backend.check([_job(operation.id, request)]), operation.id)
        if refusal is not None:
            self._end(operation.id, refusal)
            return None
        self._configuration.tell(f"{operation.id} runs {operation.project}: {request.target}")
        submission = Submission(operation.id, 1, request, self._notebooks / f"{operation.id}.ipynb")
        return self._backend.submit(submission, idempotency_key=operation.id, notify=self._notified)

    def _remember(self, run: _Run) -> _Run:
        self._runs[run.operation_id] = self._runs_by_backend_id[run.backend_id] = run
        return run

    def _notified(self, backend_id: str) -> None:
        """Called by the backend, from any thread."""
        self._inbox.put(partial(self._look_at, backend_id))

    def _look_at(self, backend_id: str) -> None:
        run = self._runs_by_backend_id.get(backend_id)
        if run is not None:
            self._look(run)

    def _look(self, run: _Run) -> None:
        try:
            operation = self._backend.poll(run.backend_id)
        except BackendError as error:
            if not error.retryable:
                self._end(run.operation_id, outcomes.LOST)
            return
        if operation.done:
            self._finish(run, operation)

    def _finish(self, run: _Run, operation: Operation) -> None:
        is_struck = self._configuration.faults.strikes_operation("never-ends", run.operation_id)
        if is_struck and not run.cancel_requested and not self._is_stopping:
            run.is_held = True
            return
        # What never ends was ended, also where its notebook came to its end just before.
        ended = replace(operation, cancelled=True) if is_struck else operation
        result = outcomes.result(ended, cancel_requested=run.cancel_requested)
        self._end(run.operation_id, result, outcomes.record(operation))

    def _end(self, operation_id: str, result: outcomes.Result, record: outcomes.Record | None = None) -> None:
        """An operation has come to its end, which is kept until the store has it."""
        run = self._runs.pop(operation_id, None)
        if run is not None:
            del self._runs_by_backend_id[run.backend_id]
        self._ends[operation_id] = _End(result, record or {}, run.backend_id if run is not None else None)

    def _save_ends(self) -> None:
        """Stores what has ended, and lets the backend forget it. When the disk refuses, it is kept for the next time."""
        for operation_id, end in list(self._ends.items()):
            self._store.finish(operation_id, end.result, end.record)
            del self._ends[operation_id]
            if end.backend_id is not None:
                self._backend.forget(end.backend_id)
            self._configuration.tell(f"{operation_id} ended: {outcomes.summary(end.result)}")

    def _cancel(self, operation_id: str) -> None:
        run = self._runs.get(operation_id)
        if run is None:
            return
        run.cancel_requested = True
        try:
            self._backend.cancel(run.backend_id)
        except BackendError as error:
            self._configuration.tell(f"{operation_id} cannot be cancelled: {error}")
        if run.is_held:
            self._look(run)

    def _stop(self) -> None:
        self._is_stopping = True
        self._backend.close()
        for run in list(self._runs.values()):
            self._look(run)


def _request(operation: StoredOperation, folder: Path) -> Request:
    """The request as the backend takes it: with the folder for the project."""
    stored = operation.request
    return Request(
        project=str(folder),
        notebook=stored.get("notebookId"),
        cell=stored.get("cellId"),
        input_variables=operation.inputs or {},
        output_variable_names=tuple(stored.get("outputVariableNames", ())),
        spec=stored.get("spec"),
        spark_connector=stored.get("sparkConnectorId"),
    )


def _job(name: str, request: Request) -> Job:
    """The request as a job, which is what backends check. It was written in no file."""
    written = MarkedMap()
    written.source, written.place, written.marks = Source("request", ""), pack(0, 0), []
    return Job(name, "", request, deferred_inputs={}, outputs={}, needs=(), places=(written,))
