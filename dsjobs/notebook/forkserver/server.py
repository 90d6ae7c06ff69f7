"""The fork server: imports what kernels import, then forks for each that is asked for. Run as a script, with a socket.

It has one thread whenever it forks, or says why not and serves nobody. It knows nothing of the kernels that run: each has a
keeper with a lifeline of its own, so also a fork server that is killed takes no running notebook with it. It ends when the
socket is closed, also while a module is imported that never comes to its end, and removes the folder of the kernels' sockets
when the last keeper has gone.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


def main() -> None:
    """Prepares, says what came of it in one JSON object, and serves."""
    control = socket.socket(fileno=int(sys.argv[1]))
    order = json.loads(control.recv(1 << 20))
    before = dict(os.environ)
    root = sys.path[0] = order["root"]
    keeper = importlib.import_module("dsjobs.notebook.forkserver.keeper")
    kernel = importlib.import_module("dsjobs.notebook.forkserver.kernel")
    warming = importlib.import_module("dsjobs.notebook.forkserver.warming")
    codes = warming.codes()
    sys.path.remove(root)
    with _ending_with(control, lambda: _end(order["folder"], keeper.children())):
        answer = _prepare(order["preload"], warming.warm)
    strangers = keeper.children() if order["preload"] else []
    with suppress(OSError):  # dsjobs may have been killed meanwhile; the folder is still to be removed.
        control.send(json.dumps(answer).encode())
    if answer["refusal"] is None:
        image = kernel.Image(answer["launcher"], _changes(before), codes)
        _freeze()
        _serve(control, keeper, image)
    else:
        with suppress(ConnectionError):
            control.recv(1)  # Nobody asks it for anything: this waits for the end of dsjobs.
    _end(order["folder"], strangers)


@contextmanager
def _ending_with(control: socket.socket, end: Callable[[], None]) -> Iterator[None]:
    """Inside, `end` is called when dsjobs has gone: nobody reads the socket then, so the system has to tell."""

    def look(*_: object) -> None:
        try:
            if control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return
        except BlockingIOError:
            return
        except ConnectionError:
            pass
        end()

    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    signal.signal(signal.SIGIO, look)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)
    look()
    try:
        yield
    finally:
        fcntl.fcntl(control, fcntl.F_SETFL, flags)
        signal.signal(signal.SIGIO, signal.SIG_DFL)


def _prepare(preload: list[str], warm: Callable[[], None]) -> dict[str, Any]:
    """Imports; the reason why this process cannot serve, and what could not be imported ahead."""
    answer: dict[str, Any] = {"refusal": None, "failed": {}, "launcher": None}
    try:
        importlib.import_module("ipykernel.kernelapp")
        importlib.import_module("ipykernel.ipkernel")
        importlib.import_module("ipykernel.zmqshell")
        answer["launcher"] = importlib.util.find_spec("ipykernel_launcher").origin  # type: ignore[union-attr]
        os.close(os.pidfd_open(os.getpid()))
    except (ImportError, AttributeError, OSError) as error:
        answer["refusal"] = f"the fork server cannot start: {type(error).__name__}: {error}"
        return answer
    warm()
    for name in preload:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 (any module of the user's choice; the notebook will say it better)
            answer["failed"][name] = f"{type(error).__name__}: {error}"
    if _has_threads_after_a_fork():
        answer["refusal"] = (
            f"one of the preloaded modules ({', '.join(preload)}) has started threads, which a fork would lose"
        )
    return answer


def _has_threads_after_a_fork() -> bool:
    """Whether this process has threads that a fork does not end. OpenBLAS's are made for forks: they end before the fork and
    come back where they are used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return len(os.listdir("/proc/self/task")) > 1


def _changes(before: dict[str, str]) -> dict[str, str | None]:
    """What the imports did to the environment."""
    after = dict(os.environ)
    return {name: after.get(name) for name in {*before, *after} if before.get(name) != after.get(name)}


def _freeze() -> None:
    """Keeps the collector from writing into pages that the kernels share."""
    gc.collect()
    gc.disable()
    gc.freeze()


def _serve(control: socket.socket, keeper: Any, image: Any) -> None:
    """Forks a keeper for each message, which brings its lifeline and standard streams, until nobody is left to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _bury)
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        except ConnectionError:  # dsjobs was killed before it had read what this process said
            return
        if not message:
            return
        if os.fork() == 0:
            control.close()
            lifeline, *streams = descriptors
            for number, stream in enumerate(streams, start=1):
                os.dup2(stream, number)
                os.close(stream)
            keeper.keep(socket.socket(fileno=lifeline), image.become)
        for descriptor in descriptors:
            os.close(descriptor)


def _bury(*_: object) -> None:
    """Reaps keepers as they end, so that what they took counts as taken by dsjobs."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end(folder: str | None, strangers: list[int]) -> None:
    """`strangers`: what a preloaded module has started, which nobody else would end."""
    for stranger in strangers:
        with suppress(ProcessLookupError):
            os.kill(stranger, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.wait()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
