"""Contracts that only warn: what breaks them is said in the journal, the manifest and the report, and is no failure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from memory_backend import MemoryBackend, Script
from runs import Running, make_plan

from dsjobs.model import Failure, Operation, Retry, Status, Unread
from dsjobs.plan.reuse import retried
from dsjobs.plan.saved import job_as_json, planned_from_json
from dsjobs.reports import text
from dsjobs.run import journal
from dsjobs.run.manifest import fold
from dsjobs.run.outcome import judge

ROWS = {"type": "integer", "minimum": 10, "severity": "warn"}
NOT_ASSIGNED = Unread("output 'rows' was not assigned", "rows: did you mean 'row'?")


def folded(running: Running) -> dict:
    return fold(journal.read(running.folder.journal))


def test_contract_when_it_only_warns_then_the_job_succeeded_and_the_value_is_passed_on(tmp_path):
    backend = MemoryBackend({"a": Script(outputs={"rows": 7, "auc": 0.9})})
    plan = make_plan(
        {"a": [], "b": ["a"]},
        outputs={"a": {"rows": ROWS, "auc": {"minimum": 0.5, "severity": "warn"}}},
        inputs={"b": {"ROWS": "{{ needs.a.outputs.rows }}"}},
        rules={"a": {"retry": Retry(max_attempts=3)}},
    )
    running = Running(plan, backend, tmp_path).start()
    assert running.result() is Status.SUCCEEDED
    manifest = folded(running)
    a, b = manifest["jobs"]
    said = {"output": "rows", "message": "output 'rows': 7 is less than the minimum 10"}
    assert (a["status"], a["failure"], a["warnings"], len(a["attempts"])) == ("succeeded", None, [said], 1)
    assert b["request"]["inputVariables"]["ROWS"] == "7"
    assert b["warnings"] == []
    finished = [record for record in running.records if record["record"] == "job_finished"]
    assert [record.get("warnings") for record in finished] == [[said], None]
    shown = text.table(manifest)
    assert "\na: warning: output 'rows': 7 is less than the minimum 10\n" in shown
    assert "2 succeeded, 1 warning in 0.0s" in shown


def test_output_when_it_is_missing_and_its_contract_warns_then_only_a_job_that_needs_it_fails(tmp_path):
    backend = MemoryBackend({"a": Script(outputs={})})
    plan = make_plan(
        {"a": [], "b": ["a"], "c": ["a"]},
        outputs={"a": {"rows": ROWS}},
        inputs={"b": {"ROWS": "{{ needs.a.outputs.rows }}"}},
    )
    running = Running(plan, backend, tmp_path).start()
    assert running.result() is Status.FAILED
    jobs = {job["name"]: job for job in folded(running)["jobs"]}
    assert jobs["a"]["status"] == jobs["c"]["status"] == "succeeded"
    assert [one["message"] for one in jobs["a"]["warnings"]] == ["output 'rows' was not assigned"]
    assert jobs["b"]["failure"]["kind"] == "template"
    assert "needs.a.outputs has no 'rows'" in jobs["b"]["failure"]["message"]


@pytest.mark.parametrize(
    ("severity", "message", "warned"),
    [
        ("error", "output 'rows' was not assigned; output 'auc': 2 is more than the maximum 1", []),
        ("warn", "output 'auc': 2 is more than the maximum 1", ["output 'rows' was not assigned"]),
    ],
)
def test_outputs_when_some_could_not_be_read_then_one_failure_names_all_that_is_wrong(severity, message, warned):
    failure = Failure("contract", NOT_ASSIGNED.message, NOT_ASSIGNED.hint)
    operation = Operation("1", done=True, failure=failure, outputs={"auc": 2, "loss": 1}, unread={"rows": NOT_ASSIGNED})
    outcome = judge(operation, {"rows": {"severity": severity}, "auc": {"maximum": 1}, "loss": {}})
    assert outcome.status is Status.FAILED
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == ("contract", message)
    assert (outcome.failure.hint == NOT_ASSIGNED.hint) == (severity == "error")
    assert [one.message for one in outcome.warnings] == warned
    assert outcome.outputs == {"auc": 2, "loss": 1}


def test_outputs_when_all_that_could_not_be_read_only_warn_then_the_job_succeeded():
    operation = Operation("1", True, Failure("contract", "x"), outputs={}, unread={"rows": NOT_ASSIGNED})
    outcome = judge(operation, {"rows": ROWS})
    assert (outcome.status, outcome.failure) == (Status.SUCCEEDED, None)
    broken = judge(replace(operation, failure=Failure("notebook", "x"), unread={}), {"rows": ROWS})
    assert (broken.status, broken.warnings) == (Status.FAILED, ())


@pytest.mark.parametrize(("other", "status"), [(ROWS, Status.SUCCEEDED), ({}, Status.FAILED)])
def test_outputs_when_none_could_be_read_then_it_is_a_warning_where_all_contracts_only_warn(other, status):
    operation = Operation("1", done=True, failure=Failure("contract", "published no outputs"))
    outcome = judge(operation, {"rows": ROWS, "other": other})
    assert outcome.status is status
    said = [("rows", "published no outputs"), ("other", "published no outputs")]
    assert [(one.output, one.message) for one in outcome.warnings] == (said if status is Status.SUCCEEDED else [])
    assert (outcome.failure is None) == (status is Status.SUCCEEDED)


def test_warning_when_its_job_is_reused_then_is_said_again(tmp_path):
    plan = make_plan({"a": [], "b": []}, outputs={"a": {"rows": ROWS}})
    scripts = {"a": Script(outputs={"rows": 1}), "b": Script(failure=Failure("notebook", "x"))}
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    first = Running(plan, MemoryBackend(scripts), tmp_path / "1").start()
    assert first.result() is Status.FAILED
    again = retried(plan, folded(first))
    assert planned_from_json(job_as_json(again.jobs[0])).reused == again.jobs[0].reused
    second = Running(again, MemoryBackend(), tmp_path / "2").start()
    assert second.result() is Status.SUCCEEDED
    before, now = ({job["name"]: job["warnings"] for job in folded(one)["jobs"]} for one in (first, second))
    assert now == before
    assert len(now["a"]) == 1
