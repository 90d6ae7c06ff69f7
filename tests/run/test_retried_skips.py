"""A retry leaves a job skipped that would be skipped again: what succeeded below it does not run once more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from memory_backend import MemoryBackend, Script
from runs import Running, make_plan

from dsjobs.model import Failure, Plan, Status, VariableValue
from dsjobs.plan.reuse import retried
from dsjobs.run import journal
from dsjobs.run.manifest import fold

NO = Script(failure=Failure("notebook", "no"))
ENOUGH = "{{ needs.g.outputs.rows > vars.limit }}"


def plan(when: str = ENOUGH, limit: int = 5, **rules: Any) -> Plan:
    """`opt` runs only where `g` gave enough; `costly` runs whatever becomes of `opt`, and `end` needs both."""
    needs = {"g": [], "opt": ["g"], "below": ["opt"], "costly": ["opt"], "alarm": ["g"], "other": []}
    made = make_plan(
        needs,
        outputs={"g": {"rows": {}}},
        rules={
            "opt": {"when": when, "bindings": {"g": "g"}}, "costly": {"run_if": "all_done"},
            "alarm": {"run_if": "at_least_one_failed"}, **rules,
        },
    )  # fmt: skip
    return replace(made, variables={"limit": VariableValue(limit, "--var")})


def run(folder: Path, made: Plan, **scripts: Script) -> dict[str, Any]:
    """The manifest of a run in which `g` gives three rows."""
    folder.mkdir()
    backend = MemoryBackend({"g": Script(outputs={"rows": 3}), **scripts})
    Running(made, backend, folder).start().result()
    return fold(journal.read(folder / "journal.jsonl"))


def actions(made: Plan) -> dict[str, str]:
    return {one.job.name: one.action for one in made.jobs}


STANDS = {"g": "reuse", "opt": "skip", "below": "skip", "costly": "reuse", "alarm": "skip"}


def test_retry_when_a_job_was_skipped_by_its_when_then_it_stays_skipped_and_what_is_below_it_is_reused(tmp_path):
    first = run(tmp_path / "1", plan(), other=NO)
    assert {job["name"]: job["status"] for job in first["jobs"]} == {
        "g": "succeeded", "opt": "skipped", "below": "skipped", "costly": "succeeded", "alarm": "skipped", "other": "failed",
    }  # fmt: skip
    again = retried(plan(), first)
    assert actions(again) == {**STANDS, "other": "run"}
    reasons = {one.job.name: one.reasons for one in again.jobs}
    assert reasons["opt"] == (f"when: {ENOUGH} is false",)
    assert reasons["below"] == (f"needs 'opt', which was skipped because when: {ENOUGH} is false",)

    second = run(tmp_path / "2", again)
    assert [(job["name"], job["status"]) for job in second["jobs"] if job["attempts"]] == [("other", "succeeded")]
    assert second["run"]["status"] == "succeeded"
    assert actions(retried(plan(), second)) == {**STANDS, "other": "reuse"}


@pytest.mark.parametrize(
    ("now", "different"),
    [
        (plan(limit=2), {"opt": "run", "below": "run", "costly": "run"}),
        (plan("{{ run.id == 'run-2' }}"), {"opt": "run", "below": "run", "costly": "run"}),
        (plan("{{ needs.g.status == 'skipped' }}"), {}),
        (plan(below={"run_if": "all_done"}), {"below": "run"}),
        (plan(alarm={"run_if": "none_failed"}), {"alarm": "run"}),
    ],
    ids=["variable", "unknown before it runs", "expression", "run_if", "another run_if"],
)
def test_retry_when_a_job_would_not_be_skipped_again_then_it_runs_and_what_needs_it(tmp_path, now, different):
    first = run(tmp_path / "1", plan())
    assert first["run"]["status"] == Status.SUCCEEDED
    assert actions(retried(now, first)) == {**STANDS, "other": "reuse", **different}


def test_retry_when_a_need_of_a_skipped_job_runs_again_then_it_is_decided_anew(tmp_path):
    first = run(tmp_path / "1", plan(), g=NO)
    assert set(actions(retried(plan(), first)).values()) == {"run", "reuse"}
    assert actions(retried(plan(), first))["other"] == "reuse"


def test_retry_when_the_run_was_stopped_then_what_had_not_started_runs(tmp_path):
    made = make_plan({"a": [], "b": []}, max_parallel=1)
    (tmp_path / "1").mkdir()
    Running(made, MemoryBackend({"a": NO}), tmp_path / "1", fail_fast=True).start().result()
    first = fold(journal.read(tmp_path / "1" / "journal.jsonl"))
    assert actions(retried(made, first)) == {"a": "run", "b": "run"}
