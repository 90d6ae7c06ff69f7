"""What an earlier run has done already: which jobs of a plan need not run again, and what is different for those that do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dsjobs.model import Fingerprint, Job, OutputWarning, Plan, PlannedJob, Reused, Status
from dsjobs.plan.bindings import Ended, names_of
from dsjobs.plan.conditions import obstacle
from dsjobs.spec.conditions import holds
from dsjobs.spec.templates import TemplateError

Manifest = Mapping[str, Any]


def retried(plan: Plan, manifest: Manifest) -> Plan:
    """`plan` as a retry of the run of `manifest`: what did not succeed there runs, and whatever needs it; the rest is reused.

    What was not selected there stays out; what was skipped, and would be again, stays skipped; what is new in the plan runs.
    """
    earlier = {job["name"]: job for job in manifest["jobs"]}
    variables = {name: value.value for name, value in plan.variables.items()}
    retry = _Retry(manifest["run"]["id"], {"vars": variables, "environment": plan.environment})
    # A job comes after those that it needs.
    return replace(plan, jobs=tuple(retry.decided(planned, earlier.get(planned.job.name)) for planned in plan.jobs))


@dataclass(frozen=True, slots=True)
class _Retry:
    """Decides the jobs of a plan one by one. `names`: what their templates may use that is known before the run; `again`: the
    jobs that run, `stands`: what the others came to."""

    run_id: str
    names: Mapping[str, Any]
    again: set[str] = field(default_factory=set)
    stands: dict[str, Ended] = field(default_factory=dict)

    def decided(self, planned: PlannedJob, past: Mapping[str, Any] | None) -> PlannedJob:
        """`planned`, with what becomes of it; `past`: what the manifest says of it."""
        job = planned.job
        if past is not None and not past["selected"]:
            return replace(planned, action="skip", reasons=tuple(past["reasons"]), selected=False)
        skips = planned.reasons if planned.action == "skip" else self.skips_again(job, past)
        if skips:
            self.stands[job.name] = Ended(Status.SKIPPED)
            return replace(planned, action="skip", reasons=skips)
        why = self.why(job, past)
        if why is None and past is not None:
            self.stands[job.name] = Ended(Status.SUCCEEDED, past["outputs"] or {}, job.matrix)
            return _reused(planned, past, self.run_id)
        self.again.add(job.name)
        different = differences(job, past["request"]) if past is not None else ()
        return replace(planned, action="run", reasons=(why or "", *different))

    def why(self, job: Job, past: Mapping[str, Any] | None) -> str | None:
        """Why a job runs again; None where it does not."""
        if past is None:
            return f"not in run {self.run_id}"
        if past["status"] != Status.SUCCEEDED:
            verb = f"was {past['status']}" if past["status"] in (Status.SKIPPED, Status.CANCELLED) else past["status"]
            kind = f" ({past['failure']['kind']})" if past["failure"] else ""
            return f"{verb}{kind} in run {self.run_id}"
        need = next((need for need in job.needs if need in self.again), None)
        return None if need is None else f"needs '{need}', which runs again"

    def skips_again(self, job: Job, past: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Why a job that was skipped would be skipped once more, all that it needs being as it was; nothing where it would not,
        or where that is known only when it could start."""
        if past is None or past["status"] != Status.SKIPPED or not self.again.isdisjoint(job.needs):
            return ()
        needs = [(need, self.stands[need].status) for need in job.needs if need in self.stands]
        if obstacle(job.run_if, needs) is not None:
            return tuple(past["reasons"])
        try:
            runs = job.when is None or holds(job.when, names_of(job, self.names, self.stands))
        except TemplateError:
            return ()
        return () if runs else (f"when: {job.when} is false",)


def reused(past: Mapping[str, Any], run_id: str) -> Reused:
    """What a job that succeeded, `past` in the manifest of run `run_id`, came to."""
    fingerprint = past.get("fingerprint")
    return Reused(
        past["reused_from"] or run_id,
        past["outputs"],
        past["notebook"],
        Fingerprint.from_json(fingerprint) if fingerprint else None,
        tuple(OutputWarning(**warning) for warning in past.get("warnings", ())),
    )


def _reused(planned: PlannedJob, past: Mapping[str, Any], run_id: str) -> PlannedJob:
    what = reused(past, run_id)
    reasons = (f"succeeded in run {what.run}", *(f"though {one}" for one in differences(planned.job, past["request"])))
    return replace(planned, action="reuse", reasons=reasons, reused=what)


def differences(job: Job, request: Mapping[str, Any]) -> Iterator[str]:
    """What is different from an earlier request, as far as it is known before the run: `inputs.ALPHA 0.1 → 0.05`."""
    now = job.request.as_json()
    for key in ("projectId", "notebookId", "cellId", "spec", "sparkConnectorId"):
        if now.get(key) != request.get(key):
            yield f"{key} {_shown(request.get(key))} → {_shown(now.get(key))}"
    before, after = request.get("inputVariables", {}), now.get("inputVariables", {})
    for name in {**after, **before}:
        if name in job.deferred_inputs or before.get(name) == after.get(name):
            continue
        yield f"inputs.{name} {_shown(before.get(name))} → {_shown(after.get(name))}"


def _shown(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if len(value) <= 40 else value[:39] + "…"
