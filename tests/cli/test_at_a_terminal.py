"""A run at a terminal: the question at Ctrl-C and its answers, and terminals that are closed."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from as_user import (
    GATE,
    SLEEP,
    TIMEOUT,
    command,
    kinds,
    manifest_of,
    processes_with,
    statuses,
    until,
    write_notebook,
    write_project,
)
from terminal import CTRL_C, CTRL_D, Terminal

from dsjobs.run import journal
from dsjobs.run.manifest import fold

QUESTION = "stop the run: [w]ait for what is running, [c]ancel it, or [d]etach and leave it running? [c] "
IN_BACKGROUND = 'set -m; "$@" & echo $! > process; wait $!'
CANCELLED = {"sleep": "cancelled", "never": "skipped"}


class Applying:
    """An `apply` at a terminal: a job whose notebook runs until it is let go, and one that needs it."""

    def __init__(self, folder: Path, *flags: str, own: bool = True, in_background: bool = False) -> None:
        self.project = write_project(folder, SLEEP % "gate")
        self.mark = uuid.uuid4().hex
        write_notebook(folder / "notebooks" / "gate.ipynb", GATE)
        words = command("apply", *flags)
        if in_background:
            words = ["/bin/sh", "-c", IN_BACKGROUND, "sh", *words]
        self.terminal = Terminal(words, folder, own=own, MARK=self.mark, NO_COLOR="1")
        until((folder / "notebooks" / "started").exists, "the notebook's start")

    @property
    def process(self) -> Any:
        return self.terminal.process

    def let_go(self) -> None:
        """The notebook that runs comes to its end."""
        (self.project / "notebooks" / "open").touch()

    @property
    def records(self) -> list[Any]:
        (path,) = self.project.glob(".dsjobs/runs/*/journal.jsonl")
        return journal.read(path)

    @property
    def manifest(self) -> dict[str, Any]:
        assert fold(self.records)["journal_records"] == manifest_of(self.project)["journal_records"]
        return manifest_of(self.project)


@pytest.fixture
def apply(tmp_path) -> Iterator[Callable[..., Applying]]:
    started = []

    def start(*flags: str, **options: Any) -> Applying:
        started.append(Applying(tmp_path / "project", *flags, **options))
        return started[-1]

    yield start
    for applying in started:
        applying.process.kill()
        applying.process.wait()
        applying.terminal.close()


def test_terminal_when_it_is_closed_then_the_run_ends_in_order(apply):
    applying = apply()
    applying.terminal.close()
    assert applying.process.wait(TIMEOUT) == 129
    assert statuses(applying.manifest) == CANCELLED
    assert applying.manifest["run"]["stopped"] == "SIGHUP"
    assert kinds(applying.records)[-1] == "run_finished"
    assert processes_with(applying.mark) == []


def test_terminal_when_it_is_closed_and_no_signal_comes_then_the_run_goes_on(apply):
    applying = apply(own=False)
    applying.terminal.close()
    applying.let_go()
    assert applying.process.wait(TIMEOUT) == 0
    assert statuses(applying.manifest) == {"sleep": "succeeded", "never": "succeeded"}


@pytest.mark.parametrize("answer", [b"cancel\n", b"\n", b"\xff\xfe\n", CTRL_D])
def test_question_when_the_answer_is_cancel_or_none_then_what_runs_is_cancelled(apply, answer):
    applying = apply()
    applying.terminal.press(CTRL_C)
    applying.terminal.until_shown(QUESTION)
    applying.terminal.press(answer)
    assert applying.process.wait(TIMEOUT) == 130
    assert statuses(applying.manifest) == CANCELLED
    assert "stopping: SIGINT; cancelling 1 job" in applying.terminal.shown


def test_question_when_the_answer_is_wait_then_what_runs_comes_to_its_end(apply):
    applying = apply()
    applying.terminal.press(CTRL_C)
    applying.terminal.until_shown(QUESTION)
    applying.terminal.press(b"w\n")
    applying.terminal.until_shown("stopping: SIGINT; waiting for 1 job")
    applying.let_go()
    assert applying.process.wait(TIMEOUT) == 130
    assert statuses(applying.manifest) == {"sleep": "succeeded", "never": "skipped"}


def test_question_when_the_answer_is_detach_then_the_run_is_left_to_be_taken_up(apply):
    applying = apply()
    applying.terminal.press(CTRL_C)
    applying.terminal.until_shown(QUESTION)
    applying.terminal.press(b"d\n")
    assert applying.process.wait(TIMEOUT) == 130
    assert kinds(applying.records)[-1] == "run_detached"
    applying.terminal.until_shown("not finished · next: dsjobs resume")


def test_question_when_nobody_has_answered_then_nothing_new_starts(apply):
    applying = apply()
    applying.terminal.press(CTRL_C)
    applying.terminal.until_shown(QUESTION)
    applying.let_go()
    applying.terminal.until_shown("succeeded  sleep")
    assert statuses(fold(applying.records)) == {"sleep": "succeeded", "never": "pending"}
    applying.terminal.press(b"w\n")
    assert applying.process.wait(TIMEOUT) == 130
    assert statuses(applying.manifest) == {"sleep": "succeeded", "never": "skipped"}


@pytest.mark.parametrize(("again", "code"), [(Terminal.close, 129), (lambda one: one.press(CTRL_C), 130)])
def test_question_when_a_second_signal_is_the_answer_then_dsjobs_leaves_at_once(apply, again, code):
    applying = apply()
    applying.terminal.press(CTRL_C)
    applying.terminal.until_shown(QUESTION)
    again(applying.terminal)
    assert applying.process.wait(TIMEOUT) == code
    assert kinds(applying.records)[-1] == "run_detached"


def test_sigterm_when_at_a_terminal_then_asks_nothing_and_cancels(apply):
    applying = apply()
    applying.process.send_signal(signal.SIGTERM)
    assert applying.process.wait(TIMEOUT) == 143
    assert statuses(applying.manifest) == CANCELLED
    assert QUESTION not in applying.terminal.shown


def test_ctrl_c_when_on_interrupt_has_the_answer_then_asks_nothing(apply):
    applying = apply("--on-interrupt", "cancel")
    applying.terminal.press(CTRL_C)
    assert applying.process.wait(TIMEOUT) == 130
    assert statuses(applying.manifest) == CANCELLED
    assert QUESTION not in applying.terminal.shown


def test_sigint_when_in_the_background_of_a_terminal_then_asks_nothing_and_cancels(apply):
    applying = apply(in_background=True)
    (process,) = applying.project.glob("process")
    os.kill(int(process.read_text()), signal.SIGINT)
    assert applying.process.wait(TIMEOUT) == 130
    assert statuses(applying.manifest) == CANCELLED
    assert QUESTION not in applying.terminal.shown
