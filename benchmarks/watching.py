"""What watching costs: operations that take time on a service, through dsjobs' own client, executor and journal over HTTP.

The service is another process on this machine that only keeps time (`service.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import median
from benchmarks.settings import ROOT, Settings, environ
from benchmarks.tables import Table

ROUNDS = 3
SPREAD = 0.2


@dataclass(frozen=True)
class Load:
    """So many jobs, `parallel` of them at once, each of about so many seconds; `again`: durations are known from before."""

    jobs: int
    parallel: int
    seconds: float
    again: bool = False


IN_FLIGHT = [Load(1_000, 1_000, 30), Load(5_000, 5_000, 30), Load(10_000, 10_000, 60)]
MAKESPANS = {
    Load(1_000, 100, 0.5): "≤ 1.10",
    Load(1_000, 100, 2): "≤ 1.03",
    Load(1_000, 100, 10): "≤ 1.02",
    Load(1_000, 100, 0.5, again=True): None,
}
QUICK = Load(20, 10, 0.1)


def tables(settings: Settings) -> Iterator[Table]:
    """How much longer a run takes than it must, and what many operations in flight cost."""
    rounds = 1 if settings.quick else ROUNDS
    targets = {QUICK: None} if settings.quick else MAKESPANS
    columns = (
        "jobs",
        "at once",
        "seconds each",
        "known",
        "time / ideal",
        "target",
        "looks a job",
        "seen after ms",
        "p95 ms",
    )
    spans = Table(f"Watching: how much longer than ideal, each job ±{SPREAD:.0%}", (*columns, "cpu ms a job"))
    for load, target in targets.items():
        if not settings.wants(f"{load.seconds:g} s"):
            continue
        runs = [_run(load, settings, shortest=0.02) for _ in range(rounds)]
        known = "yes" if load.again else "no"
        spans.rows.append((load.jobs, load.parallel, load.seconds, known, _ratio(runs), target, *_figures(load, runs)))
    spans.notes.append(
        "ideal: each job starts as soon as one of the slots is free, is seen at once, and calls cost nothing"
    )
    spans.notes.append("seen after: the time between an operation's end and the look that finds it, median and 95 %")
    if spans.rows:
        yield spans
    if settings.wants("in flight"):
        yield _in_flight([QUICK] if settings.quick else IN_FLIGHT, settings)


def _figures(load: Load, runs: list[dict[str, Any]]) -> tuple[float, ...]:
    """Looks a job, milliseconds until an end is seen (median and 95 %), and milliseconds of processor a job."""
    return (
        _of(runs, lambda run: run["looks"] / load.jobs),
        _of(runs, lambda run: _quantile(run, 0.5)),
        _of(runs, lambda run: _quantile(run, 0.95)),
        _of(runs, lambda run: run["cpu"] * 1000 / load.jobs),
    )


def _in_flight(loads: list[Load], settings: Settings) -> Table:
    columns = (
        "in flight",
        "seconds each",
        "calls a second",
        "cpu share",
        "threads",
        "peak MiB",
        "seen after ms",
        "p95 ms",
    )
    table = Table("Watching: many operations in flight", columns)
    for load in loads:
        run = _run(load, settings, shortest=1.0)
        calls = (run["submits"] + run["looks"]) / run["wall"]
        table.rows.append(
            (load.parallel, load.seconds, calls, run["cpu"] / run["wall"], run["threads"], run["peak"] / 2**20,
             _quantile(run, 0.5), _quantile(run, 0.95))
        )  # fmt: skip
    table.notes.append(
        "at most 1,000 calls a second, and a second between two looks at one; nothing is known from before"
    )
    return table


def _run(load: Load, settings: Settings, *, shortest: float) -> dict[str, Any]:
    arguments = [str(load.jobs), str(load.parallel), str(load.seconds), str(SPREAD), str(settings.folder)]
    arguments += ["--shortest", str(shortest), *(["--again"] if load.again else [])]
    with _service() as port:
        command = [sys.executable, "-m", "benchmarks.watched_run", port, *arguments]
        answer = subprocess.run(command, cwd=ROOT, env=environ(), check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(answer.stdout)
    return measured


@contextmanager
def _service() -> Iterator[str]:
    """The port of a service that has seen nothing yet."""
    command = [sys.executable, "-m", "benchmarks.service"]
    with subprocess.Popen(command, cwd=ROOT, env=environ(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _ratio(runs: list[dict[str, Any]]) -> float:
    return _of(runs, lambda run: run["wall"] / run["ideal"])


def _of(runs: list[dict[str, Any]], figure: Any) -> float:
    return median([float(figure(run)) for run in runs])


def _quantile(run: dict[str, Any], share: float) -> float:
    delays = run["delays"]
    return float(delays[min(len(delays) - 1, int(share * len(delays)))] * 1000)
