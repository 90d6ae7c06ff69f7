"""A run that dies after any of its records is taken up again, and comes to what an undisturbed run comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from memory_backend import MemoryBackend, Script
from runs import STARTED_AT, Running, leaping_clock, make_plan
from undisturbed import without_times

from dsjobs.errors import BackendError, UsageError
from dsjobs.model import Failure, KernelStart, Plan, Retry, Status
from dsjobs.plan.saved import from_json
from dsjobs.run import journal
from dsjobs.run.flights import Clock
from dsjobs.run.journal import Journal
from dsjobs.run.manifest import Fold, Manifest
from dsjobs.run.recovery import Recovered, recover

NO = Failure("notebook", "no")
PLANNED = 1 + 9
"""Records until the plan is whole: before, there is nothing to take up."""

BUSY = BackendError("busy", retryable=True)


class DiedError(Exception):
    """Stands for a SIGKILL: nothing of dsjobs runs after it."""


class DyingLog:
    """A journal whose process dies when so many records are on disk, in the middle of a turn as well."""

    def __init__(self, path: Path, *, after: int, existing: bool = False) -> None:
        self._journal = Journal(path, existing=existing)
        self._left = after

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        written = records[: self._left]
        self._left -= len(written)
        if written:
            self._journal.append(written)
        if self._left <= 0:
            self._journal.close()
            raise DiedError

    def close(self) -> None:
        self._journal.close()


def plan() -> Plan:
    twice = Retry(max_attempts=2, delay=1.0)
    made = make_plan(
        {
            "load": [], "clean": ["load"], "flaky": ["load"], "train": ["clean", "flaky"], "broken": ["clean"],
            "below": ["broken"], "lower": ["below"], "always": ["broken", "train"], "hopeless": [],
        },
        max_parallel=3,
        inputs={"train": {"ROWS": "{{ needs.clean.outputs.rows }}"}},
        rules={
            "flaky": {"retry": twice}, "hopeless": {"retry": twice, "allow_failure": True},
            "always": {"run_if": "all_done"}, "train": {"pools": ("gpu",)},
        },
    )  # fmt: skip
    return replace(made, pools={"gpu": 1})


def backend(*, survives: bool) -> MemoryBackend:
    scripts = {
        "clean": Script(outputs={"rows": 3}, looks=2),
        "flaky#1": Script(failure=NO, looks=1),
        "train": Script(outputs={"auc": 0.5}, looks=1, refusals=(BUSY,), runs_before_refusing=True),
        "broken": Script(failure=NO),
        "hopeless": Script(failure=NO, looks=1),
    }
    return MemoryBackend(scripts, survives=survives)


def recovered(folder: Path) -> Recovered:
    state = Fold()
    found = journal.read(folder / "journal.jsonl")
    for record in found:
        state.apply(record)
    return recover(found, state)


def manifest_of(folder: Path) -> Manifest:
    state = Fold()
    for record in journal.read(folder / "journal.jsonl"):
        state.apply(record)
    return state.as_json()


def undisturbed(folder: Path, *, survives: bool) -> tuple[Manifest, int]:
    folder.mkdir()
    running = Running(plan(), backend(survives=survives), folder, clock=leaping_clock()).start()
    assert running.result() is Status.FAILED
    return manifest_of(folder), len(running.records)


@pytest.mark.parametrize("survives", [True, False])
def test_resume_when_the_run_died_after_any_record_then_it_ends_as_if_it_had_not(tmp_path, survives):
    whole, records = undisturbed(tmp_path / "whole", survives=survives)
    attempts = Counter(job["name"] for job in whole["jobs"] for _ in job["attempts"])
    for after in range(PLANNED, records):
        folder = tmp_path / f"died-{after}"
        folder.mkdir()
        service = backend(survives=survives)
        log = DyingLog(folder / "journal.jsonl", after=after)
        with pytest.raises(DiedError):
            Running(plan(), service, folder, clock=leaping_clock(), log=log).start().result()
        again(folder, service)
        assert without_times(manifest_of(folder)) == without_times(whole), f"after {after} records"
        assert Counter(service.jobs_started) == attempts, f"after {after} records"


def test_resume_when_the_run_died_before_its_fail_fast_was_written_then_nothing_starts_all_the_same(tmp_path):
    made = make_plan({"a": [], "b": ["a"], "c": []}, max_parallel=1)

    def run(folder: Path, **state: Any) -> Manifest:
        folder.mkdir(exist_ok=True)
        with suppress(DiedError):
            service = MemoryBackend({"a": Script(failure=NO)}, survives=True)
            Running(made, service, folder, clock=leaping_clock(), fail_fast=True, **state).start().result()
        return manifest_of(folder)

    whole = run(tmp_path / "whole")
    assert [job["status"] for job in whole["jobs"]] == ["failed", "skipped", "skipped"]
    kinds = [record["record"] for record in journal.read(tmp_path / "whole" / "journal.jsonl")]
    folder = tmp_path / "died"
    folder.mkdir()
    run(folder, log=DyingLog(folder / "journal.jsonl", after=kinds.index("job_finished") + 1))
    resumed = run(folder, log=Journal(folder / "journal.jsonl", existing=True), recovered=recovered(folder))
    assert without_times(resumed) == without_times(whole)


def again(folder: Path, service: MemoryBackend, *, after: int | None = None) -> Status:
    """Take the run up, with the plan that its journal has."""
    state = recovered(folder)
    path = folder / "journal.jsonl"
    log = Journal(path, existing=True) if after is None else DyingLog(path, after=after, existing=True)
    return Running(state.plan, service, folder, clock=leaping_clock(), log=log, recovered=state).start().result()


@pytest.mark.parametrize("survives", [True, False])
def test_resume_when_each_process_dies_after_three_records_then_it_still_comes_to_its_end(tmp_path, survives):
    whole, _ = undisturbed(tmp_path / "whole", survives=survives)
    folder = tmp_path / "run"
    folder.mkdir()
    service = backend(survives=survives)
    log = DyingLog(folder / "journal.jsonl", after=PLANNED)
    with pytest.raises(DiedError):
        Running(plan(), service, folder, clock=leaping_clock(), log=log).start().result()
    deaths = 0
    while manifest_of(folder)["run"]["status"] == "running":
        with suppress(DiedError):
            again(folder, service, after=3)
        deaths += 1
        assert deaths < 100
    assert without_times(manifest_of(folder)) == without_times(whole)


def test_resume_when_a_submit_is_repeated_then_it_is_the_same_submission(tmp_path):
    """Also the moment of the first one, of which a journal keeps microseconds: what is signed for it must come out the same."""
    service = MemoryBackend({"a": Script(looks=1)})
    clock = Clock(lambda: STARTED_AT + 0.1234567, lambda: 0.0)
    log = DyingLog(tmp_path / "journal.jsonl", after=1 + 1 + 2)
    with pytest.raises(DiedError):
        Running(make_plan({"a": []}), service, tmp_path, clock=clock, log=log).start().result()
    first = service.submissions["a"]
    assert again(tmp_path, service) is Status.SUCCEEDED
    assert len(service.submits) == 2 and len(set(service.submits)) == 1
    assert service.submissions["a"] == first
    assert first.submitted_at == pytest.approx(STARTED_AT + 0.123457, abs=1e-6)


def test_resume_when_the_run_died_before_its_plan_was_whole_then_says_that_it_never_began(tmp_path):
    log = DyingLog(tmp_path / "journal.jsonl", after=PLANNED - 1)
    with pytest.raises(DiedError):
        Running(plan(), backend(survives=True), tmp_path, log=log).start().result()
    with pytest.raises(UsageError, match="run run-1 never began"):
        recovered(tmp_path)


def test_resume_when_the_last_line_is_torn_then_it_is_cut_off_and_the_run_goes_on(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    service = backend(survives=True)
    with pytest.raises(DiedError):
        Running(plan(), service, folder, log=DyingLog(folder / "journal.jsonl", after=14)).start().result()
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"record":"job_fin')
    assert again(folder, service) is Status.FAILED


def test_detach_when_jobs_are_in_flight_then_they_go_on_and_can_be_taken_up(tmp_path):
    service = MemoryBackend({"a": Script(looks=None), "b": Script()}, survives=True)
    running = Running(make_plan({"a": [], "b": ["a"]}), service, tmp_path).start()
    running.wait_until_submitted("a")
    running.executor.detach("SIGINT")
    assert running.result() is Status.RUNNING
    left = manifest_of(tmp_path)
    assert (left["run"]["status"], left["run"]["detached_at"] is not None) == ("running", True)
    assert service.cancels == []
    service.end("a")
    assert again(tmp_path, service) is Status.SUCCEEDED
    assert service.jobs_started == ["a", "b"]
    assert manifest_of(tmp_path)["run"]["detached_at"] is None


def test_stop_when_the_run_died_before_its_jobs_were_cancelled_then_they_are_asked_again(tmp_path):
    service = MemoryBackend({"a": Script(looks=None)}, survives=True)
    log = DyingLog(tmp_path / "journal.jsonl", after=1 + 2 + 2 + 3)  # header, plan, submit, stop with skip and cancel
    running = Running(make_plan({"a": [], "b": ["a"]}), service, tmp_path, log=log).start()
    running.wait_until_submitted("a")
    running.executor.stop("SIGTERM", cancel=True)
    with pytest.raises(DiedError):
        running.result()
    assert service.cancels == []
    assert again(tmp_path, service) is Status.CANCELLED
    jobs = {job["name"]: job["status"] for job in manifest_of(tmp_path)["jobs"]}
    assert jobs == {"a": "cancelled", "b": "skipped"}


def test_stop_when_a_job_waits_for_its_next_attempt_then_it_ends_as_it_would_have_without_the_death(tmp_path):
    contracts = {"x": {"type": "string"}, "y": {"type": "string", "severity": "warn"}}
    rules = {"a": {"retry": Retry(max_attempts=2, delay=60.0, on=frozenset({"contract"}))}}
    plan = make_plan({"a": [], "b": ["a"]}, rules=rules, outputs={"a": contracts})
    script = Script(outputs={"x": 1, "y": 2}, kernel_start=KernelStart("usual", "a reason"))
    manifests = []
    for name in ("whole", "died"):
        folder = tmp_path / name
        folder.mkdir()
        service = MemoryBackend({"a": script}, survives=True)
        running = Running(plan, service, folder).start()
        running.wait_for(lambda record: record["record"] == "job_retrying")
        if name == "died":
            running.executor.detach("SIGINT")
            assert running.result() is Status.RUNNING
            state = recovered(folder)
            log = Journal(folder / "journal.jsonl", existing=True)
            running = Running(state.plan, service, folder, log=log, recovered=state).start()
        running.executor.stop("SIGTERM", cancel=True)
        assert running.result() is Status.FAILED
        manifests.append(without_times(manifest_of(folder)))
    whole, died = manifests
    assert whole["jobs"][0]["notebook"] is not None and whole["jobs"][0]["warnings"]
    assert died == whole


def test_plan_when_it_was_written_to_a_journal_then_it_reads_back_as_it_was(tmp_path):
    Running(plan(), backend(survives=True), tmp_path, clock=leaping_clock()).start().result()
    found = journal.read(tmp_path / "journal.jsonl")
    read = from_json(found[0], [record for record in found if record["record"] == "job_planned"])
    assert [planned.job.retry for planned in read.jobs] == [planned.job.retry for planned in plan().jobs]
    assert [planned.job.request for planned in read.jobs] == [planned.job.request for planned in plan().jobs]
