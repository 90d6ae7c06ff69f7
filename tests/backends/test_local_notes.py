"""What a later process learns of a notebook from the local backend's notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dsjobs.backends.local_notes import LOST, Notes
from dsjobs.backends.registry import create
from dsjobs.model import ExecutedNotebook, Failure, KernelStart, Operation, Unread

COUNT = "with open('runs.txt', 'a') as f: f.write('x')\ntotal = 1"


@pytest.fixture
def later(bench, tmp_path):
    """Another backend over the same project, as a later process has it."""
    backend = create("local", tmp_path, {})
    yield backend
    backend.close()


def submission(bench, tmp_path: Path):
    return replace(bench.submission("a.ipynb", output_variable_names=("total",)), notes=tmp_path / "operations")


def test_submit_when_the_notebook_ended_in_an_earlier_process_then_its_outcome_stands(bench, later, tmp_path):
    bench.write("a.ipynb", COUNT)
    given = submission(bench, tmp_path)
    first = bench.wait(bench.backend.submit(given, idempotency_key="k", notify=bench._notify))

    again = later.submit(given, idempotency_key="k", notify=print)

    assert (again.done, again.id, again.outputs) == (True, first.id, {"total": 1})
    assert again == first == later.poll(first.id)
    assert (bench.folder / "runs.txt").read_text() == "x"


def test_submit_when_the_notebook_was_running_then_it_is_lost_and_does_not_run_again(bench, later, tmp_path):
    bench.write("a.ipynb", COUNT)
    Notes(tmp_path / "operations").begin("k")

    operation = later.submit(submission(bench, tmp_path), idempotency_key="k", notify=print)

    assert (operation.done, operation.failure) == (True, LOST)
    assert not (bench.folder / "runs.txt").exists()


def test_close_when_a_notebook_runs_then_a_later_process_knows_that_it_is_lost(bench, later, tmp_path, until):
    bench.write("a.ipynb", "import pathlib, time\npathlib.Path('started').touch()\ntime.sleep(600)")
    given = submission(bench, tmp_path)
    bench.backend.submit(given, idempotency_key="k", notify=bench._notify)
    assert until((bench.folder / "started").exists)
    bench.backend.close()

    assert later.submit(given, idempotency_key="k", notify=print).failure == LOST


def test_notes_when_an_outcome_was_written_then_it_is_read_as_it_was(tmp_path):
    failure = Failure("notebook", "é", "hint", 3, "id", 1, "x", "E: x", ("a", "b"))
    ended = Operation(
        "op", done=True, failure=failure, outputs={"x": [1.5, None]}, executed=ExecutedNotebook("p", None),
        started_at=1.25, finished_at=2.5, kernel_start=KernelStart("usual", "why"), unread={"y": Unread("it is NaN", None)},
    )  # fmt: skip
    notes = Notes(tmp_path / "new")
    assert notes.recall("k", "op") is None
    notes.begin("k")
    notes.end("k", ended)
    assert notes.recall("k", "op") == ended


def test_notes_when_the_outcome_is_damaged_then_the_notebook_is_lost(tmp_path):
    notes = Notes(tmp_path)
    notes.begin("k")
    (tmp_path / "k.json").write_bytes(b"{")
    assert notes.recall("k", "op").failure == LOST


def test_submit_when_it_cannot_be_noted_then_nothing_runs(bench, tmp_path):
    bench.write("a.ipynb", COUNT)
    (tmp_path / "operations").write_text("in the way")

    operation = bench.wait(bench.backend.submit(submission(bench, tmp_path), idempotency_key="k", notify=bench._notify))

    assert "cannot note that the notebook begins" in operation.failure.message
    assert not (bench.folder / "runs.txt").exists()
