"""Plans made by hand, clocks that need no time, and runs that cannot hang a test."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from dsjobs.marks import Source
from dsjobs.model import Job, Plan, PlannedJob, Request, Reused, Status, VariableValue
from dsjobs.plan.graph import start_order
from dsjobs.run import journal
from dsjobs.run.executor import Executor, Listener
from dsjobs.run.flights import Clock, RunContext
from dsjobs.run.journal import Journal
from dsjobs.run.manifest import Fold
from dsjobs.run.manifest_file import ManifestFile
from dsjobs.run.recovery import Recovered
from dsjobs.run.secret_values import SecretValues
from dsjobs.run.store import RunFolder
from dsjobs.spec import source

DEADLINE = 20.0
"""Seconds after which a run counts as hanging."""

DIGEST = "sha256:" + "0" * 64
HEADER = {"run_id": "run-1", "tool_version": "0.1.0", "host": "here", "pid": 1, "git": None}
STARTED_AT = 1_800_000_000.0

Needs = Mapping[str, Sequence[str]]


@st.composite
def graphs(draw: st.DrawFn, most: int = 10) -> dict[str, list[str]]:
    """A job's name to the names of those that it needs: without cycles, in a file's order that is not that of the graph."""
    names = [f"j{number}" for number in range(draw(st.integers(1, most)))]
    needs = {
        name: [earlier for earlier in names[:index] if draw(st.integers(0, 3)) == 0] for index, name in enumerate(names)
    }
    return {name: needs[name] for name in draw(st.permutations(names))}


def make_plan(
    needs: Needs,
    *,
    max_parallel: int = 4,
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
    outputs: Mapping[str, Mapping[str, Any]] | None = None,
    rules: Mapping[str, Mapping[str, Any]] | None = None,
    reused: Mapping[str, Mapping[str, Any]] | None = None,
    left_out: Collection[str] = (),
) -> Plan:
    """A plan whose jobs have these needs; `inputs` are templates, `outputs` contracts, and `rules` more fields, by job. `reused`
    stand as an earlier run left them, with these outputs; `left_out` are not selected."""
    document = source.parse(Source("jobs.yaml", "{}\n"))
    jobs = {
        name: Job(
            name=name,
            description="",
            request=Request(
                "project",
                notebook=f"{name}.ipynb",
                input_variables={"NAME": name},
                output_variable_names=tuple((outputs or {}).get(name, ())),
            ),
            deferred_inputs=(inputs or {}).get(name, {}),
            outputs=(outputs or {}).get(name, {}),
            needs=tuple(needed),
            places=(document.data,),
            **(rules or {}).get(name, {}),
        )
        for name, needed in needs.items()
    }
    return Plan(
        name="made",
        file="jobs.yaml",
        digest=DIGEST,
        environment="local",
        backend="memory",
        settings={},
        variables={"region": VariableValue("eu", "jobs.yaml:1:1")},
        max_parallel=max_parallel,
        jobs=tuple(_planned(jobs[name], reused or {}, left_out) for name in start_order(needs)),
    )


def _planned(job: Job, reused: Mapping[str, Mapping[str, Any]], left_out: Collection[str]) -> PlannedJob:
    if job.name in reused:
        return PlannedJob(job, "reuse", ("unchanged since run run-0",), Reused("run-0", reused[job.name]))
    if job.name in left_out:
        return PlannedJob(job, "skip", ("not selected",), selected=False)
    if job.skip_reason is not None:
        return PlannedJob(job, "skip", (job.skip_reason,))
    return PlannedJob(job, "run", ("selected",))


def frozen_clock() -> Clock:
    """Time stands still: no poll and no repetition ever falls due."""
    return Clock(lambda: STARTED_AT, lambda: 0.0)


def leaping_clock(step: float = 20.0) -> Clock:
    """Each reading is `step` seconds after the last: whatever waits is due at the next turn, and nothing takes real time."""
    ticks = itertools.count()
    return Clock(lambda: STARTED_AT, lambda: next(ticks) * step)


class Running:
    """A run on a thread of its own, so that one that hangs fails its test. `records` are those that listeners were told."""

    def __init__(
        self,
        plan: Plan,
        backend: Any,
        folder: Path,
        *,
        clock: Clock | None = None,
        listeners: Sequence[Listener] = (),
        fail_fast: bool = False,
        log: Any = None,
        recovered: Recovered | None = None,
        secrets: SecretValues | None = None,
    ) -> None:
        self.folder = RunFolder(folder)
        self.records: list[dict[str, Any]] = []
        self._log = log
        self._listeners = listeners
        self._seen = threading.Condition()
        self._result: Status | BaseException | None = None
        self.clock = clock or frozen_clock()
        fold = Fold()
        for record in journal.read(self.folder.journal) if recovered is not None else ():
            fold.apply(record)
        manifest = ManifestFile([self.folder.manifest], lambda: 0.0, fold)
        self.executor = Executor(
            plan,
            backend,
            log or Journal(self.folder.journal),
            RunContext("run-1", STARTED_AT, HEADER, self.folder),
            clock=self.clock,
            listeners=[manifest, self._listen, *listeners],
            fail_fast=fail_fast,
            recovered=recovered,
            secrets=secrets,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Running:
        for listener in self._listeners:
            if hasattr(listener, "executor"):
                listener.executor = self.executor
        self._thread.start()
        return self

    def result(self) -> Status:
        """What the run came to. Raises what it raised."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), f"the run hangs after {self.records[-3:]}"
        if isinstance(self._result, BaseException):
            raise self._result
        assert self._result is not None
        return self._result

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first record that is wanted, as soon as the listeners are told of it."""
        with self._seen:
            found = self._seen.wait_for(lambda: [r for r in self.records if wanted(r)], DEADLINE)
        assert found, f"the record did not come; the last are {self.records[-3:]}"
        return found[0]

    def wait_until_submitted(self, job: str) -> None:
        self.wait_for(lambda record: record["record"] == "job_submitted" and record["job"] == job)

    def kinds(self, job: str | None = None) -> list[str]:
        """The kinds of the records, of one job where it is named."""
        return [r["record"] for r in self.records if job is None or r.get("job") == job]

    def _listen(self, records: Sequence[dict[str, Any]]) -> None:
        with self._seen:
            self.records += records
            self._seen.notify_all()

    def _run(self) -> None:
        try:
            self._result = self.executor.run(DIGEST)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self._result = error
        finally:
            if isinstance(self._log, Journal) or self._log is None:
                self.executor._log.close()
