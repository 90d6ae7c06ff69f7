"""What wants kernels: asks the fork server, or a keeper of its own, for one, and hears how it fares over its lifeline."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from dsjobs.notebook.forkserver import keeper

_FOLDER = Path(__file__).parent
_PACKAGES = _FOLDER.parents[2]
# Imports of a large preload on a busy machine.
_PREPARE_SECONDS = 120.0

Stream = IO[bytes] | int | None
Streams = tuple[Stream, Stream]
"""Where a kernel's standard output and error go; None is where dsjobs' own go, an int one of `subprocess`'s."""


class Kept:
    """A kernel that a keeper starts, as its lifeline tells of it. `is_gone`: all that it started has gone as well."""

    def __init__(self, lifeline: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        lifeline.setblocking(False)
        self.pid: int | None = None
        self.is_ready = False
        self.exit_code: int | None = None
        self.is_gone = False
        self._lifeline = lifeline
        self._process = process  # the keeper's, unless it is the fork server's child
        self._pending = b""
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def was_started(self) -> bool:
        """Whether there ever was a process that could be the kernel."""
        return self.pid is not None or self.exit_code is not None

    @property
    def has_exited(self) -> bool:
        return self.exit_code is not None or self.is_gone

    def look(self) -> None:
        """Takes note of what has come."""
        with suppress(BlockingIOError):
            while not self.is_gone:
                self._hear(self._received())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until the lifeline tells that `condition` is true, or that the keeper has gone."""
        self.look()
        while not condition() and not self.is_gone:
            loop = asyncio.get_running_loop()
            news = loop.create_future()
            self._waiting.add(news)
            loop.add_reader(self._lifeline, self._wake)
            try:
                await news
            finally:
                self._waiting.discard(news)
                if not self._waiting and self._lifeline.fileno() >= 0:
                    loop.remove_reader(self._lifeline)
                    if self.is_gone:
                        self.close()

    def signal(self, number: int) -> None:
        """Sends a signal to the kernel's process group. One that has ended gets none: its number stays taken until then."""
        if not self.has_exited:
            keeper.say(self._lifeline, signal=number)

    def go(self, request: keeper.Request) -> None:
        """Lets a kernel that is held go on with the rest of its request."""
        self._lifeline.setblocking(True)
        keeper.say(self._lifeline, go=request)
        self._lifeline.setblocking(False)

    def _wake(self) -> None:
        self.look()
        for news in self._waiting:
            if not news.done():
                news.set_result(None)

    def _received(self) -> bytes:
        try:
            return self._lifeline.recv(4096)
        except ConnectionError:
            return b""

    def _hear(self, news: bytes) -> None:
        if not news:
            self.is_gone = True
            if not self._waiting:
                self.close()
            return
        *lines, self._pending = (self._pending + news).split(b"\n")
        for line in lines:
            words = json.loads(line)
            self.pid = words.get("pid", self.pid)
            self.is_ready = words.get("ready", self.is_ready)
            self.exit_code = words.get("exit", self.exit_code)

    def close(self) -> None:
        """Lets go of the kernel: its keeper ends what is left."""
        self._lifeline.close()
        self.is_gone = True
        if self._process is not None:
            self._process.wait()


def spawn(request: keeper.Request, streams: Streams) -> Kept:
    """A keeper of its own for the program in the request's `argv`. Raises OSError."""
    ours, theirs = socket.socketpair()
    with theirs:
        # Nothing of this folder is imported: -I and -S leave out what takes an interpreter most of its time to start.
        command = [sys.executable, "-I", "-S", str(_FOLDER / "keeper.py"), str(theirs.fileno())]
        process = _start(command, theirs, streams)
    return _asked(ours, request, process)


class ForkServer:
    """A fork server's process. Started at once, and asked about only when a kernel is wanted. `command`: its interpreter, and
    the options of that."""

    def __init__(
        self, command: Sequence[str], preload: Sequence[str], folder: Path | None, environ: Mapping[str, str]
    ) -> None:
        self.environ = dict(environ)
        self.has_died = False
        self._folder = folder
        self.command = list(command)
        self.preload = tuple(preload)
        self.failed: dict[str, str] = {}
        self.refusal: str | None = None
        self._is_prepared = False
        self._preparing: asyncio.Future[None] | None = None
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Sent before there is anybody to read it: a server that has begun knows which folder to remove, whenever dsjobs dies.
        order = {"root": str(_PACKAGES), "preload": self.preload, "folder": str(folder) if folder else None}
        self._control.send(json.dumps(order).encode())
        with theirs:
            # What ipykernel reads when it is imported: that it was started by a program, not by hand.
            environ = {**self.environ, "JPY_PARENT_PID": str(os.getpid())}
            command = [*self.command, str(_FOLDER / "server.py"), str(theirs.fileno())]
            self._process = _start(command, theirs, (subprocess.DEVNULL, subprocess.DEVNULL), environ)

    @property
    def is_serving(self) -> bool:
        return self._is_prepared and self.refusal is None and not self.has_died

    async def prepared(self) -> str | None:
        """Waits for the imports; the reason why it cannot serve, None when it can."""
        if not self._is_prepared:
            if self._preparing is None:
                self._preparing = asyncio.ensure_future(self._prepare())
            await asyncio.shield(self._preparing)
        return self.refusal

    def fork(self, request: keeper.Request, streams: Streams) -> Kept:
        """Asks for a kernel. Raises OSError when the server has died."""
        ours, theirs = socket.socketpair()
        with theirs:
            outputs = [_descriptor(stream, default) for default, stream in enumerate(streams, start=1)]
            try:
                socket.send_fds(self._control, [b"k"], [theirs.fileno(), *outputs])
            except OSError:
                ours.close()
                self.has_died = True
                raise
        return _asked(ours, request)

    def successor(self) -> ForkServer:
        """A new server like this one, which has died."""
        return ForkServer(self.command, self.preload, self._folder, self.environ)

    def close(self) -> None:
        """Lets the server end. It has ended when all its keepers have."""
        self._control.close()

    def wait(self, seconds: float) -> None:
        """Waits for the end of the process, and kills it when it takes longer."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def _prepare(self) -> None:
        self._control.setblocking(False)
        try:
            loop = asyncio.get_running_loop()
            answer = await asyncio.wait_for(loop.sock_recv(self._control, 1 << 20), _PREPARE_SECONDS)
            self._control.setblocking(True)
        except (TimeoutError, OSError):
            answer = b""
        self._is_prepared = True
        words: dict[str, Any] = json.loads(answer) if answer else {"refusal": "the fork server did not start"}
        self.refusal = words["refusal"]
        self.failed = words.get("failed", {})


def _asked(lifeline: socket.socket, request: keeper.Request, process: subprocess.Popen[bytes] | None = None) -> Kept:
    with suppress(OSError):  # The keeper has gone, which the lifeline tells in its own way.
        lifeline.sendall(keeper.packed(request))
    return Kept(lifeline, process)


def _descriptor(stream: Stream, default: int) -> int:
    if stream is None or isinstance(stream, int):
        return default
    return stream.fileno()


def _start(
    command: Sequence[str], theirs: socket.socket, streams: Streams, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 (this interpreter, and files of this package)
        command,
        stdin=subprocess.DEVNULL,
        stdout=streams[0],
        stderr=streams[1],
        env=environ,
        pass_fds=[theirs.fileno()],
        start_new_session=True,  # Ctrl-C in the terminal is for dsjobs, which decides what becomes of its kernels
    )
