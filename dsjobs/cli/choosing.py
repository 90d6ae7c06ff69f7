"""Which jobs run, as --select, --exclude and --from say it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsjobs.cli.earlier import EarlierRun
from dsjobs.cli.fingerprints import read_code
from dsjobs.cli.loading import Choice
from dsjobs.model import Environment, Job, Plan, PlannedJob, Status
from dsjobs.plan.caching import changed
from dsjobs.plan.fingerprint import fingerprinted
from dsjobs.plan.graph import start_order
from dsjobs.plan.reuse import reused
from dsjobs.plan.selectors import Earlier


def choice(select: Sequence[str], exclude: Sequence[str], found: EarlierRun | None, base: Path) -> Choice:
    """The choice of the flags. `found`: the run that --from names, which `result:` and `state:` ask, and which has the outputs of
    jobs that are not selected; `base`: the job file's folder."""
    if found is None:
        return Choice(select, exclude)
    manifest = found.manifest

    def earlier(jobs: Sequence[Job], environment: Environment) -> Earlier:
        results = {job["name"]: job["status"] for job in manifest["jobs"]}
        plan = _plan(jobs, environment)
        return Earlier(results, changed(fingerprinted(plan, read_code(base, plan)), manifest))

    succeeded = [job for job in manifest["jobs"] if job["status"] == Status.SUCCEEDED]
    return Choice(select, exclude, earlier, {job["name"]: reused(job, found.id) for job in succeeded})


def _plan(jobs: Sequence[Job], environment: Environment) -> Plan:
    """All of `jobs`, as far as what they are made from matters."""
    by_name = {job.name: job for job in jobs}
    order = start_order({job.name: job.needs for job in jobs})
    return Plan(
        name="",
        file="",
        digest="",
        environment=environment.name,
        backend=environment.backend,
        settings=environment.settings,
        variables={},
        max_parallel=1,
        jobs=tuple(PlannedJob(by_name[name], "run", ("",)) for name in order),
    )
