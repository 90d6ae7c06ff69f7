"""What a plan asks of the scheduler."""

from __future__ import annotations

from dsjobs.model import Plan
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
