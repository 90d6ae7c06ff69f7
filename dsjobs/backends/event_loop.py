"""One asyncio loop in one thread of its own, for a backend whose methods are called from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

STOP_SECONDS = 30.0


class LoopThread:
    """Runs in a new event loop in a new thread whatever `call` hands over, and at the end `closing`.

    The thread is a daemon, so a program that forgets to close does not hang; kernels end with the process.
    """

    def __init__(self, name: str, closing: Callable[[], Awaitable[None]]) -> None:
        self._closing = closing
        # ZeroMQ needs a selector's loop, which is not the default everywhere. Made here, so that a failure raises here.
        self._loop = asyncio.SelectorEventLoop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._thread.start()

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Calls `function` in the loop, soon."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` as a task of the loop. Called in the loop only."""
        task = asyncio.create_task(work)
        self._tasks.add(task)  # asyncio itself keeps weak references only
        task.add_done_callback(self._tasks.discard)

    async def spawned(self) -> None:
        """Waits for everything that was spawned."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def stop(self) -> None:
        """Runs `closing`, ends the loop and waits for the end of the thread, though not for ever: what it has not ended then
        ends with the process."""
        self.call(self._stopping.set)
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        await self._stopping.wait()
        await self._closing()
