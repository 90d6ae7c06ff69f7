"""`dsjobs apply`: runs the plan and writes a manifest. What was planned is what runs: the two commands share their code."""

from __future__ import annotations

import gc
from pathlib import Path

import click

from dsjobs.cli import loading, options
from dsjobs.cli.console import Console
from dsjobs.cli.failing import refuse
from dsjobs.cli.plan import make
from dsjobs.cli.repository import git_state


@click.command("apply", short_help="Run the jobs and write a manifest of what happened.")
@options.file
@options.environment
@options.variables
@options.jobs
@options.fail_fast
@click.option(
    "-k",
    "--keep-going",
    is_flag=True,
    envvar="DSJOBS_KEEP_GOING",
    help="Run what does not depend on a failure (the default).",
)
@options.copy
@options.on_interrupt
@options.timeout
@options.lock_timeout
@options.iam_token
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
    on_interrupt: str | None,
    timeout: float | None,
    lock_timeout: float,
    iam_token: str | None,
    state_dir: Path | None,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Run the jobs of FILE in topological order and write a manifest of what happened.

    Ctrl-C or SIGTERM: nothing new starts, and --on-interrupt says what becomes of what is in flight; a second one leaves at once,
    and `dsjobs resume` goes on.
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
    from dsjobs.cli.running import Wishes, start

    wishes = Wishes(copy, output, fail_fast, on_interrupt, lock_timeout, timeout, iam_token)
    return start(console, planned.plan, base, git, state=state_dir or base / ".dsjobs", wishes=wishes).code
