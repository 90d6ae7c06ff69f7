"""`dsjobs plan`: what would run, with which rendered inputs, and why. Needs no credentials and starts nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click

from dsjobs import __version__
from dsjobs.cli import loading, options
from dsjobs.cli.console import Console
from dsjobs.cli.failing import refuse
from dsjobs.cli.loading import Loaded, Planned
from dsjobs.model import Plan, PlannedJob, VariableValue
from dsjobs.plan.saved import as_json


@click.command("plan", short_help="Show what would run, with which inputs, and why.")
@options.file
@options.environment
@options.variables
@options.jobs
@options.output("text", "json")
@options.chdir
@options.color
@options.quiet
def command(
    file: str | None,
    env: str | None,
    given: tuple[tuple[str, str], ...],
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
        loaded, planned = make(console, file, env, given=given, max_parallel=max_parallel)
        plan = planned.plan
        if plan is None:
            raise refuse(console, planned.diagnostics, loaded.sources)
        console.diagnostics(planned.diagnostics, loaded.sources)
        if output == "json":
            console.answer_json(as_json(plan, __version__))
        else:
            console.answer(_text(plan))
    return 0


def make(
    console: Console,
    file: str | None,
    env: str | None,
    *,
    given: Sequence[tuple[str, str]],
    max_parallel: int | None,
) -> tuple[Loaded, Planned]:
    """The plan of a job file as the flags ask for it; `plan` and `apply` share it, so what was printed is what runs."""
    loaded = loading.load(loading.find_file(file))
    spec = loaded.spec
    if spec is None:
        raise refuse(console, loaded.diagnostics, loaded.sources)
    environment = loading.choose_environment(spec, env)
    return loaded, loading.plan(loaded, spec, environment, given=given, max_parallel=max_parallel)


def _text(plan: Plan) -> str:
    number = len(plan.jobs)
    head = f"{plan.name} in environment '{plan.environment}' ({plan.backend})"
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
    lines += [f"     {name} = {_one_line(text)}" for name, text in request.input_variables.items()]
    lines += [
        f"     {name} = {_one_line(str(text))}   (known when it starts)" for name, text in job.deferred_inputs.items()
    ]
    if job.outputs:
        lines.append("     outputs: " + ", ".join(_output(name, contract) for name, contract in job.outputs.items()))
    return lines


def _one_line(text: str) -> str:
    shown = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return shown if len(shown) <= 100 else shown[:97] + "…"


def _output(name: str, contract: Mapping[str, object]) -> str:
    kind = contract.get("type")
    return f"{name} ({kind})" if isinstance(kind, str) else name
