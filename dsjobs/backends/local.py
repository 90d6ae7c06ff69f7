"""Runs notebooks on this machine: a fresh kernel for each, all of them watched by one event loop in a thread of its own.

Whatever is imported here costs every command that plans for this backend, so Jupyter's packages wait until one is run.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsjobs.backends import local_check
from dsjobs.backends.event_loop import LoopThread
from dsjobs.backends.local_notes import Notes
from dsjobs.backends.protocol import Capabilities, Notify, Submission
from dsjobs.diagnostics import Diagnostic
from dsjobs.errors import BackendError
from dsjobs.model import ExecutedNotebook, Failure, Job, Operation
from dsjobs.notebook import cells, kernelsettings, kernelspecs, paths, reading
from dsjobs.notebook.errors import NotebookError
from dsjobs.notebook.kernelsettings import KernelSettings
from dsjobs.publish import VARIABLE as OUTPUTS_VARIABLE
from dsjobs.redaction import redacted
from dsjobs.secrets import Redactor

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from dsjobs.notebook.execution import Execution, Order
    from dsjobs.notebook.kernelhost import KernelHost


@dataclass(slots=True, eq=False)
class _Run:
    """What may be asked of a submitted job until it is forgotten. What only running it takes, such as its variables, belongs to
    the coroutine that runs it. `operation` is replaced, never changed, so any thread may read it."""

    key: str
    operation: Operation
    is_cancelled: bool = False
    is_decided: bool = False
    execution: Execution | None = None

    def cancel(self, *, at_once: bool = False) -> None:
        """Asks for the end, unless the outcome is known already. Called in the event loop."""
        if not self.is_decided:
            self.is_cancelled = True
            if self.execution is not None:
                self.execution.cancel(at_once=at_once)


class LocalBackend:
    """The backend `local`. `base` is the folder that relative project folders start from."""

    name = "local"
    capabilities = Capabilities(outputs=True, logs=True, executed_notebook=True, notifies=True)

    def __init__(self, base: Path, settings: Mapping[str, Any]) -> None:
        self._base = base.absolute()
        self._settings = kernelsettings.parse(settings)
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._loop: LoopThread | None = None
        self._host: KernelHost | None = None
        self._is_closed = False

    def check(self, jobs: Sequence[Job]) -> list[Diagnostic]:
        """What is missing here: packages, folders, notebooks, kernels. Reads each notebook once."""
        return local_check.check(self._base, jobs)

    def submit(self, submission: Submission, *, idempotency_key: str, notify: Notify) -> Operation:
        """Starts the notebook's kernel in the background. The key is known until its operation is forgotten, and by its notes,
        where the submission has a place for them, to a later one: there a notebook that was running is lost, and none runs
        twice."""
        with self._lock:
            run = self._runs.get(_operation_id(idempotency_key))
            if run is None:
                run = self._begin(submission, idempotency_key, notify)
            return run.operation

    def poll(self, operation_id: str) -> Operation:
        return self._run(operation_id).operation

    def cancel(self, operation_id: str) -> None:
        """Interrupts the notebook; a kernel that does not answer is terminated after two seconds, then killed."""
        run = self._run(operation_id)
        with self._lock:
            if self._loop is not None and not self._is_closed:
                self._loop.call(run.cancel)

    def forget(self, operation_id: str) -> None:
        with self._lock:
            run = self._runs.get(operation_id)
            if run is not None and run.operation.done:
                del self._runs[operation_id]

    def close(self) -> None:
        """Kills the kernels that still run, waits for their end and removes what they used."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if self._loop is not None and not was_closed:
            self._loop.stop()

    def _begin(self, submission: Submission, key: str, notify: Notify) -> _Run:
        """A submission that is new to this object. Called with the lock held."""
        notes = Notes(submission.notes) if submission.notes is not None else None
        operation_id = _operation_id(key)
        recalled = notes.recall(key, operation_id) if notes is not None else None
        if recalled is None:
            loop = self._running_loop()
            run = _Run(key, Operation(operation_id))
            loop.call(loop.spawn, self._finish(run, submission, notes, notify))
        else:
            run = _Run(key, recalled, is_decided=True)
        self._runs[operation_id] = run
        return run

    def _run(self, operation_id: str) -> _Run:
        run = self._runs.get(operation_id)
        if run is None:
            message = (
                f"no operation '{operation_id}' here: an operation on this machine ends with the dsjobs that started it"
            )
            raise BackendError(message, retryable=False)
        return run

    def _running_loop(self) -> LoopThread:
        """The event loop, started with the first job. Called with the lock held."""
        if self._is_closed:
            raise BackendError("the local backend is closed", retryable=False)
        if self._loop is None:
            self._host = _kernel_host(self._settings)
            self._loop = LoopThread("dsjobs-local", self._closing)
            self._loop.start()
        return self._loop

    # What follows runs in the event loop.

    async def _finish(self, run: _Run, submission: Submission, notes: Notes | None, notify: Notify) -> None:
        """Runs a submission to its end. Whatever happens, the operation is done afterwards, and said to be."""
        started_at = time.time()
        try:
            operation = await self._outcome(run, submission, notes)
        except (NotebookError, BackendError) as error:
            operation = _ended(run, Failure("backend", str(error), hint=error.hint))
        except (Exception, asyncio.CancelledError) as bug:  # noqa: BLE001 (a lost operation would be waited for for ever)
            operation = _ended(run, _unexpected(bug))
        operation = redacted(replace(operation, done=True), submission.redactor)
        run.is_decided, run.execution = True, None
        operation = replace(operation, started_at=started_at, finished_at=time.time())
        if notes is not None and not (self._is_closed and run.is_cancelled):
            await asyncio.to_thread(notes.end, run.key, operation)
        run.operation = operation
        notify(run.operation.id)

    async def _outcome(self, run: _Run, submission: Submission, notes: Notes | None) -> Operation:
        from dsjobs.notebook.execution import Execution

        order = await asyncio.to_thread(self._order, submission)
        assert self._host is not None
        if notes is not None:
            await asyncio.to_thread(notes.begin, run.key)
        execution = run.execution = Execution(order, self._host)
        if run.is_cancelled:
            execution.cancel()
        try:
            await execution.run()
        finally:
            run.is_decided = True
            run.operation = replace(run.operation, kernel_start=execution.kernel_start)
            execution.farewell()
        problem = await _written(submission, execution)
        digest = reading.code_digest(order.target.cells)
        path = submission.executed_notebook
        return replace(
            _ended(run, problem or execution.failure),
            outputs=None if run.is_cancelled else execution.outputs,
            unread={} if run.is_cancelled or problem else execution.unread,
            executed=ExecutedNotebook(None if path is None or problem else str(path), digest),
        )

    def _order(self, submission: Submission) -> Order:
        """What to run. Reads files, so it runs in a thread of its own."""
        from dsjobs.notebook.execution import Order

        request = submission.request
        target = cells.find(paths.project_folder(self._base, request.project), request)
        kernel = kernelspecs.choose(target.notebook)
        environment = {**_inherited(), **submission.variables()}
        return Order(target, kernel, environment, request.output_variable_names, submission.redactor)

    async def _closing(self) -> None:
        assert self._loop is not None and self._host is not None
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.cancel(at_once=True)
        await self._loop.spawned()
        await self._host.close()


def _operation_id(key: str) -> str:
    """The key names it: a later process that is asked to submit it again finds the same operation."""
    return f"local-{key}"


def _kernel_host(settings: KernelSettings) -> KernelHost:
    """What kernels need before the first of them starts. Imports Jupyter's packages, and the fork server does meanwhile."""
    from dsjobs.notebook.forkserver import opening

    try:
        folder, server = opening.open_server(settings)
    except OSError as error:
        raise _cannot_start(error) from error
    try:
        import dsjobs.notebook.execution  # noqa: F401 (submit says what is missing, not the operation)
        from dsjobs.notebook.kernelhost import KernelHost

        if server is None:
            opening.make(folder)
        return KernelHost(settings, folder, server, _inherited())
    except ImportError as error:
        opening.abandon(folder, server)
        message = f"running notebooks on this machine needs {error.name}"
        raise BackendError(message, retryable=False, hint=kernelspecs.INSTALL_HINT) from error
    except OSError as error:
        raise _cannot_start(error) from error


def _cannot_start(error: OSError) -> BackendError:
    return BackendError(f"the local backend cannot start: {error}", retryable=True)


async def _written(submission: Submission, execution: Execution) -> Failure | None:
    """Writes the executed notebook where the submission wants it; what hindered that becomes the outcome, or is added to
    a failure of the notebook itself."""
    path = submission.executed_notebook
    if path is None:
        return None
    try:
        await asyncio.to_thread(_write, execution.node, path, submission.redactor)
    except OSError as error:
        problem = f"the executed notebook cannot be written to {path}: {error.strerror or error}"
        if execution.failure is None:
            return Failure("backend", problem)
        hint = f"{execution.failure.hint}; {problem}" if execution.failure.hint else problem
        return replace(execution.failure, hint=hint)
    return None


def _write(node: NotebookNode, path: Path, redactor: Redactor) -> None:
    """Writes an executed notebook, without secrets. Raises OSError."""
    from dsjobs.notebook import masking, writing

    masking.mask(node, redactor)
    writing.write(node, path)


def _ended(run: _Run, failure: Failure | None) -> Operation:
    """The end of a run: a cancelled one has no failure, whatever the interrupt made of it."""
    return replace(run.operation, cancelled=run.is_cancelled, failure=None if run.is_cancelled else failure)


def _unexpected(bug: BaseException) -> Failure:
    return Failure(
        "backend",
        f"dsjobs itself failed: {type(bug).__name__}: {bug}",
        hint="this is a bug in dsjobs; please report it with the traceback",
        traceback=tuple("".join(traceback.format_exception(bug)).splitlines()),
    )


def _inherited() -> dict[str, str]:
    """What a kernel gets of this process's environment. The address of an outer run's outputs is not for the notebooks of
    this one: they would publish over it."""
    return {name: value for name, value in os.environ.items() if name != OUTPUTS_VARIABLE}
