"""What a run says while it goes on: a line for each change with a time, and a heartbeat, so that CI does not take it for dead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dsjobs.cli.console import Console
from dsjobs.reports.text import duration, failure_lines
from dsjobs.run.executor import Clock
from dsjobs.run.manifest import Fold

HEARTBEAT = 60.0
"""Seconds without a change after which a line says that the run is alive."""

Record = dict[str, Any]


class Progress:
    """A listener of the executor that prints lines to stderr."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._fold = Fold()
        self._last = clock.ticks()
        self._beating = False

    def __call__(self, records: Sequence[Record]) -> float | None:
        """Print what changed; asks to be called again for the heartbeat."""
        for record in records:
            self._fold.apply(record)
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
            return f"{self._console.status('running')}  {record['job']}{again}"
        if kind == "job_finished":
            return self._finished(record)
        if kind == "job_skipped":
            return f"{self._console.status('skipped')}  {record['job']}: {record['reason']}"
        return None

    def _finished(self, record: Record) -> str:
        job = self._fold.jobs[record["job"]]
        took = f" in {duration(job['duration'])}" if job["duration"] is not None else ""
        line = f"{self._console.status(record['status'])}  {record['job']}{took}"
        if job["failure"] and record["status"] == "failed":
            line += f": {failure_lines(job)[0].split('): ', 1)[-1]}"
        return line

    def _heartbeat(self) -> str:
        jobs = self._fold.jobs.values()
        running = [job["name"] for job in jobs if job["status"] == "running"]
        ended = sum(job["status"] not in ("pending", "running") for job in jobs)
        shown = ", ".join(running[:3]) + (f" and {len(running) - 3} more" if len(running) > 3 else "")
        moment = datetime.fromtimestamp(self._clock.now()).strftime("%H:%M:%S")
        return f"{moment}  still running: {shown} · {ended} of {len(jobs)} jobs have ended"


def _time(record: Record) -> str:
    return datetime.fromisoformat(record["at"]).astimezone().strftime("%H:%M:%S")


class JsonLines:
    """A listener that prints each record to stdout, one JSON document a line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, records: Sequence[Record]) -> None:
        for record in records:
            self._console.answer(json.dumps(record, ensure_ascii=False))
