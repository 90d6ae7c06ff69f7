"""Locks between real processes: one has it, its name is known, and its death frees it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsjobs.errors import GuardError, UsageError
from dsjobs.run.lock import Holder, acquire, held_by, is_held

HOLD = """
import sys
from pathlib import Path
from dsjobs.run.lock import Holder, acquire
import os
lock = acquire(Path(sys.argv[1]), Holder("there", os.getpid(), "2026-11-22T14:10:03Z", "run-1"), "the thing")
print("held", flush=True)
sys.stdin.read()
"""
ME = Holder("here", 1, "2026-11-22T14:10:04Z", "run-2")


@pytest.fixture
def other(tmp_path):
    """A process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "locks" / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_acquire_when_another_process_has_it_then_the_error_names_the_holder(tmp_path, other):
    with pytest.raises(
        GuardError, match=rf"the thing is locked by run run-1 \(process {other.pid} on there, since 2026"
    ):
        acquire(tmp_path / "locks" / "lock", ME, "the thing")
    assert held_by(tmp_path / "locks" / "lock") == Holder("there", other.pid, "2026-11-22T14:10:03Z", "run-1")


def test_acquire_when_the_holder_was_killed_then_it_is_free(tmp_path, other):
    other.kill()
    other.wait()
    assert held_by(tmp_path / "locks" / "lock") is None
    with acquire(tmp_path / "locks" / "lock", ME, "the thing"):
        assert held_by(tmp_path / "locks" / "lock") == ME
    assert held_by(tmp_path / "locks" / "lock") is None


def test_acquire_when_it_may_wait_then_it_has_it_when_the_other_ends(tmp_path, other):
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        other.kill()
        other.wait()

    acquire(tmp_path / "locks" / "lock", ME, "the thing", timeout=60, sleep=sleep).release()
    assert waited


def test_acquire_when_the_time_is_over_then_it_gives_up(tmp_path, other):
    clock = iter(range(100))
    with pytest.raises(GuardError):
        acquire(tmp_path / "locks" / "lock", ME, "it", timeout=5, ticks=lambda: next(clock), sleep=lambda seconds: None)
    assert next(clock) <= 8


def test_acquire_when_somebody_only_asks_whether_it_is_held_then_it_has_it_a_moment_later(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    asking = os.open(path, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    acquire(path, ME, "the thing", sleep=lambda seconds: os.close(asking)).release()


def test_is_held_when_asked_then_needs_no_more_than_to_read(tmp_path, other):
    path = tmp_path / "locks" / "lock"
    path.chmod(0o444)
    asking = os.open(path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert is_held(path) is True
    other.kill()
    other.wait()
    fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)  # another one who asks
    assert is_held(path) is False
    os.close(asking)
    path.unlink()
    assert is_held(path) is False
    assert is_held(tmp_path / ("x" * 300)) is None


def test_acquire_when_there_can_be_no_file_then_says_where(tmp_path):
    (tmp_path / "locks").write_text("in the way")
    with pytest.raises(UsageError, match="no lock can be kept here"):
        acquire(tmp_path / "locks" / "lock", ME, "it")


def test_held_by_when_there_is_no_file_then_nobody_does(tmp_path):
    assert held_by(tmp_path / "lock") is None
