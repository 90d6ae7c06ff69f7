"""How long `validate` and `plan` take, as whole processes, beside a process that only loads the file with PyYAML's C loader."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks import jobfiles
from benchmarks.measure import in_turn, median, ratio, run
from benchmarks.settings import Settings, dsjobs
from benchmarks.tables import Table

ROUNDS = {100: 15, 1_000: 11, 10_000: 7, 100_000: 1}

BARE = "import sys, yaml; yaml.load(open(sys.argv[1]), yaml.CSafeLoader)"

TARGETS = {("validate", 10_000): 0.8, ("plan", 10_000): 1.2}


def tables(settings: Settings) -> Iterator[Table]:
    """Time and memory of each size, and what each is of the bare load's."""
    sizes = [3, 30] if settings.quick else [100, 1_000, 10_000, *([100_000] if settings.huge else [])]
    columns = ("jobs", "what", "ms", "× bare load", "target", "peak MiB", "× its peak")
    table = Table("Load: validate and plan beside a bare load of the same file", columns)
    for jobs in sizes:
        _add(table, jobs, settings)
    yield table


def _add(table: Table, jobs: int, settings: Settings) -> None:
    path = str(jobfiles.write(settings.folder, jobs))
    commands = {
        "bare load": [sys.executable, "-c", BARE, path],
        "validate": dsjobs("validate", path),
        "plan": dsjobs("plan", path),
    }
    measures = {name: partial(run, command, settings.folder) for name, command in commands.items()}
    taken = in_turn(measures, 1 if settings.quick else ROUNDS[jobs])
    bare = taken["bare load"]
    for name, samples in taken.items():
        walls, peaks = [sample.wall for sample in samples], [sample.peak_bytes for sample in samples]
        time_ratio = ratio(walls, [sample.wall for sample in bare])
        peak_ratio = ratio(peaks, [sample.peak_bytes for sample in bare])
        target = f"≤ {TARGETS[name, jobs]}" if (name, jobs) in TARGETS else None
        table.rows.append((jobs, name, median(walls) * 1000, time_ratio, target, median(peaks) / 2**20, peak_ratio))
