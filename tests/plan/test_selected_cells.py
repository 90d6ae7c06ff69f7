"""Selection where there are matrices, projects and an earlier run: it equals a naive evaluation of each job by itself."""

from __future__ import annotations

import fnmatch
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsjobs.errors import UsageError
from dsjobs.model import Job, Request
from dsjobs.plan.selectors import STATUSES, Earlier, selected_jobs

PROJECTS = {"main": "id-1", "side": "id-2"}


def made_jobs(chance: random.Random) -> list[Job]:
    """Jobs and cells, each of which may need those before it."""
    jobs: list[Job] = []
    for index in range(chance.randint(1, 6)):
        needs = [one.name for one in jobs if chance.random() < 0.3]
        name, tags = f"j{index}", tuple(tag for tag in ("a", "ab", "b") if chance.random() < 0.4)
        request = Request(chance.choice(["id-1", "id-2"]), "a.ipynb")
        cells: list[dict[str, Any]] = [{}]
        if chance.random() < 0.5:
            cells = [{"seed": seed, "model": model} for seed in (1, 12) for model in ("x", "xy")]
        for values in cells:
            label = ",".join(f"{key}={value}" for key, value in values.items())
            full = f"{name}[{label}]" if values else name
            base = name if values else ""
            jobs.append(Job(full, "", request, {}, {}, tuple(needs), tags=tags, base=base, matrix=values))
    return jobs


def fits(job: Job, body: str, earlier: Earlier) -> bool:
    """Whether a job is one that the body of a selector means."""
    method, colon, value = body.partition(":")
    if colon:
        project = {identity: name for name, identity in PROJECTS.items()}[job.request.project]
        return {
            "tag": any(fnmatch.fnmatchcase(tag, value) for tag in job.tags),
            "project": fnmatch.fnmatchcase(project, value) or job.request.project == value,
            "result": earlier.results.get(job.name) == value,
            "state": job.name in earlier.changed,
        }[method]
    base, bracket, rest = body.partition("[")
    if not bracket:
        return fnmatch.fnmatchcase(job.base or job.name, base)
    wanted = dict(pair.split("=") for pair in rest.removesuffix("]").split(","))
    return bool(job.base) and fnmatch.fnmatchcase(job.base, base) and all(
        fnmatch.fnmatchcase(str(job.matrix[key]), value) for key, value in wanted.items()
    )  # fmt: skip


def reached(jobs: list[Job], start: set[str], steps: int | None, *, up: bool) -> set[str]:
    """The jobs at most so many steps above or below."""
    found, edge = set(start), set(start)
    for _ in range(len(jobs) if steps is None else steps):
        if up:
            edge = {need for job in jobs if job.name in edge for need in job.needs}
        else:
            edge = {job.name for job in jobs if edge & set(job.needs)}
        found |= edge
    return found


BODIES = [
    "j0", "j1", "j4", "j*", "j?", "*", "j1[seed=1]", "j2[model=x]", "j*[seed=1*]", "j3[model=x?,seed=12]", "tag:a", "tag:a*",
    "tag:b", "project:main", "project:s*", "project:id-2", *(f"result:{status}" for status in STATUSES), "state:changed",
]  # fmt: skip
TERMS = st.tuples(
    st.sampled_from([None, "", "0", "1", "2"]), st.sampled_from(BODIES), st.sampled_from([None, "", "0", "1", "2"])
)


def written(term: tuple[str | None, str, str | None]) -> str:
    up, body, down = term
    return f"{'' if up is None else up + '+'}{body}{'' if down is None else '+' + down}"


def naive(jobs: list[Job], term: tuple[str | None, str, str | None], earlier: Earlier) -> set[str]:
    up, body, down = term
    found = {job.name for job in jobs if fits(job, body, earlier)}
    above = reached(jobs, found, int(up) if up else None, up=True) if up is not None else set()
    below = reached(jobs, found, int(down) if down else None, up=False) if down is not None else set()
    return found | above | below


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32), st.lists(st.lists(TERMS, min_size=1, max_size=2), max_size=2), st.lists(TERMS, max_size=2)
)
def test_selection_when_there_are_cells_and_an_earlier_run_then_equals_a_naive_evaluation(
    seed: int, wanted: list[Any], unwanted: list[Any]
) -> None:
    chance = random.Random(seed)
    jobs = made_jobs(chance)
    names = [job.name for job in jobs]
    earlier = Earlier(
        {name: chance.choice(STATUSES) for name in names}, {name: () for name in names if chance.random() < 0.4}
    )
    terms = [term for group in wanted for term in group] + unwanted
    # A name, a tag or a project that nothing has is a mistake of its own; no result and no change are none.
    known = [
        body.startswith(("result:", "state:")) or any(fits(job, body, earlier) for job in jobs) for _, body, _ in terms
    ]
    expected = set(names)
    if wanted:
        expected = set().union(*(set.intersection(*(naive(jobs, term, earlier) for term in group)) for group in wanted))
    for term in unwanted:
        expected -= naive(jobs, term, earlier)
    select, exclude = [",".join(map(written, group)) for group in wanted], [written(term) for term in unwanted]
    if all(known) and expected:
        assert selected_jobs(jobs, select, exclude, projects=PROJECTS, earlier=earlier) == expected
    else:
        with pytest.raises(UsageError):
            selected_jobs(jobs, select, exclude, projects=PROJECTS, earlier=earlier)
