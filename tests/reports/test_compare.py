"""Outputs of two runs, within tolerances."""

from __future__ import annotations

import pytest
from manifests import job, manifest

from dsjobs.reports.compare import as_json, compare, is_same, outputs_named, table, tolerance_of


def verdicts(before, after, **tolerances):
    """The verdict of each output of a job `train`."""
    one, other = (manifest(job("train", outputs=outputs)) for outputs in (before, after))
    return {compared.output: compared.verdict for compared in compare(one, other, tolerances)}


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "verdict"),
    [
        (0.5, 0.5, 0.0, "same"),
        (1, 1.0, 0.0, "same"),
        (0.5, 0.500001, 0.0, "different"),
        (0.3, 0.300001, 1e-6, "close"),
        (0.3, 0.3000011, 1e-6, "different"),
        (0.300001, 0.3, 1e-6, "close"),
        (10, 12, 2.0, "close"),
        (10, 13, 2.0, "different"),
        (10**400, 10**400 + 1, 1.0, "close"),
        (10**400, 1.5, 1e300, "different"),
        (1, True, 5.0, "different"),
        ("1", 1, 5.0, "different"),
        ([1, {"x": 2.0}], [1.5, {"x": 2.5}], 0.5, "close"),
        ([1, {"x": 2.0}], [1.5, {"x": 2.6}], 0.5, "different"),
        ([1, 2], [1, 2, 3], 9.0, "different"),
        ({"a": 1}, {"b": 1}, 9.0, "different"),
        (None, 0, 9.0, "different"),
    ],
)
def test_output_when_compared_then_numbers_may_be_as_far_apart_as_allowed(before, after, tolerance, verdict):
    assert verdicts({"x": before}, {"x": after}, x=tolerance) == {"x": verdict}


def test_output_when_one_run_lacks_it_then_is_missing():
    assert verdicts({"x": 1}, {"y": 1}) == {"x": "missing", "y": "missing"}
    assert verdicts({"x": 1}, None, x=5.0) == {"x": "missing"}
    assert verdicts(None, None) == {}


def test_job_when_one_run_lacks_it_then_is_not_the_same():
    found = compare(manifest(job("a")), manifest(job("b", outputs={"x": 1})), {})
    assert [(c.job, c.output, c.verdict) for c in found] == [
        ("a", "(status)", "missing"), ("b", "(status)", "missing"), ("b", "x", "missing"),
    ]  # fmt: skip
    assert not is_same(found)


def test_status_when_it_differs_then_is_not_the_same():
    found = compare(manifest(job("a", outputs={"x": 1})), manifest(job("a", outputs={"x": 1}, status="failed")), {})
    assert [(c.output, c.verdict) for c in found] == [("(status)", "different"), ("x", "same")]
    assert not is_same(found)
    assert table(found).endswith("\n1 of 1 outputs the same, 1 status differs")


def test_output_when_it_names_its_own_run_then_is_the_same():
    one = manifest(job("a", outputs={"path": "/data/20261122-141003-aaaaaa/x"}))
    other = manifest(job("a", outputs={"path": "/data/later/x"}), run={"id": "later"})
    assert is_same(compare(one, other, {}))
    other["jobs"][0]["outputs"]["path"] = "/data/later/y"
    assert not is_same(compare(one, other, {}))


def test_tolerance_when_several_are_meant_then_the_closest_counts():
    tolerances = {"auc": 1.0, "train.auc": 2.0, "train[seed=2].auc": 3.0}
    assert tolerance_of("other", "auc", tolerances) == 1.0
    assert tolerance_of("train", "auc", tolerances) == 2.0
    assert tolerance_of("train[seed=1]", "auc", tolerances) == 2.0
    assert tolerance_of("train[seed=2]", "auc", tolerances) == 3.0
    assert tolerance_of("train", "loss", tolerances) == 0.0


def test_tolerance_when_it_may_name_an_output_then_all_its_names_are_known():
    one = manifest(job("t[s=1]", outputs=None, request={"projectId": "p", "outputVariableNames": ["auc"]}))
    assert outputs_named(one) == {"auc", "t.auc", "t[s=1].auc"}


def test_table_when_outputs_differ_then_says_where_and_how_far():
    one = manifest(job("train", outputs={"a": 1, "b": 0.5, "c": {"x": [1, 2]}, "d": 1}))
    other = manifest(job("train", outputs={"a": 1, "b": 0.6, "c": {"x": [1, 5]}}))
    found = compare(one, other, {"b": 0.2, "c": 1.0})
    assert table(found).splitlines() == [
        "  train  a  same       1",
        "  train  b  close      0.5 → 0.6, within 0.2",
        "  train  c  different  $.x[1]: 2 → 5, beyond 1",
        "  train  d  missing    1 → (none)",
        "",
        "2 of 4 outputs the same",
    ]
    assert as_json(found)[2:] == [
        {
            "job": "train", "output": "c", "verdict": "different", "tolerance": 1.0, "before": {"x": [1, 2]},
            "after": {"x": [1, 5]}, "places": ["$.x[1]"],
        },
        {"job": "train", "output": "d", "verdict": "missing", "tolerance": 0.0, "before": 1, "places": ["$"]},
    ]  # fmt: skip


def test_table_when_there_is_nothing_to_compare_then_says_so():
    assert table(compare(manifest(job("a")), manifest(job("a")), {})) == "there are no outputs to compare"
