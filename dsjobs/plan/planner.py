"""Jobs to Plan: what a run will do, in which order, and why.

Rules: every job runs, but those whose `when` is already known to be false; the order is the one in which the jobs would start
one after another, the longest remaining path first, then the file's order; at most `max_parallel` are in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

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
    if selected is not None:
        planned = _told(apply_selection(planned, selected, earlier or {}))
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
        jobs=planned,
    )


def _planned(job: Job) -> PlannedJob:
    if job.skip_reason is not None:
        return PlannedJob(job, "skip", (job.skip_reason,))
    return PlannedJob(job, "run", (_reason(job),))


def _told(planned: Sequence[PlannedJob]) -> tuple[PlannedJob, ...]:
    """The jobs of a plan of which some are not selected, with reasons that say so of what the others need."""
    left_out = {one.job.name for one in planned if not one.selected}
    return tuple(replace(one, reasons=(_reason(one.job, left_out),)) if one.action == "run" else one for one in planned)


def _reason(job: Job, left_out: Collection[str] = ()) -> str:
    if not job.needs:
        return "selected; needs no other job"
    there, gone = _needs(job, lambda name: name not in left_out), _needs(job, lambda name: name in left_out)
    after = f"; after {', '.join(there)}" if there else ""
    without = f"; without {', '.join(gone)}, not selected" if gone else ""
    return f"selected{after}{without}"


def _needs(job: Job, is_meant: Callable[[str], bool]) -> list[str]:
    """Those that a job needs which are meant, the cells of one as their number."""
    cells = {cell for bound in job.bindings.values() if not isinstance(bound, str) for cell in bound}
    found = [need for need in job.needs if need not in cells and is_meant(need)]
    by_job = {name: [*filter(is_meant, bound)] for name, bound in job.bindings.items() if not isinstance(bound, str)}
    return found + [_counted(bound, name) for name, bound in by_job.items() if bound]


def _counted(cells: Sequence[str], job: str) -> str:
    return cells[0] if len(cells) == 1 else f"{len(cells)} cells of {job}"
