"""Takes up a run that lacks its last record: `python -m benchmarks.resumed_run RECORDS FOLDER`.

Prints seconds to write that many records and a manifest with them, to read the journal again, to be ready to go on, and to write
the manifest once; and the journal's bytes. The jobs do nothing (`no_op.py`).
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmarks.graphs import layered
from benchmarks.no_op import NoOpBackend, make_plan, run
from dsjobs.run import journal
from dsjobs.run.executor import Executor
from dsjobs.run.flights import Clock, RunContext
from dsjobs.run.journal import Journal
from dsjobs.run.manifest import Fold
from dsjobs.run.manifest_file import ManifestFile
from dsjobs.run.recovery import recover
from dsjobs.run.store import RunFolder

T = TypeVar("T")

EACH = 4
"""Records of a job: planned, submitting, submitted, finished."""


def timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    plan = make_plan(layered(given.records // EACH), 16)
    gc.freeze()  # as `apply` does
    without = run(plan, given.folder, journal=True, manifest=False)
    whole, _ = timed(lambda: run(plan, given.folder, journal=True, manifest=True))
    folder = RunFolder(max(given.folder.glob("*/runs/run"), key=lambda path: path.stat().st_mtime))
    content = folder.journal.read_bytes()
    folder.journal.write_bytes(content[: content.rindex(b"\n", 0, -1) + 1])
    read, records = timed(lambda: journal.read(folder.journal))
    state = Fold()

    def take_in() -> None:
        for record in records:
            state.apply(record)

    folded, _ = timed(take_in)
    ready, recovered = timed(lambda: recover(records, state))
    clock = Clock(time.time, time.monotonic)
    manifest = ManifestFile([folder.manifest], clock.ticks, records)
    written, _ = timed(lambda: manifest._write(sync=True))
    context = RunContext("run", clock.now(), recovered.header, folder)
    with Journal(folder.journal, existing=True) as log:
        executor = Executor(
            recovered.plan, NoOpBackend(), log, context, clock=clock, listeners=[manifest], recovered=recovered
        )
        ended, _ = timed(lambda: executor.run("sha256:0"))
    figures = {"run": whole, "run without manifest": without.wall, "read": read, "fold": folded, "recover": ready}
    print(json.dumps({**figures, "end": ended, "write manifest": written, "bytes": len(content)}))


if __name__ == "__main__":
    main()
