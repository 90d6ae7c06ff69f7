"""A manifest as a table for the terminal, and a failure as the lines that say where to look."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Manifest = Mapping[str, Any]
Show = Callable[[str], str]
"""How a status is shown, e.g. with a symbol and a colour."""

TRACEBACK_LINES = 8
OUTPUTS_WIDTH = 80


def table(manifest: Manifest, show: Show = str) -> str:
    """The run's head, a line for each job in the order in which they ran, the failures, and the summary."""
    run = manifest["run"]
    lines = [f"{run['name']} · run {run['id']} · environment '{run['environment']}' ({run['backend']})", ""]
    lines += _job_lines(manifest["jobs"], show)
    for job in manifest["jobs"]:
        if job["failure"]:
            lines += ["", *failure_lines(job)]
    return "\n".join([*lines, "", summary(manifest)])


def _job_lines(jobs: Sequence[Mapping[str, Any]], show: Show) -> list[str]:
    """The jobs in columns: name, status, duration, and what there is to say."""
    took = [duration(job["duration"]) if job["duration"] is not None else "" for job in jobs]
    names, statuses, times = (
        max(map(len, column), default=0) for column in ([j["name"] for j in jobs], [j["status"] for j in jobs], took)
    )
    lines = []
    for job, time in zip(jobs, took, strict=True):
        status = show(job["status"]) + " " * (statuses - len(job["status"]))
        lines.append(f"  {job['name']:<{names}}  {status}  {time:>{times}}  {_detail(job)}".rstrip())
    return lines


def _detail(job: Mapping[str, Any]) -> str:
    if job["status"] == "skipped":
        return "; ".join(job["reasons"])
    shown = ", ".join(f"{name}={_short(value)}" for name, value in (job["outputs"] or {}).items())
    return shown if len(shown) <= OUTPUTS_WIDTH else shown[: OUTPUTS_WIDTH - 1] + "…"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "…"


def failure_lines(job: Mapping[str, Any]) -> list[str]:
    """What failed, where, the end of the traceback, and where the executed notebook lies."""
    failure = job["failure"]
    target = job["request"].get("notebookId") or job["request"].get("cellId")
    lines = [f"{job['name']} failed ({failure['kind']}): {failure['message']}"]
    place = _place(failure)
    if place:
        lines.append(f"  {target}, {place}")
    if failure.get("source_line"):
        lines.append(f"    > {failure['source_line'].strip()}")
    lines += [f"    {line}" for line in _last_lines(failure.get("traceback", ()))]
    if failure.get("hint"):
        lines.append(f"  hint: {failure['hint']}")
    if job["notebook"] and job["notebook"]["path"]:
        lines.append(f"  executed notebook: {job['notebook']['path']}")
    return lines


def _place(failure: Mapping[str, Any]) -> str:
    if "cell_number" not in failure:
        return ""
    place = f"code cell {failure['cell_number']}"
    return f"{place}, line {failure['line']}" if "line" in failure else place


def _last_lines(traceback: Sequence[str]) -> list[str]:
    lines = [line for entry in traceback for line in entry.splitlines() if line.strip()]
    return lines[-TRACEBACK_LINES:]


_ORDER = ("failed", "cancelled", "skipped", "running", "pending", "succeeded")


def summary(manifest: Manifest) -> str:
    """One line: how many of each status, and how long it took."""
    counts = manifest["counts"]
    parts = [f"{counts[status]} {status}" for status in _ORDER if counts.get(status)]
    run = manifest["run"]
    took = f" in {duration(run['duration'])}" if run["duration"] is not None else ", not finished"
    return ", ".join(parts) + took


def duration(seconds: float) -> str:
    """Seconds as people read them: 0.4s, 12s, 4m12s, 2h05m."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"
