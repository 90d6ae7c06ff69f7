"""What the templates of a job see of the jobs that it needs, once these have ended: `needs.extract.outputs.path`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsjobs.model import Job, Status


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a job or of a cell. `outputs` is empty where there are none; `matrix`: a cell's values."""

    status: Status
    outputs: Mapping[str, Any] = field(default_factory=dict)
    matrix: Mapping[str, Any] = field(default_factory=dict)


def names_of(job: Job, names: Mapping[str, Any], ended: Mapping[str, Ended]) -> dict[str, Any]:
    """All names of the templates of `job`: those that all jobs share, `names`, with `needs` and, for a cell, `matrix`."""
    own: dict[str, Any] = {**names, "needs": needs_of(job, ended)}
    if job.matrix:
        own["matrix"] = job.matrix
    return own


def needs_of(job: Job, ended: Mapping[str, Ended]) -> dict[str, Any]:
    """`needs` for the templates of `job`: name in the file's `needs` to `outputs`, `status` and, for a cell, `matrix`; to a list
    of these where the name stands for several cells. `ended`: by the names of jobs and cells; a name that is missing in it
    has no value."""
    found: dict[str, Any] = {}
    bound: set[str] = set()
    for name, stands_for in job.bindings.items():
        if isinstance(stands_for, str):
            bound.add(stands_for)
            if stands_for in ended:
                found[name] = _seen(ended[stands_for])
        else:
            bound.update(stands_for)
            found[name] = [_seen(ended[cell]) for cell in stands_for if cell in ended]
    for need in job.needs:
        if need not in bound and need in ended:
            found[need] = _seen(ended[need])
    return found


def _seen(one: Ended) -> dict[str, Any]:
    seen: dict[str, Any] = {"outputs": dict(one.outputs), "status": one.status.value}
    if one.matrix:
        seen["matrix"] = dict(one.matrix)
    return seen
