"""`dsjobs apply`: runs the plan and writes a manifest. What was planned is what runs: the two commands share their code."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from dsjobs.backends.access import Access
from dsjobs.cli import choosing, earlier, guards, options, saved_plans
from dsjobs.cli.console import Console
from dsjobs.cli.failing import refuse
from dsjobs.cli.fingerprints import Caching
from dsjobs.cli.garbage import no_collections
from dsjobs.cli.plan import make
from dsjobs.cli.repository import git_state
from dsjobs.errors import UsageError
from dsjobs.marks import Source
from dsjobs.model import Plan


@click.command("apply", short_help="Run the jobs and write a manifest of what happened.")
@options.file
@options.environment
@options.variables
@options.var_files
@options.select
@options.exclude
@options.jobs
@options.from_run
@options.no_cache
@options.fail_fast
@click.option(
    "-k",
    "--keep-going",
    is_flag=True,
    help="Run what does not depend on a failure (the default).",
)
@options.copy
@options.on_interrupt
@options.timeout
@options.lock_timeout
@options.new_run
@options.access
@options.yes
@options.state_dir
@options.output("text", "json", "jsonl")
@options.chdir
@options.color
@options.quiet
def command(
    file: str | None,
    env: str | None,
    given: tuple[tuple[str, str], ...],
    var_files: tuple[Path, ...],
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    max_parallel: int | None,
    from_run: str | None,
    no_cache: bool,
    fail_fast: bool,
    keep_going: bool,
    copy: Path | None,
    on_interrupt: str | None,
    timeout: float | None,
    lock_timeout: float,
    new_run: bool,
    access: Access,
    yes: bool,
    state_dir: Path | None,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Run the jobs of FILE in topological order and write a manifest of what happened.

    FILE may be a plan that `dsjobs plan --out` saved. It runs as it was shown, and not if what it was made from has changed.
    Ctrl-C or SIGTERM: nothing new starts, and --on-interrupt says what becomes of what is in flight; a second one leaves at once,
    and `dsjobs resume` goes on.
    Exit code 0 when every job succeeded, 1 when one failed, 3 when the file is invalid, 6 when the plan is out of date, or when
    an earlier run of the environment has not ended and a service still has jobs of it.
    """
    if fail_fast and keep_going:
        raise click.UsageError("--fail-fast and --keep-going exclude each other.")
    console = Console(color=color, quiet=quiet)
    if file is not None and saved_plans.is_one(Path(file)):
        _refuse_planning(click.get_current_context(), file)
        plan, base, git = _from_plan(console, Path(file), env, state_dir)
        sources: Sequence[Source] = ()
    else:
        with no_collections():
            found = earlier.load(from_run, file, state_dir) if from_run else None
            caching = Caching(state_dir, found, no_cache)
            loaded, planned = make(
                console,
                file,
                env,
                given=given,
                var_files=var_files,
                max_parallel=max_parallel,
                selection=choosing.Selection(select, exclude, found, state_dir),
                caching=caching,
                access=access,
            )
        gc.freeze()
        if planned.plan is None:
            raise refuse(console, planned.diagnostics, loaded.sources)
        console.diagnostics(planned.diagnostics, loaded.sources)
        plan, base, sources = planned.plan, loaded.path.absolute().parent, loaded.sources
        git = dict(planned.git) if planned.git is not None else git_state(base)
    guards.require_consent(console, plan, yes=yes)
    from dsjobs.cli.running import Wishes, start

    wishes = Wishes(copy, output, fail_fast, on_interrupt, lock_timeout, timeout, access, new_run)
    return start(console, plan, base, git, state=state_dir or base / ".dsjobs", wishes=wishes, sources=sources).code


_OF_RUNNING = options.ACCESS | frozenset(
    "file fail_fast keep_going copy on_interrupt timeout lock_timeout new_run yes state_dir output color quiet".split()
)
"""Flags that say how a plan runs, and not what is in it."""


def _refuse_planning(command: click.Context, file: str) -> None:
    """Raises UsageError for a flag that would make another plan of a saved one."""
    for parameter in command.command.params:
        name = parameter.name or ""
        if command.get_parameter_source(name) is ParameterSource.COMMANDLINE and name not in _OF_RUNNING:
            flag = max(parameter.opts, key=len)
            message = f"{flag} cannot be given with a saved plan: {file} says already what runs, and with which inputs"
            raise UsageError(message, hint=f"make another plan: `dsjobs plan {flag} … --out {file}`")


def _from_plan(
    console: Console, file: Path, env: str | None, state_dir: Path | None
) -> tuple[Plan, Path, Mapping[str, Any] | None]:
    saved = saved_plans.read(file, state_dir)
    if env is not None and env != saved.plan.environment:
        raise UsageError(f"{file} is a plan for environment '{saved.plan.environment}', and DSJOBS_ENV is '{env}'")
    console.progress(f"plan {file}: {saved.plan.name} in '{saved.plan.environment}'")
    return saved.plan, saved.base, saved.git
