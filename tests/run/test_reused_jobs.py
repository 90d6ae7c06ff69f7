"""Jobs that do not run: what stands as an earlier run left it has succeeded, what is not selected is in nobody's needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from memory_backend import MemoryBackend, Script
from runs import Running, leaping_clock, make_plan

from dsjobs.model import Failure, Plan
from dsjobs.run import journal
from dsjobs.run.journal import Journal
from dsjobs.run.manifest import Fold, fold
from dsjobs.run.recovery import recover

NO = Failure("notebook", "no")


def run(plan: Plan, folder: Path, **scripts: Script) -> Running:
    running = Running(plan, MemoryBackend(scripts), folder, clock=leaping_clock()).start()
    running.result()
    return running


def job_of(running: Running, name: str) -> dict[str, Any]:
    return next(job for job in fold(running.records)["jobs"] if job["name"] == name)


@pytest.mark.parametrize(
    ("run_if", "reason"),
    [
        ("all_success", None),
        ("all_done", None),
        ("none_failed", None),
        ("at_least_one_success", None),
        ("all_failed", "run_if all_failed: 'a' succeeded"),
        ("at_least_one_failed", "run_if at_least_one_failed: none of 'a' failed"),
    ],
)
def test_run_if_when_the_only_need_is_reused_then_it_has_succeeded(tmp_path, run_if, reason):
    plan = make_plan({"a": [], "b": ["a"]}, rules={"b": {"run_if": run_if}}, reused={"a": {}})
    job = job_of(run(plan, tmp_path), "b")
    expected = ("succeeded", ["selected"]) if reason is None else ("skipped", [reason])
    assert (job["status"], job["reasons"]) == expected


def test_run_if_when_one_need_is_reused_and_another_fails_then_one_has_succeeded(tmp_path):
    needs = {"good": [], "bad": [], "any": ["good", "bad"], "all": ["good", "bad"]}
    rules = {"any": {"run_if": "at_least_one_success"}, "all": {"run_if": "all_failed"}}
    running = run(make_plan(needs, rules=rules, reused={"good": {}}), tmp_path, bad=Script(failure=NO))
    assert job_of(running, "any")["status"] == "succeeded"
    assert job_of(running, "all")["reasons"] == ["run_if all_failed: 'good' succeeded"]


def test_run_if_when_the_run_is_taken_up_then_what_was_reused_has_still_succeeded(tmp_path):
    needs = {"good": [], "bad": [], "any": ["good", "bad"], "none": ["good"], "cell": ["good"]}
    plan = make_plan(
        needs,
        inputs={"cell": {"GOT": "{{ needs.good.outputs.rows }} of {{ needs.good.matrix.seed }}"}},
        rules={
            "good": {"matrix": {"seed": 7}},
            "any": {"run_if": "at_least_one_success"},
            "none": {"run_if": "at_least_one_failed"},
        },
        reused={"good": {"rows": 3}},
    )
    backend = MemoryBackend({"bad": Script(looks=None)}, survives=True)
    first = Running(plan, backend, tmp_path).start()
    first.wait_until_submitted("bad")
    first.executor.detach("to be taken up")
    first.result()
    found, state = journal.read(first.folder.journal), Fold()
    for record in found:
        state.apply(record)

    recovered = recover(found, state)
    backend.end("bad")
    log = Journal(first.folder.journal, existing=True)
    Running(recovered.plan, backend, tmp_path, clock=leaping_clock(), log=log, recovered=recovered).start().result()

    jobs = {job["name"]: job for job in fold(journal.read(first.folder.journal))["jobs"]}
    assert {name: job["status"] for name, job in jobs.items() if name != "bad"} == {
        "good": "succeeded", "any": "succeeded", "none": "skipped", "cell": "succeeded",
    }  # fmt: skip
    assert jobs["cell"]["request"]["inputVariables"]["GOT"] == "3 of 7"


def test_run_if_when_a_need_is_not_selected_then_it_looks_at_the_others_alone(tmp_path):
    needs = {"a": [], "b": [], "both": ["a", "b"], "alone": ["a"]}
    rules = {name: {"run_if": "at_least_one_failed"} for name in ("both", "alone")}
    running = run(make_plan(needs, rules=rules, left_out={"a"}), tmp_path)
    assert job_of(running, "both")["reasons"] == ["run_if at_least_one_failed: none of 'b' failed"]
    assert job_of(running, "alone")["status"] == "succeeded"
