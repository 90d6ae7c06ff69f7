"""Locks between real processes: one has it, its name is known, and its death frees it."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dsjobs.errors import GuardError, UsageError
from dsjobs.run.lock import UNKNOWN, Holder, acquire, held_by, is_held
from dsjobs.run.records import moment

HOLD = """
import sys
from pathlib import Path
from dsjobs.run.lock import UNKNOWN, Holder, acquire
import os
lock = acquire(Path(sys.argv[1]), Holder("there", os.getpid(), "2026-11-22T14:10:03Z", "run-1"), "the thing")
print("held", flush=True)
sys.stdin.read()
"""
ASK = """
import os, socket, sys, time
from pathlib import Path
from dsjobs.errors import GuardError
from dsjobs.run.lock import Holder, acquire
from dsjobs.run.records import moment
for line in sys.stdin:
    holder = Holder(socket.gethostname(), os.getpid(), moment(time.time()), line.strip())
    try:
        lock = acquire(Path(sys.argv[1]), holder, "the thing")
        print("held", flush=True)
    except GuardError as error:
        lock = None
        print(error, flush=True)
    sys.stdin.readline()
    if lock is not None:
        lock.release()
    print("over", flush=True)
"""
ME = Holder("here", 1, "2026-11-22T14:10:04Z", "run-2")


def start(program: str, path: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


@pytest.fixture
def other(tmp_path):
    """A process that holds the lock."""
    process = start(HOLD, tmp_path / "locks" / "lock")
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


def test_acquire_when_the_holder_has_not_written_its_name_yet_then_it_is_waited_for(tmp_path):
    path = tmp_path / "lock"
    other = Holder(socket.gethostname(), os.getpid(), moment(time.time()), "run-3")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    texts = [b"", name(replace(other, run_id="run-1", pid=ended.pid)), name(other)]
    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def sleep(seconds: float) -> None:
            if texts:
                path.write_bytes(texts.pop(0))

        with pytest.raises(GuardError, match="the thing is locked by run run-3 "):
            acquire(path, ME, "the thing", sleep=sleep)


def test_acquire_when_the_holder_never_writes_its_name_then_says_only_that_there_is_one(tmp_path):
    clock = itertools.count(step=0.3)
    with open(tmp_path / "lock", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(GuardError, match="the thing is locked by another process"):
            acquire(tmp_path / "lock", ME, "the thing", ticks=lambda: next(clock), sleep=lambda seconds: None)
    assert next(clock) < 2


def test_acquire_when_two_ask_at_once_then_one_has_it_and_the_other_hears_its_name(tmp_path):
    pair = [start(ASK, tmp_path / "lock") for _ in range(2)]
    try:
        for number in range(50):
            answers = together(pair, f"run-{number}")
            assert answers.count("held") == 1, answers
            holder = pair[answers.index("held")]
            (other,) = [answer for answer in answers if answer != "held"]
            assert other.startswith(f"the thing is locked by run run-{number} (process {holder.pid} on "), number
            assert together(pair, "end") == ["over", "over"]
    finally:
        for process in pair:
            process.kill()
            process.communicate()


def together(processes: list[subprocess.Popen], line: str) -> list[str]:
    """What they answer to a line that they get at once."""
    for process in processes:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
    return [process.stdout.readline().decode().strip() for process in processes]


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"host": "%b", "pid": 1, "since": "noon", "run_id": "r"}'])
def test_lock_when_what_stands_in_it_is_no_holder_then_nobody_is_named(tmp_path, text):
    path = tmp_path / "lock"
    path.write_bytes(text.replace(b"%b", socket.gethostname().encode()))
    assert held_by(path) is None
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert held_by(path) == UNKNOWN


def test_release_when_another_takes_it_then_the_old_name_is_gone(tmp_path):
    acquire(tmp_path / "lock", ME, "the thing").release()
    assert (tmp_path / "lock").read_bytes() == b""


def test_acquire_when_others_only_look_then_they_are_not_in_its_way(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    seen: set[Holder | None] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.add(held_by(path))

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(300):
            acquire(path, ME, "the thing").release()
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert seen <= {None, ME, UNKNOWN}


def test_held_by_when_others_look_too_then_nobody_is_taken_for_the_holder(tmp_path):
    path = tmp_path / "lock"
    path.write_bytes(name(ME))
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert held_by(path) is None


def test_held_by_when_the_file_may_only_be_read_then_still_knows(tmp_path, other):
    path = tmp_path / "locks" / "lock"
    path.chmod(0o444)
    assert held_by(path).run_id == "run-1"


def name(holder: Holder) -> bytes:
    return json.dumps(holder.as_json()).encode() + b"\n"
