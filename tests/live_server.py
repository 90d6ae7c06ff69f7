"""Real servers on real sockets: in a thread of this process, or as the command in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import requests
from nbformat import v4

from dsjobs.backends.registry import create
from dsjobs.server import serving, state_folder
from dsjobs.server.configuration import Configuration
from dsjobs.server.faults import Faults
from dsjobs.server.service import Service

PATIENCE = 90
TOKEN = "y0_the-token-of-the-tests"


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first true value of `condition`; fails when there is none within so many seconds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.02)
    return value


def write_notebook(path: Path, *sources: str, **metadata: Any) -> Path:
    """A notebook with these code cells, whose IDs are c1, c2, …"""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [v4.new_code_cell(source, id=f"c{number}") for number, source in enumerate(sources, 1)]
    nbformat.write(v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


class Client:
    """A plain HTTP client of one server, which knows nothing of dsjobs."""

    def __init__(self, address: str, token: str | None = TOKEN) -> None:
        self.address = address
        self.session = requests.Session()
        self.session.trust_env = False
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.address + path, timeout=PATIENCE, allow_redirects=False, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(self.address + path, timeout=PATIENCE, allow_redirects=False, **options)

    def execute(self, body: Any = None, *, key: str | None = None, project: str = "p1") -> requests.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.post(f"/datasphere/v2/projects/{project}:execute", json=body, headers=headers)

    def run(self, notebook: str, **fields: Any) -> dict[str, Any]:
        """The operation of a notebook that has come to its end."""
        answer = self.execute({"notebookId": notebook, **fields})
        assert answer.status_code == 200, answer.text
        return self.wait(answer.json()["id"])

    def operation(self, operation_id: str) -> dict[str, Any]:
        answer = self.get(f"/operations/{operation_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, operation_id: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The operation when it is done."""
        return until(lambda: (seen := self.operation(operation_id))["done"] and seen, seconds)

    def inspect(self, operation_id: str) -> dict[str, Any]:
        answer = self.get(f"/_dsjobs/operations/{operation_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()


class Running:
    """A server in a thread of this process."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.folder = configuration.projects["p1"]
        self._state = state_folder.hold(configuration.state)
        self._backend = create("local", configuration.state, {})
        listener = serving.listen(configuration.host, 0)
        self.address = serving.address(listener)
        self.service = Service(configuration, self._backend, self._state)
        ready = threading.Event()
        self._server = serving.Server(self.service, ready.set)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        assert ready.wait(PATIENCE)
        self.client = Client(self.address)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def write(self, name: str, *sources: str) -> str:
        write_notebook(self.folder / name, *sources)
        return name

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.should_exit = True
            self._thread.join(PATIENCE)
            self._backend.close()
            self._state.release()
            self.client.session.close()
        assert not self._thread.is_alive()


def configuration(folder: Path, **options: Any) -> Configuration:
    """A configuration whose projects p1 and p2 and state are below `folder`."""
    for name in ("p1", "p2"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    projects = {name: (folder / name).resolve() for name in ("p1", "p2")}
    faults = options.pop("faults", None)
    return Configuration(
        projects=projects,
        state=folder / "state",
        token=options.pop("token", TOKEN),
        spark_connectors=frozenset({"lake"}),
        open_pause=options.pop("open_pause", 0.0),
        faults=Faults(faults, seed=7) if faults else Faults(),
        **options,
    )


class Command:
    """`dsjobs serve` in a process of its own, with its answer and what it says on stderr."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        (folder / "p1").mkdir(parents=True, exist_ok=True)
        token_file = folder / "token"
        token_file.write_text(TOKEN)
        arguments = [
            "serve", "--port", "0", "-o", "json", "-p", f"p1={folder / 'p1'}", "--state-dir", str(folder / "state"),
            "--token-file", str(token_file), *options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dsjobs", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
            env={**os.environ, "DSJOBS_TEST_MARK": str(folder), "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        self.said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.stderr: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.end(signal.SIGKILL)
        assert line, "".join(self.stderr)
        self.answer = json.loads(line)
        self.client = Client(self.answer["address"])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line)

    def end(self, number: int) -> int:
        """Sends a signal and waits for the end; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        if hasattr(self, "client"):
            self.client.session.close()
        return code

    def leftovers(self) -> list[int]:
        """Processes that this server started, or itself, and that still run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"DSJOBS_TEST_MARK={self.folder}\0".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found
