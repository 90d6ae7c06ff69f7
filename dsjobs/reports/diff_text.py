"""What changed between two runs, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from dsjobs.reports.columns import columns
from dsjobs.reports.diff import Change, Manifest
from dsjobs.reports.text import duration
from dsjobs.reports.values import ABSENT, changes

DURATIONS = 10
"""How many jobs are shown that took longer or shorter."""
_DIGEST = len("sha256:") + 12


def text(before: Manifest, after: Manifest, found: Sequence[Change]) -> str:
    """The runs, the changes in blocks by job, the durations that changed most, and how many changes count."""
    lines = [f"{_run(before['run'])} → {_run(after['run'])}"]
    shown = [change for change in found if change.what != "duration"]
    for job, block in groupby(shown, key=lambda change: change.job):
        rows = [[change.what, _values(change)] for change in block]
        lines += ["", job or "the run", *columns(rows)]
    lines += _durations([change for change in found if change.what == "duration" and change.job is not None])
    return "\n".join([*lines, "", summary(after, found)])


def summary(after: Manifest, found: Sequence[Change]) -> str:
    """One line: how many changes count."""
    counted = [change for change in found if change.counts]
    if not counted:
        return f"the same in {_number(len(after['jobs']), 'job')}"
    jobs = {change.job for change in counted if change.job is not None}
    where = f" in {_number(len(jobs), 'job')}" if jobs else ""
    return f"{_number(len(counted), 'difference')}{where}"


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _run(run: Mapping[str, Any]) -> str:
    took = f", {duration(run['duration'])}" if run["duration"] is not None else ""
    return f"{run['id']} ({run['status']}{took})"


def _values(change: Change) -> str:
    if change.what == "job":
        return f"only in the {'second' if change.before is ABSENT else 'first'} run"
    if change.what in ("code", "job file"):
        return f"{change.before[:_DIGEST]}… → {change.after[:_DIGEST]}…"
    beside = "" if change.counts else "   (does not count)"
    return changes(list(change.places)) + beside


def _durations(found: Sequence[Change]) -> list[str]:
    """The jobs whose durations differ most, longest difference first."""
    both = [change for change in found if change.before is not None and change.after is not None]
    by_size = sorted(both, key=lambda change: -abs(change.after - change.before))
    rows = [[str(change.job), _lasted(change.before, change.after)] for change in by_size]
    rows = [row for row in rows if row[1]]
    more = [f"  … and {len(rows) - DURATIONS} more"] if len(rows) > DURATIONS else []
    return ["", "durations (do not count)", *columns(rows[:DURATIONS]), *more] if rows else []


def _lasted(before: float, after: float) -> str:
    """Both durations, or nothing where they read the same."""
    if duration(before) == duration(after):
        return ""
    return f"{duration(before)} → {duration(after)}" + (f" ({after / before - 1:+.0%})" if before else "")
