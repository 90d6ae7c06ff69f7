"""What is in a fingerprint: everything that a job depends on, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planned_jobs import code_of, job, plan_of

from dsjobs.model import Fingerprint, PlannedJob, Retry, Reused
from dsjobs.plan.fingerprint import fingerprinted

CODE = code_of(a="x = 1|y = 2", b="z = 3")
BASE = plan_of(job("a", inputs={"X": "1"}), job("b", "a"))


def prints(plan, code=CODE) -> list[str]:
    return [planned.fingerprint.digest for planned in fingerprinted(plan, code).jobs]


def with_first(**fields):
    first = BASE.jobs[0]
    return replace(BASE, jobs=(replace(first, job=replace(first.job, **fields)), *BASE.jobs[1:]))


def with_request(**fields):
    return with_first(request=replace(BASE.jobs[0].job.request, **fields))


@pytest.mark.parametrize(
    "plan",
    [
        replace(BASE, environment="prod"),
        replace(BASE, backend="dask"),
        with_request(spec="g1.1"),
        with_request(spark_connector="lake"),
        with_request(project="there"),
        with_request(input_variables={"X": "2"}),
        with_request(input_variables={"X": "1", "Y": "1"}),
        with_request(input_variables={"X": "x" * 1000}),
        with_first(deferred_inputs={"RUN": "{{ run.id }}"}),
        with_first(deferred_inputs={"RUN": ["{{ run.id }}"]}),
        with_first(outputs={"auc": {"type": "number"}}),
        with_first(when="{{ run.id != '' }}"),
    ],
)
def test_fingerprint_when_what_a_job_depends_on_differs_then_it_and_those_below_are_others(plan):
    code = {("there", "a.ipynb"): CODE[("here", "a.ipynb")], **CODE}
    assert not set(prints(plan, code)) & set(prints(BASE))


@pytest.mark.parametrize(
    "plan",
    [
        with_first(retry=Retry(3), timeout=5.0, tags=("x",), description="x", pools=("gpu",), allow_failure=True),
        replace(BASE, name="other", digest="other", settings={"memory": "1GiB"}, max_parallel=1, protected=True),
    ],
)
def test_fingerprint_when_anything_else_differs_then_the_same(plan):
    assert prints(plan) == prints(BASE)


def test_fingerprint_when_the_code_differs_then_another():
    assert prints(BASE, code_of(a="x = 1|y = 3", b="z = 3"))[0] != prints(BASE)[0]


def test_fingerprint_when_long_inputs_differ_at_their_ends_then_others():
    one, other = with_request(input_variables={"X": "x" * 999}), with_request(input_variables={"X": "x" * 998 + "y"})
    assert prints(one) != prints(other)
    assert len(fingerprinted(one, CODE).jobs[0].fingerprint.inputs["X"]) == len("sha256:") + 64


def test_fingerprint_when_a_needed_job_is_reused_then_it_counts_as_what_it_was_then():
    then = fingerprinted(with_request(spec="g1.1"), CODE)
    reused = replace(BASE.jobs[0], action="reuse", reused=Reused("run-1", {}, None, then.jobs[0].fingerprint))
    made = fingerprinted(replace(BASE, jobs=(reused, BASE.jobs[1])), CODE)
    assert made.jobs[0].fingerprint.digest == prints(BASE)[0]
    assert made.jobs[1].fingerprint.digest == then.jobs[1].fingerprint.digest


def test_fingerprint_when_a_needed_job_does_not_run_then_its_reason_counts():
    made = {
        prints(replace(BASE, jobs=(PlannedJob(BASE.jobs[0].job, "skip", ("x",), selected=selected), BASE.jobs[1])))[1]
        for selected in (True, False)
    }
    assert len(made | {prints(BASE)[1]}) == 3


def test_fingerprint_when_the_code_is_not_given_then_what_the_jobs_have_counts():
    made = fingerprinted(BASE, CODE)
    assert fingerprinted(made) == made


def test_fingerprint_when_it_went_through_json_then_is_the_same():
    for planned in fingerprinted(BASE, {}).jobs + fingerprinted(with_first(when="{{ run.id }}"), CODE).jobs:
        assert Fingerprint.from_json(planned.fingerprint.as_json()) == planned.fingerprint
