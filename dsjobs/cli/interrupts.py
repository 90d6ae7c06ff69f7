"""Signals, a terminal that is closed, `dsjobs cancel` from elsewhere, and the run's own time limit, as requests to the executor.

The first signal: nothing new starts; whoever presses Ctrl-C at a terminal is asked what becomes of what is in flight, else
`--on-interrupt` has said it. A SIGTERM comes from `kill`, or from a machine that shuts down: a question would wait for nobody.
The second signal: dsjobs leaves at once, and the journal says where to go on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsjobs.run.executor import Executor
from dsjobs.spec.durations import written

CHOICES = ("wait", "cancel", "detach")

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

LEAVING = 3.0
"""Seconds that an orderly leave may take after a second signal."""

CANCELLED = "dsjobs cancel"
"""Why a run was stopped, where another process has asked for its end."""

LOOK = 1.0
"""Seconds between two looks for a request from another process."""

_QUESTION = b"\nstop the run: [w]ait for what is running, [c]ancel it, or [d]etach and leave it running? [c] "


@dataclass
class Interrupts:
    """What came: the signals in their order, and whether the run's own time was over."""

    signals: list[int] = field(default_factory=list)
    is_out_of_time: bool = False


@contextmanager
def handled(executor: Executor, on_interrupt: str | None, came: Interrupts) -> Iterator[None]:
    """Turn signals into requests to `executor` while inside. `on_interrupt` None: cancel, but ask at Ctrl-C at a terminal."""

    def handle(number: int, frame: object) -> None:
        # Prints nothing itself: it may have come in the middle of a line. The progress tells of the stop.
        came.signals.append(number)
        name = signal.Signals(number).name
        if len(came.signals) == 1:
            _first(executor, name, on_interrupt)
        elif len(came.signals) == 2:
            executor.detach(name)
            _leave_soon(number)
        else:
            _leave(number)

    # Who started dsjobs with `nohup`, or in the background of a script, wants it to go on.
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first(executor: Executor, name: str, on_interrupt: str | None) -> None:
    executor.hold()
    if on_interrupt is None and name == "SIGINT" and _is_at_terminal():
        threading.Thread(target=_ask, args=(executor, name), name="dsjobs-ask", daemon=True).start()
    else:
        _decide(executor, name, on_interrupt or "cancel")


def _ask(executor: Executor, name: str) -> None:
    answer = ""
    with suppress(OSError, ValueError):  # the terminal may have been closed, or what was typed is no text
        os.write(2, _QUESTION)
        answer = sys.stdin.readline().strip().lower()
    _decide(executor, name, next((choice for choice in CHOICES if answer and choice.startswith(answer)), "cancel"))


def _decide(executor: Executor, name: str, choice: str) -> None:
    if choice == "detach":
        executor.detach(name)
    else:
        executor.stop(name, cancel=choice == "cancel")


def _is_at_terminal() -> bool:
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty() and _is_in_foreground())


def _is_in_foreground() -> bool:
    """Whether dsjobs may read from its terminal: a process in the background that does is halted."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, AttributeError):  # a terminal of another session, which halts nobody; Windows
        return True


def _leave_soon(number: int) -> None:
    timer = threading.Timer(LEAVING, _leave, [number])
    timer.daemon = True
    timer.start()


def _leave(number: int) -> None:
    with suppress(OSError):
        os.write(2, b"left at once; the journal has what happened until now\n")
    os._exit(128 + number)


Mark = tuple[int, int]


def request(path: Path) -> Mark | None:
    """What tells the request of another process that lies at `path` from one that comes later; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


class Requests:
    """A listener of the executor that watches for the end of the run's time, and for a file by which another process asks for
    the end of the run."""

    def __init__(
        self,
        path: Path,
        ticks: Callable[[], float],
        timeout: float | None,
        came: Interrupts,
        *,
        old: Mark | None = None,
    ) -> None:
        """`path` need not exist; `timeout`: seconds that the run may take from now on; `old`: a request that is not for this
        process, but was for one before it. It is not removed: another could come just then, and be removed with it."""
        self._path = path
        self._old = old
        self._ticks = ticks
        self._timeout = timeout
        self._end = None if timeout is None else ticks() + timeout
        self._came = came
        self._is_watching = False
        self.executor: Executor | None = None

    def __call__(self, records: Sequence[dict[str, Any]]) -> float | None:
        """Asks to be called again until a request was heard."""
        if records and self._is_watching:
            return None
        self._is_watching = True
        now = self._ticks()
        if request(self._path) not in (None, self._old):
            self._stop(CANCELLED)
        elif self._end is not None and now >= self._end:
            self._came.is_out_of_time = True
            self._stop(f"--timeout {written(self._timeout or 0.0)}")
        else:
            return LOOK if self._end is None else min(LOOK, self._end - now)
        return None

    def _stop(self, reason: str) -> None:
        assert self.executor is not None
        self.executor.stop(reason, cancel=True)
