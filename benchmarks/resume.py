"""What it costs to take a run up again, and to keep its manifest, as journals grow."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import median
from benchmarks.settings import ROOT, Settings, environ
from benchmarks.tables import Table

SIZES, QUICK_SIZES, ROUNDS = (10_000, 100_000), (40,), 3


def tables(settings: Settings) -> Iterator[Table]:
    """Milliseconds, and microseconds a record: these stay the same where the cost is linear."""
    columns = ("records", "journal MiB", "resume ms", "µs a record", "write manifest ms", "run, manifest kept / not")
    table = Table("Resume: a run of jobs that do nothing, taken up before its last record", columns)
    for records in QUICK_SIZES if settings.quick else SIZES:
        taken = [_measure(records, settings) for _ in range(1 if settings.quick else ROUNDS)]
        resume = median([sum(one[part] for part in ("read", "fold", "recover", "end")) for one in taken])
        kept = median([one["run"] / one["run without manifest"] for one in taken])
        written = median([one["write manifest"] for one in taken])
        size = taken[0]["bytes"] / 2**20
        table.rows.append((records, size, resume * 1000, resume * 1e6 / records, written * 1000, kept))
    table.notes.append("resume: reading the journal, folding it, making the plan again, and writing the last record")
    yield table


def _measure(records: int, settings: Settings) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        command = [sys.executable, "-m", "benchmarks.resumed_run", str(records), folder]
        answer = subprocess.run(command, cwd=ROOT, env=environ(), check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(answer.stdout)
    return measured
