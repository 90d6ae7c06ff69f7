"""The runner over a store that refuses for a while, as one does whose disk is full."""

from __future__ import annotations

import sqlite3

import pytest
from live_server import configuration, until

from dsjobs.backends.registry import create
from dsjobs.server.operations import NewOperation, OperationStore
from dsjobs.server.runner import Runner


class FullDisk(OperationStore):
    """A store that has no room for the first `refusals` ends."""

    refusals = 0

    def finish(self, operation_id, result, record, *, only=None):
        if self.refusals:
            self.refusals -= 1
            raise sqlite3.OperationalError("database or disk is full")
        return super().finish(operation_id, result, record, only=only)


@pytest.fixture
def said():
    return []


@pytest.fixture
def store(tmp_path):
    store = FullDisk(tmp_path / "operations.db")
    yield store
    store.close()


@pytest.fixture
def runner(tmp_path, store, said):
    made = Runner(store, create("local", tmp_path, {}), configuration(tmp_path, tell=said.append), tmp_path)
    yield made
    made.stop()


def accept(store, notebook, project="p1"):
    request = {"projectId": project, "notebookId": notebook, "inputNames": []}
    return store.accept(NewOperation("execute", project, request, {}, "http://here", "d", "me", None))[0].id


def test_end_when_the_disk_is_full_then_it_is_stored_later_as_it_was(tmp_path, store, runner, said):
    (tmp_path / "p1" / "broken.ipynb").write_text("no notebook")
    ids = [accept(store, "none.ipynb"), accept(store, "broken.ipynb"), accept(store, "none.ipynb", "p9")]
    store.refusals = 1

    runner.start()
    until(lambda: all(store.get(operation_id).is_done for operation_id in ids))

    assert [store.get(operation_id).result["error"]["code"] for operation_id in ids] == [5, 9, 5]
    assert [line for line in said if "disk is full" in line] == [
        "cannot store what happened, trying again: database or disk is full"
    ]
