"""A run from its locks to its exit code: what `apply`, `retry`, `resume`, `cancel` and `reproduce` share."""

from __future__ import annotations

import gc
import os
import re
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dsjobs import __version__
from dsjobs.backends import registry
from dsjobs.backends.access import Access
from dsjobs.backends.protocol import Backend
from dsjobs.cli import interrupts
from dsjobs.cli.console import Console
from dsjobs.cli.fingerprints import with_fingerprints
from dsjobs.cli.garbage import no_collections
from dsjobs.cli.progress import JsonLines, Progress
from dsjobs.cli.secret_sources import needed_by, provided
from dsjobs.errors import BackendError, ExitCode, GuardError, InvalidFileError, UsageError
from dsjobs.files import write_atomically
from dsjobs.marks import Source
from dsjobs.model import Plan, Status
from dsjobs.plan.saved import as_json
from dsjobs.reports import text
from dsjobs.run import journal, lock, manifest_file, runs, store
from dsjobs.run.executor import Executor
from dsjobs.run.flights import Clock, RunContext
from dsjobs.run.journal import Journal
from dsjobs.run.manifest import Fold, Manifest
from dsjobs.run.manifest_file import ManifestFile
from dsjobs.run.pace import Durations
from dsjobs.run.records import moment
from dsjobs.run.recovery import Recovered, recover
from dsjobs.run.runs import ListedRun
from dsjobs.run.secret_values import SecretValues
from dsjobs.run.store import RunFolder


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the flags ask of a run. `copy`: where the manifest is kept as well; `fail_fast`: of a new one, an earlier one
    keeps its own; `on_interrupt`: wait, cancel or detach, or None to ask; `lock_timeout` and `timeout` are seconds; `access`:
    how a service is reached, where that is given; `new_run`: one is to start beside what an earlier one has in flight."""

    copy: Path | None = None
    output: str = "text"
    fail_fast: bool = False
    on_interrupt: str | None = None
    lock_timeout: float = 0.0
    timeout: float | None = None
    access: Access = field(default_factory=Access)
    new_run: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that was run: its exit code, its folder and its manifest."""

    code: int
    folder: RunFolder
    manifest: Manifest


def start(
    console: Console,
    plan: Plan,
    base: Path,
    git: Mapping[str, Any] | None,
    *,
    state: Path,
    wishes: Wishes,
    parent_run: str | None = None,
    sources: Sequence[Source] = (),
) -> Ended:
    """Run `plan` in a new run folder below `state`; `base` is the job file's folder, `sources` what the plan was made from.
    Raises GuardError where another run of this environment goes on, or has jobs in flight, and RefusedError where a secret cannot
    be had."""
    secret_values = provided(console, plan, base, needed_by(plan), sources=sources)
    plan = with_fingerprints(plan, base)
    clock = Clock(time.time, time.monotonic)
    started_at = clock.now()
    run_id = new_run_id(started_at)
    copies = [] if wishes.copy is None else [store.writable(wishes.copy, keep=base / Path(plan.file).name)]
    with ExitStack() as held:
        backend = held.enter_context(_backend(plan, base, wishes))
        store.prepare(state)
        held.enter_context(_environment_lock(state, plan, run_id, started_at, wishes))
        _look_at_unfinished(console, state, plan, backend, wishes)
        durations = Durations(store.last_durations(state))
        folder = store.create(state, run_id)
        held.enter_context(_run_lock(folder, run_id, started_at, wishes))
        header = {**_here(run_id), "git": git, "folder": os.path.relpath(base, folder.path), "parent_run": parent_run}
        if wishes.fail_fast:
            header["fail_fast"] = True
        number = f"{len(plan.jobs)} job{'' if len(plan.jobs) == 1 else 's'}"
        console.progress(f"run {run_id} · {plan.name} in '{plan.environment}' · {number}")
        log = held.enter_context(Journal(folder.journal))
        context = RunContext(run_id, started_at, header, folder)
        made = _Made(console, plan, backend, log, context, clock, copies, wishes, secret_values)
        return made.run(Fold(), None, durations)


def take_up(console: Console, folder: RunFolder, *, wishes: Wishes, stop: str | None = None) -> Ended:
    """Go on with the run in `folder`, whose process died or left it. `stop`: only to bring it to its end, and why.

    Raises GuardError where its process is still there, UsageError where there is nothing to take up.
    """
    clock = Clock(time.time, time.monotonic)
    run_id = folder.path.name
    state = folder.path.parent.parent
    with ExitStack() as held:
        # Before the lock is taken: what comes later is meant for this process.
        old_request = interrupts.request(folder.request)
        held.enter_context(_run_lock(folder, run_id, clock.now(), wishes))
        with no_collections():
            fold, recovered = _recovered(folder)
        gc.freeze()
        held.enter_context(_environment_lock(state, recovered.plan, run_id, clock.now(), wishes))
        if interrupts.request(folder.request) not in (None, old_request):
            stop = stop or interrupts.CANCELLED
        if stop is not None:
            recovered = recovered.stopped(stop)
        plan, header = recovered.plan, recovered.header
        wishes = replace(wishes, fail_fast=header.get("fail_fast", False))
        base = (folder.path / header["folder"]).resolve()
        in_flight = {name for attempt in recovered.open_attempts for name in attempt.request.secrets.values()}
        needed = needed_by(plan, recovered.ended) if stop is None else in_flight
        # Who only wants its end need not have them.
        secret_values = provided(console, plan, base, needed, is_required=stop is None)
        copies = [] if wishes.copy is None else [store.writable(wishes.copy, keep=base / Path(plan.file).name)]
        backend = held.enter_context(_backend(plan, base, wishes))
        open_jobs = len(recovered.open_attempts)
        console.progress(
            f"run {run_id} · {plan.name} in '{plan.environment}' · taken up"
            + (f", {open_jobs} in flight" if open_jobs else "")
        )
        log = held.enter_context(Journal(folder.journal, existing=True))
        began = datetime.fromisoformat(header["at"]).timestamp()
        context = RunContext(run_id, began, {**header, **_here(run_id)}, folder)
        made = _Made(console, plan, backend, log, context, clock, copies, wishes, secret_values, old_request)
        return made.run(fold, recovered, Durations(store.last_durations(state)))


def new_run_id(started_at: float) -> str:
    """An ID that sorts by time: `20261122-141003-9f3c2a`, in UTC."""
    return datetime.fromtimestamp(started_at, UTC).strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)


@dataclass(frozen=True, slots=True)
class _Made:
    """Everything that a run needs, once its locks are held."""

    console: Console
    plan: Plan
    backend: Backend
    log: Journal
    context: RunContext
    clock: Clock
    copies: Sequence[Path]
    wishes: Wishes
    secret_values: SecretValues
    old_request: interrupts.Mark | None = None

    def run(self, fold: Fold, recovered: Recovered | None, durations: Durations) -> Ended:
        """`fold` has taken in what the journal has already, and takes in the rest: once, for all that look at it."""
        console, folder, wishes = self.console, self.context.folder, self.wishes
        assert folder is not None
        ticks, files = self.clock.ticks, [folder.manifest, *self.copies]
        manifest = ManifestFile(files, ticks, fold, remark=console.progress)
        unwritten: list[str] = []
        lines = wishes.output == "jsonl"
        progress = JsonLines(console, unwritten) if lines else Progress(console, self.clock, fold)
        came = interrupts.Interrupts()
        requests = interrupts.Requests(folder.request, ticks, wishes.timeout, came, old=self.old_request)
        executor = requests.executor = Executor(
            self.plan,
            self.backend,
            self.log,
            self.context,
            clock=self.clock,
            listeners=[manifest, progress, requests],
            fail_fast=wishes.fail_fast,
            durations=durations,
            recovered=recovered,
            remark=console.progress,
            secrets=self.secret_values,
        )
        try:
            with interrupts.handled(executor, wishes.on_interrupt, came):
                status = executor.run(as_json(self.plan, __version__)["digest"])
        except OSError as error:
            what = "be written down" if isinstance(error, journal.UnwrittenError) else "go on"
            message = f"{error.filename or folder.path}: the run cannot {what}: {error.strerror or error}"
            hint = f"when it can be, `dsjobs resume {folder.path.name}` goes on where it was"
            raise BackendError(message, retryable=False, hint=hint) from error
        finally:
            self.backend.close()
        if status is not Status.RUNNING:
            # Of use only to a process that takes the run up.
            shutil.rmtree(folder.notes, ignore_errors=True)
        ended = fold.as_json()
        _show_end(console, ended, folder, wishes.output)
        code = _left(console, executor.denied, folder) if executor.denied is not None else _exit_code(status, came)
        for problem in (*manifest.unwritten, *unwritten):
            console.error(problem, f"the journal has everything: `dsjobs status {folder.path.name} -o json`")
            code = code or ExitCode.BACKEND
        return Ended(code, folder, ended)


def _recovered(folder: RunFolder) -> tuple[Fold, Recovered]:
    found = journal.read(folder.journal)
    state = Fold()
    for record in found:
        state.apply(record)
    status = state.run["run"]["status"]
    if status != Status.RUNNING:
        _complete(folder, state)
        hint = "" if status == Status.SUCCEEDED else "run again what did not succeed with `dsjobs retry`"
        raise UsageError(f"run {folder.path.name} has ended ({status}): there is nothing to take up", hint=hint or None)
    return state, recover(found, state)


def _complete(folder: RunFolder, fold: Fold) -> None:
    """Write the manifest of a run that has ended, where its process was killed between its last record and that."""
    content = manifest_file.text(fold).encode("utf-8", "backslashreplace")
    with suppress(OSError):  # dsjobs itself reads the journal
        if not folder.manifest.exists() or folder.manifest.read_bytes() != content:
            write_atomically(folder.manifest, content, sync=True)


def _here(run_id: str) -> dict[str, Any]:
    return {"run_id": run_id, "tool_version": __version__, "host": socket.gethostname(), "pid": os.getpid()}


def _holder(run_id: str, since: float) -> lock.Holder:
    return lock.Holder(socket.gethostname(), os.getpid(), moment(since), run_id)


def _run_lock(folder: RunFolder, run_id: str, since: float, wishes: Wishes) -> lock.Lock:
    return lock.acquire(folder.lock, _holder(run_id, since), f"run {run_id}", timeout=wishes.lock_timeout)


def _environment_lock(state: Path, plan: Plan, run_id: str, since: float, wishes: Wishes) -> lock.Lock:
    """One applying run for each environment of a job file."""
    file = Path(plan.file).name
    name = re.sub(r"[^\w.-]", "_", f"{file}.{plan.environment}")
    what = f"environment '{plan.environment}' of {file}"
    return lock.acquire(state / "locks" / f"{name}.lock", _holder(run_id, since), what, timeout=wishes.lock_timeout)


@contextmanager
def _backend(plan: Plan, base: Path, wishes: Wishes) -> Iterator[Backend]:
    """The plan's backend. Raises BackendError where it cannot be used, whatever the jobs are: found out later, that would be the
    end of a job which runs."""
    backend = registry.create(plan.backend, base, plan.settings, access=wishes.access)
    try:
        for problem in backend.check(()):
            if problem.is_error:
                raise BackendError(problem.message, retryable=False, hint=problem.hint)
        yield backend
    finally:
        backend.close()


def _look_at_unfinished(console: Console, state: Path, plan: Plan, backend: Backend, wishes: Wishes) -> None:
    """Say of earlier runs of the same environment that somebody should take them up. Raises GuardError for one of which jobs may
    be running all the time: what did not end with its process is not to run a second time beside it.

    Whoever asks has the environment's lock. A run that has not ended is left, or somebody is just about to take it up.
    """
    for found in runs.unfinished(state, plan.name, plan.environment):
        # Of another backend than that of today nothing is known.
        survives = backend.capabilities.survives or (found.run or {})["backend"] != plan.backend
        if survives and not wishes.new_run:
            _require_nothing_in_flight(found)
        console.progress(f"run {found.id} has not ended ({found.state}): `dsjobs resume {found.id}` takes it up")


def _require_nothing_in_flight(found: ListedRun) -> None:
    """Raises GuardError where jobs of a run were submitted, or may have been, and have not ended as far as its journal knows."""
    beside = "--new-run starts another one all the same"
    try:
        number = store.load(found.folder)["counts"].get(Status.RUNNING, 0)
    except InvalidFileError as error:
        message = f"run {found.id} has not ended ({found.state}), and what it has in flight cannot be known: {error}"
        raise GuardError(message, hint=beside) from None
    if number:
        what = f"{number} of its jobs {'is' if number == 1 else 'are'} in flight"
        message = f"run {found.id} has not ended ({found.state}), and {what}: a new run would be beside them"
        hint = f"`dsjobs resume {found.id}` goes on with it, `dsjobs cancel {found.id}` ends it; {beside}"
        raise GuardError(message, hint=hint)


def _show_end(console: Console, manifest: Manifest, folder: RunFolder, output: str) -> None:
    if output == "json":
        console.answer_json(manifest)
    elif output == "text":
        console.progress("")
        state = runs.state_of(manifest["run"], folder)
        console.answer(text.table(manifest, console.status_on_stdout, state=state))
    shown = os.path.relpath(folder.manifest)
    console.progress(f"manifest: {shown if not shown.startswith('..') else folder.manifest}")


def _left(console: Console, denied: BackendError, folder: RunFolder) -> int:
    """Say why a run was left that nobody here may ask about any more."""
    resume = f"`dsjobs resume {folder.path.name}` goes on with what was submitted, and with the rest"
    console.error(str(denied), f"{denied.hint}; then {resume}" if denied.hint else resume)
    return denied.exit_code


def _exit_code(status: Status, came: interrupts.Interrupts) -> int:
    if came.is_out_of_time and status is not Status.SUCCEEDED:
        return ExitCode.TIMEOUT
    if came.signals and status is not Status.SUCCEEDED:
        codes = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
        return codes.get(signal.Signals(came.signals[-1]), 128 + came.signals[-1])
    return ExitCode.OK if status is Status.SUCCEEDED else ExitCode.FAILED
