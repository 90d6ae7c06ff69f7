"""Kernels that were started the usual way before their notebooks were known, where kernels cannot be forks.

A notebook cannot tell: its folder and its variables are set before its first cell, and where one of them would have been read
earlier, by the interpreter, by a library or by start-up code of the user's, it gets a kernel that starts with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dsjobs.model import KernelStart
from dsjobs.notebook import kernelcode
from dsjobs.notebook.forkserver import choice
from dsjobs.notebook.kernels import Kernel, KernelDied, Manager

_MAX_WAITING = 2
_FILE, _KEY = "entry.py", "entry"


class PooledKernel(Kernel):
    """A kernel that makes itself ready while it has no notebook yet. `reason`: why it is not a fork."""

    reason: str | None = None

    def __init__(self, manager: Manager, log: Path) -> None:
        super().__init__(manager, log)
        self._entry: str | None = None
        self._info: dict[str, Any] = {}
        self._preparing = asyncio.create_task(self._prepare())

    @property
    def start(self) -> KernelStart:
        return KernelStart("pool", self.reason)

    async def is_fit(self) -> bool:
        """Waits until it is ready; whether a notebook can have it. May be cancelled."""
        return await asyncio.shield(self._preparing) and not self.exited.done()

    def enter(self, folder: Path, changes: Mapping[str, str]) -> None:
        """Gives it to a notebook: `until_ready` will go to this folder and set these variables."""
        self._entry = kernelcode.call(_FILE, "enter", f"{str(folder)!r}, {dict(changes)!r}")

    async def until_ready(self) -> dict[str, Any]:
        assert self._entry is not None
        answer = await self.during(self._ask(self._entry))
        if answer.get("status") != "ok":
            raise OSError(f"{answer.get('ename')}: {answer.get('evalue')}")
        return self._info

    async def kill(self) -> None:
        await super().kill()
        await asyncio.wait({self._preparing})

    async def _prepare(self) -> bool:
        """Whether it has come up, and has not run anything of the user's."""
        with suppress(KernelDied, TimeoutError):
            self._info = await super().until_ready()
            answer = await self.during(self._ask(kernelcode.call(_FILE, "has_run_code", "")))
            return bool(answer.get("data", {}).get("text/plain") == "False")
        return False

    async def _ask(self, expression: str) -> dict[str, Any]:
        reply = await self.client.execute(**kernelcode.request(expression, _KEY))
        answer: dict[str, Any] = reply["content"].get("user_expressions", {}).get(_KEY, {})
        return answer


class Pool:
    """The kernels that wait, by name. `environ`: the variables that they were started with."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._waiting: dict[str, list[PooledKernel]] = {}
        self._unfit: set[str] = set()

    @property
    def size(self) -> int:
        return sum(map(len, self._waiting.values()))

    def room(self, name: str, running: int) -> int:
        """How many more kernels of this name are worth starting ahead, where so many run at once."""
        if name in self._unfit:
            return 0
        return max(0, min(_MAX_WAITING, running) - len(self._waiting.get(name, ())))

    def add(self, name: str, kernel: PooledKernel) -> None:
        self._waiting.setdefault(name, []).append(kernel)

    async def take(self, name: str, folder: Path, environment: Mapping[str, str]) -> PooledKernel | None:
        """A kernel of this name for a notebook there, with these variables; None where none waits that could be had."""
        changes = choice.changes(self._environ, environment)
        if changes is None:
            return None
        waiting = self._waiting.get(name, [])
        while waiting:
            kernel = waiting.pop(0)
            try:
                is_fit = await kernel.is_fit()
            except asyncio.CancelledError:
                waiting.insert(0, kernel)
                raise
            if is_fit:
                kernel.enter(folder, changes)
                return kernel
            if not kernel.exited.done():
                self._unfit.add(name)
                await kernel.kill()
        return None
