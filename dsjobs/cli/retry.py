"""`dsjobs retry`: a new run of what did not succeed in an earlier one, and of what depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from dsjobs.backends.access import Access
from dsjobs.cli import earlier, guards, loading, options
from dsjobs.cli.console import Console
from dsjobs.cli.failing import refuse
from dsjobs.cli.fingerprints import with_fingerprints
from dsjobs.cli.garbage import no_collections
from dsjobs.cli.plan import make, text
from dsjobs.cli.repository import git_state
from dsjobs.errors import UsageError
from dsjobs.model import Plan, Status, VariableValue
from dsjobs.plan.reuse import retried
from dsjobs.spec.variables import is_from_outside


@click.command("retry", short_help="Run again what failed, was skipped or was cancelled.")
@options.earlier_run
@click.option(
    "--from", "from_run", metavar="RUN",
    help="The same as RUN: the path of a manifest from elsewhere, for CI that starts empty, or a run's ID.",
)  # fmt: skip
@options.job_file
@options.variables
@options.var_files
@options.jobs
@click.option("-n", "--dry-run", is_flag=True, help="Show what would run, and run nothing.")
@options.fail_fast
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
    run: str,
    from_run: str | None,
    file: str | None,
    given: tuple[tuple[str, str], ...],
    var_files: tuple[Path, ...],
    max_parallel: int | None,
    dry_run: bool,
    fail_fast: bool,
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
    """Run again what failed, was lost, skipped or cancelled in RUN (the latest by default), and whatever needs it.

    What succeeded keeps its outputs and does not run, and what would be skipped once more stays skipped. The job file and the
    notebooks are those of now, the environment is that of RUN, and so are the variables that were given to it; --var and
    --var-file change them. The new run knows RUN as its parent.
    """
    console = Console(color=color, quiet=quiet)
    found = earlier.load(_named(click.get_current_context(), run, from_run), file, state_dir)
    manifest = found.manifest
    found.require_begun()
    _require_ended(manifest)
    path = _job_file(found, file)
    with no_collections():
        loaded, planned = make(
            console,
            str(path),
            manifest["run"]["environment"],
            given=given,
            var_files=var_files,
            kept=_given_then(manifest),
            max_parallel=max_parallel,
            access=access,
        )
    if planned.plan is None:
        raise refuse(console, planned.diagnostics, loaded.sources)
    console.diagnostics(planned.diagnostics, loaded.sources)
    base = path.absolute().parent
    plan = with_fingerprints(retried(planned.plan, manifest), base)
    _show_work(console, plan, found.id)
    if dry_run:
        console.answer(text(plan))
        return 0
    if not any(one.action == "run" for one in plan.jobs):
        console.answer(f"what ran in run {found.id} succeeded: there is nothing to run again")
        return 0
    guards.require_consent(console, plan, yes=yes)
    from dsjobs.cli.running import Wishes, start

    git = dict(planned.git) if planned.git is not None else git_state(base)
    wishes = Wishes(copy, output, fail_fast, on_interrupt, lock_timeout, timeout, access, new_run)
    state = state_dir or base / ".dsjobs"
    return start(console, plan, base, git, state=state, wishes=wishes, parent_run=found.id, sources=loaded.sources).code


def _named(command: click.Context, run: str, from_run: str | None) -> str:
    """The run that is meant: RUN, or what --from says."""
    is_given = command.get_parameter_source("run") is ParameterSource.COMMANDLINE
    if is_given and command.get_parameter_source("from_run") is ParameterSource.COMMANDLINE:
        raise click.UsageError("RUN and --from both name the run: give one of them.")
    return run if is_given or from_run is None else from_run


def _require_ended(manifest: Mapping[str, Any]) -> None:
    run = manifest["run"]
    if run["status"] == Status.RUNNING:
        raise UsageError(f"run {run['id']} has not ended", hint=f"take it up first: `dsjobs resume {run['id']}`")


def _job_file(found: earlier.EarlierRun, file: str | None) -> Path:
    """The job file: the one given, else the one that the run was made from, as its folder says."""
    if file is not None or found.folder is None:
        return loading.find_file(file)
    from dsjobs.run import journal

    header = journal.read(found.folder.journal)[0]
    return loading.near(found.folder.path / header["folder"] / Path(header["job_file"]["path"]).name)


def _given_then(manifest: Mapping[str, Any]) -> dict[str, VariableValue]:
    """The variables that the earlier run was given from outside of its file, each with the value and the type that it had."""
    values = {name: VariableValue(one["value"], one["layer"]) for name, one in manifest["variables"].items()}
    return {name: value for name, value in values.items() if is_from_outside(value)}


def _show_work(console: Console, plan: Plan, run_id: str) -> None:
    running = [one for one in plan.jobs if one.action == "run"]
    reused = sum(one.action == "reuse" for one in plan.jobs)
    console.progress(f"retry of run {run_id}: {len(running)} to run, {reused} reused")
    for one in running:
        console.progress(f"  {one.job.name}: {'; '.join(one.reasons)}")
