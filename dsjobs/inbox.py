"""What other threads and signal handlers tell a loop.

`queue.SimpleQueue` would do, were it not for its time-outs: where `get` has no time left once it holds its lock, it waits with a
negative one, which is for ever (seen with CPython 3.11). `queue.Queue` cannot be used by a signal handler.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

_LONGEST = 3600.0
"""Seconds of one wait: a lock cannot wait for centuries."""


class Inbox(Generic[T]):
    """Messages, in the order in which they came. One thread takes them; any thread puts them, and any signal handler, also one
    that interrupts this code."""

    def __init__(self) -> None:
        self._messages: deque[T] = deque()
        self._news = threading.Lock()  # free after a message came that may not have been seen
        self._news.acquire()

    def put(self, message: T) -> None:
        """Add `message`. Never waits."""
        self._messages.append(message)
        with suppress(RuntimeError):  # it is free: somebody else has told of news, and nobody has looked since
            self._news.release()

    def take(self, timeout: float | None = None) -> list[T]:
        """Wait for a message, for `timeout` seconds at most, and take all that are there; none where none came."""
        self._wait(timeout)
        taken = []
        while self._messages:
            taken.append(self._messages.popleft())
        return taken

    def take_one(self, timeout: float | None = None) -> T | None:
        """The same, but the first message alone; None where none came."""
        self._wait(timeout)
        return self._messages.popleft() if self._messages else None

    def _wait(self, timeout: float | None) -> None:
        due = None if timeout is None else time.monotonic() + timeout
        while not self._messages:
            left = _LONGEST if due is None else min(_LONGEST, due - time.monotonic())
            if left <= 0:
                return
            self._news.acquire(timeout=left)
