"""A project of notebooks, a backend over it, and ways to run them and to wait for their end."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from dsjobs.backends.protocol import Backend, Submission
from dsjobs.backends.registry import create
from dsjobs.model import Operation, Request

PATIENCE = 60


class Bench:
    """A backend, the folder of its only project, and the operations that were started on it."""

    def __init__(self, backend: Backend, folder: Path, project: str) -> None:
        self.backend = backend
        self.folder = folder
        self.project = project
        self.notified: list[str] = []
        self._news = threading.Condition()
        self._keys = map(str, itertools.count())

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
        fields.setdefault("notebook", name if "cell" not in fields else None)
        return Submission("job", 1, Request(project=self.project, **fields), executed)

    def submit(self, name: str, *, key: str | None = None, **fields: Any) -> Operation:
        submission = self.submission(name, **fields)
        return self.backend.submit(submission, idempotency_key=key or f"k{next(self._keys)}", notify=self._notify)

    def wait(self, operation: Operation) -> Operation:
        """The operation when it is done."""
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while not (seen := self.backend.poll(operation.id)).done:
                assert self._news.wait(deadline - time.monotonic()), "the operation did not end"
        return seen

    def run(self, name: str, *sources: str, **fields: Any) -> Operation:
        """Writes a notebook, where sources are given, and runs it to its end."""
        if sources:
            self.write(name, *sources)
        return self.wait(self.submit(name, **fields))

    def _notify(self, operation_id: str) -> None:
        with self._news:
            self.notified.append(operation_id)
            self._news.notify_all()


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
    backend = create("local", tmp_path, {})
    yield Bench(backend, folder, "project")
    backend.close()


@pytest.fixture
def usual_bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench on the local backend whose kernels start the usual way, each in an interpreter of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    backend = create("local", tmp_path, {"kernel_start": "usual"})
    yield Bench(backend, folder, "project")
    backend.close()


@pytest.fixture
def bench_with(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Bench]]:
    """Makes benches on the local backend with settings; all of them share the folder of the project."""
    benches: list[Bench] = []
    (tmp_path / "project").mkdir()

    def make(settings: dict[str, Any]) -> Bench:
        benches.append(Bench(create("local", tmp_path, settings), tmp_path / "project", "project"))
        return benches[-1]

    yield make
    for bench in benches:
        bench.backend.close()


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., bool]:
    return until


@pytest.fixture(name="processes_marked")
def processes_marked_fixture() -> Callable[[str], list[int]]:
    return processes_marked
