"""Which jobs are reused, and the reasons of those that run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planned_jobs import code_of, job, manifest_of, plan_of

from dsjobs.marks import MarkedMap
from dsjobs.model import PlannedJob, Reused
from dsjobs.plan.caching import changed, successes, with_cache
from dsjobs.plan.fingerprint import fingerprinted, short
from dsjobs.plan.reuse import retried
from dsjobs.spec import source

CODE = code_of(a="x = 1|y = 2", b="z = 3|w = 4")
BASE = plan_of(job("a", inputs={"X": "1"}), job("b", "a"))
FIRST = manifest_of(fingerprinted(BASE, CODE), "run-1")


def decided(plan=BASE, code=CODE, *manifests, **more):
    """For each job its action and reasons, after the runs of `manifests`, the latest first."""
    last = {}
    for manifest in manifests or (FIRST,):
        last = {**successes(manifest), **last}
    last = {name: replace(one, **more) for name, one in last.items()}
    return {one.job.name: (one.action, "; ".join(one.reasons)) for one in with_cache(plan, code, last).jobs}


def with_job(name: str, **fields):
    return replace(
        BASE,
        jobs=tuple(replace(one, job=replace(one.job, **fields)) if one.job.name == name else one for one in BASE.jobs),
    )


def test_cache_when_nothing_has_changed_then_all_is_reused():
    assert decided() == {"a": ("reuse", "unchanged since run run-1"), "b": ("reuse", "unchanged since run run-1")}


def test_cache_when_there_is_no_success_then_runs():
    failed = manifest_of(fingerprinted(BASE, CODE), "run-1", b={"status": "failed"})
    assert decided(BASE, CODE, failed)["b"] == ("run", "no earlier success is known")


def test_cache_when_a_job_has_none_then_it_runs_and_so_does_what_needs_it():
    assert decided(with_job("a", cache=False)) == {"a": ("run", "selected"), "b": ("run", "a runs")}


def test_cache_when_the_last_success_was_itself_reused_then_that_run_stands():
    second = manifest_of(with_cache(BASE, CODE, successes(FIRST)), "run-2")
    assert decided(BASE, CODE, second)["b"] == ("reuse", "unchanged since run run-1")


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ("z = 3|w = 5", "b.ipynb cell 2 changed"),
        ("z = 0|w = 0", "b.ipynb cell 1 changed; b.ipynb cell 2 changed"),
        ("n = 1|z = 3|w = 4", "b.ipynb cell 1 is new"),
        ("z = 3", "b.ipynb has lost 1 cell"),
        ("w = 4|z = 3", "b.ipynb has its cells in another order"),
    ],
)
def test_cache_when_the_code_changed_then_names_the_cells(cells, why):
    assert decided(BASE, {**CODE, **code_of(b=cells)})["b"] == ("run", f"since run run-1: {why}")


def test_cache_when_the_code_that_ran_is_kept_then_counts_lines():
    code = {**CODE, **code_of(b="z = 3|w = 4\nv = 5\nu = 6")}
    texts = {short("w = 4"): "w = 4"}
    why = decided(BASE, code, texts=lambda: texts)["b"][1]
    assert why == "since run run-1: b.ipynb cell 2 changed (+2 −0)"


def test_cache_when_a_needed_job_changed_then_both_run_and_each_says_its_own():
    found = decided(BASE, {**CODE, **code_of(a="x = 1|y = 3")})
    assert found["a"] == ("run", "since run run-1: a.ipynb cell 2 changed")
    assert found["b"] == ("run", "a runs")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"deferred_inputs": {"R": "{{ run.id }}"}}, "inputs.R (none) → {{ run.id }}"),
        ({"when": "{{ run.id }}"}, "when (none) → {{ run.id }}"),
        ({"outputs": {"auc": {"type": "number"}}}, "its outputs, or their contracts, changed"),
        ({"request": replace(BASE.jobs[1].job.request, spec="g1.1")}, "spec (none) → g1.1"),
    ],
)
def test_cache_when_the_job_changed_then_says_what(fields, why):
    assert decided(with_job("b", **fields))["b"] == ("run", f"since run run-1: {why}")


def test_cache_when_an_input_is_a_variable_then_says_where_its_value_came_from():
    written = source.parse(source.decode("jobs.yaml", b'inputs: {X: "{{ vars.alpha }}"}')[0]).data
    assert isinstance(written, MarkedMap)
    request = replace(BASE.jobs[0].job.request, input_variables={"X": "0.05"})
    plan = with_job("a", request=request, places=(written,))
    assert decided(plan)["a"] == ("run", "since run run-1: inputs.X 1 → 0.05 (--var)")


def test_cache_when_the_code_cannot_be_read_then_runs():
    first = manifest_of(fingerprinted(BASE, {}), "run-1")
    assert decided(BASE, {}, first)["a"] == (
        "run", "its code cannot be read here: nobody can say whether it has changed",
    )  # fmt: skip


def test_cache_when_outputs_are_not_there_then_runs():
    first = manifest_of(fingerprinted(BASE, CODE), "run-1", a={"outputs": None})
    assert decided(BASE, CODE, first)["a"] == ("run", "run run-1 has not all of its outputs")


def test_cache_when_no_outputs_are_declared_and_none_came_then_is_reused():
    plan = plan_of(job("a", outputs={}))
    first = manifest_of(fingerprinted(plan, CODE), "run-1", a={"outputs": None})
    assert decided(plan, CODE, first)["a"][0] == "reuse"


def test_cache_when_the_notebook_was_edited_while_the_run_went_on_then_runs():
    """What it was when it was planned is what it is now, and not what ran."""
    first = manifest_of(fingerprinted(BASE, CODE), "run-1", a={"notebook": {"path": None, "code_digest": "other"}})
    assert decided(BASE, CODE, first)["a"] == ("run", "its notebook was edited while run run-1 went on")


def test_cache_when_the_manifest_is_older_than_fingerprints_then_runs():
    first = manifest_of(fingerprinted(BASE, CODE), "run-1", a={"fingerprint": None})
    assert decided(BASE, CODE, first)["a"] == ("run", "run run-1 has no fingerprint of it")


def test_cache_when_a_needed_job_has_run_since_then_runs():
    """With the same fingerprint it may have given something else."""
    only_a = replace(
        BASE, jobs=(BASE.jobs[0], replace(BASE.jobs[1], action="skip", selected=False, reasons=("not selected",)))
    )
    second = manifest_of(fingerprinted(only_a, CODE), "run-2")
    assert decided(BASE, CODE, second, FIRST) == {
        "a": ("reuse", "unchanged since run run-2"), "b": ("run", "a has run since"),
    }  # fmt: skip


def test_cache_when_a_needed_job_had_failed_then_runs():
    first = manifest_of(fingerprinted(BASE, CODE), "run-1", a={"status": "failed"})
    second = manifest_of(fingerprinted(plan_of(BASE.jobs[0]), CODE), "run-2")
    assert decided(BASE, CODE, second, first)["b"] == ("run", "a has run since")


def test_cache_when_a_needed_job_is_left_out_now_then_runs():
    left_out = PlannedJob(BASE.jobs[0].job, "skip", ("not selected",), selected=False)
    plan = replace(BASE, jobs=(left_out, BASE.jobs[1]))
    assert decided(plan)["b"] == ("run", "a is left out now")


def test_cache_when_many_needed_jobs_run_then_few_are_named():
    jobs = [job(name, cache=False) for name in "acdef"]
    plan = plan_of(*jobs, job("b", *"acdef"))
    first = manifest_of(fingerprinted(plan, CODE), "run-1")
    assert decided(plan, CODE, first)["b"] == ("run", "a runs; c runs; d runs; 2 more that it needs run")


def test_retry_when_it_reuses_a_job_that_has_changed_then_no_later_plan_takes_that_for_its_success():
    """The manifest of a retry says of a reused job what it was when it ran."""
    failed = manifest_of(fingerprinted(BASE, CODE), "run-1", b={"status": "failed"})
    for one in failed["jobs"]:
        one |= {"selected": True, "failure": None, "request": {}}
    edited = {**CODE, **code_of(a="x = 1|y = 3")}
    retry = fingerprinted(retried(fingerprinted(BASE, edited), failed))
    assert [one.action for one in retry.jobs] == ["reuse", "run"]
    assert isinstance(retry.jobs[0].reused, Reused)
    second = manifest_of(retry, "run-2")
    assert decided(BASE, edited, second)["a"] == ("run", "since run run-1: a.ipynb cell 2 changed")
    assert decided(BASE, CODE, second) == {
        "a": ("reuse", "unchanged since run run-1"), "b": ("reuse", "unchanged since run run-2"),
    }  # fmt: skip


def test_changed_when_jobs_differ_then_they_alone_with_reasons():
    plan = fingerprinted(BASE, {**CODE, **code_of(a="x = 1|y = 3")})
    assert changed(plan, FIRST) == {"a": ("a.ipynb cell 2 changed",)}
    assert changed(fingerprinted(BASE, CODE), FIRST) == {}


@pytest.mark.parametrize(("then", "now"), [({}, {}), (CODE, {}), ({}, CODE)])
def test_changed_when_the_code_cannot_be_read_now_or_could_not_then_everybody_counts(then, now):
    first = manifest_of(fingerprinted(BASE, then), "run-1")
    unknown = ("its code cannot be read here: nobody can say whether it has changed",)
    assert changed(fingerprinted(BASE, now), first) == {"a": unknown, "b": unknown}


def test_changed_when_a_job_is_new_or_has_no_fingerprint_then_it_counts():
    plan = fingerprinted(plan_of(*BASE.jobs, job("c")), CODE)
    first = manifest_of(fingerprinted(BASE, CODE), "run-1", a={"fingerprint": None})
    assert changed(plan, first) == {"a": ("run run-1 has no fingerprint of it",), "c": ("not in run run-1",)}
