"""Where the executor's loop waits: for what is posted to its inbox, and for its timers."""

from __future__ import annotations

import time
from typing import Any

from dsjobs.inbox import Inbox
from dsjobs.run.calls import Workers
from dsjobs.run.flights import Timers

GATHER = 0.008
"""Seconds between two turns of the loop, while calls are under way: more answers are about to come, and a turn, with its sync of
the journal, costs nearly as much for one as for ten."""


class News:
    """What happens to a run."""

    def __init__(self, inbox: Inbox[Any], timers: Timers, workers: Workers) -> None:
        self._inbox = inbox
        self._timers = timers
        self._workers = workers
        self._last = 0.0  # of the real clock, not of the run's: it is about the interpreter's time

    def take(self) -> list[Any]:
        """Wait until something happens, and do what is due meanwhile; everything that has happened, in its order."""
        messages: list[Any] = []
        while not messages:
            messages = self._inbox.take(self._timers.run_due())
        left = self._last + GATHER - time.perf_counter()
        if left > 0:
            self._workers.wait(left)
            messages += self._inbox.take(0)
        self._last = time.perf_counter()
        return messages
