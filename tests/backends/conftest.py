"""A project of notebooks, a backend over it, and ways to run them and to wait for their end."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from live_server import TOKEN, Command
from nbformat import v4

from dsjobs.backends.protocol import Backend, Notify, Submission
from dsjobs.backends.registry import create
from dsjobs.model import Operation, Request

PATIENCE = 60


class Bench:
    """A backend, a folder for notebooks, and the operations that were started on it. `make` gives a backend; `place`: the
    folder in its project."""

    def __init__(self, make: Callable[[], Backend], folder: Path, project: str, place: str = "") -> None:
        self._make = make
        self._made = [make()]
        self.backend = self._made[0]
        self.folder = folder
        self.project = project
        self.place = place
        self.notified: list[str] = []
        self._news = threading.Condition()
        self._numbers = itertools.count()
        self._keys = uuid.uuid4()

    def another(self) -> Backend:
        """A backend that knows nothing of the first one's operations, as that of a later process."""
        self._made.append(self._make())
        return self._made[-1]

    def close(self) -> None:
        for backend in self._made:
            backend.close()

    def write(self, name: str, *sources: str, **metadata: Any) -> Path:
        """A notebook with these code cells (and `tags`, in order, where a source is a pair)."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        node = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources], metadata=metadata)
        nbformat.write(node, path)
        return path

    def submission(self, name: str, **fields: Any) -> Submission:
        """The submission of a notebook; `executed` is where its executed notebook goes."""
        executed = fields.pop("executed", None)
        fields.setdefault("notebook", self.place + name if "cell" not in fields else None)
        return Submission("job", 1, Request(project=self.project, **fields), executed)

    def submit(self, name: str, *, key: str | None = None, notify: Notify | None = None, **fields: Any) -> Operation:
        """Submits a notebook; the same `key` is the same idempotency key, a UUID, on this bench and on no other."""
        submission = self.submission(name, **fields)
        unique = str(uuid.uuid5(self._keys, key or f"number {next(self._numbers)}"))
        return self.backend.submit(submission, idempotency_key=unique, notify=notify or self._notify)

    def wait(self, operation: Operation) -> Operation:
        """The operation when it is done: looked at when there is news, and at intervals where there never is any."""
        capabilities = self.backend.capabilities
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while not (seen := self.backend.poll(operation.id)).done:
                left = deadline - time.monotonic()
                is_news = self._news.wait(left if capabilities.notifies else min(left, capabilities.looks.shortest))
                assert is_news or (left > 0 and not capabilities.notifies), "the operation did not end"
        return seen

    def run(self, name: str, *sources: str, **fields: Any) -> Operation:
        """Writes a notebook, where sources are given, and runs it to its end."""
        if sources:
            self.write(name, *sources)
        return self.wait(self.submit(name, **fields))

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Inside, whatever is submitted has to wait for its turn, where the backend knows turns."""
        yield

    def _notify(self, operation_id: str) -> None:
        with self._news:
            self.notified.append(operation_id)
            self._news.notify_all()


class ServedBench(Bench):
    """A bench on DataSphere's API over HTTP, at a server that runs `AT_ONCE` notebooks at once."""

    AT_ONCE = 2

    @contextmanager
    def busy(self) -> Iterator[None]:
        source = "import os, pathlib, time\npathlib.Path(os.environ['ME']).touch()\n"
        self.write("busy.ipynb", source + "while not pathlib.Path('free').exists(): time.sleep(0.02)")
        names = [f"busy-{number}" for number in range(self.AT_ONCE)]
        running = [self.submit("busy.ipynb", input_variables={"ME": name}) for name in names]
        assert until(lambda: all((self.folder / name).exists() for name in names))
        yield
        (self.folder / "free").touch()
        assert all(self.wait(operation).failure is None for operation in running)


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> bool:
    """Whether `condition` becomes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.01)
    return True


def processes_marked(mark: str) -> list[int]:
    """The processes of this machine, zombies left out, whose environment holds `mark`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench on the local backend."""
    folder = tmp_path / "project"
    folder.mkdir()
    bench = Bench(lambda: create("local", tmp_path, {}), folder, "project")
    yield bench
    bench.close()


@pytest.fixture
def usual_bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench on the local backend whose kernels start the usual way, each in an interpreter of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    bench = Bench(lambda: create("local", tmp_path, {"kernel_start": "usual"}), folder, "project")
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """`dsjobs serve`, which refuses whatever the pages of the API do not name, with the project p1."""
    server = Command(tmp_path_factory.mktemp("served"), "--strict", "--jobs", str(ServedBench.AT_ONCE))
    yield server
    server.end(signal.SIGTERM)


@pytest.fixture
def served_bench(served: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedBench]:
    """A bench on the datasphere backend and a server of its API, set up by settings and a variable, as users do."""
    for name in [name for name in os.environ if name.startswith(("YC_", "DSJOBS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("YC_IAM_TOKEN", TOKEN)
    place = f"bench-{uuid.uuid4().hex}/"
    folder = served.folder / "p1" / place
    folder.mkdir()
    store = f"file://{tmp_path}/store"
    settings = {"endpoint": served.answer["address"], "output_store": store, "poll_interval": 0.05}
    bench = ServedBench(lambda: create("datasphere", tmp_path, settings), folder, "p1", place)
    yield bench
    bench.close()


@pytest.fixture
def bench_with(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Bench]]:
    """Makes benches on the local backend with settings; all of them share the folder of the project."""
    benches: list[Bench] = []
    (tmp_path / "project").mkdir()

    def make(settings: dict[str, Any]) -> Bench:
        benches.append(Bench(lambda: create("local", tmp_path, settings), tmp_path / "project", "project"))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., bool]:
    return until


@pytest.fixture(name="processes_marked")
def processes_marked_fixture() -> Callable[[str], list[int]]:
    return processes_marked
