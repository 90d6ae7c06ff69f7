"""Manifests made by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

STARTED_AT = "2026-11-22T14:10:03.250000Z"
DIGEST = "sha256:" + "0" * 64


def job(name: str, **fields: Any) -> dict[str, Any]:
    """A job that succeeded at its first attempt; `fields` replace what is said of it."""
    written: dict[str, Any] = {
        "name": name,
        "status": "succeeded",
        "reasons": ["selected"],
        "needs": [],
        "request": {"projectId": "here", "notebookId": f"{name}.ipynb"},
        "started_at": STARTED_AT,
        "finished_at": STARTED_AT,
        "duration": 1.0,
        "outputs": {},
        "failure": None,
        "notebook": {"path": None, "code_digest": DIGEST},
        "kernel_start": None,
        "attempts": [attempt(1)],
        "reused_from": None,
    }
    return {**written, **fields}


def attempt(number: int, **fields: Any) -> dict[str, Any]:
    return {"number": number, "status": "succeeded", "cancelling": None, "retry_at": None, **fields}


def manifest(*jobs: Mapping[str, Any], run: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A manifest of a run that succeeded; `run` and `fields` replace what is said of it."""
    said = {
        "id": "20261122-141003-aaaaaa",
        "name": "small",
        "status": "succeeded",
        "environment": "local",
        "backend": "local",
        "max_parallel": 4,
        "tool_version": "0.1.0",
        "plan_digest": DIGEST,
        "host": "here",
        "pid": 4711,
        "parent_run": None,
        "started_at": STARTED_AT,
        "finished_at": STARTED_AT,
        "duration": 12.0,
        "stopped": None,
        "detached_at": None,
        "resumed_at": [],
    }
    return {
        "schema_version": 1,
        "run": {**said, **(run or {})},
        "job_file": {"path": "jobs.yaml", "digest": DIGEST},
        "git": None,
        "variables": {},
        "journal_records": 1,
        "counts": dict(Counter(job["status"] for job in jobs)),
        "jobs": list(jobs),
        **fields,
    }
