"""Jobs to Plan: what a run will do, in which order, and why.

Rules: every job runs, but those whose `when` is already known to be false; the order is the one in which the jobs would start
one after another, the longest remaining path first, then the file's order; at most `max_parallel` are in flight.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dsjobs.model import Environment, Job, Plan, PlannedJob, Reused, Spec, VariableValue
from dsjobs.plan.graph import start_order
from dsjobs.plan.pools import with_pools
from dsjobs.plan.selection import apply_selection

DEFAULT_MAX_PARALLEL = 4


def make_plan(
    spec: Spec,
    environment: Environment,
    variables: Mapping[str, VariableValue],
    jobs: Sequence[Job],
    *,
    max_parallel: int | None = None,
    selected: Collection[str] | None = None,
    earlier: Mapping[str, Reused] | None = None,
) -> Plan:
    """The plan for `jobs`, whose needs have no cycle. `max_parallel` overrides the file's. `selected`: the names of those that
    are to run, None for all; `earlier`: what others came to in an earlier run (`selection.py` has the rules).

    Raises UsageError where a selected job uses one that is not selected.
    """
    pools, jobs = with_pools(environment, spec.pools, jobs)
    by_name = {job.name: job for job in jobs}
    order = start_order({job.name: job.needs for job in jobs})
    planned = tuple(_planned(by_name[name]) for name in order)
    return Plan(
        name=spec.name,
        file=spec.file,
        digest=spec.digest,
        environment=environment.name,
        backend=environment.backend,
        settings=environment.settings,
        variables=variables,
        max_parallel=max_parallel or spec.max_parallel or DEFAULT_MAX_PARALLEL,
        protected=environment.protected,
        pools=pools,
        includes=spec.includes,
        secrets=spec.secrets,
        jobs=planned if selected is None else apply_selection(planned, selected, earlier or {}),
    )


def _planned(job: Job) -> PlannedJob:
    if job.skip_reason is not None:
        return PlannedJob(job, "skip", (job.skip_reason,))
    return PlannedJob(job, "run", (_reason(job),))


def _reason(job: Job) -> str:
    if not job.needs:
        return "selected; needs no other job"
    cells = {cell for bound in job.bindings.values() if not isinstance(bound, str) for cell in bound}
    after = [need for need in job.needs if need not in cells]
    after += [_counted(bound, name) for name, bound in job.bindings.items() if not isinstance(bound, str)]
    return "selected; after " + ", ".join(after)


def _counted(cells: tuple[str, ...], job: str) -> str:
    return cells[0] if len(cells) == 1 else f"{len(cells)} cells of {job}"
