"""Two manifests side by side: what changed between the runs, for the runs as a whole and by job.

Counts: environment, variables, requests, the notebooks' code, statuses and outputs. Shown, but does not count: durations,
attempts, the commit, the job file and the version. IDs and times are not compared, and texts that differ by the runs' own IDs
are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dsjobs.reports.values import ABSENT, Difference, Same, differences, own_words, same_but_for

Manifest = Mapping[str, Any]

_REQUEST = {
    "projectId": "project",
    "notebookId": "notebook",
    "cellId": "cell",
    "spec": "spec",
    "sparkConnectorId": "spark_connector",
    "outputVariableNames": "output names",
}
"""Keys of a request and how they are called in a job file; its inputs are compared one by one."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not the same. `job` is None for the run as a whole; `ABSENT` stands for what is not there."""

    job: str | None
    what: str
    before: Any
    after: Any
    counts: bool
    places: tuple[Difference, ...] = ()


def diff(before: Manifest, after: Manifest) -> list[Change]:
    """What changed from one manifest to another: the run as a whole first, then job by job in the order of the first."""
    same = same_but_for(own_words(before), own_words(after))
    found = list(_run(before, after, same))
    ones, others = ({job["name"]: job for job in manifest["jobs"]} for manifest in (before, after))
    for name in [*ones, *(name for name in others if name not in ones)]:
        found += _job(name, ones.get(name), others.get(name), same)
    return found


def as_json(before: Manifest, after: Manifest, found: list[Change]) -> dict[str, Any]:
    """The changes for programs. A value that is not there has no key."""
    return {
        "before": before["run"]["id"],
        "after": after["run"]["id"],
        "same": not any(change.counts for change in found),
        "changes": [_change_as_json(change) for change in found],
    }


def _change_as_json(change: Change) -> dict[str, Any]:
    values = {"before": change.before, "after": change.after}
    return {
        "job": change.job,
        "what": change.what,
        "counts": change.counts,
        **{key: value for key, value in values.items() if value is not ABSENT},
        "places": [place.path for place in change.places],
    }


def _changed(
    job: str | None, pairs: Iterator[tuple[str, Any, Any]], same: Same, *, counts: bool = True
) -> Iterator[Change]:
    """Those of `pairs` (what, before, after) that differ."""
    for what, one, other in pairs:
        places = tuple(differences(one, other, same))
        if places:
            yield Change(job, what, one, other, counts, places)


def _run(before: Manifest, after: Manifest, same: Same) -> Iterator[Change]:
    one, other = before["run"], after["run"]
    changed = partial(_changed, None, same=same)
    yield from changed(iter((key, one[key], other[key]) for key in ("name", "environment", "backend")))
    yield from changed(_each("variables", *(_values(manifest["variables"]) for manifest in (before, after))))
    files = ("job file", before["job_file"]["digest"], after["job_file"]["digest"])
    commits = ("commit", _commit(before["git"]), _commit(after["git"]))
    versions = ("dsjobs", one["tool_version"], other["tool_version"])
    lasted = ("duration", one["duration"], other["duration"])
    yield from changed(iter((commits, files, versions, lasted)), counts=False)


def _values(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: variable["value"] for name, variable in variables.items()}


def _commit(git: Mapping[str, Any] | None) -> str | None:
    return None if git is None else git["commit"] + (" and changes" if git["dirty"] else "")


def _each(group: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in [*before, *(name for name in after if name not in before)]:
        yield f"{group}.{name}", before.get(name, ABSENT), after.get(name, ABSENT)


def _job(name: str, one: Mapping[str, Any] | None, other: Mapping[str, Any] | None, same: Same) -> Iterator[Change]:
    if one is None or other is None:
        before, after = (ABSENT if job is None else job["status"] for job in (one, other))
        yield Change(name, "job", before, after, counts=True)
        return
    changed = partial(_changed, name, same=same)
    yield from changed(iter((("status", one["status"], other["status"]), ("failure", _kind(one), _kind(other)))))
    requests = one["request"], other["request"]
    yield from changed((what, *(request.get(key, ABSENT) for request in requests)) for key, what in _REQUEST.items())
    yield from changed(_each("inputs", *(_inputs(request) for request in requests)))
    yield from _code(name, one["notebook"], other["notebook"])
    yield from changed(_each("outputs", one["outputs"] or {}, other["outputs"] or {}))
    beside = (
        ("attempts", len(one["attempts"]), len(other["attempts"])),
        ("duration", one["duration"], other["duration"]),
    )
    yield from changed(iter(beside), counts=False)


def _inputs(request: Mapping[str, Any]) -> dict[str, str]:
    """The inputs as texts; of a secret there is the name only."""
    inputs = request.get("inputVariables", {})
    return {name: text if isinstance(text, str) else f"*** (secret {text['secret']})" for name, text in inputs.items()}


def _kind(job: Mapping[str, Any]) -> Any:
    return job["failure"]["kind"] if job["failure"] else ABSENT


def _code(name: str, one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Iterator[Change]:
    """The notebook's code, where both backends said what it was."""
    before, after = ((notebook or {}).get("code_digest") for notebook in (one, other))
    if before is not None and after is not None and before != after:
        yield Change(name, "code", before, after, counts=True, places=(Difference("$", before, after),))
