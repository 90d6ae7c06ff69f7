"""Starts, watches and ends kernels, each a process that cannot outlive this one.

Imports jupyter_client and ZeroMQ, and so takes a quarter of a second to import: only what runs notebooks imports it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import IO, Any, TypeVar
from uuid import uuid4

import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from dsjobs.notebook.forkserver import choice
from dsjobs.notebook.forkserver.client import ForkServer
from dsjobs.notebook.forkserver.opening import MAX_FOLDER_BYTES
from dsjobs.notebook.forkserver.provisioner import KeptProvisioner
from dsjobs.notebook.kernelsettings import KernelSettings, KernelStart
from dsjobs.notebook.kernelspecs import KernelChoice

T = TypeVar("T")

START_SECONDS = 120.0
# An idle ipykernel takes 0.05 to 0.2 s to end; ipykernel 7.4 deadlocks in 4 to 12 of 100 shutdowns. What a notebook runs at
# exit may take longer, and gets as long as jupyter_client gives it; but the end of a whole run waits no longer than a second.
_END_SECONDS = 2.5
_CLOSE_SECONDS = 1.0
_TERMINATE_SECONDS = 1.0
# A keeper gives what a notebook left running 0.3 s before it kills it.
_REST_SECONDS = 2.0
# What a dead kernel has already sent is still in its sockets: read within milliseconds, on a busy machine later.
_LAST_WORDS_SECONDS = 0.25
_POLL_SECONDS = 0.05
_STARTS_BEFORE_SPARES = 2
_LAST_WORDS_BYTES = 16 * 1024


class KernelDied(Exception):  # noqa: N818 (an outcome, not an error of dsjobs)
    """The kernel's process ended while it was needed. `exit_code` is negative for a signal, None when not known."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class _Manager(AsyncKernelManager):
    """A manager whose kernelspec and provisioner are given: it looks for neither on the disk, kernel after kernel."""

    def __init__(self, spec: KernelSpec, **traits: Any) -> None:
        super().__init__(**traits)
        self._kernel_spec = spec
        self.kernel_id = uuid4().hex

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


class Kernel:
    """One kernel's process and the connection to it. Every method belongs to the event loop that started it."""

    def __init__(self, manager: AsyncKernelManager, log: Path) -> None:
        self.manager = manager
        self.client: AsyncKernelClient = manager.client(context=manager.context)
        self.client.start_channels(stdin=False, hb=False, control=False)
        self.exited: asyncio.Task[int | None] = asyncio.create_task(_exit_code(manager))
        self.start = _start_of(manager)
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
        """Ends the kernel at once, and all that it has started, and frees all that it holds. May be called again, also
        while it runs."""
        await self.signal(signal.SIGKILL, _TERMINATE_SECONDS)
        if not self._is_freed:
            self._is_freed = True
            self.client.stop_channels()
            await _wait_for_the_rest(self.manager)
            await self.manager.cleanup_resources()
            self._log.unlink(missing_ok=True)

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


@dataclass(frozen=True)
class _Draft:
    """A kernel that has not been started, or only half."""

    manager: _Manager
    log: Path
    arguments: list[str]

    def hold(self) -> None:
        """Has a fork made, as far as it can be made for any notebook."""
        self.manager.write_connection_file()
        with self.log.open("wb") as file:
            self.manager.hold(self.arguments, file)


class KernelHost:
    """The kernels of one event loop, and what they share: a private folder for their sockets and a ZeroMQ context."""

    def __init__(self, settings: KernelSettings, folder: Path, server: ForkServer | None) -> None:
        """`folder` and `server` belong to this object from now on."""
        self.settings = settings
        self._folder = folder
        self._server = server
        self._specs: dict[str, KernelSpec] = {}
        self._starts: Counter[str] = Counter()
        self._spares: dict[str, _Draft] = {}
        self._context = zmq.asyncio.Context()
        # A kernel binds its sockets 0.4 s after we connect: retry each 10 ms rather than each 100 ms. No limit on waiting
        # messages, because a publisher drops what a slow reader has no room for.
        self._context.setsockopt(zmq.RECONNECT_IVL, 10)
        self._context.setsockopt(zmq.RCVHWM, 0)
        self._started = 0
        self._kernels: set[Kernel] = set()
        self._endings: set[asyncio.Task[None]] = set()

    async def start(self, chosen: KernelChoice, *, folder: Path, environment: Mapping[str, str]) -> Kernel:
        """A new kernel in `folder` with exactly these environment variables; it is not ready yet. Raises OSError."""
        draft = self._spares.pop(chosen.name, None) or await self._draft(chosen.name)
        with draft.log.open("ab") as file:
            await draft.manager.start_kernel(
                cwd=str(folder), env=dict(environment), extra_arguments=draft.arguments, stdout=file, stderr=file
            )
        try:
            kernel = Kernel(draft.manager, draft.log)
        except zmq.ZMQError as error:
            await draft.manager.shutdown_kernel(now=True)
            raise OSError(error.errno, error.strerror) from error
        self._kernels.add(kernel)
        self._starts[chosen.name] += kernel.start.way == "fork"
        return kernel

    async def lay_by(self, chosen: KernelChoice) -> None:
        """Begins to start a kernel for the next notebook, once a second one has shown that there are several: it waits with
        all done that does not depend on the notebook."""
        if self._starts[chosen.name] >= _STARTS_BEFORE_SPARES and chosen.name not in self._spares:
            draft = self._spares[chosen.name] = await self._draft(chosen.name)
            draft.hold()

    async def _draft(self, name: str) -> _Draft:
        """A kernel of this name up to its start."""
        self._started += 1
        base = self._folder / f"k{self._started}"
        spec = await self._spec(name)
        manager = _Manager(spec, kernel_name=name, context=self._context, connection_file=f"{base}.json")
        if sys.platform == "linux" and sys.executable:
            manager.keep(self.settings, str(base), self._living_server())
        is_ipykernel = any("ipykernel" in argument for argument in spec.argv)
        if is_ipykernel and len(os.fsencode(self._folder)) <= MAX_FOLDER_BYTES and os.name == "posix":
            # No port is open to other users, and none can be taken between its choice and its use. Other kernels build
            # the address of an ipc socket each in their own way.
            manager.transport, manager.ip = "ipc", str(base)
        # As nbclient does: no history file, over which kernels that run side by side would quarrel.
        return _Draft(
            manager, base.with_suffix(".log"), ["--HistoryManager.hist_file=:memory:"] if is_ipykernel else []
        )

    async def prepared(self) -> None:
        """Waits for what kernels wait for, before there is one. May be cancelled."""
        if self._server is not None:
            await self._server.prepared()

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
        await asyncio.gather(*(draft.manager.cleanup_resources() for draft in self._spares.values()))
        await asyncio.gather(*self._endings)
        self._context.destroy(linger=0)
        if self._server is not None:
            self._server.close()
            self._server.wait(_CLOSE_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _spec(self, name: str) -> KernelSpec:
        """The kernelspec of this name, which is looked for once. Raises OSError when it has gone meanwhile."""
        if name not in self._specs:
            try:
                self._specs[name] = await asyncio.to_thread(KernelSpecManager().get_kernel_spec, name)
            except NoSuchKernel as error:
                raise OSError(errno.ENOENT, f"kernel '{name}' is not installed") from error
        return self._specs[name]

    def _living_server(self) -> ForkServer | None:
        """The fork server; another one in place of one that has died."""
        if self._server is not None and self._server.has_died:
            self._server.close()
            self._server.wait(_CLOSE_SECONDS)
            self._server = self._server.successor()
        return self._server

    async def _end(self, kernel: Kernel) -> None:
        await kernel.end()
        self._kernels.discard(kernel)


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


def _start_of(manager: AsyncKernelManager) -> KernelStart:
    provisioner = manager.provisioner
    if not isinstance(provisioner, KeptProvisioner):
        return KernelStart("usual", choice.platform_refusal())
    return KernelStart("fork" if provisioner.reason is None else "usual", provisioner.reason)


async def _dropped(task: asyncio.Task[Any]) -> None:
    """Cancels what is still running and takes note of how it ended, so that asyncio does not report it."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _is_idle(message: Mapping[str, Any], request: str) -> bool:
    is_ours = message["parent_header"].get("msg_id") == request
    return bool(is_ours and message["content"].get("execution_state") == "idle")
