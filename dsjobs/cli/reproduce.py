"""`dsjobs reproduce`: the same notebooks with the same inputs again, here or elsewhere, and their outputs compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from dsjobs.backends.access import Access
from dsjobs.cli import earlier, guards, options
from dsjobs.cli.console import Console
from dsjobs.cli.earlier import EarlierRun
from dsjobs.diagnostics import did_you_mean, has_errors
from dsjobs.errors import ExitCode, GuardError, UsageError
from dsjobs.model import Plan, Request, Spec, Status
from dsjobs.plan import reproduction
from dsjobs.reports import compare
from dsjobs.run import journal, store

_SHOWN = 5
"""How many reasons a refusal names."""


def _tolerances(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for value in values:
        name, equals, text = value.rpartition("=")
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not equals or not name or not (math.isfinite(number) and number >= 0):
            raise click.BadParameter(f"'{value}' is not NAME=VALUE with a number that is not negative")
        found[name] = number
    return found


@click.command("reproduce", short_help="Run the same again and compare the outputs.")
@click.argument("run")
@click.option("-e", "--env", metavar="NAME", help="Run in this environment instead of the same.")
@click.option(
    "--tolerance", "tolerances", metavar="NAME=VALUE", multiple=True, callback=_tolerances,
    help="How far numbers in an output may be apart: auc=1e-6, or train.auc=1e-6 for one job. Repeatable.",
)  # fmt: skip
@click.option(
    "--force", is_flag=True, help="Run also when the code or the commit is not that of the run, with a warning."
)
@options.job_file
@options.copy
@options.on_interrupt
@options.timeout
@options.lock_timeout
@options.new_run
@options.access
@options.yes
@options.state_dir
@options.output("text", "json")
@options.chdir
@options.color
@options.quiet
def command(
    run: str,
    env: str | None,
    tolerances: dict[str, float],
    force: bool,
    file: str | None,
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
    """Run again what RUN did, with the same inputs and specs, and compare the outputs with those of RUN.

    RUN is a run's ID, a unique start of one, `latest`, or the path of a manifest. Refuses (exit code 6) when a notebook's code or
    the git commit is not that of RUN. Exit code 0 when the outputs are the same, within the tolerances, 1 when they are not.
    """
    from dsjobs.cli.running import Wishes, start

    console = Console(color=color, quiet=quiet)
    found = earlier.load(run, file, state_dir)
    found.require_begun()
    _check(found.manifest, tolerances)
    intent = _intent(console, found, file, env)
    _guard(console, found, intent, is_forced=force)
    guards.require_consent(console, intent.plan, yes=yes)
    state = state_dir or (found.folder.path.parents[1] if found.folder else intent.base / store.STATE_FOLDER)
    shown = output if output == "text" else "none"  # for programs the comparison alone is the answer
    wishes = Wishes(copy, shown, False, on_interrupt, lock_timeout, timeout, access, new_run)
    ended = start(console, intent.plan, intent.base, intent.git, state=state, wishes=wishes, parent_run=found.id)
    after = ended.manifest
    if ended.code not in (ExitCode.OK, ExitCode.FAILED):
        return ended.code
    compared = compare.compare(found.manifest, after, tolerances)
    is_same = compare.is_same(compared)
    if output == "json":
        answer = {"run": after["run"]["id"], "reproduces": found.id, "environment": after["run"]["environment"]}
        console.answer_json({**answer, "same": is_same, "compared": compare.as_json(compared)})
    else:
        console.answer(f"\ncompared with run {found.id}\n\n{compare.table(compared, console.status_on_stdout)}")
    return ExitCode.OK if is_same else ExitCode.FAILED


def _check(manifest: Mapping[str, Any], tolerances: Mapping[str, float]) -> None:
    """Raises UsageError where there is nothing to reproduce, or a tolerance that means nothing."""
    run = manifest["run"]
    if run["status"] == Status.RUNNING:
        hint = f"`dsjobs resume {run['id']}` takes it up if it does not go on"
        raise UsageError(f"run {run['id']} has not ended: there is nothing to compare with", hint=hint)
    known = compare.outputs_named(manifest)
    for name in tolerances:
        if name not in known:
            raise UsageError(f"--tolerance {name}: no job has such an output", hint=did_you_mean(name, known))


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to run: `plan`, for a job file in the folder `base`, whose repository is at `git`."""

    plan: Plan
    base: Path
    git: Mapping[str, Any] | None


def _intent(console: Console, run: EarlierRun, file: str | None, env: str | None) -> Intent:
    from dsjobs.cli.repository import git_state

    path, plan = _planned(console, run, file)
    old = run.manifest["run"]["environment"]
    if env is not None and env != old:
        environments = _spec(console, path).environments
        missing = next((name for name in (old, env) if name not in environments), None)
        if missing is not None:
            hint = did_you_mean(missing, environments)
            raise UsageError(f"the job file has no environment '{missing}'", hint=hint)
        plan = reproduction.moved(plan, environments[old], environments[env])
    _require_outputs(plan)
    base = path.absolute().parent
    return Intent(plan, base, git_state(base))


def _planned(console: Console, run: EarlierRun, file: str | None) -> tuple[Path, Plan]:
    """The job file, and the plan in the environment of the run."""
    from dsjobs.cli import loading
    from dsjobs.cli.secret_sources import from_base

    if run.folder is not None:
        records = journal.read(run.folder.journal)
        name = Path(records[0]["job_file"]["path"]).name
        then = run.folder.path.absolute() / records[0]["folder"] / name
        return (loading.find_file(file) if file else loading.near(then)), reproduction.from_journal(records)
    path = loading.find_file(file)
    spec = _spec(console, path)
    environment = spec.environments.get(run.manifest["run"]["environment"])
    if environment is None:
        hint = "name the job file that it was made with by -f"
        raise UsageError(f"{spec.file} has no environment '{run.manifest['run']['environment']}'", hint=hint)
    plan = reproduction.from_manifest(run.manifest, environment)
    return path, replace(plan, secrets=from_base(spec.secrets, path.absolute().parent))


def _spec(console: Console, path: Path) -> Spec:
    """The job file at `path`, once it has no errors."""
    from dsjobs.cli import loading
    from dsjobs.cli.failing import refuse

    loaded = loading.load(path)
    if loaded.spec is None or has_errors(loaded.diagnostics):
        raise refuse(console, loaded.diagnostics, loaded.sources)
    return loaded.spec


def _require_outputs(plan: Plan) -> None:
    has_outputs = any(planned.job.request.output_variable_names for planned in plan.jobs if planned.action == "run")
    if has_outputs and plan.backend == "datasphere" and "output_store" not in plan.settings:
        hint = "add `settings: {output_store: s3://bucket/prefix}` to the environment"
        message = f"environment '{plan.environment}' has no output store: DataSphere returns no outputs to compare"
        raise UsageError(message, hint=hint)


def _guard(console: Console, run: EarlierRun, intent: Intent, *, is_forced: bool) -> None:
    """Raises GuardError where what would run is not what ran then, or warns of it."""
    found = [*_commit_problems(run.manifest["git"], intent.git), *_code_problems(run.manifest, intent)]
    if found and not is_forced:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        hint = "restore the code, or run it all the same with --force"
        raise GuardError(f"this is not what run {run.id} ran: {'; '.join(found[:_SHOWN])}{more}", hint=hint)
    doubts = [f"not what run {run.id} ran: {problem}" for problem in found]
    for doubt in [*doubts, *_doubts(run.manifest, intent)]:
        console.progress(f"{console.styled('warning', 'warning')}: {doubt}")


def _doubts(manifest: Mapping[str, Any], intent: Intent) -> Iterator[str]:
    """What cannot be known, and what is not done again."""
    run, then, now = manifest["run"]["id"], manifest["git"] or {}, intent.git or {}
    if then.get("dirty"):
        yield f"run {run} was made with changes that were not committed"
    elif then.get("dirty") is False and now.get("dirty"):
        # No more than a warning: what a run itself wrote counts as well.
        yield f"here are changes that are not committed, and run {run} had none"
    if intent.plan.backend == "datasphere":
        yield "the notebooks lie on DataSphere: whether their code is that of the run is not known"
    for planned in intent.plan.jobs:
        if planned.action == "reuse":
            yield f"'{planned.job.name}' {planned.reasons[0]}"


def _commit_problems(then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Iterator[str]:
    if then is None:
        return
    if now is None:
        yield f"it was of commit {then['commit'][:12]}, and here is no git repository"
    elif then["commit"] != now["commit"]:
        yield f"it was of commit {then['commit'][:12]}, and here is {now['commit'][:12]}"


def _code_problems(manifest: Mapping[str, Any], intent: Intent) -> Iterator[str]:
    """The jobs whose code is not what the manifest says; of notebooks that lie at a service nothing is known."""
    from dsjobs.notebook.errors import NotebookError

    if intent.plan.backend == "datasphere":
        return
    digests = {job["name"]: (job["notebook"] or {}).get("code_digest") for job in manifest["jobs"]}
    for planned in intent.plan.jobs:
        digest = digests.get(planned.job.name)
        if planned.action != "run" or digest is None:
            continue
        try:
            if _code_digest(intent.base, planned.job.request) != digest:
                yield f"the code of {planned.job.request.target} has changed (job '{planned.job.name}')"
        except NotebookError as error:
            yield f"job '{planned.job.name}': {error}"


def _code_digest(base: Path, request: Request) -> str:
    from dsjobs.notebook import cells, paths, reading

    return reading.code_digest(cells.find(paths.project_folder(base, request.project), request).cells)
