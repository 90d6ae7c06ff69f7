"""Random job files, from their text to the end of the run: each job comes to what a plain reading of the file says.

`test_scheduler_rules.py` holds the same of the scheduler alone. Here the file's text is read, its templates are rendered,
cells are bound, some jobs are not selected, of which an earlier run knows some, and the executor runs it all on a backend whose
notebooks fail as they are told.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_backend import MemoryBackend, Script
from runs import Running, leaping_clock

from dsjobs.model import Failure, Plan, Reused, Status
from dsjobs.plan.planner import make_plan
from dsjobs.run import journal
from dsjobs.run.manifest import fold
from dsjobs.spec import parse, schema, source
from dsjobs.spec.expand import expand
from dsjobs.spec.variables import resolve

RUN_IFS = [
    "all_success",
    "all_success",
    "all_done",
    "none_failed",
    "at_least_one_success",
    "all_failed",
    "at_least_one_failed",
]
KINDS = ["notebook", "aborted", "backend", "lost"]
SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "jobs.v1.json").read_text(encoding="utf-8"))


def job_file(chance: random.Random) -> tuple[dict[str, Any], dict[str, str]]:
    """A file of a few jobs, of which some have a matrix of two cells; and by cell whether it is `selected`, `known` from an
    earlier run, or `unknown`."""
    jobs: list[dict[str, Any]] = []
    chances = chance.choice([[1, 0, 0], [4, 4, 1]])
    fates: dict[str, str] = {}
    for index in range(chance.randint(1, 7)):
        job: dict[str, Any] = {"name": f"j{index}", "notebook": "a.ipynb", "run_if": chance.choice(RUN_IFS)}
        job["needs"] = [other["name"] for other in jobs if chance.random() < 0.35]
        if chance.random() < 0.25:
            job["matrix"] = {"seed": [1, 2]}
        fates |= {cell: chance.choices(["selected", "known", "unknown"], chances)[0] for cell in cells_of(job)}
        if chance.random() < 0.4:
            job["when"] = when(chance, job, fates)
        if chance.random() < 0.4:
            on = {"on": chance.sample(KINDS, chance.randint(1, 4))} if chance.random() < 0.5 else {}
            job["retry"] = {"max_attempts": chance.randint(1, 3), **on}
        if chance.random() < 0.3:
            job["pool"] = "gpu"
        if chance.random() < 0.3:
            job["allow_failure"] = True
        jobs.append(job)
    head = {"version": 1, "variables": {"yes": True, "no": False}, "pools": {"gpu": 1}, "max_parallel": 3}
    return {**head, "jobs": jobs}, fates


def cells_of(job: dict[str, Any]) -> list[str]:
    return [f"{job['name']}[seed={seed}]" for seed in job["matrix"]["seed"]] if "matrix" in job else [job["name"]]


def when(chance: random.Random, job: dict[str, Any], fates: dict[str, str]) -> Any:
    """A condition: known at load, or by what a needed job came to. A template cannot use what is not there."""
    single = [name for name in job["needs"] if fates.get(name, "unknown") != "unknown"]
    if single and chance.random() < 0.6:
        return f"{{{{ needs.{chance.choice(single)}.status == '{chance.choice(['succeeded', 'failed'])}' }}}}"
    return chance.choice([True, False, "{{ vars.yes }}", "{{ vars.no }}"])


class Reading:
    """What a file comes to, job by job and cell by cell, where attempt number n of a cell ends with `ends[cell][n - 1]`."""

    def __init__(self, data: dict[str, Any], fates: dict[str, str], chance: random.Random) -> None:
        self.jobs = {job["name"]: job for job in data["jobs"]}
        self.fates = fates
        self.chance = chance
        cells = [(job, cell) for job in self.jobs.values() for cell in cells_of(job)]
        self.ends = {cell: [self.end() for _ in range(3)] for _, cell in cells}
        needed = {need for job, cell in cells if fates[cell] == "selected" for need in self.above(job, cell)}
        self.reused = {cell for cell in needed if fates[cell] == "known"}
        self.statuses: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        for job, cell in cells:
            self.read(job, cell)

    def end(self) -> str:
        return self.chance.choice(["succeeded", "succeeded", "succeeded", "cancelled", *KINDS])

    def above(self, job: dict[str, Any], cell: str) -> list[str]:
        """The jobs and cells that a cell needs: with a matrix of the same key, the cell with the same value."""
        found = []
        for need in job["needs"]:
            both = "matrix" in job and "matrix" in self.jobs[need]
            found += [need + cell[cell.index("[") :]] if both else cells_of(self.jobs[need])
        return found

    def read(self, job: dict[str, Any], cell: str) -> None:
        self.attempts[cell] = 0
        self.statuses[cell] = "succeeded" if cell in self.reused else "skipped"
        if self.fates[cell] == "selected" and self.may_run(job, cell) and self.is_wanted(job):
            most = job.get("retry", {}).get("max_attempts", 1)
            again = job.get("retry", {}).get("on", KINDS)
            for end in self.ends[cell][:most]:
                self.attempts[cell] += 1
                self.statuses[cell] = "failed" if end in KINDS else end
                if end not in again:
                    return

    def may_run(self, job: dict[str, Any], cell: str) -> bool:
        there = [one for one in self.above(job, cell) if self.fates[one] == "selected" or one in self.reused]
        above = [self.statuses[one] for one in there]
        bad = [one in ("failed", "cancelled") for one in above]
        good = [one == "succeeded" for one in above]
        by_name = {
            "all_success": all(good), "all_done": True, "none_failed": not any(bad), "at_least_one_success": any(good),
            "all_failed": all(bad), "at_least_one_failed": any(bad),
        }  # fmt: skip
        return not above or by_name[job["run_if"]]

    def is_wanted(self, job: dict[str, Any]) -> bool:
        condition = job.get("when", True)
        if isinstance(condition, str) and "status" in condition:
            _, _, rest = condition.partition("needs.")
            return self.statuses[rest.partition(".")[0]] == rest.split("'")[1]
        return condition in (True, "{{ vars.yes }}")

    @property
    def run(self) -> str:
        held = [
            status
            for cell, status in self.statuses.items()
            if status != "failed" or "allow_failure" not in self.jobs[cell.partition("[")[0]]
        ]
        return next((one for one in ("failed", "cancelled") if one in held), "succeeded")

    def scripts(self) -> dict[str, Script]:
        return {
            f"{cell}#{number}": script(end) for cell, ends in self.ends.items() for number, end in enumerate(ends, 1)
        }


def script(end: str) -> Script:
    if end in KINDS:
        return Script(failure=Failure(end, "as it was told"))
    return Script(is_cancelled=end == "cancelled")


def plan_of(data: dict[str, Any], fates: dict[str, str]) -> Plan:
    """The plan of a file in its only environment."""
    document = source.parse(source.Source("jobs.yaml", json.dumps(data)))
    checked = schema.check(document, SCHEMA)
    assert checked.data is not None
    spec, problems = parse.parse(checked, file="jobs.yaml", stem="jobs", digest="sha256:" + "0" * 64)
    (environment,) = spec.environments.values()
    values, wrong = resolve(spec, environment, environ={}, given=())
    jobs, found = expand(spec, environment, values, None)
    assert [*document.diagnostics, *checked.diagnostics, *problems, *wrong, *found] == []
    selected = {cell for cell, fate in fates.items() if fate == "selected"}
    earlier = {cell: Reused("run-0", {}) for cell, fate in fates.items() if fate == "known"}
    return make_plan(spec, environment, values, jobs, selected=selected, earlier=earlier)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_run_when_the_file_is_random_then_each_job_comes_to_what_a_plain_reading_says(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    data, fates = job_file(chance)
    reading = Reading(data, fates, chance)
    backend = MemoryBackend(reading.scripts())
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    running = Running(plan_of(data, fates), backend, place, clock=leaping_clock())
    assert running.start().result() == Status(reading.run)
    manifest = fold(journal.read(running.folder.journal))
    assert {job["name"]: job["status"] for job in manifest["jobs"]} == reading.statuses
    assert {job["name"] for job in manifest["jobs"] if job["reused_from"]} == reading.reused
    assert Counter(job for job, _ in backend.submits) == {cell: n for cell, n in reading.attempts.items() if n}
    assert backend.most_in_flight <= 3
    shutil.rmtree(place)  # so that the end of the session does not hold sixty journals to their schema
