"""What a run says while it goes on: a line for each change with a time, and a heartbeat, so that CI does not take it for dead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dsjobs.cli.console import Console
from dsjobs.reports.text import duration
from dsjobs.run.flights import Clock
from dsjobs.run.manifest import Fold
from dsjobs.spec.durations import written

HEARTBEAT = 60.0
"""Seconds without a change after which a line says that the run is alive."""

_STATUS_WIDTH = len("succeeded  ")

Record = dict[str, Any]


class Progress:
    """A listener of the executor that prints lines to stderr."""

    def __init__(self, console: Console, clock: Clock, fold: Fold) -> None:
        """`fold` has taken in, by another listener, what this one is told of."""
        self._console = console
        self._clock = clock
        self._fold = fold
        self._last = clock.ticks()
        self._beating = False

    def __call__(self, records: Sequence[Record]) -> float | None:
        """Print what changed; asks to be called again for the heartbeat."""
        for record in records:
            line = self._line(record)
            if line is not None:
                self._console.progress(f"{_time(record)}  {line}")
                self._last = self._clock.ticks()
        if records and self._beating:
            return None
        self._beating = True
        quiet = self._clock.ticks() - self._last
        if quiet >= HEARTBEAT:
            self._console.progress(self._heartbeat())
            self._last, quiet = self._clock.ticks(), 0.0
        return HEARTBEAT - quiet

    def _line(self, record: Record) -> str | None:
        kind = record["record"]
        if kind == "job_submitting":
            again = f" (attempt {record['attempt']})" if record["attempt"] > 1 else ""
            return f"{self._status('running')}{record['job']}{again}"
        if kind == "job_finished":
            return self._finished(record)
        if kind == "job_retrying":
            failed = f"{self._status('failed')}{record['job']}: {record['failure']['message']}"
            return f"{failed}; next attempt in {written(record['retry_in'])}"
        if kind == "job_cancelling" and record["reason"] == "timeout":
            return f"{self._status('running')}{record['job']}: it takes too long, cancelling it"
        if kind == "run_detached":
            return f"left: {record['reason']}"
        if kind == "job_skipped":
            return f"{self._status('skipped')}{record['job']}: {record['reason']}"
        if kind == "stop_requested":
            return self._stopped(record)
        return None

    def _status(self, status: str) -> str:
        return self._console.status(status) + " " * (_STATUS_WIDTH - len(status))

    def _stopped(self, record: Record) -> str:
        line = f"stopping: {record['reason']}"
        running = sum(job["status"] == "running" for job in self._fold.jobs.values())
        if running and record["cancel"]:
            line += f"; cancelling {_jobs(running)} (once more to leave at once)"
        elif running:
            line += f"; waiting for {_jobs(running)}"
        return line

    def _finished(self, record: Record) -> str:
        job = self._fold.jobs[record["job"]]
        took = f" in {duration(job['duration'])}" if job["duration"] is not None else ""
        line = f"{self._status(record['status'])}{record['job']}{took}"
        if job["failure"] and record["status"] == "failed":
            line += f": {job['failure']['message']}"
        return "; warning: ".join([line, *(warning["message"] for warning in job["warnings"])])

    def _heartbeat(self) -> str:
        jobs = self._fold.jobs.values()
        running = [job["name"] for job in jobs if job["status"] == "running"]
        ended = sum(job["status"] not in ("pending", "running") for job in jobs)
        shown = ", ".join(running[:3]) + (f" and {len(running) - 3} more" if len(running) > 3 else "")
        moment = datetime.fromtimestamp(self._clock.now()).strftime("%H:%M:%S")
        return f"{moment}  still running: {shown} · {ended} of {len(jobs)} jobs have ended"


def _jobs(number: int) -> str:
    return f"{number} job{'' if number == 1 else 's'}"


def _time(record: Record) -> str:
    return datetime.fromisoformat(record["at"]).astimezone().strftime("%H:%M:%S")


class JsonLines:
    """A listener that prints each record to stdout, one JSON document a line. Where that cannot be, the run goes on without."""

    def __init__(self, console: Console, unwritten: list[str]) -> None:
        """`unwritten` gets what is to be said of it at the end."""
        self._console = console
        self._unwritten = unwritten
        self._is_over = False

    def __call__(self, records: Sequence[Record]) -> None:
        if self._is_over:
            return
        try:
            for record in records:
                self._console.answer_json(record, indent=None)
        except OSError as error:
            self._is_over = True
            self._unwritten.append(f"stdout: the events cannot be written: {error.strerror}")
            self._console.progress(f"{self._unwritten[-1]}; the run goes on")
