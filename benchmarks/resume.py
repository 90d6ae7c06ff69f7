"""What it costs to take a run up again, to keep its manifest and to write its journal, as they grow."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.execute import Cost, cost
from benchmarks.measure import in_turn, median, ratio, run
from benchmarks.settings import ROOT, Settings, dsjobs, environ
from benchmarks.tables import Table

SIZES, QUICK_SIZES, ROUNDS = (10_000, 30_000, 100_000), (80,), 3

START = 40
"""Records of a run that is taken up to know what the command costs without one."""

JOBS, QUICK_JOBS = 10_000, 20

WITHOUT = "no journal"
KEPT = {WITHOUT: (), "journal": ("--journal",), "journal and manifest": ("--journal", "--manifest")}


def tables(settings: Settings) -> Iterator[Table]:
    """Microseconds a record stay the same from one size to the next where a cost is linear."""
    sizes = (START, *(QUICK_SIZES if settings.quick else SIZES))
    measures = {size: partial(_measure, size, settings) for size in sizes}
    taken = {size: [measure() for _ in range(1 if settings.quick else ROUNDS)] for size, measure in measures.items()}
    found = {
        size: {name: median([one[name] for one in all_of_it]) for name in all_of_it[0]}
        for size, all_of_it in taken.items()
    }
    yield _resume(found)
    yield _manifest(found)
    yield _journal(settings)


def _resume(found: Mapping[int, Mapping[str, float]]) -> Table:
    columns = ("records", "journal MiB", "resume ms", "µs a record", "peak MiB", "read ms", "fold ms", "ready ms")
    table = Table("Resume: `dsjobs resume` of a run of jobs that do nothing, before its last record", columns)
    for size, one in found.items():
        each = None if size == START else (one["resume"] - found[START]["resume"]) * 1e6 / size
        parts = [one[part] * 1000 for part in ("read", "fold", "recover")]
        table.rows.append((size, one["bytes"] / 2**20, one["resume"] * 1000, each, one["peak"] / 2**20, *parts))
    table.notes.append(f"resume: the whole command; µs a record: without what it takes with {START} records")
    table.notes.append(
        "read, fold and ready are parts of it, measured alone: the journal, its fold, the plan made again"
    )
    return table


def _manifest(found: Mapping[int, Mapping[str, float]]) -> Table:
    columns = (
        "records",
        "write ms",
        "µs a record",
        "writes in a run",
        "cpu ms in a run",
        "cpu µs a record",
        "share of cpu",
    )
    table = Table("Manifest: written once, and kept while a run goes on", columns)
    for size, one in found.items():
        once = (one["write"] * 1000, one["write"] * 1e6 / size)
        kept = (one["kept"] * 1000, one["kept"] * 1e6 / size, one["kept"] / one["cpu"])
        table.rows.append((size, *once, round(one["writes"]), *kept))
    table.notes.append("kept: folding each record, and the writes; share: of the run's own time of the processor")
    return table


def _journal(settings: Settings) -> Table:
    """A run without a journal, with one, and with a manifest as well, in turn."""
    jobs, rounds = (QUICK_JOBS, 1) if settings.quick else (JOBS, ROUNDS)
    arguments = ["layered", str(jobs), "16", str(settings.folder)]
    measures = {name: partial(cost, [*arguments, *flags], jobs) for name, flags in KEPT.items()}
    taken: dict[str, list[Cost]] = in_turn(measures, rounds)
    columns = ("kept", "ms a job", "× no journal", "more µs a job", "cpu ms a job", "syncs a job")
    table = Table(f"Journal: a run of {jobs:,} jobs that do nothing, with and without", columns)
    walls = {name: [one.wall for one in costs] for name, costs in taken.items()}
    for name, costs in taken.items():
        more = median([own - bare for own, bare in zip(walls[name], walls[WITHOUT], strict=True)]) * 1000
        rest = (median([one.cpu for one in costs]), median([one.syncs for one in costs]))
        table.rows.append((name, median(walls[name]), ratio(walls[name], walls[WITHOUT]), more, *rest))
    return table


def _measure(records: int, settings: Settings) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        command = [sys.executable, "-m", "benchmarks.resumed_run", str(records), folder]
        answer = subprocess.run(command, cwd=ROOT, env=environ(), check=True, stdout=subprocess.PIPE, text=True)
        measured: dict[str, Any] = json.loads(answer.stdout)
        place = Path(measured.pop("folder"))
        state = place.parent.parent
        taken = run(dsjobs("resume", place.name, "--quiet", "--state-dir", str(state)), settings.folder)
    return {**measured, "resume": taken.wall, "peak": taken.peak_bytes}
