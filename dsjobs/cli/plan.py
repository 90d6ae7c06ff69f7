"""`dsjobs plan`: what would run, with which rendered inputs, and why. Needs no credentials and starts nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from dsjobs import __version__
from dsjobs.cli import loading, options
from dsjobs.cli.console import Console
from dsjobs.cli.failing import refuse
from dsjobs.cli.loading import Loaded, Planned
from dsjobs.cli.varfiles import read_variables
from dsjobs.diagnostics import has_errors
from dsjobs.model import Plan, PlannedJob, Retry, VariableValue
from dsjobs.plan.saved import as_json
from dsjobs.spec.durations import written as duration


@click.command("plan", short_help="Show what would run, with which inputs, and why.")
@options.file
@options.environment
@options.variables
@options.var_files
@options.jobs
@options.output("text", "json")
@options.chdir
@options.color
@options.quiet
def command(
    file: str | None,
    env: str | None,
    given: tuple[tuple[str, str], ...],
    var_files: tuple[Path, ...],
    max_parallel: int | None,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Show what `apply` would run: each job with its request as it would be sent, and why it runs.

    What is known only when a job is submitted is shown as its template.
    """
    console = Console(color=color, quiet=quiet)
    with loading.no_collections():
        loaded, planned = make(console, file, env, given=given, var_files=var_files, max_parallel=max_parallel)
        plan = planned.plan
        if plan is None:
            raise refuse(console, planned.diagnostics, loaded.sources)
        console.diagnostics(planned.diagnostics, loaded.sources)
        if output == "json":
            console.answer_json(as_json(plan, __version__))
        else:
            console.answer(text(plan))
    return 0


def make(
    console: Console,
    file: str | None,
    env: str | None,
    *,
    given: Sequence[tuple[str, str]],
    max_parallel: int | None,
    var_files: Sequence[Path] = (),
) -> tuple[Loaded, Planned]:
    """The plan of a job file as the flags ask for it; `plan` and `apply` share it, so what was printed is what runs."""
    loaded = loading.load(loading.find_file(file))
    spec = loaded.spec
    if spec is None:
        raise refuse(console, loaded.diagnostics, loaded.sources)
    environment = loading.choose_environment(spec, env)
    files = read_variables(var_files)
    loaded = replace(loaded, sources=(*loaded.sources, *files.sources))
    if has_errors(files.diagnostics):
        raise refuse(console, files.diagnostics, loaded.sources)
    return loaded, loading.plan(loaded, spec, environment, given=given, var_files=files.data, max_parallel=max_parallel)


def text(plan: Plan) -> str:
    """A plan for people to read."""
    number = len(plan.jobs)
    head = f"{plan.name} in environment '{plan.environment}' ({plan.backend}{', protected' if plan.protected else ''})"
    variables = [f"  {name} = {_shown(value)}" for name, value in sorted(plan.variables.items())]
    blocks = [head, *(["", "variables", *variables] if variables else []), ""]
    for index, planned in enumerate(plan.jobs, start=1):
        blocks += _job_lines(index, planned)
    runs = sum(planned.action == "run" for planned in plan.jobs)
    blocks.append(f"\n{runs} of {number} jobs would run, at most {plan.max_parallel} at once")
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
    lines += [
        f"     {name} = {_one_line(str(text))}   (known when it starts)" for name, text in job.deferred_inputs.items()
    ]
    if job.tags:
        lines.append("     tags: " + ", ".join(job.tags))
    if job.run_if != "all_success":
        lines.append(f"     run_if: {job.run_if}")
    if job.when is not None:
        lines.append(f"     when: {_one_line(job.when)}   (known when it could start)")
    if job.pools:
        lines.append("     pool: " + ", ".join(job.pools))
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


def _one_line(text: str) -> str:
    shown = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return shown if len(shown) <= 100 else shown[:97] + "…"


def _output(name: str, contract: Mapping[str, object]) -> str:
    kind = contract.get("type")
    return f"{name} ({kind})" if isinstance(kind, str) else name
