"""What a run did, planned again: from its journal, from its manifest alone, and for another environment."""

from __future__ import annotations

from typing import Any

import pytest

from dsjobs.errors import UsageError
from dsjobs.model import Environment, Job, Plan, PlannedJob, Request, Retry, Reused, VariableValue
from dsjobs.plan import reproduction
from dsjobs.plan.saved import job_as_json

DIGEST = "sha256:" + "0" * 64
HEADER = {
    "record": "run_started", "run_id": "run-1", "name": "small", "job_file": {"path": "jobs.yaml", "digest": DIGEST},
    "environment": "local", "backend": "local", "settings": {"memory": "1GiB"}, "max_parallel": 3,
    "variables": {
        "alpha": {"value": 0.1, "layer": "--var"}, "tag": {"value": "true", "layer": "--var-file prod.yaml:1:6"},
    },
}  # fmt: skip


def planned(name, action="run", *, needs=(), request=None, **fields: Any) -> PlannedJob:
    asked = request or Request("here", f"{name}.ipynb", input_variables={"X": "1"}, output_variable_names=("auc",))
    job = Job(name, "", asked, {"Y": "{{ run.id }}"}, {"auc": {"type": "number"}}, tuple(needs), **fields)
    reused = Reused("run-0", {"auc": 1}) if action == "reuse" else None
    return PlannedJob(job, action, ("selected",), reused)


def outcome(name, *, status="succeeded", attempts=1, needs=(), reused_from=None) -> dict[str, Any]:
    """A job of a manifest."""
    return {
        "name": name, "status": status, "needs": list(needs), "attempts": [{}] * attempts, "reused_from": reused_from,
        "outputs": {"auc": 1}, "notebook": None,
        "request": {
            "projectId": "here", "notebookId": f"{name}.ipynb", "inputVariables": {"X": "1", "Y": "run-1"},
            "outputVariableNames": ["auc"], "spec": "c1.4",
        },
    }  # fmt: skip


def manifest(*jobs) -> dict[str, Any]:
    run = {key: HEADER[key] for key in ("name", "environment", "backend", "max_parallel")}
    written = {key: HEADER[key] for key in ("job_file", "variables")}
    return {"run": {"id": "run-1", **run}, "jobs": list(jobs), **written}


def environment(name="other", backend="local", projects=None, connectors=None, settings=None) -> Environment:
    return Environment(name, backend, projects or {}, connectors or {}, {}, settings or {}, None, None)  # type: ignore[arg-type]


def actions(plan: Plan) -> dict[str, str]:
    return {planned.job.name: planned.action for planned in plan.jobs}


def test_plan_when_there_is_a_journal_then_every_job_runs_as_it_was_planned():
    retry = Retry(max_attempts=3)
    jobs = [planned("a", "reuse"), planned("b", needs=["a"], retry=retry, timeout=5.0), planned("c", "skip")]
    records = [HEADER, *({"record": "job_planned", **job_as_json(job)} for job in jobs), {"record": "run_finished"}]
    plan = reproduction.from_journal(records)
    assert actions(plan) == {"a": "run", "b": "run", "c": "skip"}
    assert plan.jobs[1].job == jobs[1].job
    assert plan.jobs[0].reused is None and plan.jobs[0].reasons == ("reproduces run run-1",)
    assert (plan.environment, plan.settings, plan.variables["alpha"].value) == ("local", {"memory": "1GiB"}, 0.1)
    assert plan.variables["tag"] == VariableValue("true", "--var-file prod.yaml:1:6")


def test_plan_when_there_is_a_manifest_only_then_what_was_sent_is_sent_again():
    plan = reproduction.from_manifest(
        manifest(outcome("b", needs=["a"]), outcome("a")), environment("local", settings={"memory": "2GiB"})
    )
    assert [planned.job.name for planned in plan.jobs] == ["a", "b"]
    job = plan.jobs[1].job
    assert job.request.input_variables == {"X": "1", "Y": "run-1"} and job.deferred_inputs == {}
    assert (job.request.spec, job.outputs, job.needs, job.run_if) == ("c1.4", {"auc": {}}, ("a",), "all_success")
    assert plan.settings == {"memory": "2GiB"} and plan.max_parallel == 3


def test_plan_when_a_job_did_not_run_then_it_stays_out():
    skipped = outcome("b", status="skipped", attempts=0, needs=["a"])
    plan = reproduction.from_manifest(manifest(outcome("a", status="failed"), skipped), environment("local"))
    assert actions(plan) == {"a": "run", "b": "skip"}
    assert plan.jobs[1].reasons == ("did not run in run run-1",)


def test_plan_when_a_job_was_reused_then_it_is_reused_again():
    plan = reproduction.from_manifest(manifest(outcome("a", attempts=0, reused_from="run-0")), environment("local"))
    assert actions(plan) == {"a": "reuse"}
    assert plan.jobs[0].reused == Reused("run-0", {"auc": 1}, None)


def test_plan_when_an_output_was_only_warned_of_then_it_may_be_missing_again():
    job = {**outcome("a"), "warnings": [{"output": "auc", "message": "output 'auc' was not assigned"}]}
    plan = reproduction.from_manifest(manifest(job), environment("local"))
    assert plan.jobs[0].job.outputs == {"auc": {"severity": "warn"}}


def test_plan_when_a_job_ran_after_a_failure_then_it_does_so_again():
    plan = reproduction.from_manifest(
        manifest(outcome("a", status="failed"), outcome("b", needs=["a"])), environment("local")
    )
    assert plan.jobs[1].job.run_if == "all_done"


OLD = environment("local", projects={"here": "notebooks", "too": "notebooks"}, connectors={"lake": "c1", "sea": "c2"})


def move(request: Request, new: Environment, old: Environment = OLD) -> Request:
    plan = reproduction.from_manifest(manifest(), environment("local"))
    job = planned("a", request=request)
    (moved,) = reproduction.moved(Plan(**{**_fields(plan), "jobs": (job,)}), old, new).jobs
    return moved.job.request


def _fields(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__slots__}


def test_move_when_names_are_in_both_then_they_stand_for_what_is_there():
    new = environment(backend="datasphere", projects={"here": "bt1"}, connectors={"lake": "bt2"})
    moved = move(Request("notebooks", "a.ipynb", spec="c1.4", spark_connector="c1"), new)
    assert moved == Request("bt1", "a.ipynb", spec="c1.4", spark_connector="bt2")


def test_move_when_it_is_back_again_then_is_as_before():
    there = environment("prod", "datasphere", {"here": "bt1"}, {"lake": "bt2"})
    request = Request("notebooks", "a.ipynb", spark_connector="c1")
    assert move(move(request, there), OLD, there) == Request("notebooks", "a.ipynb", spark_connector="bt2")


def test_move_when_two_names_mean_the_same_there_too_then_either_will_do():
    assert move(Request("notebooks", "a.ipynb"), environment(projects={"here": "x", "too": "x"})).project == "x"


def test_move_when_two_names_mean_different_places_there_then_is_refused():
    with pytest.raises(UsageError, match="has several names, here, too, which are not the same in 'other'"):
        move(Request("notebooks", "a.ipynb"), environment(projects={"here": "x", "too": "y"}))


def test_move_when_there_is_no_such_name_then_is_refused_and_says_what_to_do():
    with pytest.raises(
        UsageError, match="job 'a': project 'notebooks' of environment 'local' has no counter"
    ) as refused:
        move(Request("notebooks", "a.ipynb"), environment(projects={"there": "x"}))
    assert refused.value.hint == "give it the same name in the `projects` of both environments"
    with pytest.raises(UsageError, match="Spark connector 'c2' of environment 'local' has no counterpart"):
        new = environment(backend="datasphere", projects={"here": "x"}, connectors={"lake": "y"})
        move(Request("notebooks", "a.ipynb", spark_connector="c2"), new)


def test_move_when_the_job_has_no_project_then_only_a_folder_can_stand_for_it():
    assert move(Request(".", "a.ipynb"), environment()).project == "."
    with pytest.raises(UsageError, match=r"project '\.' of environment 'local' has no counterpart"):
        move(Request(".", "a.ipynb"), environment(backend="datasphere", projects={"here": "x"}))


def test_move_when_the_file_names_what_only_the_new_environment_knows_then_is_that():
    assert move(Request("elsewhere", "a.ipynb"), environment(projects={"elsewhere": "x"})).project == "x"


def test_move_when_a_job_does_not_run_then_it_need_not_be_there():
    plan = reproduction.from_manifest(manifest(outcome("a", attempts=0, status="skipped")), environment("local"))
    new = environment(settings={"memory": "3GiB"})
    moved = reproduction.moved(plan, OLD, new)
    assert (moved.environment, moved.settings, actions(moved)) == ("other", {"memory": "3GiB"}, {"a": "skip"})
