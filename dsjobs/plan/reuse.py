"""What an earlier run has done already: which jobs of a plan need not run again, and what is different for those that do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dsjobs.model import Fingerprint, Job, OutputWarning, Plan, PlannedJob, Reused, Status

Manifest = Mapping[str, Any]


def retried(plan: Plan, manifest: Manifest) -> Plan:
    """`plan` as a retry of the run of `manifest`: what did not succeed there runs, and whatever needs it; the rest is reused.

    What was not selected there stays out; what is new in the plan runs.
    """
    run_id = manifest["run"]["id"]
    earlier = {job["name"]: job for job in manifest["jobs"]}
    again: dict[str, str] = {}
    jobs = []
    for planned in plan.jobs:  # a job comes after those that it needs
        name, past = planned.job.name, earlier.get(planned.job.name)
        if planned.action == "skip":
            jobs.append(planned)
            continue
        if past is not None and not past["selected"]:
            jobs.append(replace(planned, action="skip", reasons=tuple(past["reasons"]), selected=False))
            continue
        why = _why(planned.job, past, run_id, again)
        if why is None and past is not None:
            jobs.append(_reused(planned, past, run_id))
            continue
        again[name] = why or ""
        different = differences(planned.job, past["request"]) if past is not None else ()
        jobs.append(replace(planned, action="run", reasons=(again[name], *different)))
    return replace(plan, jobs=tuple(jobs))


def _why(job: Job, past: Mapping[str, Any] | None, run_id: str, again: Mapping[str, str]) -> str | None:
    """Why a job runs again; None where it does not."""
    if past is None:
        return f"not in run {run_id}"
    if past["status"] != Status.SUCCEEDED:
        verb = f"was {past['status']}" if past["status"] in (Status.SKIPPED, Status.CANCELLED) else past["status"]
        kind = f" ({past['failure']['kind']})" if past["failure"] else ""
        return f"{verb}{kind} in run {run_id}"
    need = next((need for need in job.needs if need in again), None)
    return None if need is None else f"needs '{need}', which runs again"


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
