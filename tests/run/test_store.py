"""Runs are found by what a user remembers of them, and files are replaced whole."""

from __future__ import annotations

import json
import os

import pytest
from memory_backend import MemoryBackend
from runs import Running, make_plan

from dsjobs.errors import DsjobsError, GuardError, InvalidFileError, UsageError
from dsjobs.run import lock, store

IDS = ("20260101-100000-aaaaaa", "20260101-100000-bbbbbb", "20260203-100000-cccccc")


@pytest.fixture
def state(tmp_path):
    """A state folder with three runs, made in no order."""
    state = tmp_path / ".dsjobs"
    for run_id in (IDS[1], IDS[2], IDS[0]):
        folder = store.create(state, run_id)
        Running(make_plan({"a": []}), MemoryBackend(), folder.path).start().result()
    return state


def test_find_when_latest_is_meant_then_is_the_last_by_time(state):
    assert store.find(state).path.name == IDS[2]
    assert store.find(state, "latest").path.name == IDS[2]


@pytest.mark.parametrize("name", ["20260203", "20260203-100000-cccccc", "20260101-100000-b"])
def test_find_when_a_start_is_unique_then_is_that_run(state, name):
    assert store.find(state, name).path.name.startswith(name)


def test_find_when_a_start_is_that_of_two_then_both_are_named(state):
    with pytest.raises(UsageError, match="'20260101' is the start of 2 runs") as refused:
        store.find(state, "20260101")
    assert refused.value.hint == "; ".join(IDS[:2])


@pytest.mark.parametrize("name", ["x", "../..", "20260203-100000-cccccc/.", "latest2"])
def test_find_when_there_is_no_such_run_then_the_latest_are_named(state, name):
    with pytest.raises(UsageError, match="there is no run") as refused:
        store.find(state, name)
    assert refused.value.hint == "the latest are " + ", ".join(IDS)


def test_find_when_a_run_did_not_get_to_its_first_record_then_it_is_not_the_latest(state):
    (state / "runs" / "20260901-100000-dddddd").mkdir()
    (state / "runs" / "20260902-100000-eeeeee").mkdir()
    (state / "runs" / "20260902-100000-eeeeee" / "journal.jsonl").touch()
    assert store.find(state).path.name == IDS[2]


def test_find_when_a_run_died_while_its_plan_was_written_then_it_is_not_the_latest(state):
    folder = store.create(state, "20260901-100000-dddddd")
    lines = store.find(state).journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(lines[0])
    assert store.find(state).path.name == IDS[2]
    assert store.find(state, "202609") == folder
    with lock.acquire(folder.lock, lock.Holder("here", 1, "now", "it"), "it"):
        assert store.find(state) == folder  # it is being written
    folder.journal.write_bytes(lines[0] + lines[1])
    assert store.find(state) == folder


@pytest.mark.parametrize("name", ["latest", "2026"])
def test_find_when_there_are_no_runs_then_says_how_to_start_one(tmp_path, name):
    for _ in range(2):
        with pytest.raises(UsageError, match="there are no runs in") as refused:
            store.find(tmp_path, name)
        assert refused.value.hint == "start one with `dsjobs apply`"
        (tmp_path / "runs").mkdir(exist_ok=True)


def test_load_when_the_manifest_is_gone_then_the_journal_gives_it(state):
    folder = store.find(state)
    before = store.read_manifest(folder.manifest)
    folder.manifest.unlink()
    assert store.load(folder) == before


def test_create_when_the_run_exists_then_is_refused(state):
    with pytest.raises(GuardError, match="another run has this ID"):
        store.create(state, IDS[0])


def test_create_when_git_looks_then_everything_is_ignored(state):
    assert (state / ".gitignore").read_text() == "*\n"


def test_create_when_the_user_wrote_a_gitignore_then_it_stays(tmp_path):
    (tmp_path / ".gitignore").write_text("!kept\n")
    store.create(tmp_path, "run")
    assert (tmp_path / ".gitignore").read_text() == "!kept\n"


@pytest.mark.parametrize("in_the_way", ["state", "state/runs"])
def test_create_when_a_file_is_in_the_way_then_says_what_to_do(tmp_path, in_the_way):
    path = tmp_path / in_the_way
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    with pytest.raises(UsageError, match="cannot keep the run here") as refused:
        store.create(tmp_path / "state", "run")
    assert refused.value.hint == "choose another folder with --state-dir"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"{}", b'{"schema_version": 1, "run": {}}', b'{"schema_version": 2, "run": {}}', b"\xff",
        b'{"schema_version": 1, "jobs": []}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_read_manifest_when_it_is_something_else_then_says_so(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(InvalidFileError, match="this is not a manifest"):
        store.read_manifest(path)


def test_read_manifest_when_one_value_is_wrong_then_it_is_named(state):
    path = store.find(state).manifest
    data = json.loads(path.read_bytes())
    data["jobs"][0]["status"] = "fine"
    other = path.with_name("other.json")
    other.write_text(json.dumps(data))
    with pytest.raises(InvalidFileError, match=r"this is not a manifest of version 1: \$\.jobs\[0\]\.status"):
        store.read_manifest(other)


def test_read_manifest_when_a_number_became_too_large_then_says_that_it_was_changed(state, tmp_path):
    content = store.find(state).manifest.read_text()
    assert '"duration": 0.0' in content
    other = tmp_path / "other.json"
    other.write_text(content.replace('"duration": 0.0', '"duration": 9e999', 1))
    with pytest.raises(InvalidFileError, match="was changed after dsjobs wrote it"):
        store.read_manifest(other)


def test_read_manifest_when_it_cannot_be_read_then_says_why(tmp_path):
    with pytest.raises(InvalidFileError, match="cannot be read: No such file or directory"):
        store.read_manifest(tmp_path / "m.json")
    with pytest.raises(InvalidFileError, match="cannot be read: Is a directory"):
        store.read_manifest(tmp_path)


def test_write_atomically_when_it_fails_then_nothing_is_left(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "x").touch()
    with pytest.raises(OSError):
        store.write_atomically(tmp_path / "target", b"new")
    assert os.listdir(tmp_path) == ["target"]


def test_errors_when_they_end_a_command_then_have_an_exit_code():
    assert all(kind.exit_code for kind in DsjobsError.__subclasses__())
