"""A manifest as a table for the terminal, and a failure as the lines that say where to look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dsjobs.reports.columns import Show, columns

Manifest = Mapping[str, Any]

TRACEBACK_LINES = 8
OUTPUTS_WIDTH = 80


def table(manifest: Manifest, show: Show = str, *, state: str | None = None, arguments: str = "") -> str:
    """The run's head, a line for each job in the order in which they ran, the failures, and the summary.

    `state`: how a run stands that has not ended. `arguments` name the run in what is to be typed next.
    """
    run = manifest["run"]
    lines = [f"{run['name']} · run {run['id']} · environment '{run['environment']}' ({run['backend']})"]
    lines += [*_standing(run, state or _state(run)), "", *_job_lines(manifest["jobs"], show)]
    for job in manifest["jobs"]:
        if job["failure"]:
            lines += ["", *failure_lines(job)]
    warned = [f"{job['name']}: warning: {one['message']}" for job in manifest["jobs"] for one in _warnings(job)]
    lines += ["", *warned] if warned else []
    last = summary(manifest)
    verb = next_verb(state or _state(run))
    if verb is not None:
        last += f" · next: {' '.join(filter(None, ('dsjobs', verb, '' if verb == 'apply' else arguments)))}"
    return "\n".join([*lines, "", last])


def next_verb(state: str) -> str | None:
    """The command that goes on from a run in this state."""
    verbs = {"failed": "retry", "cancelled": "retry", "interrupted": "resume", "detached": "resume", "unbegun": "apply"}
    return verbs.get(state)


def _state(run: Mapping[str, Any]) -> str:
    """How a run stands by its manifest alone, which does not know whether its process is still there."""
    return "detached" if run["detached_at"] and run["status"] == "running" else str(run["status"])


def _standing(run: Mapping[str, Any], state: str) -> list[str]:
    """What there is to say of a run beyond its status."""
    lines = []
    if run["parent_run"]:
        lines.append(f"follows run {run['parent_run']}")
    if run["resumed_at"]:
        times = len(run["resumed_at"])
        lines.append(f"resumed{f' {times} times, last' if times > 1 else ''} at {_second(run['resumed_at'][-1])}")
    if run["stopped"]:
        lines.append(f"stopped: {run['stopped']}")
    if state == "running":
        lines.append(f"goes on in process {run['pid']} on {run['host']}")
    elif state == "detached":
        lines.append(f"detached at {_second(run['detached_at'])}: what is in flight goes on without dsjobs")
    elif state == "interrupted":
        lines.append(f"interrupted: its process {run['pid']} on {run['host']} is gone")
    elif state == "unbegun":
        lines.append(f"never began: its process {run['pid']} on {run['host']} ended while its plan was written")
    return lines


def _second(moment: str) -> str:
    """A time of the manifest, without fractions."""
    return f"{moment[:10]} {moment[11:19]} UTC"


def _job_lines(jobs: Sequence[Mapping[str, Any]], show: Show) -> list[str]:
    """The jobs in columns: name, status, duration, and what there is to say."""
    took = [duration(job["duration"]) if job["duration"] is not None else "" for job in jobs]
    rows = [[job["name"], job["status"], time, _detail(job)] for job, time in zip(jobs, took, strict=True)]
    return columns(rows, {1: show}, right=2)


def _detail(job: Mapping[str, Any]) -> str:
    return " · ".join(filter(None, (_outcome(job), _history(job))))


def _outcome(job: Mapping[str, Any]) -> str:
    if job["status"] == "skipped":
        return "; ".join(job["reasons"])
    shown = ", ".join(f"{name}={_short(value)}" for name, value in (job["outputs"] or {}).items())
    return shown if len(shown) <= OUTPUTS_WIDTH else shown[: OUTPUTS_WIDTH - 1] + "…"


def _history(job: Mapping[str, Any]) -> str:
    """How the job came to stand as it does, where that is not by its first attempt."""
    if job["reused_from"]:
        return f"from run {job['reused_from']}"
    if not job["attempts"]:
        return ""
    last = job["attempts"][-1]
    if job["status"] == "pending":
        return f"attempt {last['number']} failed, the next is due at {_second(last['retry_at'])}"
    if job["status"] == "running" and last["cancelling"]:
        return f"asked to end ({last['cancelling']})"
    if job["status"] == "running":
        return f"attempt {last['number']}" if last["number"] > 1 else ""
    return f"{last['number']} attempts" if last["number"] > 1 else ""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "…"


def failure_lines(job: Mapping[str, Any]) -> list[str]:
    """What failed, where, the end of the traceback, and where the executed notebook lies."""
    failure = job["failure"]
    target = job["request"].get("notebookId") or job["request"].get("cellId")
    allowed = ", allowed" if job.get("allow_failure") else ""
    lines = [f"{job['name']} failed ({failure['kind']}{allowed}): {failure['message']}"]
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
    """One line: how many of each status, how many warnings, and how long it took."""
    run = manifest["run"]
    warnings = sum(len(_warnings(job)) for job in manifest["jobs"])
    warned = f", {warnings} warning{'' if warnings == 1 else 's'}" if warnings else ""
    took = f" in {duration(run['duration'])}" if run["duration"] is not None else ", not finished"
    allowed = sum(job["status"] == "failed" and job.get("allow_failure", False) for job in manifest["jobs"])
    return counted(manifest["counts"], allowed) + warned + took


def _warnings(job: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What is wrong with outputs whose contracts only warn; manifests of early versions do not say."""
    warnings: Sequence[Mapping[str, Any]] = job.get("warnings", ())
    return warnings


def counted(counts: Mapping[str, int], allowed: int = 0) -> str:
    """How many jobs have each status, what needs attention first; so many of the failures are `allowed`."""
    words = {status: f"{counts[status]} {status}" for status in _ORDER if counts.get(status)}
    if allowed:
        words["failed"] += " (allowed)" if allowed == counts["failed"] else f" ({allowed} allowed)"
    return ", ".join(words.values())


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
