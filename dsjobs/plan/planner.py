"""Jobs to Plan: what a run will do, in which order, and why.

Rules: every job runs; the order is the one in which the jobs would start one after another, the longest remaining path first,
then the file's order; at most `max_parallel` are in flight.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dsjobs.model import Environment, Job, Plan, PlannedJob, Spec, VariableValue
from dsjobs.plan.graph import start_order

DEFAULT_MAX_PARALLEL = 4


def make_plan(
    spec: Spec,
    environment: Environment,
    variables: Mapping[str, VariableValue],
    jobs: Sequence[Job],
    *,
    max_parallel: int | None = None,
) -> Plan:
    """The plan for `jobs`, whose needs have no cycle. `max_parallel` overrides the file's."""
    by_name = {job.name: job for job in jobs}
    order = start_order({job.name: job.needs for job in jobs})
    return Plan(
        name=spec.name,
        file=spec.file,
        digest=spec.digest,
        environment=environment.name,
        backend=environment.backend,
        settings=environment.settings,
        variables=variables,
        max_parallel=max_parallel or spec.max_parallel or DEFAULT_MAX_PARALLEL,
        jobs=tuple(PlannedJob(by_name[name], "run", (_reason(by_name[name]),)) for name in order),
    )


def _reason(job: Job) -> str:
    if not job.needs:
        return "selected; needs no other job"
    return "selected; after " + ", ".join(job.needs)


def as_json(plan: Plan, tool_version: str) -> dict[str, Any]:
    """The plan as `plan.v1.json` describes it. Its `digest` covers everything but itself and the tool's version."""
    body: dict[str, Any] = {
        "name": plan.name,
        "job_file": {"path": plan.file, "digest": plan.digest},
        "environment": plan.environment,
        "backend": plan.backend,
        "max_parallel": plan.max_parallel,
        "variables": {
            name: {"value": value.value, "layer": value.layer} for name, value in sorted(plan.variables.items())
        },
        "jobs": [job_as_json(planned) for planned in plan.jobs],
    }
    return {"schema_version": 1, "tool_version": tool_version, "digest": digest(body), **body}


def job_as_json(planned: PlannedJob) -> dict[str, Any]:
    """One job of a plan. `deferred_inputs` are the templates whose text is known only when the job is submitted."""
    job = planned.job
    return {
        "name": job.name,
        "action": planned.action,
        "reasons": list(planned.reasons),
        "needs": list(job.needs),
        "request": job.request.as_json(),
        "deferred_inputs": dict(job.deferred_inputs),
        "outputs": {name: dict(contract) for name, contract in job.outputs.items()},
    }


def digest(body: Mapping[str, Any]) -> str:
    """`sha256:…` of a JSON document, whatever the order of its keys."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
