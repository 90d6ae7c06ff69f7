"""Worker threads: they make calls and post the answers. They own nothing; the executor's loop owns all state."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]


class Workers:
    """At most `limit` daemon threads that run calls in the order given, but looks after everything else: a late submit makes
    its job late, a late look only says later that one has ended. A thread starts when a call finds none idle."""

    def __init__(self, limit: int, post: Callable[[Any], None]) -> None:
        """`post` gets what each call returns, or the exception that it raised, from the worker's thread."""
        self._limit = limit
        self._post = post
        self._calls: deque[Call | None] = deque()
        self._looks: deque[Call] = deque()
        self._tickets: queue.SimpleQueue[None] = queue.SimpleQueue()  # one for each call that waits in either
        self._threads: list[threading.Thread] = []
        self._open = 0
        self._lock = threading.Lock()

    def run(self, call: Call, *, is_look: bool = False) -> None:
        """Have `call` made soon; `is_look`: when nothing else waits."""
        with self._lock:
            self._open += 1
            needs_thread = self._open > len(self._threads) and len(self._threads) < self._limit
        if needs_thread:
            thread = threading.Thread(target=self._work, name=f"dsjobs-call-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        (self._looks if is_look else self._calls).append(call)
        self._tickets.put(None)

    def close(self) -> None:
        """Let the threads end when they have made the calls that are waiting; looks are not made any more. Does not wait."""
        for _ in self._threads:
            self._calls.append(None)
            self._tickets.put(None)

    def _next(self) -> Call | None:
        self._tickets.get()
        try:
            return self._calls.popleft()
        except IndexError:
            return self._looks.popleft()

    def _work(self) -> None:
        while (call := self._next()) is not None:
            try:
                answer = call()
            except BaseException as error:  # noqa: BLE001 - the loop decides what an exception means
                answer = error
            with self._lock:
                self._open -= 1
            self._post(answer)
