"""A server as a process: its socket, its signals, its end. `Service` and the routes know nothing of these."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from dsjobs.backends.protocol import Backend
from dsjobs.errors import UsageError
from dsjobs.server import state_folder
from dsjobs.server.app import create_app
from dsjobs.server.configuration import Configuration
from dsjobs.server.fault_injection import AbortableProtocol
from dsjobs.server.service import Service

MAX_CONNECTIONS = 1000
_GRACE_SECONDS = 5


class Server(uvicorn.Server):
    """Answers until `should_exit`. `ready` is called once, when requests are answered; `signals` are those that came."""

    def __init__(self, service: Service, ready: Callable[[], None]) -> None:
        configuration = uvicorn.Config(
            create_app(service),
            http=AbortableProtocol,
            ws="none",
            lifespan="on",
            loop="asyncio",
            log_level="error",
            access_log=False,  # an address may have a session token in it
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        super().__init__(configuration)
        self.signals: list[int] = []
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stops in order at the first SIGINT or SIGTERM, at once at the second."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Signals are none of the business of a server in another thread.
            return

        def stop(number: int, frame: FrameType | None) -> None:
            self.signals.append(number)
            if len(self.signals) > 1:
                os._exit(128 + number)
            self.should_exit = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, former in before.items():
                signal.signal(number, former)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; `port` 0 is any that is free. Raises UsageError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY: without it each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        hint = "choose another --port; 0 takes any that is free"
        raise UsageError(f"cannot listen at {host}:{port}: {error.strerror or error}", hint=hint) from None
    return listener


def address(listener: socket.socket) -> str:
    """The address of a listening socket, as a client on this machine writes it."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def serve(
    configuration: Configuration, backend: Backend, listener: socket.socket, ready: Callable[[], None]
) -> int | None:
    """Serves until a signal comes, and returns its number. No kernel and no JupyterLab is left afterwards."""
    try:
        state = state_folder.hold(configuration.state)
        try:
            server = Server(Service(configuration, backend, state), ready)
            server.run(sockets=[listener])
        finally:
            state.release()
    finally:
        backend.close()
        listener.close()
    return server.signals[0] if server.signals else None
