"""The parent of one kernel: starts it, says how it ends, and lets nothing that the kernel started outlive it.

It is the subreaper of its kernel: whatever loses its parent below it becomes its child, daemons included, and ends with the
kernel. It ends everything at once when its lifeline, a socket to dsjobs, is closed, so also when dsjobs is killed. A process
for each kernel, because a subreaper of several could not tell whose children it got.

On the lifeline: first the request, a JSON object after its length; then JSON lines, `{"signal": n}`, `{"go": {…}}` and, from a
dsjobs that lives on, `{"bye": true}` down, `{"pid": n}`, `{"ready": true}` and `{"exit": code}` up. A request with `hold` gets a
kernel that waits, almost ready, for `go`: the rest of the request. Standard library only; also run as a script by interpreters
without dsjobs.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from glob import escape, glob
from typing import Any, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# What a notebook left running gets this long between SIGTERM and SIGKILL; after so long we give up on what cannot be killed.
_GRACE_SECONDS = 0.3
_SWEEP_SECONDS = 5.0
_LOOK_SECONDS = 0.005
_LENGTH = struct.Struct("!I")

Request = dict[str, Any]
Start = Callable[[Request, socket.socket, socket.socket], None]
"""Becomes the kernel, in a new process and session, with the lifeline and the gate that `go` comes through."""


def packed(request: Request) -> bytes:
    """A request as it goes over the lifeline."""
    body = json.dumps(request).encode()
    return _LENGTH.pack(len(body)) + body


def received(lifeline: socket.socket) -> Request:
    """The request that comes over the lifeline. Raises EOFError when dsjobs has gone."""
    (length,) = _LENGTH.unpack(_exactly(lifeline, _LENGTH.size))
    request: Request = json.loads(_exactly(lifeline, length))
    return request


def say(lifeline: socket.socket, **words: Any) -> None:
    """Tells dsjobs something; where it has gone there is nobody to tell."""
    with suppress(OSError):
        lifeline.sendall(json.dumps(words).encode() + b"\n")


def keep(lifeline: socket.socket, start: Start) -> NoReturn:
    """Starts the kernel that the lifeline asks for, watches it to its end, and ends this process."""
    try:
        lifeline.set_inheritable(False)
        request = received(lifeline)
        prctl(_PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        keeper = os.getpid()
        gate, key = socket.socketpair()
        kernel = os.fork()
        if kernel == 0:
            key.close()
            _begin(request, lifeline, start, keeper, gate)
        gate.close()
        _watch(kernel, request, lifeline, key)
    except EOFError:
        pass
    except BaseException:  # noqa: BLE001 (nothing may return to what this process was forked from)
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def children() -> list[int]:
    """The children of this process."""
    me = os.getpid()
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _parent(entry) == me]


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2); where it fails a kernel is less well kept, and runs."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def limit_memory(limit_bytes: int | None) -> None:
    """Limits what this process, and each that it starts, may write to: heap, stacks, private mappings; not files it maps."""
    if limit_bytes is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _begin(request: Request, lifeline: socket.socket, start: Start, keeper: int, gate: socket.socket) -> NoReturn:
    """The new process, before it is a kernel. Nothing may return to what this process was forked from."""
    code = 1
    try:
        os.setsid()
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            sys.exit(1)  # The keeper died before prctl.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        start(request, lifeline, gate)
    except OSError as error:
        os.write(2, f"{error.filename or request['argv'][0]}: {error.strerror}\n".encode())
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 (the log is the only place left to say it)
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def run_program(request: Request, lifeline: socket.socket, gate: socket.socket) -> None:
    """Becomes the program in `argv`: the usual start of a kernel."""
    os.chdir(request["cwd"])
    request["env"]["JPY_PARENT_PID"] = str(os.getppid())  # ipykernel ends when its parent is another one
    limit_memory(request["memory_bytes"])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606 (argv is the kernelspec's)


def _watch(kernel: int, request: Request, lifeline: socket.socket, key: socket.socket) -> None:
    """Until the kernel has ended, and everything below it. Passes on what comes; the kernel's number stays its own meanwhile,
    because only this process can bury it."""
    say(lifeline, pid=kernel)
    poll, end, pending = select.poll(), os.pidfd_open(kernel), b""
    for descriptor in (end, lifeline.fileno()):
        poll.register(descriptor, select.POLLIN)
    is_wanted = True
    while is_wanted and end not in (ready := {descriptor for descriptor, _ in poll.poll()}):
        if lifeline.fileno() in ready:
            news = _news(lifeline)
            is_wanted = bool(news)
            *lines, pending = (pending + news).split(b"\n")
            for line in lines:
                words = json.loads(line)
                if words.get("bye"):
                    is_wanted, request = False, {}
                else:
                    _obey(words, kernel, key)
    if is_wanted:
        _, status = os.waitpid(kernel, 0)
        say(lifeline, exit=os.waitstatus_to_exitcode(status))
    else:
        _signal(kernel, signal.SIGKILL)
    _sweep(is_gentle=is_wanted)
    if not is_wanted:
        _remove_files(request)


def _obey(words: dict[str, Any], kernel: int, key: socket.socket) -> None:
    if "go" in words:
        with suppress(OSError):
            key.sendall(packed(words["go"]))
    else:
        _signal(kernel, words["signal"])


def _signal(kernel: int, number: int) -> None:
    """A signal for the kernel's process group, or for the kernel alone while it has none yet."""
    try:
        os.killpg(kernel, number)
    except ProcessLookupError:
        with suppress(ProcessLookupError):
            os.kill(kernel, number)


def _sweep(*, is_gentle: bool) -> None:
    """Ends all that is left below this process: what loses its parent meanwhile turns up here."""
    start = time.monotonic()
    if is_gentle and not _bury():
        _signal_children(signal.SIGTERM)
        while not _bury() and time.monotonic() < start + _GRACE_SECONDS:
            time.sleep(_LOOK_SECONDS)
    while not _bury() and time.monotonic() < start + _SWEEP_SECONDS:
        _signal_children(signal.SIGKILL)
        time.sleep(_LOOK_SECONDS)


def _bury() -> bool:
    """Reaps what has ended; whether no child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _signal_children(number: int) -> None:
    for child in children():
        with suppress(ProcessLookupError, PermissionError):
            os.kill(child, number)


def _parent(pid: str) -> int | None:
    """The parent of a process; the field after the state, which follows a name that may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return None


def _remove_files(request: Request) -> None:
    """What dsjobs would have removed, had it not been killed: the kernel's sockets and files, and their folder if empty."""
    base = request.get("base")
    if base:
        for path in glob(f"{escape(base)}[-.]*"):
            with suppress(OSError):
                os.unlink(path)
        with suppress(OSError):
            os.rmdir(os.path.dirname(base))


def _news(lifeline: socket.socket) -> bytes:
    try:
        return lifeline.recv(4096)
    except OSError:
        return b""


def _exactly(lifeline: socket.socket, length: int) -> bytes:
    parts = b""
    while len(parts) < length:
        part = lifeline.recv(min(length - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return parts


if __name__ == "__main__":
    keep(socket.socket(fileno=int(sys.argv[1])), run_program)
