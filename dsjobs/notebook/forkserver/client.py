"""What wants kernels: asks the fork server, or a keeper of its own, for one, and hears how it fares over its lifeline."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from dsjobs.notebook.forkserver import keeper

_FOLDER = Path(__file__).parent
_PACKAGES = _FOLDER.parents[2]
# Imports of a large preload on a busy machine.
_PREPARE_SECONDS = 120.0
# A keeper that has let its kernel go ends at once; one that has still something to kill is waited for elsewhere.
_REAP_SECONDS = 0.05

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
        self._loop: asyncio.AbstractEventLoop | None = None  # where somebody waits for news

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
            self._loop = asyncio.get_running_loop()
            news = self._loop.create_future()
            self._waiting.add(news)
            self._loop.add_reader(self._lifeline, self._wake)
            try:
                await news
            finally:
                self._waiting.discard(news)
                if not self._waiting:
                    self._unwatch()
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

    def close(self) -> None:
        """Lets go of the kernel: its keeper ends what is left. Who waits for it hears that it has gone."""
        if self._lifeline.fileno() >= 0:
            self._unwatch()
            # Else the keeper would think that dsjobs has died, and remove files that may be another kernel's by then.
            keeper.say(self._lifeline, bye=True)
            self._lifeline.close()
        self.is_gone = True
        self._tell()
        if self._process is not None:
            _reap(self._process)

    def _wake(self) -> None:
        self.look()
        self._tell()

    def _tell(self) -> None:
        for news in self._waiting:
            if not news.done():
                news.set_result(None)

    def _unwatch(self) -> None:
        """A socket that was closed while the loop watched it would make the loop blind for the next of the same number."""
        if self._loop is not None and self._lifeline.fileno() >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._lifeline)

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
        self._preparing = threading.Lock()
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
        """Waits for the imports; the reason why it cannot serve, None when it can. From any event loop."""
        if not self._is_prepared:
            await asyncio.to_thread(self._prepare)
        return self.refusal

    def fork(self, request: keeper.Request, streams: Streams) -> Kept:
        """Asks for a kernel. Raises OSError when the server has died."""
        ours, theirs = socket.socketpair()
        with theirs, open(os.devnull, "wb") as nowhere:
            outputs = [_descriptor(stream, default, nowhere) for default, stream in enumerate(streams, start=1)]
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
        """Lets the server end, also in the middle of its imports. It has ended when all its keepers have."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for the imports
        self._control.close()

    def kill(self) -> None:
        """Ends the server before it has done anything."""
        self._process.kill()
        self.close()
        self.wait(0.0)

    def wait(self, seconds: float) -> None:
        """Waits for the end of the process, and kills it when it takes longer."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _prepare(self) -> None:
        with self._preparing:
            if self._is_prepared:
                return
            try:
                self._control.settimeout(_PREPARE_SECONDS)
                answer = self._control.recv(1 << 20)
                self._control.settimeout(None)
            except OSError:
                answer = b""
            words: dict[str, Any] = json.loads(answer) if answer else {"refusal": "the fork server did not start"}
            self.refusal = words["refusal"]
            self.failed = words.get("failed", {})
            self._is_prepared = True


def _asked(lifeline: socket.socket, request: keeper.Request, process: subprocess.Popen[bytes] | None = None) -> Kept:
    with suppress(OSError):  # The keeper has gone, which the lifeline tells in its own way.
        lifeline.sendall(keeper.packed(request))
    return Kept(lifeline, process)


def _descriptor(stream: Stream, default: int, nowhere: IO[bytes]) -> int:
    if stream == subprocess.DEVNULL:
        return nowhere.fileno()
    return default if stream is None or isinstance(stream, int) else stream.fileno()


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Waits for the end of a keeper that has been let go, in another thread where that takes a while."""
    try:
        process.wait(_REAP_SECONDS)
    except subprocess.TimeoutExpired:
        threading.Thread(target=process.wait, name="dsjobs-reap", daemon=True).start()


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
