"""Runs one notebook in a fresh kernel: its cells in order, up to the first exception, then its outputs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode, v4

from dsjobs.model import Failure, KernelStart, Unread
from dsjobs.notebook import failures, outputs
from dsjobs.notebook.cells import Target
from dsjobs.notebook.kernelhost import KernelHost
from dsjobs.notebook.kernels import LAST_WORDS, Kernel, KernelDied
from dsjobs.notebook.kernelspecs import KernelChoice
from dsjobs.notebook.reading import Cell
from dsjobs.secrets import Redactor

# How long a cell may take to answer an interrupt, and the kernel a SIGTERM, before the next stronger means.
_INTERRUPT_SECONDS = 2.0
_TERMINATE_SECONDS = 1.0
# After the reply to a cell, how long its remaining output may take to arrive; nbclient would drop it after 4 s.
_OUTPUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Order:
    """What to run: a notebook or a cell of it, in which kernel, with which environment, for which outputs. What it said is
    shortened for a failure only after `redactor` has seen it."""

    target: Target
    kernel: KernelChoice
    environment: Mapping[str, str]
    output_names: tuple[str, ...]
    redactor: Redactor = field(default_factory=Redactor)


class Execution:
    """One run of one notebook. Belongs to one event loop.

    After `run`: `node` is the executed notebook, however far it came; `failure` says why it failed; `outputs` are there when its
    cells did not fail, but those that are `unread`; `is_cancelled` says that it ended because `cancel` was called.
    """

    def __init__(self, order: Order, host: KernelHost) -> None:
        self.node = _blank(order.target)
        self.failure: Failure | None = None
        self.outputs: Mapping[str, Any] | None = None
        self.unread: Mapping[str, Unread] = {}
        self._order = order
        self._host = host
        self._kernel: Kernel | None = None
        self._cell: Cell | None = None
        self._reply: Mapping[str, Any] = {}
        self._stop = asyncio.Event()
        self._kill = False

    @property
    def is_cancelled(self) -> bool:
        return self._stop.is_set()

    @property
    def kernel_start(self) -> KernelStart | None:
        """How the kernel was started, once it was."""
        return self._kernel.start if self._kernel is not None else None

    def cancel(self, *, at_once: bool = False) -> None:
        """Asks for the end: an interrupt, later signals; with `at_once` the kernel is killed without asking it."""
        self._kill = self._kill or at_once
        self._stop.set()

    async def run(self) -> None:
        """Runs the notebook to its end. The kernel lives on until `farewell`."""
        if not self._order.kernel.is_python and self._order.output_names:
            why = f"its kernel '{self._order.kernel.name}' is not a Python kernel"
            self.failure = outputs.unreadable(self._order.output_names, why).failure
            return
        if self._stop.is_set():
            return
        work, stop = asyncio.create_task(self._work()), asyncio.create_task(self._stop.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await self._bring_to_end(work)
        stop.cancel()
        if not work.done():
            work.cancel()
        elif not work.cancelled():
            work.result()  # raises what nobody expected
        limit_bytes = self._host.settings.memory_bytes
        if self.failure is not None and limit_bytes is not None:
            self.failure = failures.with_memory_limit(self.failure, limit_bytes)

    def farewell(self) -> None:
        """Ends the kernel, in the background: what matters to dependent jobs has been written when `run` returns."""
        if self._kernel is not None:
            self._host.end(self._kernel)

    async def _work(self) -> None:
        try:
            kernel = await self._start()
        except (OSError, TimeoutError, KernelDied) as error:
            self.failure = self._start_failure(error)
            return
        try:
            await self._run_cells(kernel)
        except KernelDied as death:
            self.failure = failures.from_death(self._cell, death.exit_code, self._last_words(kernel))
            return
        except CellExecutionError:
            self.failure = failures.from_exception(self._cell, self._reply) if self._cell else None
        if not self._stop.is_set():
            await self._settle(kernel)

    async def _start(self) -> Kernel:
        order, host = self._order, self._host
        folder = order.target.notebook.path.parent
        await host.prepared(order.kernel)
        self._kernel = await host.waiting(order.kernel, folder=folder, environment=order.environment)
        if self._kernel is None:
            self._kernel = await host.start(order.kernel, folder=folder, environment=order.environment)
        kernel = self._kernel
        info = await kernel.until_ready()
        host.lay_by(order.kernel)
        if "language_info" in info:
            self.node.metadata["language_info"] = info["language_info"]
        return kernel

    def _start_failure(self, error: Exception) -> Failure:
        name = self._order.kernel.name
        traceback = failures.lines(self._last_words(self._kernel)) if self._kernel else ()
        if isinstance(error, KernelDied):
            how, hint = failures.death(error.exit_code)
            message = f"kernel '{name}' ended before it was ready: {how}"
            return Failure("backend", message, hint=hint, traceback=traceback)
        if isinstance(error, TimeoutError):
            return Failure("backend", f"kernel '{name}' did not answer in time", traceback=traceback)
        return Failure("backend", f"kernel '{name}' could not be started: {error}", traceback=traceback)

    async def _run_cells(self, kernel: Kernel) -> None:
        """Runs the cells in order; raises what the first bad one raised. `_cell` is the one that runs."""
        client = _Client(self.node, km=kernel.manager, iopub_timeout=_OUTPUT_SECONDS, on_cell_error=self._remember)
        client.kc = kernel.client
        client.kc.allow_stdin = False  # input() raises instead of waiting for an answer that nobody gives
        try:
            for cell in self._order.target.cells:
                if self._stop.is_set():
                    return
                self._cell = cell
                count = client.code_cells_executed + 1
                node = self.node.cells[cell.index]
                await kernel.during(client.async_execute_cell(node, cell.index, execution_count=count))
        except (DeadKernelError, KernelDied) as error:
            # As nbclient does for a cell that ends: the message that says it may have died with the kernel.
            node.execution_count = count
            raise KernelDied(await kernel.exited) from error
        finally:
            client.set_widgets_metadata()

    def _remember(self, *, execute_reply: Mapping[str, Any], **_: Any) -> None:
        self._reply = failures.masked(execute_reply["content"], self._order.redactor)

    def _last_words(self, kernel: Kernel) -> str:
        """The last words of a kernel, without secrets: one that began before them is in what is read beyond them."""
        redactor = self._order.redactor
        said = kernel.last_words(2 * redactor.reach)
        beyond = len(said) - len(said.encode("utf-8", "replace")[-LAST_WORDS:].decode("utf-8", "ignore"))
        return redactor.mask_all([failures.clean(said[:beyond]), failures.clean(said[beyond:])])[1]

    async def _settle(self, kernel: Kernel) -> None:
        """One last request to a Python kernel: its outputs, if it has not failed, and what makes it ready to end."""
        names = () if self.failure else self._order.output_names
        read = outputs.Outputs({})
        if self._order.kernel.is_python:
            request = kernel.client.execute(**outputs.question(names))
            try:
                read = outputs.read((await kernel.during(request))["content"])
            except KernelDied as death:
                read = outputs.unreadable(
                    names, f"the kernel ended after the last cell: {failures.death(death.exit_code)[0]}"
                )
        if names:
            self.failure, self.outputs, self.unread = read.failure, read.values, read.unread
        elif self.failure is None:
            self.outputs = {}

    async def _bring_to_end(self, work: asyncio.Task[None]) -> None:
        """Makes the kernel stop by ever stronger means, until `work` has ended because of it."""
        if self._kernel is None:
            work.cancel()  # nothing of the notebook has begun
            await asyncio.wait({work}, timeout=_TERMINATE_SECONDS)
        if self._kernel is None:
            return
        if not self._kill:
            await self._kernel.interrupt()
            await asyncio.wait({work}, timeout=_INTERRUPT_SECONDS)
        if not self._kill and not work.done():
            await self._kernel.signal(signal.SIGTERM, _TERMINATE_SECONDS)
        if not work.done():
            await self._kernel.signal(signal.SIGKILL, _TERMINATE_SECONDS)
            await asyncio.wait({work}, timeout=_TERMINATE_SECONDS)


class _Client(NotebookClient):
    """Leaves it to `Kernel.during` to see that a kernel has died: nbclient's own look, each second, would cut off what is
    still to be read of it."""

    async def _async_check_alive(self) -> None:
        return


def _blank(target: Target) -> NotebookNode:
    """The notebook before it runs: no outputs of an earlier run, and what nbclient needs where a file leaves it out."""
    node: NotebookNode = v4.to_notebook({"metadata": {}, **target.notebook.content})  # type: ignore[no-untyped-call]
    for cell, read in zip(node.cells, target.notebook.cells, strict=True):
        cell.source = read.source
        cell.setdefault("metadata", NotebookNode())  # type: ignore[no-untyped-call]
        if read.number:
            cell.outputs, cell.execution_count = [], None
    return node
