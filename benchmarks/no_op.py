"""One run of a graph of jobs that do nothing, by dsjobs' own executor: `python -m benchmarks.no_op GRAPH JOBS PARALLEL FOLDER`.

Prints seconds, seconds of processor and syncs, without the interpreter's start and the imports.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.graphs import GRAPHS, Graph
from dsjobs.backends.protocol import Capabilities, Notify, Submission
from dsjobs.diagnostics import Diagnostic
from dsjobs.model import Job, Operation, Plan, PlannedJob, Request, Status
from dsjobs.plan.graph import start_order
from dsjobs.run.executor import Executor, Listener
from dsjobs.run.flights import Clock, RunContext
from dsjobs.run.journal import Journal
from dsjobs.run.manifest_file import ManifestFile
from dsjobs.run.store import create


class NoOpBackend:
    """Every job has ended, well, when its submit returns."""

    name = "no-op"
    capabilities = Capabilities(outputs=True, logs=False, executed_notebook=False)

    def check(self, jobs: Sequence[Job]) -> list[Diagnostic]:
        return []

    def submit(self, submission: Submission, *, idempotency_key: str, notify: Notify) -> Operation:
        return Operation(idempotency_key, done=True, outputs={})

    def poll(self, operation_id: str) -> Operation:
        return Operation(operation_id, done=True, outputs={})

    def cancel(self, operation_id: str) -> None:
        pass

    def forget(self, operation_id: str) -> None:
        pass

    def close(self) -> None:
        pass


class CountedLog:
    """Counts how often a journal is written and synced. Without one it forgets: what is left is the executor's own cost."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self.syncs = 0

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        if self._journal is not None:
            self._journal.append(records)
            self.syncs += 1


def make_plan(graph: Graph, parallel: int) -> Plan:
    """The plan for `graph`, in the order in which its jobs would start."""
    jobs = {name: _job(name, needed) for name, needed in graph.items()}
    return Plan(
        name="no-op",
        file="jobs.yaml",
        digest="sha256:0",
        environment="local",
        backend="no-op",
        settings={},
        variables={},
        max_parallel=parallel,
        jobs=tuple(PlannedJob(jobs[name], "run", ("selected",)) for name in start_order(graph)),
    )


def _job(name: str, needed: Sequence[str]) -> Job:
    request = Request(project=".", notebook="nothing.ipynb", input_variables={"NAME": name})
    return Job(name, "", request, {}, {}, tuple(needed), ())


@dataclass(frozen=True)
class Run:
    """What a run took: seconds, seconds of processor, and syncs of its journal."""

    wall: float
    cpu: float
    syncs: int


def run(plan: Plan, folder: Path, *, journal: bool, manifest: bool) -> Run:
    """One run in a new folder below `folder`, from the making of that folder to the last record."""
    clock = Clock(time.time, time.monotonic)
    wall, cpu = time.perf_counter(), time.process_time()
    files = create(Path(tempfile.mkdtemp(dir=folder)), "run")
    listeners: list[Listener] = [ManifestFile([files.manifest], clock.ticks)] if manifest else []
    header = {"run_id": "run", "tool_version": "0", "host": "here", "pid": 1, "git": None}
    context = RunContext("run", clock.now(), header, files)
    with Journal(files.journal) if journal else nullcontext() as opened:
        log = CountedLog(opened)
        status = Executor(plan, NoOpBackend(), log, context, clock=clock, listeners=listeners).run("sha256:0")
    took = Run(time.perf_counter() - wall, time.process_time() - cpu, log.syncs)
    if status is not Status.SUCCEEDED:
        raise RuntimeError(f"the run of jobs that do nothing has {status.value}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graph", choices=[*GRAPHS])
    parser.add_argument("jobs", type=int)
    parser.add_argument("parallel", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--journal", action="store_true")
    parser.add_argument("--manifest", action="store_true")
    given = parser.parse_args()
    plan = make_plan(GRAPHS[given.graph](given.jobs), given.parallel)
    gc.freeze()  # as `apply` does
    took = run(plan, given.folder, journal=given.journal, manifest=given.manifest)
    print(took.wall, took.cpu, took.syncs)


if __name__ == "__main__":
    main()
