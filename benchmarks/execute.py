"""What running a job costs when the job does nothing: dsjobs' scheduler, executor and journal beside GNU make and ninja.

make and ninja start a process for each job, `true`; dsjobs calls a backend in its own process. Neither is what a notebook
costs: it is what is paid on top.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.graphs import GRAPHS, write_makefile, write_ninja
from benchmarks.measure import in_turn, median, ratio, run
from benchmarks.settings import ROOT, Settings, environ
from benchmarks.tables import Table

JOBS, QUICK_JOBS, ROUNDS = 1_000, 20, 9

MEMORY = Path("/dev/shm")

# How many jobs at once, where the run is kept, and what is kept of it.
DSJOBS = {
    "dsjobs -j 2, no journal": (2, "memory", ()),
    "dsjobs -j 2, journal in memory": (2, "memory", ("--journal",)),
    "dsjobs -j 2, journal on disk": (2, "disk", ("--journal",)),
    "dsjobs -j 2, journal and manifest on disk": (2, "disk", ("--journal", "--manifest")),
    "dsjobs -j 16, journal on disk": (16, "disk", ("--journal",)),
}
TARGET = {name: "≤ 0.2 ms" for name in DSJOBS if name.endswith("journal on disk")}


@dataclass(frozen=True)
class Cost:
    """What one job of a run cost: milliseconds, milliseconds of processor, and how often the disk was waited for."""

    wall: float
    cpu: float
    syncs: float


Measure = Callable[[], Cost]


def cost(arguments: list[str], jobs: int) -> Cost:
    """What one job of a run by dsjobs costs; `arguments` are those of `no_op.py`."""
    command = [sys.executable, "-m", "benchmarks.no_op", *arguments]
    answer = subprocess.run(command, cwd=ROOT, env=environ(), check=True, capture_output=True, text=True)
    wall, cpu, syncs = map(float, answer.stdout.split())
    return Cost(wall * 1000 / jobs, cpu * 1000 / jobs, syncs / jobs)


def tables(settings: Settings) -> Iterator[Table]:
    """Milliseconds a job for each graph, start-up removed, and what that is of make's and ninja's."""
    jobs, rounds = (QUICK_JOBS, 1) if settings.quick else (JOBS, ROUNDS)
    columns = ("graph", "by", "ms a job", "fastest", "× make", "× ninja", "cpu ms", "syncs", "target")
    table = Table(f"Execute: {jobs:,} jobs that do nothing", columns)
    table.notes += [f"{name}: left out, not on the PATH" for name in ("make", "ninja") if shutil.which(name) is None]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as memory:
        if not MEMORY.is_dir():
            table.notes.append(f"'in memory' is the system's temporary folder: there is no {MEMORY}")
        for graph in ["layered"] if settings.quick else GRAPHS:
            folders = {"disk": settings.folder, "memory": Path(memory)}
            taken = in_turn(_measures(graph, jobs, folders), rounds)
            for name, costs in taken.items():
                walls = [cost.wall for cost in costs]
                peers = [_beside(walls, taken.get(peer)) for peer in ("make -j2", "ninja -j2")]
                rest = (median([cost.cpu for cost in costs]), median([cost.syncs for cost in costs]), TARGET.get(name))
                table.rows.append((graph, name, median(walls), min(walls), *peers, *rest))
    table.notes.append(f"one write and sync of a line, alone, takes {_sync_time(settings.folder):.3f} ms on this disk")
    table.notes.append("cpu and syncs are a job's as well; they vary less than the time when the machine is busy")
    yield table


def _beside(walls: list[float], peer: list[Cost] | None) -> float | None:
    return ratio(walls, [cost.wall for cost in peer]) if peer else None


def _measures(graph: str, jobs: int, folders: dict[str, Path]) -> dict[str, Measure]:
    measures: dict[str, Measure] = {}
    for tool, write in (("make", write_makefile), ("ninja", write_ninja)):
        if shutil.which(tool):
            whole, single = folders["disk"] / f"{tool}-{graph}", folders["disk"] / f"{tool}-{graph}-single"
            for folder, size in ((whole, jobs), (single, 1)):
                folder.mkdir()
                write(GRAPHS[graph](size), folder)
            measures[f"{tool} -j2"] = partial(_tool, [tool, "-j2"], whole, single, jobs)
    for name, (parallel, place, flags) in DSJOBS.items():
        measures[name] = partial(cost, [graph, str(jobs), str(parallel), str(folders[place]), *flags], jobs)
    return measures


def _tool(command: list[str], whole: Path, single: Path, jobs: int) -> Cost:
    """Its start-up is what it takes for a graph of one job."""
    all_jobs, one = run(command, whole), run(command, single)
    return Cost((all_jobs.wall - one.wall) * 1000 / jobs, (all_jobs.cpu - one.cpu) * 1000 / jobs, 0)


def _sync_time(folder: Path) -> float:
    times = []
    with open(folder / "sync", "wb") as file:
        for _ in range(100):
            start = time.perf_counter()
            os.write(file.fileno(), b"x" * 200 + b"\n")
            os.fsync(file.fileno())
            times.append((time.perf_counter() - start) * 1000)
    return median(times)
