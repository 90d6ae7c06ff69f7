"""Plans for tests, without a job file, and the manifests of runs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dsjobs.model import Code, CodeCell, Job, Plan, PlannedJob, Request, VariableValue
from dsjobs.plan.fingerprint import Target

DIGEST = "sha256:" + "0" * 64


def job(name: str, *needs: str, inputs: Mapping[str, str] | None = None, **fields: Any) -> Job:
    """A job whose notebook is called as it is, with one output, and a cache."""
    asked = {key: fields.pop(key) for key in ("spec", "spark_connector") if key in fields}
    outputs = fields.pop("outputs", {"auc": {}})
    request = Request("here", f"{name}.ipynb", None, inputs or {}, tuple(outputs), **asked)
    made = Job(name, "", request, {}, outputs, needs, cache=True)
    return replace(made, **fields)


def plan_of(*jobs: Job | PlannedJob, **fields: Any) -> Plan:
    """A plan of jobs in the order in which they start."""
    planned = tuple(one if isinstance(one, PlannedJob) else PlannedJob(one, "run", ("selected",)) for one in jobs)
    made = Plan("small", "jobs.yaml", DIGEST, "local", "local", {}, {"alpha": VariableValue(0.05, "--var")}, 4, planned)
    return replace(made, **fields)


def code_of(**notebooks: str) -> dict[Target, Code]:
    """The code of notebooks whose cells are written with a `|` between them."""
    return {
        ("here", f"{name}.ipynb"): Code(
            f"exact {text}", tuple(CodeCell(number, cell) for number, cell in enumerate(text.split("|"), start=1))
        )
        for name, text in notebooks.items()
    }


def manifest_of(plan: Plan, run: str, **changed: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of a run in which every job of `plan` succeeded, but for what is `changed` by job."""
    jobs = []
    for planned in plan.jobs:
        made = planned.fingerprint
        stands = planned.reused
        jobs.append(
            {
                "name": planned.job.name,
                "status": "skipped" if planned.action == "skip" else "succeeded",
                "needs": list(planned.job.needs),
                "outputs": stands.outputs if stands else dict.fromkeys(planned.job.outputs, 1),
                "notebook": stands.notebook if stands else {"path": None, "code_digest": made and made.code},
                "reused_from": stands.run if stands else None,
                "fingerprint": (stands.fingerprint if stands else made).as_json(),  # type: ignore[union-attr]
                **changed.get(planned.job.name, {}),
            }
        )
    return {"run": {"id": run}, "jobs": jobs}
