"""What the templates of a job see of the jobs that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsjobs import __version__, schemas
from dsjobs.cli import loading
from dsjobs.model import Job, Plan, Status
from dsjobs.plan.bindings import Ended, names_of, needs_of
from dsjobs.plan.planner import make_plan
from dsjobs.plan.saved import as_json, from_json
from dsjobs.spec.expand import expand
from dsjobs.spec.templates import render
from dsjobs.spec.variables import resolve

CASES = Path(__file__).parents[1] / "cases" / "valid"


def plan_of(name: str) -> Plan:
    loaded = loading.load(CASES / f"{name}.yaml")
    assert loaded.spec is not None
    environment = loading.choose_environment(loaded.spec, None)
    values, _ = resolve(loaded.spec, environment, environ={}, given=())
    jobs, _ = expand(loaded.spec, environment, values, None)
    return make_plan(loaded.spec, environment, values, jobs)


def jobs_of(name: str) -> dict[str, Job]:
    return {planned.job.name: planned.job for planned in plan_of(name).jobs}


def ended(jobs: dict[str, Job]) -> dict[str, Ended]:
    return {
        name: Ended(Status.SUCCEEDED, {"auc": index / 10, "path": "p"}, job.matrix)
        for index, (name, job) in enumerate(jobs.items())
    }


def inputs(job: Job, all_ended: dict[str, Ended]) -> dict[str, Any]:
    return {name: render(value, names_of(job, {}, all_ended)) for name, value in job.deferred_inputs.items()}


def test_needs_when_no_job_has_a_matrix_then_are_by_name() -> None:
    job = Job("b", "", plan_of("minimal").jobs[0].job.request, {}, {}, ("a", "c"))
    assert needs_of(job, {"a": Ended(Status.FAILED, {"x": 1})}) == {"a": {"outputs": {"x": 1}, "status": "failed"}}


def test_needs_when_cells_are_bound_then_are_one_or_a_list() -> None:
    jobs = jobs_of("matrix")
    all_ended = ended(jobs)
    auc = {name: one.outputs["auc"] for name, one in all_ended.items()}
    assert inputs(jobs["check[model=tiny,seed=3]"], all_ended) == {
        "AUC": auc["train[seed=3,model=tiny,size=c1.2]"], "MODEL": "tiny",
    }  # fmt: skip
    assert inputs(jobs["by_seed[seed=1]"], all_ended) == {
        "BEST": max(auc["train[seed=1,model=small]"], auc["train[seed=1,model=large]"]), "FIRST": "small",
    }  # fmt: skip
    assert inputs(jobs["train[seed=2,model=small]"], all_ended) == {"TABLE": "p/2"}
    report = inputs(jobs["report"], all_ended)
    assert report["BEST"] == max(value for name, value in auc.items() if name.startswith("train"))
    assert report["LINES"].startswith(f"1: {auc['train[seed=1,model=small]']};1: ")
    assert report["COUNT"] == 4


def test_plan_when_it_has_cells_then_is_valid_and_reads_back_with_its_bindings() -> None:
    import jsonschema

    for name in ("matrix", "matrix_names", "retry", "tags"):
        plan = plan_of(name)
        document = as_json(plan, __version__)
        jsonschema.Draft202012Validator(schemas.load("plan")).validate(document)
        again = from_json(document, document["jobs"])
        assert as_json(again, __version__) == document
        assert [planned.job.bindings for planned in again.jobs] == [planned.job.bindings for planned in plan.jobs]
        validator = jsonschema.Draft202012Validator(schemas.load("journal"))
        for job in document["jobs"]:
            validator.validate({"record": "job_planned", **job})
