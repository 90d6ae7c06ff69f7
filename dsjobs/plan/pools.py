"""Which pools jobs hold: the one they name, and on DataSphere one for each notebook that several of them run.

The service does not say what becomes of two runs of one notebook of a project that overlap, so by default they wait for each
other. The setting `serialize_notebooks: false` lets them run at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dsjobs.model import Environment, Job, Request

STORAGE = "/home/jupyter/datasphere/project/"
"""Where a project's storage is mounted: a path may begin with it."""


def with_pools(
    environment: Environment, pools: Mapping[str, int], jobs: Sequence[Job]
) -> tuple[dict[str, int], list[Job]]:
    """The pools that `jobs` hold, with their places, and the jobs with their pools. `pools`: those of the file."""
    if environment.backend == "datasphere" and environment.settings.get("serialize_notebooks", True):
        jobs = _serialized(jobs)
    held = {pool for job in jobs for pool in job.pools}
    return {pool: pools.get(pool, 1) for pool in sorted(held)}, list(jobs)


def _serialized(jobs: Sequence[Job]) -> list[Job]:
    runs = Counter(map(_notebook_pool, (job.request for job in jobs)))
    found = []
    for job in jobs:
        pool = _notebook_pool(job.request)
        found.append(replace(job, pools=(*job.pools, pool)) if runs[pool] > 1 else job)
    return found


def _notebook_pool(request: Request) -> str:
    """A name that no pool of a file can have."""
    path = request.target.removeprefix(STORAGE).removeprefix("./")
    return f"notebook {request.project}/{path}"
