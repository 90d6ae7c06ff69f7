"""The store: what is committed is there, keys are unique, operations go one way."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dsjobs.errors import GuardError, UsageError
from dsjobs.server import state_folder
from dsjobs.server.answers import timestamp
from dsjobs.server.operations import NewOperation, OperationStore, State


@pytest.fixture
def store(tmp_path):
    store = OperationStore(tmp_path / "operations.db")
    yield store
    store.close()


def new(key=None, *, by="me", inputs=None):
    return NewOperation("execute", "p1", {"notebookId": "a.ipynb"}, inputs or {}, "http://here", "d", by, key)


def test_accept_when_the_key_is_known_then_the_first_operation_comes_back(store):
    first, is_new = store.accept(new("k"))
    again, is_new_again = store.accept(new("k"))
    assert (is_new, is_new_again, again) == (True, False, first)
    assert store.accept(new("k", by="you"))[0].id != first.id
    assert store.accept(new())[0].id != store.accept(new())[0].id
    assert store.accept(replace(new("k"), kind="open"))[0].id != first.id


def test_accept_when_many_threads_have_one_key_then_there_is_one_operation(store):
    start = threading.Barrier(16)

    def accept(_):
        start.wait()
        return store.accept(new("k"))

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(accept, range(16)))
    assert len({operation.id for operation, _ in found}) == 1
    assert sum(is_new for _, is_new in found) == 1


def test_store_when_it_is_opened_again_then_everything_is_there(tmp_path):
    first = OperationStore(tmp_path / "operations.db")
    accepted, _ = first.accept(new("k", inputs={"A": "1"}))
    first.claim(accepted.id)
    first.attach(accepted.id, "b1")
    running = first.get(accepted.id)
    first.close()

    second = OperationStore(tmp_path / "operations.db")
    assert second.get(accepted.id) == running
    assert (running.state, running.backend_id, running.inputs) == (State.RUNNING, "b1", {"A": "1"})
    assert second.accept(new("k"))[0] == running
    second.close()


def test_operation_when_it_is_done_then_nothing_changes_it_any_more(store):
    accepted, _ = store.accept(new(inputs={"PASSWORD": "secret"}))
    assert store.claim(accepted.id) and not store.claim(accepted.id)
    assert store.finish(accepted.id, {"response": {}}, {"outputs": 1})
    done = store.get(accepted.id)
    assert not store.finish(accepted.id, {"error": {}}, {})
    store.request_cancel(accepted.id)
    store.attach(accepted.id, "b")
    assert store.get(accepted.id) == done
    assert done.inputs is None, "the values of variables are forgotten"


def test_operation_when_it_changes_then_its_modification_time_grows_though_the_clock_stands_still(tmp_path):
    store = OperationStore(tmp_path / "operations.db", clock=lambda: 5)
    accepted, _ = store.accept(new())
    store.claim(accepted.id)
    store.finish(accepted.id, {}, {})
    assert (accepted.created_at, accepted.modified_at, store.get(accepted.id).modified_at) == (5, 5, 7)
    store.close()


def test_finish_when_only_queued_ones_are_meant_then_a_running_one_goes_on(store):
    accepted, _ = store.accept(new())
    store.claim(accepted.id)
    assert not store.finish(accepted.id, {}, {}, only=State.QUEUED)
    assert store.get(accepted.id).state is State.RUNNING


def test_page_when_there_are_many_then_the_newest_come_first(store):
    ids = [store.accept(new())[0].id for _ in range(5)]
    first = store.page(2**62, 2)
    assert [operation.id for operation in first] == ids[:-3:-1]
    assert [operation.id for operation in store.page(first[-1].sequence, 9)] == ids[2::-1]
    assert store.waiting() == 5


def test_state_folder_when_another_server_has_it_then_it_is_refused(tmp_path):
    held = state_folder.hold(tmp_path / "state")
    with pytest.raises(GuardError):
        state_folder.hold(tmp_path / "state")
    key = held.signing_key()
    held.release()
    again = state_folder.hold(tmp_path / "state")
    assert again.signing_key() == key
    again.release()


def test_state_folder_when_it_is_made_then_nobody_else_can_read_it(tmp_path):
    held = state_folder.hold(tmp_path / "state")
    held.signing_key()
    OperationStore(held.database).close()
    for path in (held.path, held.path / "token.key", held.database):
        assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0
    held.release()


def test_state_folder_when_it_holds_something_else_then_it_is_refused_and_nothing_in_it_changes(tmp_path):
    work = tmp_path / "work"
    (work / "labs" / "mine").mkdir(parents=True)
    (work / ".gitignore").write_text("*.csv\n")
    work.chmod(0o755)
    before = sorted(work.rglob("*"))

    with pytest.raises(UsageError) as caught:
        state_folder.hold(work)

    assert str(work) in str(caught.value) and "--state-dir" in caught.value.hint
    assert sorted(work.rglob("*")) == before
    assert (work / ".gitignore").read_text() == "*.csv\n"
    assert stat.S_IMODE(work.stat().st_mode) == 0o755


@pytest.mark.parametrize("mark", ["operations.db", "token.key"])
def test_state_folder_when_a_server_has_used_it_then_what_else_is_there_stays_as_it_is(tmp_path, mark):
    (tmp_path / mark).touch()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".gitignore").write_text("*.csv\n")
    state_folder.hold(tmp_path).release()
    assert (tmp_path / ".gitignore").read_text() == "*.csv\n"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_state_folder_when_a_server_ended_before_it_stored_anything_then_the_next_one_takes_it(tmp_path):
    state_folder.hold(tmp_path / "state").release()
    assert (tmp_path / "state" / ".gitignore").read_text() == "*\n"
    state_folder.hold(tmp_path / "state").release()


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.500Z"),
        (1_000_001_000, "1970-01-01T00:00:01.000001Z"),
        (1_000_000_001, "1970-01-01T00:00:01.000000001Z"),
    ],
)
def test_timestamp_when_it_is_written_then_it_has_0_3_6_or_9_digits(nanoseconds, text):
    assert timestamp(nanoseconds) == text
