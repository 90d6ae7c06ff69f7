"""Starts the kernels of one event loop, each in the way that is fastest for it, and ends them all."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.asyncio
from jupyter_client.kernelspec import KernelSpec, NoSuchKernel
from nbformat import v4

from dsjobs.notebook.forkserver import choice
from dsjobs.notebook.forkserver.client import ForkServer
from dsjobs.notebook.forkserver.opening import MAX_FOLDER_BYTES
from dsjobs.notebook.kernelpool import Pool, PooledKernel
from dsjobs.notebook.kernels import Kernel, Manager
from dsjobs.notebook.kernelsettings import KernelSettings
from dsjobs.notebook.kernelspecs import KernelChoice, manager

# The end of a whole run does not wait longer for kernels that have been asked to end.
_CLOSE_SECONDS = 1.0
# Nothing is started for a notebook still to come before a second one has shown that there are several.
_STARTS_BEFORE_SPARES = 2


@dataclass(frozen=True)
class _Draft:
    """A kernel that has not been started, or only half."""

    manager: Manager
    log: Path
    arguments: list[str]

    def hold(self) -> None:
        """Has a fork made, as far as it can be made for any notebook."""
        self.manager.write_connection_file()
        with self.log.open("wb") as file:
            self.manager.hold(self.arguments, file)

    async def launch(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Starts the kernel's process. Raises OSError."""
        with self.log.open("ab") as file:
            await self.manager.start_kernel(
                cwd=str(folder), env=dict(environment), extra_arguments=self.arguments, stdout=file, stderr=file
            )

    async def abandon(self) -> None:
        """Removes what there is of it."""
        await self.manager.cleanup_resources()
        self.log.unlink(missing_ok=True)


class KernelHost:
    """The kernels of one event loop, and what they share: a private folder for their sockets and a ZeroMQ context."""

    def __init__(
        self, settings: KernelSettings, folder: Path, server: ForkServer | None, environ: Mapping[str, str]
    ) -> None:
        """`folder` and `server` belong to this object from now on. `environ`: what every notebook gets, but for its inputs."""
        self.settings = settings
        self._folder = folder
        self._server = server
        self._environ = dict(environ)
        self._specs: dict[str, KernelSpec] = {}
        self._starts: Counter[str] = Counter()
        self._spares: dict[str, _Draft] = {}
        self._forking: set[str] = set()  # the names of which the latest kernel was a fork
        self._pool = Pool(self._environ)
        self._context = zmq.asyncio.Context()
        # A kernel binds its sockets 0.4 s after we connect: retry each 10 ms rather than each 100 ms. No limit on waiting
        # messages, because a publisher drops what a slow reader has no room for.
        self._context.setsockopt(zmq.RECONNECT_IVL, 10)
        self._context.setsockopt(zmq.RCVHWM, 0)
        self._started = 0
        self._is_warm = False
        self._kernels: set[Kernel] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._laying: set[asyncio.Task[None]] = set()

    async def prepared(self, chosen: KernelChoice) -> None:
        """Waits for what kernels wait for, before there is one. May be cancelled."""
        if self._server is None:
            return
        if not self._is_warm:
            self._is_warm = True
            # What the first notebook would wait for later, while the server imports: a schema is compiled, IPython is found.
            v4.new_output("stream")  # type: ignore[no-untyped-call]
            with suppress(OSError):
                await self._spec(chosen.name)
        await self._server.prepared()

    async def waiting(self, chosen: KernelChoice, *, folder: Path, environment: Mapping[str, str]) -> Kernel | None:
        """A kernel that was started ahead, if there is one that a notebook there, with these variables, can have. May be
        cancelled."""
        if self._laying:
            await asyncio.wait(self._laying)  # sooner there than another one
        kernel = await self._pool.take(chosen.name, folder, environment)
        self._starts[chosen.name] += kernel is not None
        return kernel

    async def start(self, chosen: KernelChoice, *, folder: Path, environment: Mapping[str, str]) -> Kernel:
        """A new kernel in `folder` with exactly these environment variables; it is not ready yet. May be cancelled. Raises
        OSError."""
        name = chosen.name
        spare = self._spares.pop(name, None)
        if spare is not None and name in self._forking:
            await self._hold(name)  # now, not when this one is ready: notebooks in a row then wait for none
        draft = spare or await self._draft(name, self._living_server())
        try:
            await draft.launch(folder, environment)
        except BaseException:
            await draft.abandon()
            raise
        kernel = await self._connected(draft, Kernel)
        self._starts[name] += 1
        (self._forking.add if kernel.start.way == "fork" else self._forking.discard)(name)
        return kernel

    def lay_by(self, chosen: KernelChoice) -> None:
        """Begins, in the background, to start kernels for the next notebooks like the one that has just got one."""
        laying = asyncio.create_task(self._lay_by(chosen.name))
        self._laying.add(laying)
        laying.add_done_callback(self._laying.discard)

    async def _lay_by(self, name: str) -> None:
        """A fork waits with all done that does not depend on the notebook; where there can be no forks, whole kernels wait in
        the pool."""
        if self._starts[name] < _STARTS_BEFORE_SPARES or not self.settings.may_fork:
            return
        reason = await self._obstacle(name)
        if reason is None:
            if name in self._forking and name not in self._spares:
                await self._hold(name)
        elif choice.pool_refusal(await self._spec(name)) is None:
            running = len(self._kernels) - self._pool.size
            with suppress(OSError):  # the notebook that it would be for says why
                for _ in range(self._pool.room(name, running)):
                    self._pool.add(name, await self._ahead(name, reason))

    def end(self, kernel: Kernel) -> None:
        """Ends the kernel in the background."""
        ending = asyncio.create_task(self._end(kernel))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def close(self) -> None:
        """Waits a little for kernels that were asked to end, kills those that are left, and frees what is shared."""
        for laying in self._laying:
            laying.cancel()
        waited_for = [*self._endings, *self._laying]
        if waited_for:
            await asyncio.wait(waited_for, timeout=_CLOSE_SECONDS)
        await asyncio.gather(*(kernel.kill() for kernel in self._kernels))
        await asyncio.gather(*(draft.manager.cleanup_resources() for draft in self._spares.values()))
        await asyncio.gather(*self._endings)
        self._context.destroy(linger=0)
        if self._server is not None:
            self._server.close()
            self._server.wait(_CLOSE_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _hold(self, name: str) -> None:
        """Has a fork made for a notebook still to come."""
        draft = await self._draft(name, self._living_server())
        try:
            draft.hold()
        except OSError:  # the notebook that it would be for says why
            await draft.abandon()
        else:
            self._spares[name] = draft

    async def _connected(self, draft: _Draft, kind: type[Kernel]) -> Kernel:
        try:
            kernel = kind(draft.manager, draft.log)
        except zmq.ZMQError as error:
            await draft.manager.shutdown_kernel(now=True)
            raise OSError(error.errno, error.strerror) from error
        self._kernels.add(kernel)
        return kernel

    async def _ahead(self, name: str, reason: str) -> PooledKernel:
        """A kernel for the pool, of which `reason` says why it is no fork. Raises OSError."""
        draft = await self._draft(name, None)
        try:
            await draft.launch(self._folder, self._environ)
        except BaseException:
            await draft.abandon()
            raise
        kernel = await self._connected(draft, PooledKernel)
        assert isinstance(kernel, PooledKernel)
        kernel.reason = reason
        return kernel

    async def _draft(self, name: str, server: ForkServer | None) -> _Draft:
        """A kernel of this name up to its start."""
        self._started += 1
        base = self._folder / f"k{self._started}"
        spec = await self._spec(name)
        manager = Manager(spec, kernel_name=name, context=self._context, connection_file=f"{base}.json")
        if sys.platform == "linux" and sys.executable:
            manager.keep(self.settings, str(base), server)
        is_ipykernel = any("ipykernel" in argument for argument in spec.argv)
        if is_ipykernel and len(os.fsencode(self._folder)) <= MAX_FOLDER_BYTES and os.name == "posix":
            # No port is open to other users, and none can be taken between its choice and its use. Other kernels build
            # the address of an ipc socket each in their own way.
            manager.transport, manager.ip = "ipc", str(base)
        # As nbclient does: no history file, over which kernels that run side by side would quarrel.
        return _Draft(
            manager, base.with_suffix(".log"), ["--HistoryManager.hist_file=:memory:"] if is_ipykernel else []
        )

    async def _obstacle(self, name: str) -> str | None:
        """Why no kernel of this name can be a fork, whatever its notebook."""
        server = self._server
        if server is None:
            return choice.platform_refusal() or choice.NO_SERVER
        spec = await self._spec(name)
        return choice.refusal(server.command, choice.command_of(spec)) or server.refusal

    async def _spec(self, name: str) -> KernelSpec:
        """The kernelspec of this name, which is looked for once. Raises OSError when it has gone meanwhile."""
        if name not in self._specs:
            try:
                self._specs[name] = await asyncio.to_thread(manager().get_kernel_spec, name)
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
