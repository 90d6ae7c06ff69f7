"""Starts, watches and ends kernels, each a process that cannot outlive this one.

Imports jupyter_client and ZeroMQ, and so takes a quarter of a second to import: only what runs notebooks imports it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any, TypeVar

import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from dsjobs.notebook.kernelspecs import KernelChoice

T = TypeVar("T")

START_SECONDS = 120.0
# An idle ipykernel takes 0.05 to 0.2 s to end; ipykernel 7.4 deadlocks in 4 to 12 of 100 shutdowns. What a notebook runs at
# exit may take longer, and gets as long as jupyter_client gives it; but the end of a whole run waits no longer than a second.
_END_SECONDS = 2.5
_CLOSE_SECONDS = 1.0
_TERMINATE_SECONDS = 1.0
# What a dead kernel has already sent is still in its sockets, and read within a few milliseconds.
_LAST_WORDS_SECONDS = 0.1
_POLL_SECONDS = 0.05
_LAST_WORDS_BYTES = 16 * 1024

# The limit of a socket's path is 108 bytes on Linux and 104 on macOS; names here add at most 30.
_MAX_FOLDER_BYTES = 70

# Runs before the kernel in its process. PR_SET_PDEATHSIG (1) survives exec and makes the kernel die with the thread that
# started it; where orphans go (to pid 1, a subreaper, nowhere) does not matter. A preexec_fn could do the same, but forks
# a process with threads. `dsjobs` may have died before prctl: then the parent is already another one.
GUARD = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit("%s: %s" % (sys.argv[2], error.strerror))
"""


class KernelDied(Exception):  # noqa: N818 (an outcome, not an error of dsjobs)
    """The kernel's process ended while it was needed. `exit_code` is negative for a signal, None when not known."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class _Manager(AsyncKernelManager):
    """Starts its kernel under the guard, which ties it to this process. Elsewhere ipykernel itself polls its parent."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        argv = super().format_kernel_cmd(extra_arguments)
        if sys.platform != "linux" or not sys.executable:
            return argv
        return [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid()), *argv]


class Kernel:
    """One kernel's process and the connection to it. Every method belongs to the event loop that started it."""

    def __init__(self, manager: AsyncKernelManager, log: Path) -> None:
        self.manager = manager
        self.client: AsyncKernelClient = manager.client(context=manager.context)
        self.client.start_channels(stdin=False, hb=False, control=False)
        self.exited: asyncio.Task[int | None] = asyncio.create_task(_exit_code(manager))
        self._log = log
        self._is_freed = False

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
            if not task.done():
                await asyncio.wait({task}, timeout=_LAST_WORDS_SECONDS)
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
        """Ends the kernel at once and frees all that it holds. May be called again, also while it runs."""
        await self.signal(signal.SIGKILL, _TERMINATE_SECONDS)
        if not self._is_freed:
            self._is_freed = True
            self.client.stop_channels()
            await self.manager.cleanup_resources()

    def last_words(self) -> str:
        """The end of what the process wrote past Jupyter: why it could not start, or where native code crashed."""
        try:
            with self._log.open("rb") as file:
                file.seek(-min(_LAST_WORDS_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

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


class KernelHost:
    """The kernels of one event loop, and what they share: a private folder for their sockets and a ZeroMQ context."""

    def __init__(self) -> None:
        self._folder = _private_folder()
        self._context = zmq.asyncio.Context()
        # A kernel binds its sockets 0.4 s after we connect: retry each 10 ms rather than each 100 ms. No limit on waiting
        # messages, because a publisher drops what a slow reader has no room for.
        self._context.setsockopt(zmq.RECONNECT_IVL, 10)
        self._context.setsockopt(zmq.RCVHWM, 0)
        self._started = 0
        self._kernels: set[Kernel] = set()
        self._endings: set[asyncio.Task[None]] = set()

    async def start(self, choice: KernelChoice, *, folder: Path, environment: Mapping[str, str]) -> Kernel:
        """A new kernel in `folder` with exactly these environment variables; it is not ready yet. Raises OSError."""
        self._started += 1
        base = self._folder / f"k{self._started}"
        manager = _Manager(kernel_name=choice.name, context=self._context, connection_file=f"{base}.json")
        spec = manager.kernel_spec
        is_ipykernel = spec is not None and any("ipykernel" in argument for argument in spec.argv)
        if is_ipykernel and len(os.fsencode(self._folder)) <= _MAX_FOLDER_BYTES and os.name == "posix":
            # No port is open to other users, and none can be taken between its choice and its use. Other kernels build
            # the address of an ipc socket each in their own way.
            manager.transport, manager.ip = "ipc", str(base)
        # As nbclient does: no history file, over which kernels that run side by side would quarrel.
        arguments = ["--HistoryManager.hist_file=:memory:"] if is_ipykernel else []
        log = base.with_suffix(".log")
        with log.open("wb") as file:
            await manager.start_kernel(
                cwd=str(folder), env=dict(environment), extra_arguments=arguments, stdout=file, stderr=file
            )
        try:
            kernel = Kernel(manager, log)
        except zmq.ZMQError as error:
            await manager.shutdown_kernel(now=True)
            raise OSError(error.errno, error.strerror) from error
        self._kernels.add(kernel)
        return kernel

    def end(self, kernel: Kernel) -> None:
        """Ends the kernel in the background."""
        ending = asyncio.create_task(self._end(kernel))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def close(self) -> None:
        """Waits a little for kernels that were asked to end, kills those that are left, and frees what is shared."""
        if self._endings:
            await asyncio.wait(self._endings, timeout=_CLOSE_SECONDS)
        await asyncio.gather(*(kernel.kill() for kernel in self._kernels))
        await asyncio.gather(*self._endings)
        self._context.destroy(linger=0)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _end(self, kernel: Kernel) -> None:
        await kernel.end()
        self._kernels.discard(kernel)


def _private_folder() -> Path:
    """A new folder for this user only, with a short name: a socket's path has a limit."""
    folder = Path(tempfile.gettempdir()).resolve()
    if len(os.fsencode(folder)) + 20 > _MAX_FOLDER_BYTES and os.access("/tmp", os.W_OK | os.X_OK):  # noqa: S108
        folder = Path("/tmp")  # noqa: S108 (mkdtemp makes a folder of mode 0700 in it)
    return Path(tempfile.mkdtemp(prefix="dsjobs-", dir=folder))


async def _exit_code(manager: AsyncKernelManager) -> int | None:
    """Waits for the end of the kernel's process; Linux tells at once, elsewhere we look twenty times a second."""
    provisioner = manager.provisioner
    if provisioner is None:
        return None
    pid = getattr(provisioner, "pid", None)
    if sys.platform == "linux" and isinstance(pid, int):
        with suppress(OSError):  # No file descriptors are left, or a sandbox forbids the call.
            await _readable(os.pidfd_open(pid))
    while (code := await provisioner.poll()) is None:
        await asyncio.sleep(_POLL_SECONDS)
    return code


async def _readable(descriptor: int) -> None:
    """Waits until there is something to read, and closes the descriptor."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _dropped(task: asyncio.Task[Any]) -> None:
    """Cancels what is still running and takes note of how it ended, so that asyncio does not report it."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _is_idle(message: Mapping[str, Any], request: str) -> bool:
    is_ours = message["parent_header"].get("msg_id") == request
    return bool(is_ours and message["content"].get("execution_state") == "idle")
