"""The manifest: a fold over the journal. It is derived, so deleting it loses nothing; it is never edited."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from dsjobs.errors import InvalidFileError
from dsjobs.model import Status
from dsjobs.run.records import SCHEMA_VERSION, moment

Record = Mapping[str, Any]
Manifest = dict[str, Any]

encode = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "), allow_nan=False).encode

_OUTCOMES = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
_ENDED = _OUTCOMES | {Status.SKIPPED}
_AT_FIRST = {"run": Status.PENDING, "skip": Status.SKIPPED, "reuse": Status.SUCCEEDED}


def fold(records: Iterable[Record]) -> Manifest:
    """The manifest that `records`, from the header on, come to."""
    state = Fold()
    for record in records:
        state.apply(record)
    return state.as_json()


def digest(head: Iterable[tuple[str, Any]], jobs: Iterable[str]) -> str:
    """The seal of a manifest: `sha256:…` of everything else in it, a line for each part of its head and each encoded job."""
    seal = sha256()
    for key, value in head:
        seal.update(f"{encode(key)}: {encode(value)}\n".encode("utf-8", "backslashreplace"))
    for job in jobs:
        seal.update(job.encode("utf-8", "backslashreplace") + b"\n")
    return f"sha256:{seal.hexdigest()}"


def sealed(manifest: Manifest) -> Manifest:
    """`manifest` with its digest, by which a reader knows that nothing in it was changed since."""
    head = [(key, value) for key, value in manifest.items() if key not in ("jobs", "digest")]
    return {**manifest, "digest": digest(head, map(encode, manifest["jobs"]))}


class Fold:
    """A manifest under construction. Each record costs the same, however many jobs there are."""

    def __init__(self) -> None:
        self.records = 0
        self.causes: dict[str, str] = {}  # of jobs that were skipped; for who takes the run up again
        self.is_cancelled = False  # whether the stop that is in force cancels what is in flight
        self._run: dict[str, Any] = {}
        self._jobs: dict[str, dict[str, Any]] = {}
        self._order: list[str] = []

    @property
    def run(self) -> Mapping[str, Any]:
        """The manifest's `run`."""
        return self._run

    @property
    def jobs(self) -> Mapping[str, Mapping[str, Any]]:
        """The manifest's jobs by name."""
        return self._jobs

    def apply(self, record: Record) -> None:
        """Take in one record. Raises InvalidFileError for one that cannot follow those before it."""
        self.records += 1
        try:
            if record["record"] != "run_started":
                _require(self._run["run"]["status"] == Status.RUNNING)
                _require(self._run["run"]["detached_at"] is None or record["record"] == "run_resumed")
            getattr(self, f"_{record['record']}")(record)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            message = f"line {self.records} of the journal does not fit what stands before it"
            raise InvalidFileError(message, hint="the journal is damaged") from None

    def as_json(self) -> Manifest:
        """The manifest as `manifest.v1.json` describes it."""
        return sealed({**self.head(), "jobs": [self._jobs[name] for name in self.names()]})

    def names(self) -> list[str]:
        """The jobs in the order in which they ran, then those that did not, in the plan's order."""
        ran = set(self._order)
        return [*self._order, *(name for name in self._jobs if name not in ran)]

    def head(self) -> Manifest:
        """Everything of the manifest but its jobs."""
        counts = Counter(job["status"] for job in self._jobs.values())
        return {
            "schema_version": SCHEMA_VERSION,
            "run": self._run["run"],
            "job_file": self._run["job_file"],
            "git": self._run["git"],
            "variables": self._run["variables"],
            "journal_records": self.records,
            "counts": {status.value: counts[status.value] for status in Status if counts[status.value]},
        }

    def _run_started(self, record: Record) -> None:
        _require(not self._run)
        self._run = {key: record[key] for key in ("job_file", "git", "variables")}
        self._run["run"] = {
            "id": record["run_id"],
            "name": record["name"],
            "status": Status.RUNNING.value,
            "environment": record["environment"],
            "backend": record["backend"],
            "max_parallel": record["max_parallel"],
            "tool_version": record["tool_version"],
            "plan_digest": record["plan_digest"],
            "host": record["host"],
            "pid": record["pid"],
            "parent_run": record["parent_run"],
            "started_at": record["at"],
            "finished_at": None,
            "duration": None,
            "stopped": None,
            "detached_at": None,
            "resumed_at": [],
        }

    def _job_planned(self, record: Record) -> None:
        _require(record["name"] not in self._jobs)
        reused = record.get("reused") or {}
        self._jobs[record["name"]] = {
            "name": record["name"],
            "status": _AT_FIRST[record["action"]].value,
            "action": record["action"],
            "selected": record.get("selected", True),
            "allow_failure": record.get("allow_failure", False),
            "reasons": record["reasons"],
            "needs": record["needs"],
            "request": record["request"],
            "started_at": None,
            "finished_at": None,
            "duration": None,
            "outputs": reused.get("outputs"),
            "failure": None,
            "warnings": reused.get("warnings", []),
            "notebook": reused.get("notebook"),
            "kernel_start": None,
            "attempts": [],
            "reused_from": reused.get("run"),
            "fingerprint": (reused or record).get("fingerprint"),
        }

    def _job_submitting(self, record: Record) -> None:
        job = self._jobs[record["job"]]
        _require(job["status"] == Status.PENDING and record["attempt"] == len(job["attempts"]) + 1)
        if not job["attempts"]:
            self._order.append(record["job"])
        job["status"] = Status.RUNNING.value
        job["request"] = record["request"]
        job["started_at"] = record["at"]
        job.update(failure=None, outputs=None, warnings=[], notebook=None, kernel_start=None)
        job["attempts"].append(
            {
                "number": record["attempt"],
                "status": Status.RUNNING.value,
                "idempotency_key": record["idempotency_key"],
                "operation_id": None,
                "submitted_at": record["at"],
                "started_at": None,
                "finished_at": None,
                "failure": None,
                "cancelling": None,
                "retry_at": None,
            }
        )

    def _job_submitted(self, record: Record) -> None:
        attempt = self._open_attempt(record)
        _require(attempt["operation_id"] is None)
        attempt["operation_id"] = record["operation_id"]

    def _job_cancelling(self, record: Record) -> None:
        self._open_attempt(record)["cancelling"] = record["reason"]

    def _job_retrying(self, record: Record) -> None:
        job, attempt = self._jobs[record["job"]], self._open_attempt(record)
        due = datetime.fromisoformat(record["at"]).timestamp() + record["retry_in"]
        attempt.update(
            status=Status.FAILED.value,
            started_at=record.get("started_at"),
            finished_at=record.get("finished_at") or record["at"],
            failure=record["failure"],
            retry_at=moment(due),
        )
        # Until the next attempt: if the run ends first, this is how the job ended.
        job.update(
            status=Status.PENDING.value,
            failure=record["failure"],
            outputs=record.get("outputs"),
            warnings=record.get("warnings", []),
            notebook=record.get("notebook"),
            kernel_start=record.get("kernel_start"),
        )

    def _job_finished(self, record: Record) -> None:
        job = self._jobs[record["job"]]
        failure = record.get("failure")
        _require(record["status"] in _OUTCOMES)
        # Without an intent to submit, its request could not be made.
        attempt = self._open_attempt(record) if job["status"] == Status.RUNNING else None
        _require(attempt is not None or job["status"] == Status.PENDING)
        job.update(
            status=record["status"],
            outputs=record["outputs"],
            failure=failure,
            warnings=record.get("warnings", []),
            notebook=record.get("notebook"),
            kernel_start=record.get("kernel_start"),
            started_at=record.get("started_at") or job["started_at"],
            finished_at=record.get("finished_at") or record["at"],
        )
        job["duration"] = _seconds_between(job["started_at"], job["finished_at"])
        if attempt is not None:
            attempt.update(
                status=record["status"],
                started_at=record.get("started_at"),
                finished_at=job["finished_at"],
                failure=failure,
            )

    def _job_skipped(self, record: Record) -> None:
        job = self._jobs[record["job"]]
        _require(job["status"] == Status.PENDING and not job["attempts"])
        job.update(status=Status.SKIPPED.value, reasons=[record["reason"]], finished_at=record["at"])
        self.causes[record["job"]] = record["cause"]

    def _stop_requested(self, record: Record) -> None:
        self._run["run"]["stopped"] = record["reason"]
        self.is_cancelled = record["cancel"]

    def _run_detached(self, record: Record) -> None:
        self._run["run"]["detached_at"] = record["at"]

    def _run_resumed(self, record: Record) -> None:
        run = self._run["run"]
        run.update(detached_at=None, host=record["host"], pid=record["pid"], tool_version=record["tool_version"])
        run["resumed_at"].append(record["at"])

    def _run_finished(self, record: Record) -> None:
        run = self._run["run"]
        _require(record["status"] in _OUTCOMES and all(job["status"] in _ENDED for job in self._jobs.values()))
        run.update(status=record["status"], finished_at=record["at"])
        run["duration"] = _seconds_between(run["started_at"], run["finished_at"])

    def _open_attempt(self, record: Record) -> dict[str, Any]:
        """The attempt that a record is about: the last one, which has not ended."""
        attempt: dict[str, Any] = self._jobs[record["job"]]["attempts"][-1]
        _require(attempt["number"] == record["attempt"] and attempt["status"] == Status.RUNNING)
        return attempt


def _require(is_possible: bool) -> None:
    if not is_possible:
        raise ValueError("this cannot have happened")


def _seconds_between(start: str | None, end: str) -> float | None:
    if start is None:
        return None
    return max(0.0, round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 6))
