"""`dsjobs plan`: what would run, with which rendered inputs, and why. Needs no credentials and starts nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dsjobs import __version__
from dsjobs.backends.access import Access
from dsjobs.cli import choosing, earlier, loading, options, saved_plans
from dsjobs.cli.choosing import ALL, Selection
from dsjobs.cli.console import Console
from dsjobs.cli.failing import refuse
from dsjobs.cli.fingerprints import NO_CACHE, Caching, prepared, with_fingerprints
from dsjobs.cli.garbage import no_collections
from dsjobs.cli.loading import Loaded, Planned
from dsjobs.cli.varfiles import read_variables
from dsjobs.diagnostics import has_errors, in_order
from dsjobs.errors import ExitCode
from dsjobs.model import Plan, PlannedJob, Retry, VariableValue
from dsjobs.plan.saved import as_json
from dsjobs.spec.durations import written as duration


@click.command("plan", short_help="Show what would run, with which inputs, and why.")
@options.file
@options.environment
@options.variables
@options.var_files
@options.select
@options.exclude
@options.jobs
@options.from_run
@options.no_cache
@options.state_dir
@click.option(
    "--out",
    metavar="PATH",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save the plan: `dsjobs apply PATH` runs it, if nothing has changed until then.",
)
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit with 2 where something would run; 0 then means that nothing would.",
)
@options.output("text", "json")
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
    state_dir: Path | None,
    out: Path | None,
    detailed_exitcode: bool,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Show what `apply` would run: each job with its request as it would be sent, and why it runs.

    What is known only when a job is submitted is shown as its template.
    """
    console = Console(color=color, quiet=quiet)
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
        )
        plan = planned.plan
        if plan is None:
            raise refuse(console, planned.diagnostics, loaded.sources)
        _show_problems(console, loaded, planned, plan)
        if output == "json" or out is not None:
            plan = with_fingerprints(plan, loaded.path.absolute().parent)
        if output == "json":
            console.answer_json(as_json(plan, __version__))
        else:
            console.answer(text(plan))
        if out is not None:
            saved_plans.write(out, plan)
            console.progress(f"saved: `dsjobs apply {shlex.quote(str(out))}` runs this plan")
    return ExitCode.USAGE if detailed_exitcode and any(one.action == "run" for one in plan.jobs) else ExitCode.OK


def _show_problems(console: Console, loaded: Loaded, planned: Planned, plan: Plan) -> None:
    """Everything that there is to say of a plan, but no more than warnings."""
    found = planned.diagnostics
    if plan.secrets:
        from dsjobs.cli.secret_sources import outlook

        found = (*found, *outlook(console, plan, loaded.path.absolute().parent))
        if has_errors(found):
            raise refuse(console, in_order(found), loaded.sources)
    console.diagnostics(in_order(found), loaded.sources)


def make(
    console: Console,
    file: str | None,
    env: str | None,
    *,
    given: Sequence[tuple[str, str]],
    max_parallel: int | None,
    var_files: Sequence[Path] = (),
    kept: Mapping[str, VariableValue] | None = None,
    selection: Selection = ALL,
    caching: Caching = NO_CACHE,
    access: Access | None = None,
) -> tuple[Loaded, Planned]:
    """The plan of a job file as the flags ask for it; `plan` and `apply` share it, so what was printed is what runs. `kept`: the
    variables that an earlier run was given. `access` bears on what the backend warns of, and on nothing in the plan."""
    loaded = loading.load(loading.find_file(file))
    spec = loaded.spec
    if spec is None:
        raise refuse(console, loaded.diagnostics, loaded.sources)
    environment = loading.choose_environment(spec, env)
    files = read_variables(var_files)
    loaded = replace(loaded, sources=(*loaded.sources, *files.sources))
    if has_errors(files.diagnostics):
        raise refuse(console, in_order([*loaded.diagnostics, *files.diagnostics]), loaded.sources)
    base = loaded.path.absolute().parent
    choice = selection.choice(spec.name, environment, base)
    planned = loading.plan(
        loaded,
        spec,
        environment,
        given=given,
        var_files=files.data,
        kept=kept,
        max_parallel=max_parallel,
        choice=choice,
        access=access,
    )
    loaded = replace(loaded, sources=(*loaded.sources, *planned.sources))
    if planned.plan is None:
        return loaded, planned
    commit = planned.git["commit"] if planned.git else None
    plan = replace(planned.plan, git_commit=commit, earlier=choice.against)
    if plan.secrets:
        from dsjobs.cli.secret_sources import from_base

        plan = replace(plan, secrets=from_base(plan.secrets, base))
    plan = prepared(plan, base, caching)
    return loaded, replace(planned, plan=plan)


def text(plan: Plan) -> str:
    """A plan for people to read."""
    number = len(plan.jobs)
    head = f"{plan.name} in environment '{plan.environment}' ({plan.backend}{', protected' if plan.protected else ''})"
    variables = [f"  {name} = {_shown(value)}" for name, value in sorted(plan.variables.items())]
    blocks = [head, *(["", "variables", *variables] if variables else []), ""]
    for index, planned in enumerate((one for one in plan.jobs if one.selected), start=1):
        blocks += _job_lines(index, planned)
    left_out = [planned.job.name for planned in plan.jobs if not planned.selected]
    if left_out:
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        blocks.append(f"\nnot selected: {', '.join(left_out[:5])}{more}")
    runs, reused = (sum(planned.action == action for planned in plan.jobs) for action in ("run", "reuse"))
    stand = f", {reused} reused" if reused else ""
    blocks.append(f"\n{runs} of {number} jobs would run{stand}, at most {plan.max_parallel} at once")
    return "\n".join(blocks)


def _shown(value: VariableValue) -> str:
    return f"{json.dumps(value.value, ensure_ascii=False)}   ({value.layer})"


def _job_lines(index: int, planned: PlannedJob) -> list[str]:
    job, request = planned.job, planned.job.request
    where = {"project": request.project, "spec": request.spec, "spark_connector": request.spark_connector}
    settings = ", ".join(f"{key} {value}" for key, value in where.items() if value is not None)
    lines = [
        f"{index:>3}. {planned.action} {job.name}: {request.target} ({settings})",
        f"     why: {'; '.join(planned.reasons)}",
    ]
    if job.description:
        lines.append(f"     {_one_line(job.description)}")
    lines += [f"     {name} = {_one_line(text)}" for name, text in request.input_variables.items()]
    lines += [f"     {name} = ***   (secret {secret})" for name, secret in request.secrets.items()]
    lines += [
        f"     {name} = {_one_line(_begin(value))}   (known when it starts)"
        for name, value in job.deferred_inputs.items()
    ]
    if job.tags:
        lines.append("     tags: " + ", ".join(job.tags))
    if job.run_if != "all_success":
        lines.append(f"     run_if: {job.run_if}")
    if job.when is not None:
        lines.append(f"     when: {_one_line(job.when)}   (known when it could start)")
    if job.pools:
        lines.append("     pool: " + ", ".join(job.pools))
    if job.cache and planned.action == "run":
        lines.append("     cache: reused from then on, unless something that it depends on changes")
    if job.allow_failure:
        lines.append("     may fail: the run can succeed all the same")
    if job.retry.max_attempts > 1:
        lines.append(f"     retry: {_retry(job.retry)}")
    if job.timeout is not None:
        lines.append(f"     timeout: {duration(job.timeout)}")
    if job.outputs:
        lines.append("     outputs: " + ", ".join(_output(name, contract) for name, contract in job.outputs.items()))
    return lines


def _retry(retry: Retry) -> str:
    attempts = f"up to {retry.max_attempts} attempts"
    waits = f", after {duration(retry.delay)}" if retry.delay else ""
    if waits and retry.max_attempts > 2:
        waits += f", then {retry.backoff:g} times as long each time, at most {duration(retry.max_delay)}"
    kinds = "" if retry.on == Retry().on else ", when it failed with " + ", ".join(sorted(retry.on))
    return attempts + waits + kinds


def _begin(value: Any) -> str:
    """A text, or the JSON of another value as far as it is shown: a list of thousands may stand in each of many jobs."""
    if isinstance(value, str):
        return value
    made = ""
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        made += part
        if len(made) > _SHOWN:
            break
    return made


def _one_line(text: str) -> str:
    shown = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "…"


_SHOWN = 100
"""Characters of a value that a plan shows."""


def _output(name: str, contract: Mapping[str, object]) -> str:
    kind = contract.get("type")
    return f"{name} ({kind})" if isinstance(kind, str) else name
