"""Signals to a running `apply`: an orderly stop, a quick one, and what a killed one leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from as_user import (
    SLEEP,
    command,
    environment,
    kinds,
    manifest_of,
    processes_with,
    run,
    statuses,
    until,
    write_project,
)

from dsjobs.run import journal

ORPHANS_LIVE = 5.0
"""Seconds that a kernel may outlive a dsjobs that was killed."""


@dataclass
class Applying:
    """An `apply` that goes on; whatever it starts has `mark` in its environment."""

    project: Path
    process: subprocess.Popen[bytes]
    mark: str

    @property
    def err(self) -> str:
        return (self.project / "stderr").read_text()

    @property
    def journals(self) -> list[Path]:
        return [path for path in self.project.glob(".dsjobs/runs/*/journal.jsonl") if path.stat().st_size > 0]

    def has_journal(self) -> bool:
        return bool(self.journals)

    def is_submitting(self) -> bool:
        return self.has_journal() and b'"job_submitting"' in self.journals[0].read_bytes()

    def is_submitted(self) -> bool:
        return self.has_journal() and b'"job_submitted"' in self.journals[0].read_bytes()

    def has_others(self) -> bool:
        """Whether there are processes that it has started: kernels, and what starts them."""
        return bool(set(processes_with(self.mark)) - {self.process.pid})

    def has_started(self) -> bool:
        return (self.project / "notebooks" / "started").exists()


@pytest.fixture
def apply(tmp_path) -> Iterator[Callable[..., Applying]]:
    """Starts `apply` of a job that sleeps and of one that needs it."""
    processes = []

    def start(notebook: str = "sleep", *flags: str) -> Applying:
        mark = uuid.uuid4().hex
        project = write_project(tmp_path / "project", SLEEP % notebook)
        with open(project / "stderr", "wb") as err, open(project / "stdout", "wb") as out:
            process = subprocess.Popen(
                command("apply", *flags), cwd=project, env=environment(MARK=mark), stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        processes.append(process)
        return Applying(project, process, mark)

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_when_a_notebook_runs_then_it_is_cancelled_in_order(apply, number, code):
    applying = apply()
    until(applying.has_started, "the notebook's start")
    applying.process.send_signal(number)
    assert applying.process.wait(60) == code, applying.err
    manifest = manifest_of(applying.project)
    assert statuses(manifest) == {"sleep": "cancelled", "never": "skipped"}
    assert (manifest["run"]["status"], manifest["run"]["stopped"]) == ("cancelled", number.name)
    assert manifest["jobs"][1]["reasons"] == [f"the run was stopped: {number.name}"]
    assert kinds(journal.read(applying.journals[0]))[-1] == "run_finished"
    assert f"stopping: {number.name}; cancelling 1 job (once more to leave at once)\n" in applying.err
    assert "■ cancelled  sleep" in applying.err and "↷ skipped    never" in applying.err
    assert (applying.project / "stdout").read_text().splitlines()[-1].startswith("1 cancelled, 1 skipped in ")
    assert not applying.has_others()


@pytest.mark.parametrize("moment", [Applying.is_submitting, Applying.is_submitted, Applying.has_others])
def test_signal_when_a_kernel_is_starting_then_the_run_ends_in_order(apply, moment):
    applying = apply("sleep", "-q")
    until(lambda: moment(applying), "the moment to stop")
    os.killpg(applying.process.pid, signal.SIGINT)  # as a terminal does it
    assert applying.process.wait(30) == 130, applying.err
    assert statuses(manifest_of(applying.project)) == {"sleep": "cancelled", "never": "skipped"}
    assert not applying.has_others()


def test_signal_when_it_comes_twice_then_dsjobs_leaves_at_once(apply):
    applying = apply("stubborn")
    until(applying.has_started, "the notebook's start")
    applying.process.send_signal(signal.SIGINT)
    applying.process.send_signal(signal.SIGTERM)
    assert applying.process.wait(5) == 143
    assert "left: SIGTERM" in applying.err
    assert (applying.project / "stdout").read_text().endswith("not finished · next: dsjobs resume\n")
    until(lambda: not applying.has_others(), "the end of what it started", deadline=ORPHANS_LIVE)
    assert kinds(journal.read(applying.journals[0]))[-1] == "run_detached"
    assert run("status", cwd=applying.project).code == 0


def test_signal_when_it_was_ignored_from_the_start_then_the_run_goes_on(tmp_path):
    project = write_project(tmp_path / "project")
    started = subprocess.Popen(
        ["nohup", *command("apply", "-q")], cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    until(lambda: any(project.glob(".dsjobs/runs/*/lock")), "the run's folder")
    started.send_signal(signal.SIGHUP)
    out, _ = started.communicate(timeout=60)
    run_of_it = manifest_of(project)["run"]
    assert (run_of_it["status"], run_of_it["stopped"]) == ("succeeded", None), out


def test_signal_when_the_terminal_is_closed_then_the_run_ends_in_order(apply):
    applying = apply()
    until(applying.has_started, "the notebook's start")
    applying.process.send_signal(signal.SIGHUP)
    assert applying.process.wait(60) == 129, applying.err
    assert manifest_of(applying.project)["run"]["stopped"] == "SIGHUP"


def test_signal_when_a_notebook_resists_then_it_is_killed(apply):
    applying = apply("stubborn", "-q")
    until(applying.has_started, "the notebook's start")
    applying.process.send_signal(signal.SIGTERM)
    assert applying.process.wait(60) == 143
    assert statuses(manifest_of(applying.project)) == {"sleep": "cancelled", "never": "skipped"}
    assert not applying.has_others()
    assert applying.err == ""


@pytest.mark.parametrize(
    "moment", [Applying.has_journal, Applying.is_submitting, Applying.has_others, Applying.has_started]
)
def test_kill_when_at_any_moment_then_the_files_are_valid_and_no_kernel_is_left(apply, moment):
    applying = apply()
    until(lambda: moment(applying), "the moment to kill")
    applying.process.kill()
    applying.process.wait()
    until(lambda: not applying.has_others(), "the end of what it started", deadline=ORPHANS_LIVE)
    ended = run("status", cwd=applying.project)  # the manifest is held to its schema when the test ends
    assert ended.code == 0
    assert ended.out.endswith(", not finished · next: dsjobs resume\n")
    # A kernel that was about to start when dsjobs died would be here by now.
    assert not applying.has_others()
