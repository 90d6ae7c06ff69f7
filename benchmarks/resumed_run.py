"""Makes a run that lacks its last record, for `dsjobs resume`: `python -m benchmarks.resumed_run RECORDS FOLDER`.

Prints, as JSON, where it is, its journal's bytes, and what it took: seconds of processor for keeping the manifest all the while,
and seconds to write it once, to read the journal, to fold it and to make ready to go on. The jobs do nothing (`no_op.py`).
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.graphs import layered
from benchmarks.no_op import make_plan, run
from dsjobs.files import write_atomically
from dsjobs.run import journal
from dsjobs.run.flights import Clock
from dsjobs.run.manifest import Fold
from dsjobs.run.manifest_file import ManifestFile, text
from dsjobs.run.recovery import recover
from dsjobs.run.store import RunFolder

T = TypeVar("T")

EACH = 4
"""Records of a job: planned, submitting, submitted, finished."""


class Timed:
    """A manifest that is kept, with the seconds of processor that this took, and how often its file was replaced."""

    def __init__(self, folder: RunFolder, clock: Clock) -> None:
        self.folder = folder
        self.manifest = ManifestFile([folder.manifest], clock.ticks)
        self.cpu = 0.0
        self.files: set[int] = set()

    def __call__(self, records: Sequence[dict[str, Any]]) -> float | None:
        start = time.thread_time()
        again = self.manifest(records)
        self.cpu += time.thread_time() - start
        if self.folder.manifest.exists():
            self.files.add(self.folder.manifest.stat().st_mtime_ns)
        return again


def timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    plan = replace(make_plan(layered(given.records // EACH), 16), backend="local")
    gc.freeze()  # as `apply` does
    kept: list[Timed] = []

    def keep(folder: RunFolder, clock: Clock) -> Timed:
        kept.append(Timed(folder, clock))
        return kept[-1]

    whole = run(plan, given.folder, journal=True, keep=keep)
    (one,) = kept
    content = one.folder.journal.read_bytes()
    one.folder.journal.write_bytes(content[: content.rindex(b"\n", 0, -1) + 1])
    figures = {"run": whole.wall, "cpu": whole.cpu, "kept": one.cpu, "writes": len(one.files), "bytes": len(content)}
    print(json.dumps({"folder": str(one.folder.path), **figures, **_parts(one.folder)}))


def _parts(folder: RunFolder) -> dict[str, float]:
    """What taking a run up is made of, and writing its manifest once."""
    read, records = timed(lambda: journal.read(folder.journal))
    state = Fold()

    def take_in() -> None:
        for record in records:
            state.apply(record)

    folded, _ = timed(take_in)
    ready, _ = timed(lambda: recover(records, state))
    written, _ = timed(lambda: write_atomically(folder.manifest, text(state).encode()))
    return {"read": read, "fold": folded, "recover": ready, "write": written}


if __name__ == "__main__":
    main()
