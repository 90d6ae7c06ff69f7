"""One run of jobs that take time on a service: `python -m benchmarks.watched_run PORT JOBS PARALLEL SECONDS SPREAD FOLDER`.

dsjobs' own executor, journal and datasphere backend, over HTTP. Prints JSON: seconds and what they would have been for a client
that costs nothing and knows at once, seconds of processor, threads, peak memory, and what the service saw.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import json
import os
import random
import resource
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dsjobs.backends.datasphere.connection  # noqa: F401 (imported by the first call; imports are start-up, as everybody's are)
from dsjobs.backends.datasphere.backend import DataSphereBackend
from dsjobs.backends.datasphere.settings import Settings
from dsjobs.model import Job, Plan, PlannedJob, Request, Status
from dsjobs.run.executor import Executor
from dsjobs.run.flights import Clock, RunContext
from dsjobs.run.journal import Journal
from dsjobs.run.pace import Durations, kind
from dsjobs.run.store import create

CALLS_A_SECOND = 1000.0


@dataclass
class Threads:
    """A listener that remembers how many threads there were at most."""

    most: int = 0

    def __call__(self, records: Sequence[dict[str, Any]]) -> None:
        self.most = max(self.most, threading.active_count())


def ideal(seconds: Iterable[float], slots: int) -> float:
    """How long jobs take, started in this order as soon as one of so many slots is free."""
    ends = [0.0] * slots
    for one in seconds:
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)


def make_plan(seconds: Sequence[float], parallel: int) -> Plan:
    """One notebook for each of `seconds`, none of which needs another."""
    jobs = [
        Job(
            f"j{number}", "", Request("p", notebook="wait.ipynb", input_variables={"SECONDS": str(one)}), {}, {}, (), ()
        )
        for number, one in enumerate(seconds)
    ]
    return Plan(
        name="watched", file="jobs.yaml", digest="sha256:0", environment="prod", backend="datasphere", settings={},
        variables={}, max_parallel=parallel, jobs=tuple(PlannedJob(job, "run", ("selected",)) for job in jobs),
    )  # fmt: skip


def run(plan: Plan, address: str, folder: Path, earlier: Durations, shortest: float) -> dict[str, Any]:
    """Run `plan` on the service at `address`; `earlier`: how long its notebook took before."""
    settings = Settings(
        endpoints={"datasphere": address, "operation": address}, rate_limit=CALLS_A_SECOND, poll_interval=shortest
    )
    backend = DataSphereBackend(settings, {"YC_IAM_TOKEN": "t1.loopback"})
    files = create(Path(tempfile.mkdtemp(dir=folder)), "run")
    clock, threads = Clock(time.time, time.monotonic), Threads()
    context = RunContext(
        "run", clock.now(), {"run_id": "run", "tool_version": "0", "host": "here", "pid": 1, "git": None}, files
    )
    gc.freeze()  # as `apply` does
    wall, cpu = time.perf_counter(), time.process_time()
    with Journal(files.journal) as journal:
        executor = Executor(plan, backend, journal, context, clock=clock, listeners=[threads], durations=earlier)
        status = executor.run("sha256:0")
    took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "threads": threads.most}
    backend.close()
    if status is not Status.SUCCEEDED:
        raise RuntimeError(f"the run has {status.value}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("jobs", type=int)
    parser.add_argument("parallel", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("spread", type=float, help="how much longer or shorter a job may be, as a share")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shortest", type=float, default=0.02, help="seconds between two looks at one, at least")
    parser.add_argument(
        "--again", action="store_true", help="as if it had run before: durations are known from the start"
    )
    given = parser.parse_args()
    chance = random.Random(7)
    low, high = given.seconds * (1 - given.spread), given.seconds * (1 + given.spread)
    seconds = [chance.uniform(low, high) for _ in range(given.jobs)]
    plan = make_plan(seconds, given.parallel)
    known = {kind(plan.jobs[0].job.request): seconds} if given.again else {}
    address = f"http://127.0.0.1:{given.port}"
    took = run(plan, address, given.folder, Durations(known), given.shortest)
    with urllib.request.urlopen(f"{address}/seen") as answer:
        seen = json.load(answer)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**took, "ideal": ideal(seconds, given.parallel), "peak": peak, "pid": os.getpid(), **seen}))


if __name__ == "__main__":
    main()
