"""What `diff` finds between two manifests, and how it says so."""

from __future__ import annotations

import pytest
from manifests import DIGEST, attempt, job, manifest

from dsjobs.reports.diff import as_json, diff
from dsjobs.reports.diff_text import text

OTHER = "sha256:" + "1" * 64


def found(before, after):
    return [(change.job, change.what, change.counts) for change in diff(before, after)]


def test_diff_when_the_runs_are_the_same_then_finds_nothing():
    one = manifest(job("a", outputs={"x": [1, {"y": None}]}), job("b"))
    assert found(one, one) == []
    assert text(one, one, []).endswith("\n\nthe same in 2 jobs")


def test_diff_when_only_ids_and_times_differ_then_finds_nothing():
    one = manifest(job("a", outputs={"path": "/runs/20261122-141003-aaaaaa"}))
    at = "2026-11-23T00:00:00.000000Z"
    other = manifest(
        job("a", started_at=at, finished_at=at, outputs={"path": "/runs/later"}),
        run={"id": "later", "started_at": at, "finished_at": at, "host": "there", "pid": 1, "plan_digest": OTHER},
    )
    assert found(one, other) == []


def test_diff_when_a_reused_output_names_the_run_before_then_finds_nothing():
    def request(run):
        return {"projectId": "here", "notebookId": "b.ipynb", "inputVariables": {"PATH": f"/runs/{run}"}}

    first = manifest(job("a", outputs={"path": "/runs/first"}), job("b", request=request("first")), run={"id": "first"})
    second = manifest(
        job("a", outputs={"path": "/runs/first"}, reused_from="first"),
        job("b", request=request("first")),
        run={"id": "second", "parent_run": "first"},
    )
    assert found(first, second) == []


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"status": "failed"}, "status"),
        ({"failure": {"kind": "notebook", "message": "x"}}, "failure"),
        ({"request": {"projectId": "there", "notebookId": "a.ipynb"}}, "project"),
        ({"request": {"projectId": "here", "notebookId": "b.ipynb"}}, "notebook"),
        ({"request": {"projectId": "here", "notebookId": "a.ipynb", "spec": "g1.1"}}, "spec"),
        ({"request": {"projectId": "here", "notebookId": "a.ipynb", "sparkConnectorId": "x"}}, "spark_connector"),
        ({"request": {"projectId": "here", "notebookId": "a.ipynb", "outputVariableNames": ["x"]}}, "output names"),
        ({"request": {"projectId": "here", "notebookId": "a.ipynb", "inputVariables": {"X": "1"}}}, "inputs.X"),
        ({"notebook": {"path": None, "code_digest": OTHER}}, "code"),
        ({"outputs": {"x": None}}, "outputs.x"),
    ],
)
def test_diff_when_a_job_differs_then_it_counts(fields, what):
    assert found(manifest(job("a")), manifest(job("a", **fields))) == [("a", what, True)]
    assert found(manifest(job("a", **fields)), manifest(job("a"))) == [("a", what, True)]


@pytest.mark.parametrize(
    ("fields", "what"), [({"duration": 2.0}, "duration"), ({"attempts": [attempt(1), attempt(2)]}, "attempts")]
)
def test_diff_when_a_job_took_longer_then_it_does_not_count(fields, what):
    assert found(manifest(job("a")), manifest(job("a", **fields))) == [("a", what, False)]


def test_diff_when_the_code_is_not_known_then_it_is_not_compared():
    assert found(manifest(job("a")), manifest(job("a", notebook=None))) == []
    assert found(manifest(job("a")), manifest(job("a", notebook={"path": None, "code_digest": None}))) == []


@pytest.mark.parametrize(
    ("fields", "what", "counts"),
    [
        ({"run": {"environment": "prod"}}, "environment", True),
        ({"run": {"backend": "datasphere"}}, "backend", True),
        ({"run": {"name": "large"}}, "name", True),
        ({"variables": {"alpha": {"value": 0.1, "layer": "--var"}}}, "variables.alpha", True),
        ({"run": {"tool_version": "0.2.0"}}, "dsjobs", False),
        ({"run": {"duration": None}}, "duration", False),
        ({"git": {"commit": "a" * 40, "branch": None, "dirty": True}}, "commit", False),
        ({"job_file": {"path": "jobs.yaml", "digest": OTHER}}, "job file", False),
    ],
)
def test_diff_when_the_runs_differ_then_only_what_was_asked_counts(fields, what, counts):
    assert found(manifest(job("a")), manifest(job("a"), **fields)) == [(None, what, counts)]


def test_diff_when_a_variable_comes_from_elsewhere_then_its_value_counts_only():
    one, other = (manifest(variables={"x": {"value": 1, "layer": layer}}) for layer in ("--var", "jobs.yaml:1:1"))
    assert found(one, other) == []


def test_diff_when_a_job_is_in_one_run_only_then_says_in_which():
    one, other = manifest(job("a"), job("b")), manifest(job("b"), job("c"))
    assert found(one, other) == [("a", "job", True), ("c", "job", True)]
    lines = text(one, other, diff(one, other)).splitlines()
    assert "  job  only in the first run" in lines and "  job  only in the second run" in lines
    assert lines[-1] == "2 differences in 2 jobs"
    assert as_json(one, other, diff(one, other))["changes"][0] == {
        "job": "a", "what": "job", "counts": True, "before": "succeeded", "places": [],
    }  # fmt: skip


def test_text_when_runs_differ_then_is_in_blocks_by_job():
    one = manifest(job("a", outputs={"x": {"y": [1, 2]}}, duration=100.0), job("b", duration=0.1))
    other = manifest(
        job("a", outputs={"x": {"y": [1, 3]}}, duration=130.0, notebook={"path": None, "code_digest": OTHER}),
        job("b", duration=0.11),
        run={"id": "20261123-141003-bbbbbb", "status": "failed", "tool_version": "0.2.0"},
    )
    assert text(one, other, diff(one, other)).splitlines() == [
        "20261122-141003-aaaaaa (succeeded, 12s) → 20261123-141003-bbbbbb (failed, 12s)",
        "",
        "the run",
        '  dsjobs  "0.1.0" → "0.2.0"   (does not count)',
        "",
        "a",
        f"  code       {DIGEST[:19]}… → {OTHER[:19]}…",
        "  outputs.x  $.y[1]: 2 → 3",
        "",
        "durations (do not count)",
        "  a  1m40s → 2m10s (+30%)",
        "",
        "2 differences in 1 job",
    ]


def test_text_when_many_jobs_took_longer_then_the_largest_are_shown():
    one = manifest(*(job(f"j{number}", duration=0.0) for number in range(30)))
    other = manifest(*(job(f"j{number}", duration=number * 60.0) for number in range(30)))
    lines = text(one, other, diff(one, other)).splitlines()
    assert lines[3] == "  j29  0.0s → 29m00s" and lines[-3] == "  … and 19 more"
    assert lines[-1] == "the same in 30 jobs"
