"""`clean`: old runs go when the user has said so."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import time
from pathlib import Path

import pytest
from as_user import LOAD, command, environment, run, write_project


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project with three runs."""
    project = write_project(tmp_path_factory.mktemp("clean") / "project", LOAD)
    for _ in range(3):
        assert run("apply", "-q", cwd=project).code == 0
    return project


@pytest.fixture
def project(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / "project")
    return tmp_path / "project"


def ids(project: Path) -> list[str]:
    return sorted(path.name for path in (project / ".dsjobs" / "runs").iterdir())


def test_clean_when_a_number_is_kept_then_the_others_go(project):
    before = ids(project)
    ended = run("clean", "--keep", "1", "--yes", cwd=project)
    assert ended.code == 0 and ended.out.startswith("removed 2 runs, ") and ended.out.endswith("B freed\n")
    assert [line.split()[0] for line in ended.err.splitlines()] == before[1::-1]
    assert ids(project) == before[2:]
    assert run("status", cwd=project).code == 0
    again = run("clean", "--keep", "1", "--yes", "-q", cwd=project)
    assert (again.code, again.out, again.err) == (0, "removed no runs, 0 kB freed\n", "")


def test_clean_when_it_is_only_tried_then_nothing_goes(project):
    before = ids(project)
    ended = run("clean", "--keep", "0", "--dry-run", cwd=project)
    assert ended.code == 0 and ended.out.startswith("would remove 3 runs, ")
    found = run("clean", "--keep", "0", "--dry-run", "-o", "json", cwd=project)
    assert found.json["removed"] == before[::-1] and found.json["dry_run"] is True and found.json["freed_bytes"] > 1000
    assert found.err == ""
    assert ids(project) == before


def test_clean_when_an_age_is_given_then_only_older_ones_go(project):
    before = ids(project)
    assert run("clean", "--older-than", "30d", "-y", "-o", "json", cwd=project).json["removed"] == []
    assert ids(project) == before
    removed = run("clean", "--older-than", "0s", "--keep", "2", "-y", "-o", "json", cwd=project).json["removed"]
    assert removed == before[:1] and ids(project) == before[1:]


def test_clean_when_there_is_no_terminal_then_it_wants_yes(project):
    before = ids(project)
    ended = run("clean", "--keep", "1", cwd=project)
    assert (ended.code, ended.out) == (6, "")
    assert "error: there is no terminal to ask at whether 2 runs may go\n  hint: add --yes" in ended.err
    assert ids(project) == before
    assert run("clean", "--keep", "3", cwd=project).code == 0


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 1), (b"\n", 0, 3), (b"n\n", 0, 3), (b"\x03", 130, 3)])
def test_clean_when_there_is_a_terminal_then_it_asks(project, answer, code, left):
    assert at_terminal(project, answer) == code
    assert len(ids(project)) == left


def at_terminal(project: Path, answer: bytes) -> int:
    """The exit code of `clean --keep 1`, once its question is answered so."""
    words = command("clean", "--keep", "1")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # where tests run in the background it is ignored
        os.execve(words[0], words, environment())
    shown, has_asked, deadline = b"", False, time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            if has_asked and answer == b"\x03":
                # As a person would: one that comes just before Python begins to read is seen only when something has been read.
                os.write(terminal, answer)
            continue
        try:
            content = os.read(terminal, 4096)
        except OSError:  # Linux: the other end is closed
            break
        if not content:
            break
        shown += content
        if b"remove 2 runs (" in shown and b"[y/N]: " in shown and not has_asked:
            os.write(terminal, answer)
            has_asked = True
    else:
        os.kill(pid, signal.SIGKILL)
    if not has_asked:
        os.close(terminal)  # hangs up: a process that still waits ends by that
        pytest.fail(f"it did not ask: {shown!r}")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Say which runs to remove: --older-than 30d, --keep 20, or both."),
        (["--older-than", "30"], "'30' is not a duration; did you mean 30s?"),
        (["--keep", "-1"], "-1 is not in the range"),
    ],
)
def test_clean_when_it_is_not_clear_what_goes_then_2_and_nothing_does(project, arguments, message):
    ended = run("clean", "-y", *arguments, cwd=project)
    assert (ended.code, ended.out) == (2, "") and message in ended.err
    assert len(ids(project)) == 3
