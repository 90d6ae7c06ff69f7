"""Worker threads: they make calls and post the answers. They own nothing; the executor's loop owns all state."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]

MAX_THREADS = 16
"""More make `requests` slower, not faster."""

FEW = 1
"""Threads that are started without asking whether they are of use. One alone makes more calls than two that take turns."""

WORTH = 0.002
"""Seconds. Where a call takes less than so long for each thread that makes calls, more threads would not make more calls: most of
that time they wait for the interpreter, of which each call needs nearly a millisecond, and every change of hands costs."""

REVIEW = 0.02
"""Seconds after which it is looked at whether the calls that wait for a thread should have more of them."""

_SMOOTHING = 32
"""Calls over which the time that one takes is averaged."""


class Workers:
    """At most `limit` daemon threads that run calls in the order given, but looks after everything else: a late submit makes
    its job late, a late look only says later that one has ended. Looks come in the order of their `rank`. There are as many
    threads as the service keeps waiting."""

    def __init__(
        self, limit: int, post: Callable[[Any], None], *, ticks: Callable[[], float] = time.perf_counter
    ) -> None:
        """`post` gets what each call returns, or the exception that it raised, from the worker's thread. `ticks`: what a call
        takes is measured by it, in seconds; not the clock of the run, which tests let leap."""
        self._limit = limit
        self._post = post
        self._ticks = ticks
        self._calls: deque[Call | None] = deque()
        self._looks: list[tuple[float, int, Call]] = []  # a heap, by rank
        self._sequence = itertools.count()
        self._tickets: queue.SimpleQueue[None] = queue.SimpleQueue()  # one for each call that waits in either
        self._threads: list[threading.Thread] = []
        self._open = 0
        self._took = 0.0  # seconds that a call takes, of late
        self._ended = 0
        self._seen_ended = 0
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)

    def run(self, call: Call, *, rank: float | None = None) -> bool:
        """Have `call` made soon; one with a `rank` only looks at an operation, and is made when nothing else waits, nor a look of
        a lower rank. Returns whether it may wait longer than it should: `review` is to be called in a while."""
        with self._lock:
            self._open += 1
            has_thread = self._open <= len(self._threads)
            is_worth_it = self._took > WORTH * len(self._threads)
            if rank is None:
                self._calls.append(call)
            else:
                heapq.heappush(self._looks, (rank, next(self._sequence), call))
        self._tickets.put(None)
        if has_thread or len(self._threads) == self._limit:
            return False
        if len(self._threads) < FEW or is_worth_it:
            self._start(1)
            return False
        return True

    def review(self) -> bool:
        """Start more threads where calls wait and none has ended since the last time; returns whether to look again."""
        with self._lock:
            waiting = self._open - len(self._threads)
            is_stuck = self._ended == self._seen_ended
            self._seen_ended = self._ended
        if is_stuck and waiting > 0:
            started = min(waiting, self._limit - len(self._threads), len(self._threads))
            self._start(started)
            waiting -= started
        return waiting > 0 and len(self._threads) < self._limit

    def wait(self, seconds: float) -> None:
        """Wait until no call is under way or waits, but at most so long."""
        with self._lock:
            if self._open:
                self._idle.wait(seconds)

    def close(self) -> None:
        """Let the threads end when they have made the calls that are waiting; looks are not made any more. Does not wait."""
        for _ in self._threads:
            self._calls.append(None)
            self._tickets.put(None)

    def _start(self, number: int) -> None:
        for _ in range(number):
            thread = threading.Thread(target=self._work, name=f"dsjobs-call-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _next(self) -> Call | None:
        self._tickets.get()
        with self._lock:
            return self._calls.popleft() if self._calls else heapq.heappop(self._looks)[2]

    def _work(self) -> None:
        while (call := self._next()) is not None:
            began = self._ticks()
            try:
                answer = call()
            except BaseException as error:  # noqa: BLE001 - the loop decides what an exception means
                answer = error
            with self._lock:
                self._open -= 1
                self._ended += 1
                self._took += (self._ticks() - began - self._took) / _SMOOTHING
                is_last = not self._open
            self._post(answer)
            if is_last:
                with self._lock:
                    self._idle.notify_all()
