"""`dsjobs apply`: runs the plan and writes a manifest. What was planned is what runs: the two commands share their code."""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from dsjobs import __version__
from dsjobs.cli import loading, options
from dsjobs.cli.console import Console
from dsjobs.cli.failing import refuse
from dsjobs.cli.plan import make
from dsjobs.cli.progress import JsonLines, Progress
from dsjobs.cli.repository import git_state
from dsjobs.errors import ExitCode
from dsjobs.model import Plan, Status
from dsjobs.plan.saved import as_json
from dsjobs.reports import text


@click.command("apply", short_help="Run the jobs and write a manifest of what happened.")
@options.file
@options.environment
@options.variables
@options.jobs
@click.option(
    "--fail-fast", is_flag=True, envvar="DSJOBS_FAIL_FAST", help="After the first failure start nothing more."
)
@click.option(
    "-k",
    "--keep-going",
    is_flag=True,
    envvar="DSJOBS_KEEP_GOING",
    help="Run what does not depend on a failure (the default).",
)
@click.option(
    "--manifest", "copy", metavar="PATH", type=click.Path(path_type=Path, dir_okay=False), envvar="DSJOBS_MANIFEST",
    help="Keep the manifest there as well.",
)  # fmt: skip
@options.state_dir
@options.output("text", "json", "jsonl")
@options.chdir
@options.color
@options.quiet
def command(
    file: str | None,
    env: str | None,
    given: tuple[tuple[str, str], ...],
    max_parallel: int | None,
    fail_fast: bool,
    keep_going: bool,
    copy: Path | None,
    state_dir: Path | None,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Run the jobs of FILE in topological order and write a manifest of what happened.

    Ctrl-C or SIGTERM: nothing new starts, and what is in flight is cancelled; a second one leaves at once.
    Exit code 0 when every job succeeded, 1 when one failed, 3 when the file is invalid.
    """
    if fail_fast and keep_going:
        raise click.UsageError("--fail-fast and --keep-going exclude each other.")
    console = Console(color=color, quiet=quiet)
    with loading.no_collections():
        loaded, planned = make(console, file, env, given=given, max_parallel=max_parallel)
    gc.freeze()
    if planned.plan is None:
        raise refuse(console, planned.diagnostics, loaded.sources)
    console.diagnostics(planned.diagnostics, loaded.sources)
    base = loaded.path.absolute().parent
    git = dict(planned.git) if planned.git is not None else git_state(base)
    return run(
        console,
        planned.plan,
        base,
        git,
        copy=copy,
        state=state_dir or base / ".dsjobs",
        output=output,
        fail_fast=fail_fast,
    )


def run(
    console: Console,
    plan: Plan,
    base: Path,
    git: Mapping[str, Any] | None,
    *,
    copy: Path | None,
    state: Path,
    output: str,
    fail_fast: bool,
) -> int:
    """Run `plan` in a new run folder below `state`; `base` is the job file's folder. Returns the exit code."""
    from dsjobs.backends import registry
    from dsjobs.run.executor import Executor
    from dsjobs.run.flights import Clock, RunContext
    from dsjobs.run.journal import Journal
    from dsjobs.run.manifest_file import ManifestFile
    from dsjobs.run.pace import Durations
    from dsjobs.run.store import create, last_durations, writable

    copies = [] if copy is None else [writable(copy, keep=base / Path(plan.file).name)]
    backend = registry.create(plan.backend, base, plan.settings)
    try:
        clock = Clock(time.time, time.monotonic)
        started_at = clock.now()
        run_id = new_run_id(started_at)
        durations = Durations(last_durations(state))
        folder = create(state, run_id)
        header = {
            "run_id": run_id,
            "tool_version": __version__,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "git": git,
            "folder": os.path.relpath(base, folder.path),
        }
        manifest = ManifestFile([folder.manifest, *copies], clock.ticks)
        progress = Progress(console, clock) if output != "jsonl" else JsonLines(console)
        number = f"{len(plan.jobs)} job{'' if len(plan.jobs) == 1 else 's'}"
        console.progress(f"run {run_id} · {plan.name} in '{plan.environment}' · {number}")
        with Journal(folder.journal) as journal:
            executor = Executor(
                plan,
                backend,
                journal,
                RunContext(run_id, started_at, header, folder),
                clock=clock,
                listeners=[manifest, progress],
                fail_fast=fail_fast,
                durations=durations,
            )
            with stopping(executor.stop) as signals:
                status = executor.run(as_json(plan, __version__)["digest"])
    finally:
        backend.close()
    _show_end(console, manifest.fold.as_json(), folder.manifest, output)
    return _exit_code(status, signals)


def new_run_id(started_at: float) -> str:
    """An ID that sorts by time: `20261122-141003-9f3c2a`, in UTC."""
    return datetime.fromtimestamp(started_at, UTC).strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)


@contextmanager
def stopping(stop: Callable[..., None]) -> Iterator[list[int]]:
    """Turn SIGINT and SIGTERM into an orderly stop while inside; the signals that came are in the list."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        # Prints nothing itself: it may have come in the middle of a line. The progress tells of the stop.
        received.append(number)
        if len(received) > 1:
            os.write(2, b"left at once; the journal has what happened until now\n")
            os._exit(128 + number)
        stop(signal.Signals(number).name, cancel=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show_end(console: Console, manifest: Mapping[str, Any], path: Path, output: str) -> None:
    if output == "json":
        console.answer_json(manifest)
    elif output == "text":
        console.progress("")
        console.answer(text.table(manifest, console.status_on_stdout))
    shown = os.path.relpath(path)
    console.progress(f"manifest: {shown if not shown.startswith('..') else path}")


def _exit_code(status: Status, signals: Sequence[int]) -> int:
    if signals and status is not Status.SUCCEEDED:
        return ExitCode.INTERRUPTED if signals[0] == signal.SIGINT else ExitCode.TERMINATED
    return ExitCode.OK if status is Status.SUCCEEDED else ExitCode.FAILED
