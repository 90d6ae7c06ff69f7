"""How fast calls go to one service: a rate that all jobs in flight share, and the waiting that the service asked for."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable


class Lane:
    """The way to one service. Calls go at most `rate` a second, a tenth of a second's worth of them at once."""

    def __init__(self, rate: float, *, ticks: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """`ticks`: a clock in seconds that never goes back; `sleep`: waits so many seconds."""
        self._interval = 1.0 / rate
        self._ahead = max(self._interval, 0.1)
        self._ticks = ticks
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = -math.inf
        self._held_until = -math.inf

    def enter(self, patience: float) -> float:
        """Wait for the next call's turn and return 0; or, where the service wants more than `patience` seconds of quiet,
        return at once how many."""
        with self._lock:
            now = self._ticks()
            held = self._held_until - now
            if held > patience:
                return held
            turn = max(self._next, now - self._ahead, self._held_until - self._ahead)
            self._next = turn + self._interval
            delay = max(turn - now, held)
        if delay > 0:
            self._sleep(delay)
        return 0.0

    def hold(self, seconds: float) -> None:
        """No call for so long: the service said so."""
        with self._lock:
            self._held_until = max(self._held_until, self._ticks() + seconds)
