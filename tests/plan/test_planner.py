"""Why the plan says that jobs run."""

from __future__ import annotations

from collections.abc import Collection

from dsjobs import schemas
from dsjobs.marks import Source
from dsjobs.plan.planner import make_plan
from dsjobs.spec import parse, schema, source
from dsjobs.spec.expand import expand
from dsjobs.spec.variables import resolve

JOBS = """\
version: 1
jobs:
  - {name: load, notebook: a.ipynb}
  - {name: train, notebook: a.ipynb, needs: [load], matrix: {seed: [1, 2, 3]}}
  - {name: report, notebook: a.ipynb, needs: [load, train]}
"""


def reasons(selected: Collection[str] | None) -> dict[str, str]:
    checked = schema.check(source.parse(Source("jobs.yaml", JOBS)), schemas.load("jobs"))
    spec, _ = parse.parse(checked, file="jobs.yaml", stem="jobs", digest="sha256:" + "0" * 64)
    (environment,) = spec.environments.values()
    values, _ = resolve(spec, environment, environ={}, given=())
    jobs, _ = expand(spec, environment, values, None)
    plan = make_plan(spec, environment, values, jobs, selected=selected)
    return {one.job.name: one.reasons[0] for one in plan.jobs}


def test_plan_when_everything_is_selected_then_says_after_what_each_job_goes() -> None:
    found = reasons(None)
    assert found["load"] == "selected; needs no other job"
    assert found["train[seed=2]"] == "selected; after load"
    assert found["report"] == "selected; after load, 3 cells of train"


def test_plan_when_needs_are_not_selected_then_says_without_which_a_job_goes() -> None:
    assert reasons({"report"})["report"] == "selected; without load, 3 cells of train, not selected"
    found = reasons({"load", "train[seed=2]", "report"})
    assert found["report"] == "selected; after load, train[seed=2]; without 2 cells of train, not selected"
    assert found["train[seed=1]"] == "not selected"
