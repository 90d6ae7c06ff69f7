"""Jobs to Plan: what a run will do, in which order, and why.

Rules: every job runs; the order is the one in which the jobs would start one after another, the longest remaining path first,
then the file's order; at most `max_parallel` are in flight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
