"""Which jobs need not run because nothing that they depend on has changed, and which have changed at all.

Rules: a job with `cache: true` is reused where it has succeeded before, its fingerprint is that of its last success, what it
gave then is known, each job that it needs is reused as well, and each gave then what it gives now. Otherwise it runs, and the
plan says why. Where the code cannot be read, nobody can say that it has not changed: the job runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dsjobs.model import Code, Fingerprint, Plan, PlannedJob, Reused, Status
from dsjobs.plan.changes import Known, Texts, changes, no_texts, upstream_changes
from dsjobs.plan.fingerprint import Fingerprints, Target, target
from dsjobs.plan.reuse import reused

Manifest = Mapping[str, Any]

_NAMED = 3
"""How many of the jobs that it needs are named where many run."""
_UNREADABLE = "its code cannot be read here: nobody can say whether it has changed"


@dataclass(frozen=True, slots=True)
class Success:
    """The last time that a job succeeded: `past` is what the manifest of run `run` says of it. `origins`: of each job that it
    needed the run that it was from; None where it had not succeeded. `texts`: the code that ran."""

    run: str
    past: Mapping[str, Any]
    origins: Mapping[str, str | None]
    texts: Texts = no_texts


def successes(manifest: Manifest) -> dict[str, Success]:
    """The jobs that succeeded in the run of a manifest, or were reused in it."""
    run = manifest["run"]["id"]
    ok = {job["name"]: job for job in manifest["jobs"] if job["status"] == Status.SUCCEEDED}
    runs = {name: job["reused_from"] or run for name, job in ok.items()}
    return {name: Success(run, job, {need: runs.get(need) for need in job["needs"]}) for name, job in ok.items()}


def with_cache(plan: Plan, code: Mapping[Target, Code], last: Mapping[str, Success]) -> Plan:
    """`plan`, with fingerprints, where each job that has a cache is reused if it may be. `last`: of such jobs the last success,
    left out where there is none."""
    prints = Fingerprints(plan, code)
    done: dict[str, PlannedJob] = {}
    for planned in plan.jobs:  # a job comes after those that it needs
        made = replace(planned, fingerprint=prints.of(planned))
        if planned.job.cache and planned.action == "run":
            known = Known(planned.job, plan.variables, code.get(target(planned.job)))
            made = _decided(made, done, last.get(planned.job.name), known)
        prints.settle(made)
        done[planned.job.name] = made
    return replace(plan, jobs=tuple(done.values()))


def changed(plan: Plan, manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The jobs of a plan with fingerprints that are not what they were in the run of `manifest`, or were not in it, and why.

    A job is not changed by another one that it needs: `state:changed+` selects what needs those that are. One whose code could
    not be read, as on DataSphere, counts as changed.
    """
    run, past = manifest["run"]["id"], {job["name"]: job for job in manifest["jobs"]}
    found: dict[str, tuple[str, ...]] = {}
    for planned in plan.jobs:
        then, now = past.get(planned.job.name), planned.fingerprint
        if then is None or not then.get("fingerprint"):
            found[planned.job.name] = (f"not in run {run}" if then is None else f"run {run} has no fingerprint of it",)
        elif now is not None:
            before = Fingerprint.from_json(then["fingerprint"])
            why = changes(before, now, Known(planned.job, plan.variables))
            if before.cells is None or now.cells is None:
                why.append(_UNREADABLE)
            if why:
                found[planned.job.name] = tuple(why)
    return found


def _decided(planned: PlannedJob, done: Mapping[str, PlannedJob], last: Success | None, known: Known) -> PlannedJob:
    """`planned`, reused or with the reasons for which it runs."""
    if last is None:
        return replace(planned, reasons=("no earlier success is known",))
    what = reused(last.past, last.run)
    running = [need for need in planned.job.needs if done[need].action == "run"]
    reasons = [*_differences(planned, what, replace(known, texts=last.texts))]
    reasons += [f"{name} runs" for name in running[:_NAMED]]
    reasons += [f"{len(running) - _NAMED} more that it needs run"] if len(running) > _NAMED else []
    reasons = reasons or [*_doubts(planned, done, last)]
    if reasons:
        return replace(planned, reasons=tuple(reasons))
    return replace(planned, action="reuse", reasons=(f"unchanged since run {what.run}",), reused=what)


def _differences(planned: PlannedJob, what: Reused, known: Known) -> list[str]:
    """What is different in the job itself."""
    if what.fingerprint is None:
        return [f"run {what.run} has no fingerprint of it"]
    found = changes(what.fingerprint, _print(planned), known)
    return [f"since run {what.run}: {found[0]}", *found[1:]] if found else []


def _doubts(planned: PlannedJob, done: Mapping[str, PlannedJob], last: Success) -> Iterator[str]:
    """Why a job runs although its fingerprint is that of its last success."""
    then, now = Fingerprint.from_json(last.past["fingerprint"]), _print(planned)
    ran = (last.past["notebook"] or {}).get("code_digest")
    if now.cells is None:
        yield _UNREADABLE
    elif ran is not None and then.code != ran:
        yield f"its notebook was edited while run {last.run} went on"
    if then.digest != now.digest:
        yield from upstream_changes(then, now) or ["its fingerprint changed"]
        return
    if not set(planned.job.outputs) <= set(last.past["outputs"] or {}):
        yield f"run {last.run} has not all of its outputs"
    for need in planned.job.needs:
        stands = done[need].reused
        if (stands.run if stands else None) != last.origins.get(need):
            yield f"{need} has run since"
            return


def _print(planned: PlannedJob) -> Fingerprint:
    assert planned.fingerprint is not None, "a job gets its fingerprint before it is decided upon"
    return planned.fingerprint
