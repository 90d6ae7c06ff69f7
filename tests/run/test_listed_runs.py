"""The list of runs: how each stands, whatever of its two files is there, behind or damaged."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from written_runs import HOST, ID, LATER, PLANNED, all_records, gone, write, write_manifest

from dsjobs.model import Status
from dsjobs.run import records, runs, store
from dsjobs.run.lock import Holder, acquire
from dsjobs.run.outcome import Outcome
from dsjobs.run.store import RunFolder

ME = Holder(HOST, os.getpid(), "2027-01-15T08:00:00.000000Z", ID)


def said(folder):
    found = runs.listed(folder)
    return found.state, found.counts


def said_alone(folder):
    """How a run stands of which there is only the manifest."""
    return runs.state_of(store.read_manifest(folder.manifest)["run"], None)


def test_listed_when_a_run_has_ended_then_is_what_the_manifest_says(tmp_path):
    every = all_records(parent_run="earlier")
    folder = write(tmp_path, every, every)
    found = runs.listed(folder)
    assert (found.id, found.state, found.counts) == (ID, "failed", {"succeeded": 1, "failed": 1})
    assert found.run == store.read_manifest(folder.manifest)["run"]


@pytest.mark.parametrize("host", [HOST, "elsewhere"])
def test_listed_when_somebody_has_its_lock_then_the_run_goes_on(tmp_path, host):
    every = all_records(host=host, pid=gone())[: PLANNED + 1]
    folder = write(tmp_path, every, every)
    with acquire(folder.lock, ME, "the run"):
        assert said(folder) == ("running", {"running": 1, "pending": 1})
    assert said(folder) == ("interrupted", {"running": 1, "pending": 1})


@pytest.mark.parametrize("host", [HOST, "elsewhere"])
def test_listed_when_it_was_copied_or_its_machine_is_gone_then_the_run_was_interrupted(tmp_path, host):
    every = all_records(host=host, pid=os.getpid())[: PLANNED + 1]
    assert said(write(tmp_path, every, every)) == ("interrupted", {"running": 1, "pending": 1})


def test_state_when_there_is_only_the_manifest_then_its_process_says_whether_the_run_goes_on(tmp_path):
    states = {"1": (HOST, os.getpid()), "2": (HOST, gone()), "3": ("elsewhere", gone())}
    found = []
    for run_id, (host, pid) in states.items():
        every = all_records(run_id, host=host, pid=pid)[: PLANNED + 1]
        found.append(said_alone(write(tmp_path, every, every)))
    assert found == ["running", "interrupted", "running"]


def test_state_when_the_process_was_not_waited_for_then_it_is_gone(tmp_path):
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    every = all_records(pid=process.pid)[: PLANNED + 1]
    assert said_alone(write(tmp_path, every, every)) == "interrupted"
    process.wait()


def test_state_when_another_process_has_got_the_number_then_the_run_was_interrupted(tmp_path):
    long_ago = (datetime.now(UTC) - timedelta(days=3000)).timestamp()
    every = all_records(at=long_ago)[: PLANNED + 1]
    assert said_alone(write(tmp_path, every, every)) == "interrupted"


@pytest.mark.parametrize("pid", [1 << 40, -1, 0])
def test_state_when_the_number_is_that_of_no_process_then_the_run_was_interrupted(tmp_path, pid):
    every = all_records()[: PLANNED + 1]
    every[0] = {**every[0], "pid": pid}
    assert said_alone(write(tmp_path, every, every)) == "interrupted"


def test_listed_when_the_run_was_left_then_is_detached(tmp_path):
    every = [*all_records(pid=gone())[: PLANNED + 1], records.run_detached(LATER + 5, "SIGINT")]
    assert said(write(tmp_path, every, every)) == ("detached", {"running": 1, "pending": 1})


def test_listed_when_the_run_was_taken_up_then_the_new_process_counts(tmp_path):
    taken_up = records.run_resumed(LATER + 6, {"host": HOST, "pid": os.getpid(), "tool_version": "0.1.0"})
    every = [*all_records(pid=gone())[: PLANNED + 1], records.run_detached(LATER + 5, "SIGINT"), taken_up]
    assert said_alone(write(tmp_path, every, every)) == "running"


@pytest.mark.parametrize("manifest_has", [None, PLANNED + 1])
@pytest.mark.parametrize("ending", ["finished", "detached"])
def test_listed_when_the_manifest_is_behind_then_the_journal_says_how_the_run_ended(tmp_path, ending, manifest_has):
    every = all_records(pid=gone())
    if ending == "detached":
        every = [*every[:-1], records.run_detached(LATER + 5, "SIGINT")]
    folder = write(tmp_path, every, None if manifest_has is None else every[:manifest_has])
    found = runs.listed(folder)
    assert (found.state, found.counts) == ("failed" if ending == "finished" else "detached", None)
    assert found.run == store.load(folder)["run"]


def test_listed_when_a_run_ended_in_a_torn_line_then_was_interrupted(tmp_path):
    every = all_records(pid=gone())
    folder = write(tmp_path, every)
    content = folder.journal.read_bytes()
    folder.journal.write_bytes(content[:-5])
    assert said(folder) == ("interrupted", None)


def test_listed_when_the_last_line_is_longer_than_what_is_read_then_the_run_was_interrupted(tmp_path):
    every = all_records(pid=gone())[:-2]
    every.append(records.job_finished(LATER, "b", 1, Outcome(Status.SUCCEEDED, None, {"x": "y" * 200_000})))
    assert said(write(tmp_path, every)) == ("interrupted", None)
    assert store.load(RunFolder(tmp_path / "runs" / ID))["run"]["status"] == "running"


@pytest.mark.parametrize("upto", [1, PLANNED - 1])
def test_listed_when_the_process_died_while_it_wrote_the_plan_then_the_run_never_began(tmp_path, upto):
    folder = write(tmp_path, all_records(pid=gone())[:upto])
    assert said(folder) == ("unbegun", None)
    assert runs.listed(folder).run is not None
    assert list(runs.unfinished(tmp_path, "made", "local")) == []
    with acquire(folder.lock, ME, "the run"):
        assert said(folder) == ("running", None)


def test_listed_when_the_process_died_while_it_wrote_the_header_then_the_run_never_began(tmp_path):
    folder = write(tmp_path, all_records(pid=gone())[:1])
    folder.journal.write_bytes(folder.journal.read_bytes()[:-20])
    assert (said(folder), runs.listed(folder).run) == (("unbegun", None), None)


def test_listed_when_any_byte_of_the_manifest_is_damaged_then_nothing_else_is_said(tmp_path, damaged):
    every = all_records()
    folder = write(tmp_path, every, every)
    damaged.add(folder.manifest)
    right, content = runs.listed(folder), folder.manifest.read_bytes()
    for at in range(len(content)):
        folder.manifest.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        found = runs.listed(folder)
        assert (found.state, found.run) == (right.state, right.run), at
        assert found.counts is None, at
    folder.manifest.write_bytes(content[: len(content) // 2])
    assert said(folder) == ("failed", None)


def test_listed_when_any_byte_of_the_journal_is_damaged_then_nothing_else_is_said(tmp_path, damaged):
    every = all_records(pid=gone())
    folder = write(tmp_path, every)
    damaged.add(folder.journal)
    content = folder.journal.read_bytes()
    first, last = content.index(b"\n") + 1, content[:-1].rindex(b"\n") + 1
    for at in (*range(first), *range(last, len(content))):
        folder.journal.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert said(folder) in [("damaged", None), ("interrupted", None)], at
    folder.journal.write_bytes(b"x" + content)
    write_manifest(folder, every)
    assert said(folder) == ("failed", {"succeeded": 1, "failed": 1})


def test_runs_when_they_are_listed_then_the_newest_come_first_and_are_read_one_by_one(tmp_path):
    ids = [f"2027011{day}-080000-aaaaaa" for day in (1, 3, 2)]
    for run_id in ids:
        every = all_records(run_id)
        write(tmp_path, every, every)
    (tmp_path / "runs" / "20270119-000000-dddddd").mkdir()
    (tmp_path / "runs" / "20270118-000000-dddddd").write_text("no folder")
    found = runs.newest_first(tmp_path)
    assert next(found).id == ids[1]
    RunFolder(tmp_path / "runs" / ids[0]).manifest.unlink()
    assert [(run.id, run.counts is None) for run in found] == [(ids[2], False), (ids[0], True)]


def of(environment, number, pid):
    """A run in an environment, as far as it came."""
    first, *rest = all_records(f"20270111-080000-{number:06}", pid=pid)
    return [{**first, "environment": environment}, *rest[: None if pid is None else PLANNED]]


def test_unfinished_when_there_are_many_newer_runs_of_other_environments_then_is_found(tmp_path, damaged):
    write(tmp_path, of("prod", 0, gone()))
    for number in range(1, 31):
        write(tmp_path, of("dev", number, gone()))
    (tmp_path / "runs" / "20270112-080000-000000").mkdir()
    damaged.add(tmp_path / "runs" / "20270112-080000-000000" / "journal.jsonl")
    (tmp_path / "runs" / "20270112-080000-000000" / "journal.jsonl").write_text("damaged")
    write(tmp_path, of("prod", 40, None))
    found = list(runs.unfinished(tmp_path, "made", "prod"))
    assert [(run.id[-6:], run.state) for run in found] == [("000000", "interrupted")]
    assert list(runs.unfinished(tmp_path, "another", "prod")) == []
    with acquire(found[0].folder.lock, ME, "it"):  # it is being taken up
        assert [run.state for run in runs.unfinished(tmp_path, "made", "prod")] == ["running"]
    for number in range(50, 69):
        write(tmp_path, of("prod", number, None))
    assert list(runs.unfinished(tmp_path, "made", "prod")) == []


def test_runs_when_there_is_no_state_folder_then_there_are_none(tmp_path):
    assert list(runs.newest_first(tmp_path / "nothing")) == []


def test_states_when_a_run_is_listed_then_are_all_that_there_are():
    assert set(runs.STATES) >= {status.value for status in Status} - {"pending", "skipped"}
