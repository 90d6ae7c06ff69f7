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

MATRICES_TARGET = 2.0
"""How much longer a file may take of which a third of the jobs are cells of matrices, for each job."""

TARGETS = {("validate", 10_000): 0.8, ("plan", 10_000): 1.2}


def tables(settings: Settings) -> Iterator[Table]:
    """Time and memory of each size, and what each is of the bare load's."""
    sizes = [3, 30] if settings.quick else [100, 1_000, 10_000, *([100_000] if settings.huge else [])]
    columns = ("jobs", "what", "ms", "× bare load", "target", "peak MiB", "× its peak")
    table = Table("Load: validate and plan beside a bare load of the same file", columns)
    for jobs in sizes:
        _add(table, jobs, settings)
    yield table
    columns = ("jobs", "what", "flat ms", "with matrices ms", "× flat", "target", "flat MiB", "with matrices MiB")
    table = Table("Matrices: a third of the jobs are cells, beside a flat file of as many jobs", columns)
    _add_matrices(table, 30 if settings.quick else 9_990, settings)
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


def _add_matrices(table: Table, jobs: int, settings: Settings) -> None:
    paths = {"matrices": jobfiles.write_matrices(settings.folder, jobs), "flat": jobfiles.write(settings.folder, jobs)}
    measures = {
        (what, kind): partial(run, dsjobs(what, str(path)), settings.folder)
        for what in ("validate", "plan")
        for kind, path in paths.items()
    }
    taken = in_turn(measures, 1 if settings.quick else ROUNDS[10_000])
    for what in ("validate", "plan"):
        flat, matrices = taken[what, "flat"], taken[what, "matrices"]
        walls, others = [sample.wall for sample in matrices], [sample.wall for sample in flat]
        peaks = [median([sample.peak_bytes for sample in samples]) / 2**20 for samples in (flat, matrices)]
        shown = (median(others) * 1000, median(walls) * 1000, ratio(walls, others))
        table.rows.append((jobs, what, *shown, f"≤ {MATRICES_TARGET}", *peaks))
