"""Kernels with a keeper behind jupyter_client's own extension point: started by a fork server, or as their kernelspec says."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from dsjobs.notebook.forkserver import choice, client
from dsjobs.notebook.forkserver.client import ForkServer, Kept, Streams

START_SECONDS = 120.0
"""How long a kernel may take to be there, and then to answer."""


class KeptProvisioner(LocalProvisioner):
    """Starts its kernel below a keeper: how it ends is known at once, and nothing that it started outlives it. Linux only.

    `base`: what the names of the kernel's files start with, for a keeper that has to remove them itself.
    """

    kept: Kept | None = None
    memory_bytes: int | None = None
    base: str | None = None
    server: ForkServer | None = None
    reason: str | None = choice.ASKED_FOR
    """Why the kernel is not a fork; None when it is one."""
    _held: Kept | None = None

    @property
    def has_process(self) -> bool:
        return self.kept is not None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Starts the kernel. A fork is ready when this returns; another one has just been started. May be cancelled, and leaves
        nothing behind then. Raises OSError, which TimeoutError is."""
        env: dict[str, str] = kwargs["env"]
        request = {
            "argv": cmd,
            "cwd": os.path.abspath(kwargs.get("cwd") or os.getcwd()),
            "env": env,
            "memory_bytes": self.memory_bytes,
            "base": self.base,
        }
        streams = (kwargs.get("stdout"), kwargs.get("stderr"))
        request["hold"] = False
        try:
            async with asyncio.timeout(START_SECONDS):
                if not await self._forked(request, streams):
                    self.kept = client.spawn(request, streams)
                await self._kept.until(lambda: self._kept.pid is not None)
        except BaseException:
            self._let_go()  # of a kernel that is half there
            raise
        self.pid = self.pgid = self._kept.pid
        self.cwd = request["cwd"]
        return self.connection_info

    def hold(self, cmd: list[str], streams: Streams) -> None:
        """Begins to start a fork for a notebook that is still to come. Raises OSError."""
        if self.server is not None and choice.refusal(self.server.command, cmd) is None and self.server.is_serving:
            request = {"argv": cmd, "base": self.base, "hold": True}
            self._held = self.server.fork(request, streams)

    async def poll(self) -> int | None:
        """The exit code of a kernel that has ended; as in jupyter_client, 0 where there is none."""
        if self.kept is None:
            return 0
        self.kept.look()
        if self.kept.exit_code is None and self.kept.is_gone:
            return -signal.SIGKILL  # its keeper was killed, and so it was
        return self.kept.exit_code

    async def wait(self) -> int | None:
        """Waits for the end of the kernel, and of what it has started."""
        if self.kept is None:
            return 0
        await self.kept.until(lambda: False)
        code = await self.poll()
        self.kept = None
        return code

    async def send_signal(self, signum: int) -> None:
        if self.kept is not None:
            self.kept.signal(signum)

    async def kill(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
        self._let_go()
        await super().cleanup(restart=restart)

    @property
    def _kept(self) -> Kept:
        if self.kept is None:
            raise RuntimeError("the kernel has been let go")
        return self.kept

    def _let_go(self) -> None:
        if self.kept is not None:
            self.kept.close()
            self.kept = None

    async def _forked(self, request: dict[str, Any], streams: Streams) -> bool:
        """Whether `kept` is now a fork that is ready, or has ended before it was; `reason` says why it is none."""
        server = self.server
        if server is None:
            return False
        self.reason = (
            choice.refusal(server.command, request["argv"])
            or choice.difference(server.environ, request["env"], server.preload)
            or await server.prepared()
        )
        held, self._held = self._held, None
        if self.reason is not None:
            if held is not None:
                held.close()
            return False
        if held is not None and await self._went_on(held, request):
            return True
        with suppress(OSError):
            self.kept = kept = server.fork(request, streams)
            await kept.until(lambda: kept.is_ready or kept.has_exited)
            if kept.was_started:
                return True
            # The server died with the order still in its socket.
            server.has_died = True
        self._let_go()
        self.reason = "the fork server has died"
        return False

    async def _went_on(self, held: Kept, request: dict[str, Any]) -> bool:
        """Whether a fork that was held is ready with the rest of its request; then it is `kept`."""
        self.kept = held
        held.look()
        if not held.has_exited:
            held.go(request)
            await held.until(lambda: held.is_ready or held.has_exited)
            if held.is_ready:
                return True
        self._let_go()
        return False
