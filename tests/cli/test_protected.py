"""Protected environments: nothing happens there unless somebody says that it is meant."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
from as_user import LOAD, Ended, command, environment, run, until, write_project
from processes import started

from dsjobs.run import journal, store

REFUSAL = (
    "error: environment 'local' is protected, and there is no terminal to ask at\n  hint: --yes says that it is meant\n"
)
FAILING = "  - {name: broken, notebook: broken.ipynb}\n"


def protect(project: Path) -> Path:
    path = project / "jobs.yaml"
    path.write_text(path.read_text().replace("local: {", "local: {protected: true, "))
    return project


@pytest.fixture
def project(tmp_path) -> Path:
    return protect(write_project(tmp_path / "project", LOAD))


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """A project of which a run in its protected environment has failed."""
    project = protect(write_project(tmp_path_factory.mktemp("ran") / "project", FAILING))
    assert run("apply", "--yes", cwd=project).code == 1
    return project


def at_terminal(*arguments: str, cwd: Path, typed: str) -> Ended:
    """dsjobs at a terminal, where `typed` is typed when it asks."""
    leader, follower = pty.openpty()
    with started(
        command(*arguments), cwd=cwd, env=environment(), stdin=follower, stdout=subprocess.PIPE, stderr=follower
    ) as process:
        os.close(follower)
        seen = b""
        try:
            while b"Type its name to go on" not in seen:
                seen += os.read(leader, 4096)
            os.write(leader, typed.encode() + b"\n")
            while True:
                try:
                    seen += os.read(leader, 4096)
                except OSError:  # the other side is closed
                    break
        finally:
            os.close(leader)
        assert process.stdout is not None
        return Ended(process.wait(60), process.stdout.read().decode(), seen.decode().replace("\r\n", "\n"))


def test_apply_when_the_environment_is_protected_then_6_and_nothing_is_done(project):
    ended = run("apply", cwd=project)
    assert (ended.code, ended.out, ended.err) == (6, "", REFUSAL)
    assert not (project / ".dsjobs").exists()


def test_saved_plan_when_the_environment_is_protected_then_6_as_well(project):
    assert run("plan", "--out", "plan.json", cwd=project).code == 0
    ended = run("apply", "plan.json", cwd=project)
    assert ended.code == 6 and ended.err.endswith(REFUSAL)


def test_apply_when_it_is_meant_then_runs_and_the_journal_knows_of_the_protection(project):
    assert run("apply", "-q", cwd=project, DSJOBS_YES="1").code == 0
    header = journal.read(store.find(project / ".dsjobs").journal)[0]
    assert header["protected"] is True


def test_apply_when_the_name_is_typed_then_runs(project):
    ended = at_terminal("apply", "-q", cwd=project, typed="local")
    assert ended.code == 0
    assert ended.err.startswith(
        "environment 'local' is protected: 1 of 1 jobs would run. Type its name to go on: local"
    )


@pytest.mark.parametrize("typed", ["", "y", "Local", "prod"])
def test_apply_when_something_else_is_typed_then_6_and_nothing_is_done(project, typed):
    ended = at_terminal("apply", cwd=project, typed=typed)
    assert ended.code == 6
    assert "is protected, and what was typed is not its name: nothing was done" in ended.err
    assert not (project / ".dsjobs").exists()


def test_retry_when_the_environment_is_protected_then_asks(ran):
    before = len(store.folders(ran / ".dsjobs"))
    ended = run("retry", cwd=ran)
    assert ended.code == 6 and ended.err.endswith(REFUSAL)
    assert run("retry", "--dry-run", cwd=ran).code == 0
    assert len(store.folders(ran / ".dsjobs")) == before


@pytest.mark.parametrize("verb", ["resume", "cancel"])
def test_run_when_its_environment_is_protected_then_is_left_alone(ran, tmp_path, verb):
    """A run whose process has died: its journal ends in the middle."""
    folder = store.find(ran / ".dsjobs")
    copy = tmp_path / "runs" / folder.path.name
    copy.mkdir(parents=True)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    (copy / "journal.jsonl").write_bytes(b"".join(lines[:2]))
    ended = run(verb, "--state-dir", tmp_path, cwd=ran)
    assert (ended.code, ended.err) == (6, REFUSAL)
    assert (copy / "journal.jsonl").read_bytes() == b"".join(lines[:2])


def test_cancel_when_a_process_looks_after_the_run_then_it_is_not_asked(tmp_path):
    project = protect(write_project(tmp_path / "project", "  - {name: sleep, notebook: sleep.ipynb}\n"))
    with started(command("apply", "-q", "--yes"), cwd=project, env=environment()) as process:
        until((project / "notebooks" / "started").exists, "the notebook's start")
        ended = run("cancel", cwd=project)
        assert (ended.code, ended.err) == (6, REFUSAL)
        assert run("cancel", "--yes", cwd=project).code == 0
        assert process.wait(60) == 1


def test_status_when_the_environment_is_protected_then_answers(ran):
    assert run("status", cwd=ran).code == 0
