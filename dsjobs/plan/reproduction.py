"""A plan that does again what an earlier run did, in the same environment or in another one.

From a journal every job runs again, with its templates: what a job gets from another one is what that one makes this time. A
manifest alone has the inputs as they were sent, so these are sent again; a job that did not run has none and stays out, and one
that was reused stays reused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsjobs.errors import UsageError
from dsjobs.model import Environment, Job, Plan, PlannedJob, Request, Reused, Status, VariableValue
from dsjobs.plan.graph import start_order
from dsjobs.plan.saved import from_json

Record = Mapping[str, Any]
Manifest = Mapping[str, Any]


def from_journal(records: Sequence[Record]) -> Plan:
    """The plan of the run whose journal this is, where every job that it ran or reused is to run."""
    header = records[0]
    plan = from_json(header, [record for record in records if record["record"] == "job_planned"])
    return replace(plan, jobs=tuple(_again(planned, header["run_id"]) for planned in plan.jobs))


def _again(planned: PlannedJob, run: str) -> PlannedJob:
    if planned.action == "skip":
        return planned
    # The fingerprint is of the code and the environment of then.
    return replace(planned, action="run", reasons=(f"reproduces run {run}",), reused=None, fingerprint=None)


def from_manifest(manifest: Manifest, environment: Environment) -> Plan:
    """A plan for what a manifest says that ran, in `environment`, which has what a manifest does not say of its own."""
    run, jobs = manifest["run"], {job["name"]: job for job in manifest["jobs"]}
    order = start_order({name: job["needs"] for name, job in jobs.items()})
    return Plan(
        name=run["name"],
        file=manifest["job_file"]["path"],
        digest=manifest["job_file"]["digest"],
        environment=run["environment"],
        backend=run["backend"],
        settings=environment.settings,
        protected=environment.protected,
        variables={name: VariableValue(one["value"], one["layer"]) for name, one in manifest["variables"].items()},
        max_parallel=run["max_parallel"],
        jobs=tuple(_as_sent(jobs[name], jobs, run["id"]) for name in order),
    )


def _as_sent(written: Mapping[str, Any], jobs: Mapping[str, Mapping[str, Any]], run: str) -> PlannedJob:
    request = Request.from_json(written["request"])
    warned = {warning["output"] for warning in written.get("warnings", ())}
    job = Job(
        name=written["name"],
        description="",
        request=request,
        deferred_inputs={},
        # A manifest has no contracts; an output that was only warned of may be missing again.
        outputs={name: {"severity": "warn"} if name in warned else {} for name in request.output_variable_names},
        needs=tuple(written["needs"]),
    )
    if written["reused_from"]:
        reused = Reused(written["reused_from"], written["outputs"], written["notebook"])
        return PlannedJob(job, "reuse", (f"was reused in run {run}: its inputs are not in the manifest",), reused)
    if not written["attempts"]:
        return PlannedJob(job, "skip", (f"did not run in run {run}",), selected=written.get("selected", True))
    if any(jobs[need]["status"] != Status.SUCCEEDED for need in job.needs):
        job = replace(job, run_if="all_done")  # as it did then
    return PlannedJob(job, "run", (f"reproduces run {run}",))


def moved(plan: Plan, old: Environment, new: Environment) -> Plan:
    """`plan`, which was made for `old`, in `new`: projects and connectors are those of the same names there.

    Raises UsageError where one has no name in `old`, or none of its names is in `new`.
    """
    jobs = tuple(
        replace(planned, job=replace(planned.job, request=_moved(planned.job, old, new)))
        if planned.action == "run"
        else planned
        for planned in plan.jobs
    )
    return replace(
        plan, environment=new.name, backend=new.backend, settings=new.settings, protected=new.protected, jobs=jobs
    )


def _moved(job: Job, old: Environment, new: Environment) -> Request:
    request = job.request
    project, connector = request.project, request.spark_connector
    # "." is the folder beside the job file, for jobs without a project; a local kernel has no Spark connector.
    if not (project == "." and new.backend != "datasphere"):
        project = _by_name("project", project, job.name, (old, old.projects), (new, new.projects))
    if connector is not None and new.backend == "datasphere":
        names = (old, old.spark_connectors), (new, new.spark_connectors)
        connector = _by_name("Spark connector", connector, job.name, *names)
    return replace(request, project=project, spark_connector=connector)


Names = tuple[Environment, Mapping[str, str]]


def _by_name(kind: str, value: str, job: str, old: Names, new: Names) -> str:
    """What stands in the new environment for the same name as `value` in the old one."""
    names = [name for name, stands_for in old[1].items() if stands_for == value] or [value]
    found = {new[1][name] for name in names if name in new[1]}
    if len(found) == 1:
        return found.pop()
    what = f"job '{job}': {kind} '{value}' of environment '{old[0].name}'"
    if found:
        message = f"{what} has several names, {', '.join(names)}, which are not the same in '{new[0].name}'"
        raise UsageError(message, hint="let one of these names stand for it in the job file")
    key = "projects" if kind == "project" else "spark_connectors"
    hint = f"give it the same name in the `{key}` of both environments"
    raise UsageError(f"{what} has no counterpart in environment '{new[0].name}'", hint=hint)
