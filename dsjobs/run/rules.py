"""What a plan asks of the scheduler: the jobs of a run with what they need, what is decided already, and the rules.

A job of the plan runs, is skipped because its `when` is false, stands as an earlier run left it, or is no part of the run.
"""

from __future__ import annotations

from dsjobs.model import Plan, Status
from dsjobs.plan.bindings import Ended
from dsjobs.plan.graph import Needs
from dsjobs.run.events import Rules


def rules_of(plan: Plan, *, fail_fast: bool) -> Rules:
    """The rules for the jobs of `plan` that run."""
    jobs = [planned.job for planned in plan.jobs if planned.action == "run"]
    return Rules(
        max_parallel=plan.max_parallel,
        fail_fast=fail_fast,
        run_if={job.name: job.run_if for job in jobs if job.run_if != "all_success"},
        allowed_failures=frozenset(job.name for job in jobs if job.allow_failure),
        pools={job.name: job.pools for job in jobs if job.pools},
        limits=plan.pools,
    )


def needs_of_run(plan: Plan) -> Needs:
    """The jobs that are part of the run, those that are decided already included, each with those of them that it needs."""
    names = {one.job.name for one in plan.jobs if one.selected}
    return {one.job.name: [need for need in one.job.needs if need in names] for one in plan.jobs if one.selected}


def skipped_before(plan: Plan) -> dict[str, str]:
    """The jobs of which it is known at load that they do not run, and why."""
    return {one.job.name: one.reasons[0] for one in plan.jobs if one.action == "skip" and one.selected}


def reused_before(plan: Plan) -> list[str]:
    """The jobs that stand as an earlier run left them: they have succeeded."""
    return [one.job.name for one in plan.jobs if one.action == "reuse"]


def ended_before(plan: Plan) -> dict[str, Ended]:
    """What templates know of jobs that do not run."""
    found = {name: Ended(Status.SKIPPED) for name in skipped_before(plan)}
    for one in plan.jobs:
        if one.reused is not None:
            found[one.job.name] = Ended(Status.SUCCEEDED, dict(one.reused.outputs or {}), one.job.matrix)
    return found
