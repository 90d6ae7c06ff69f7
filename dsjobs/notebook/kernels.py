"""Starts, watches and ends kernels, each a process that cannot outlive this one.

Imports jupyter_client and ZeroMQ, and so takes a quarter of a second to import: only what runs notebooks imports it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import IO, Any, TypeVar
from uuid import uuid4

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from dsjobs.model import KernelStart
from dsjobs.notebook.forkserver import choice
from dsjobs.notebook.forkserver.client import ForkServer
from dsjobs.notebook.forkserver.provisioner import START_SECONDS, KeptProvisioner
from dsjobs.notebook.kernelsettings import KernelSettings

T = TypeVar("T")

# An idle ipykernel takes 0.05 to 0.2 s to end; ipykernel 7.4 deadlocks in 4 to 12 of 100 shutdowns. What a notebook runs at
# exit may take longer, and gets as long as jupyter_client gives it.
_END_SECONDS = 2.5
_TERMINATE_SECONDS = 1.0
# A keeper gives what a notebook left running 0.3 s before it kills it.
_REST_SECONDS = 2.0
# The keeper tells of a kernel's end on another way than its last messages come: they are read until none has come for so long.
# What the kernel had not sent yet is lost, in a usual one as in a fork, and no waiting brings it back: of 300 forks that were
# killed by their first cell, beside two busy loops, the message with the cell's number was missing 2 times after 0.1 s, 4 times
# after 1 s, and 12 times without waiting; of 450 usual kernels 15 times, of 600 forks 19 times, after 0.25 s.
_LAST_WORDS_SECONDS = 0.1
_LAST_WORDS_LOOKS = 2
_POLL_SECONDS = 0.05
LAST_WORDS = 16 * 1024
"""How many bytes are kept of what a kernel wrote past Jupyter."""


class KernelDied(Exception):  # noqa: N818 (an outcome, not an error of dsjobs)
    """The kernel's process ended while it was needed. `exit_code` is negative for a signal, None when not known."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Manager(AsyncKernelManager):
    """A manager whose kernelspec and provisioner are given: it looks for neither on the disk, kernel after kernel."""

    def __init__(self, spec: KernelSpec, **traits: Any) -> None:
        super().__init__(**traits)
        self._kernel_spec = spec
        self.kernel_id = uuid4().hex

    async def start_kernel(self, **kw: Any) -> None:  # type: ignore[override]
        """As jupyter_client's, whose decorator sleeps for 10 ms at each start so that its own tests see one pending."""
        self._attempted_start = True
        command, arguments = await self._async_pre_start_kernel(**kw)
        await self._async_launch_kernel(command, **arguments)
        await self._async_post_start_kernel(**arguments)

    def keep(self, settings: KernelSettings, base: str, server: ForkServer | None) -> None:
        """Gives the kernel a keeper, and a fork server if there is one."""
        provisioner = KeptProvisioner(kernel_id=self.kernel_id, kernel_spec=self._kernel_spec, parent=self)
        provisioner.memory_bytes, provisioner.base, provisioner.server = settings.memory_bytes, base, server
        self.provisioner = provisioner

    def hold(self, arguments: list[str], file: IO[bytes]) -> None:
        """Has the provisioner begin with a fork, if it can."""
        if isinstance(self.provisioner, KeptProvisioner):
            self._launch_args = {}
            with suppress(OSError):  # No server, no spare: the next start says why.
                self.provisioner.hold(self.format_kernel_cmd(arguments), (file, file))


class _OutputChannel(AsyncZMQSocketChannel):
    """Counts the messages that were `read`."""

    read = 0

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:  # type: ignore[override]
        message = await super().get_msg(timeout)
        self.read += 1
        return message


class Kernel:
    """One kernel's process and the connection to it. Every method belongs to the event loop that started it."""

    def __init__(self, manager: Manager, log: Path) -> None:
        self.manager = manager
        self.client: AsyncKernelClient = manager.client(context=manager.context)
        self.client.iopub_channel_class = _OutputChannel
        self._output: _OutputChannel = self.client.iopub_channel
        self.client.start_channels(stdin=False, hb=False, control=False)
        self.exited: asyncio.Task[int | None] = asyncio.create_task(_exit_code(manager))
        self._log = log
        self._is_freed = False

    @property
    def start(self) -> KernelStart:
        """How it was started."""
        provisioner = self.manager.provisioner
        if not isinstance(provisioner, KeptProvisioner):
            return KernelStart("usual", choice.platform_refusal())
        return KernelStart("fork" if provisioner.reason is None else "usual", provisioner.reason)

    async def until_ready(self) -> dict[str, Any]:
        """The content of the kernel's answer to kernel_info. Raises KernelDied, and TimeoutError after two minutes.

        `wait_for_ready` of jupyter_client would add 200 ms of silence; seeing the answer's own idle message says as well
        that nothing on iopub can be lost any more.
        """
        async with asyncio.timeout(START_SECONDS):
            return await self.during(self._handshake())

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or KernelDied as soon as the process has ended."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self.exited}, return_when=asyncio.FIRST_COMPLETED)
            await self._hear_out(task)
            if task.done() and not task.cancelled():
                return task.result()
            raise KernelDied(self.exited.result() if self.exited.done() else None)
        finally:
            await _dropped(task)

    async def interrupt(self) -> None:
        """What Ctrl-C does in a notebook."""
        if not self.exited.done():
            await self.manager.interrupt_kernel()

    async def signal(self, number: signal.Signals, seconds: float) -> None:
        """Sends a signal to the kernel and its children and waits for its end, at most so long."""
        if not self.exited.done():
            await self.manager.signal_kernel(number)
            await asyncio.wait({self.exited}, timeout=seconds)

    async def end(self) -> None:
        """Ends the kernel: a request first, so that what runs at exit runs, then signals. Frees all that it holds."""
        if not self.exited.done():
            await self.manager.request_shutdown()
            await asyncio.wait({self.exited}, timeout=_END_SECONDS)
        await self.signal(signal.SIGTERM, _TERMINATE_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """Ends the kernel at once, and all that it has started, and frees all that it holds. May be called again, also
        while it runs."""
        await self.signal(signal.SIGKILL, _TERMINATE_SECONDS)
        if not self._is_freed:
            self._is_freed = True
            self.client.stop_channels()
            await _wait_for_the_rest(self.manager)
            await self.manager.cleanup_resources()
            self._log.unlink(missing_ok=True)

    def last_words(self, more_bytes: int = 0) -> str:
        """The end of what the process wrote past Jupyter, `LAST_WORDS` and so many bytes more: why it could not start, or where
        native code crashed."""
        try:
            with self._log.open("rb") as file:
                file.seek(-min(LAST_WORDS + more_bytes, file.seek(0, os.SEEK_END)), os.SEEK_END)
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    async def _hear_out(self, task: asyncio.Task[Any]) -> None:
        """Gives `task` time for what a kernel that has ended said last, as long as it goes on reading."""
        channel, read, silent = self._output, -1, 0
        while not task.done() and silent < _LAST_WORDS_LOOKS:
            read, silent = channel.read, silent + 1 if channel.read == read else 0
            await asyncio.wait({task}, timeout=_LAST_WORDS_SECONDS / _LAST_WORDS_LOOKS)

    async def _handshake(self) -> dict[str, Any]:
        while True:
            request = self.client.kernel_info()
            try:
                while (reply := await self.client.get_shell_msg(timeout=5))["parent_header"].get("msg_id") != request:
                    pass
                while not _is_idle(await self.client.get_iopub_msg(timeout=0.5), request):
                    pass
            except Empty:
                continue
            content: dict[str, Any] = reply["content"]
            return content


async def _exit_code(manager: AsyncKernelManager) -> int | None:
    """Waits for the end of the kernel's process; its keeper tells at once, without one we look twenty times a second."""
    provisioner = manager.provisioner
    if provisioner is None:
        return None
    kept = getattr(provisioner, "kept", None)
    if kept is not None:
        await kept.until(lambda: kept.has_exited)
    while (code := await provisioner.poll()) is None:
        await asyncio.sleep(_POLL_SECONDS)
    return code


async def _wait_for_the_rest(manager: AsyncKernelManager) -> None:
    """Waits for the end of what the notebook has started and left behind."""
    kept = getattr(manager.provisioner, "kept", None)
    if kept is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(kept.until(lambda: kept.is_gone), _REST_SECONDS)


async def _dropped(task: asyncio.Task[Any]) -> None:
    """Cancels what is still running and takes note of how it ended, so that asyncio does not report it."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _is_idle(message: Mapping[str, Any], request: str) -> bool:
    is_ours = message["parent_header"].get("msg_id") == request
    return bool(is_ours and message["content"].get("execution_state") == "idle")
