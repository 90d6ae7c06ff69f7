"""Signals at random moments of a run, of which DSJOBS_TEST_SIGNALS says how many: nothing is left behind, all can go on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import uuid

import pytest
from as_user import LOAD, TIMEOUT, TRAIN, command, environment, processes_with, run, statuses, until, write_project

from dsjobs.run import journal, lock
from dsjobs.run.manifest import fold
from dsjobs.run.store import RunFolder

ORDERS = {"SIGINT": [signal.SIGINT], "SIGINT twice": [signal.SIGINT] * 2, "SIGTERM": [signal.SIGTERM]}
CODES = {"SIGINT": {0, 130}, "SIGINT twice": {0, 130}, "SIGTERM": {0, 143}}


@pytest.mark.parametrize("number", range(int(os.environ.get("DSJOBS_TEST_SIGNALS", "3"))))
def test_signal_when_it_comes_at_any_moment_then_nothing_is_left_and_the_run_can_go_on(tmp_path, number):
    chance = random.Random(f"signal {number}")
    project = write_project(tmp_path / "project", LOAD + TRAIN)
    mark = uuid.uuid4().hex
    name = list(ORDERS)[number % len(ORDERS)]
    process = subprocess.Popen(
        command("apply", "-q"), cwd=project, env=environment(MARK=mark), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    # Before the handlers are there a signal ends Python in its own way: that moment is not dsjobs'.
    until(lambda: any(project.glob(".dsjobs/runs/*/lock")), "the run's folder")
    time.sleep(chance.uniform(0.05, 2.5))
    for order in ORDERS[name]:
        process.send_signal(order)
        time.sleep(chance.uniform(0, 0.2))
    _, err = process.communicate(timeout=TIMEOUT)
    assert "Traceback" not in err
    until(lambda: processes_with(mark) == [], "the end of what it started", deadline=5)
    (path,) = (project / ".dsjobs" / "runs").iterdir()
    folder = RunFolder(path)
    if process.returncode < 0:  # when all is written, and only the interpreter is left to end
        assert fold(journal.read(folder.journal))["run"]["status"] != "running"
        assert -process.returncode in ORDERS[name]
    else:
        assert process.returncode in CODES[name], err
    assert lock.held_by(folder.lock) is None
    assert not [left for left in path.rglob("*") if left.name.endswith(".tmp")]
    if fold(journal.read(folder.journal))["run"]["status"] == "running":
        assert run("resume", cwd=project).code in (0, 1)
    manifest = fold(journal.read(folder.journal))
    assert manifest["run"]["status"] != "running"
    if manifest["run"]["status"] != "succeeded":
        assert run("retry", cwd=project).code == 0
        latest = max((project / ".dsjobs" / "runs").iterdir())
        assert statuses(fold(journal.read(latest / "journal.jsonl"))) == {"load": "succeeded", "train": "succeeded"}
