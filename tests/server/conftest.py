"""Servers for the tests of the server."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import PATIENCE, Command, Running, configuration

pytest.register_assert_rewrite("faulty_runs")  # what it asserts is shown like what a test asserts


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers over `tmp_path`; each is stopped at the end. `faults`: name to value."""
    started: list[Running] = []

    def start(**options: Any) -> Running:
        started.append(Running(configuration(options.pop("folder", tmp_path), **options)))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests that leave nothing behind which others would see."""
    server = Running(configuration(tmp_path_factory.mktemp("shared")))
    yield server
    server.stop()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts `dsjobs serve` over `tmp_path`; what is still running at the end is killed."""
    started: list[Command] = []

    def start(*options: str) -> Command:
        started.append(Command(tmp_path, *options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


@pytest.fixture
def raw() -> Callable[[Running, bytes], bytes]:
    """Sends bytes and returns all that comes back until the connection ends."""

    def send(server: Running, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received

    return send
