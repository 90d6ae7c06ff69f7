"""Locks: one writer for each run, one applying run for each environment of a job file.

The operating system holds the lock for as long as the process lives, so that of a process that died is free by itself. Who
holds it stands in the file, for those who meet it; nobody has to believe it. That is written once the lock is had, and taken away
before it is given up: whoever is refused reads until it finds a process that is there.

A lock that is free says that nobody has it, on whatever machine. This assumes that machines which share a folder share its locks,
as they do over NFS and SMB; a folder that was copied, or restored in another container, comes without anybody who holds them.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from dsjobs.errors import GuardError, UsageError
from dsjobs.run.processes import is_alive

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ASK_AGAIN = 0.1
"""Seconds between two looks at a lock that somebody holds."""

BLINK, AT_FIRST = 0.1, 0.01
"""Seconds for which a lock that is held is asked for again in any case, and between two looks then: whoever only looks whether it
is held has it for an instant."""

NAMING = 1.0
"""Seconds for which the name of the holder is waited for."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: the machine, the process, since when (as the journal writes times), and for which run."""

    host: str
    pid: int
    since: str
    run_id: str

    def __str__(self) -> str:
        return f"run {self.run_id} (process {self.pid} on {self.host}, since {self.since})"

    def as_json(self) -> dict[str, Any]:
        return {"host": self.host, "pid": self.pid, "since": self.since, "run_id": self.run_id}

    def may_be_there(self) -> bool:
        """Whether its process is; of another machine's, nothing is known."""
        return self.host != socket.gethostname() or is_alive(self.pid, self.since)


UNKNOWN = Holder("an unknown host", 0, "an unknown time", "unknown")


class Lock:
    """A lock that is held. Released by `release`, at the end of a `with`, or with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """May be called twice. The file stays: removing it could take away a lock that somebody else has just got."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def acquire(
    path: Path,
    holder: Holder,
    what: str,
    *,
    timeout: float = 0.0,
    ticks: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Lock:
    """Take the lock that `path` stands for; `what` is what it guards, in words. Waits up to `timeout` seconds, and
    in any case a moment, to know who holds it from who only looks.

    Raises GuardError, with the holder's name, where somebody else has it; UsageError where there can be no lock.
    """
    descriptor = _open(path)
    start = ticks()
    while not _take(descriptor):
        other = _holder(descriptor)
        waited = ticks() - start
        if waited >= max(timeout, BLINK if other is not None and other.may_be_there() else NAMING):
            os.close(descriptor)
            hint = "wait for it with --lock-timeout, or look at it with `dsjobs status`"
            raise GuardError(f"{what} is locked by {other or 'another process'}", hint=hint)
        sleep(AT_FIRST if waited < NAMING else min(ASK_AGAIN, max(0.0, timeout - waited)))
    with suppress(OSError):  # on a full disk whoever is refused hears only that somebody has it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder.as_json()).encode() + b"\n", 0)
    return Lock(descriptor)


def held_by(path: Path) -> Holder | None:
    """Who holds the lock now, without waiting and without taking it from anybody; None where nobody does, or where it cannot be
    asked."""
    if not is_held(path):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        holder = _holder(descriptor)
        return holder if holder is not None and holder.may_be_there() else UNKNOWN
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool | None:
    """Whether somebody holds the lock now; None where it cannot be asked. Needs only to read, and hinders nobody who asks too."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        return not _take(descriptor, is_shared=True)
    except OSError:
        return None  # a file system that has no locks
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        hint = "choose another folder with --state-dir"
        raise UsageError(f"{error.filename or path}: no lock can be kept here: {error.strerror}", hint=hint) from None


def _take(descriptor: int, *, is_shared: bool = False) -> bool:
    """Whether it could be had. `is_shared`: with others who want no more than that."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:  # pragma: no cover (Windows)
            import msvcrt

            os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # far behind what is written, which others must be able to read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _holder(descriptor: int) -> Holder | None:
    try:
        data: Mapping[str, Any] = json.loads(os.pread(descriptor, 4096, 0))
        datetime.fromisoformat(data["since"])
        return Holder(str(data["host"]), int(data["pid"]), str(data["since"]), str(data["run_id"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None  # it is being written
