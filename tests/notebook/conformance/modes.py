"""Runs the conformance set with one backend, and makes of each notebook what can be compared."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks import NOTEBOOKS, WORKER

from dsjobs.backends.local import LocalBackend
from dsjobs.backends.protocol import Submission
from dsjobs.model import Operation, Request

PATIENCE = 300
# Processes, objects and folders are called otherwise in each run.
_IDENTITIES = [
    (re.compile(r"ipykernel_\d+"), "ipykernel_PID"),
    (re.compile(r"/[^\s'\"]*/dsjobs-[^/\s]+/k\d+"), "/CONNECTION"),
    (re.compile(r"/[^\s'\"]*/(fork|usual|pool|other)/project"), "/PROJECT"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0xADDRESS"),
    (re.compile(r"\(pid: ?\d+\)|process \d+"), "PID"),
]


@dataclass(frozen=True)
class Ran:
    """One run of one notebook: its operation, its executed notebook as text, and how its kernel was started."""

    operation: Operation
    notebook: str
    way: str
    files: dict[str, str]


class Mode:
    """The set, or a part of it, run by one backend, two notebooks at a time, each in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        names: Sequence[str] = tuple(NOTEBOOKS),
        *,
        kernel: str = "python3",
        parallel: int = 2,
    ) -> None:
        folder.mkdir()
        self._folder = folder
        self._names = names
        self._kernel = kernel
        self._slots = threading.Semaphore(parallel)
        self._ended: dict[str, threading.Event] = {}
        self._backend = LocalBackend(folder, settings)
        self.ran = self._run()

    def _run(self) -> dict[str, Ran]:
        operations = {}
        for name in self._names:
            assert self._slots.acquire(timeout=PATIENCE), name
            operations[name] = self._submit(name)
        for name in self._names:
            assert self._ended[name].wait(PATIENCE), name
        done = {name: self._backend.poll(operation.id) for name, operation in operations.items()}
        self._backend.close()
        return {name: self._outcome(name, done[name]) for name in self._names}

    def _submit(self, name: str) -> Operation:
        project = self._folder / "project" / name
        project.mkdir(parents=True)
        (project / "worker.py").write_text(WORKER)
        kernel = {"name": self._kernel, "display_name": self._kernel, "language": "python"}
        node = {**NOTEBOOKS[name], "metadata": {"kernelspec": kernel} if self._kernel != "python3" else {}}
        (project / f"{name}.ipynb").write_text(json.dumps(node, ensure_ascii=False), encoding="utf-8")
        ended = self._ended[name] = threading.Event()

        def notify(_: str) -> None:
            ended.set()
            self._slots.release()

        request = Request(project=f"project/{name}", notebook=f"{name}.ipynb")
        submission = Submission(name, 1, request, self._folder / "ran" / f"{name}.ipynb")
        return self._backend.submit(submission, idempotency_key=name, notify=notify)

    def _outcome(self, name: str, operation: Operation) -> Ran:
        assert operation.executed is not None, operation
        node = json.loads((self._folder / "ran" / f"{name}.ipynb").read_text())
        for cell in node["cells"]:
            cell["metadata"].pop("execution", None)
            cell["outputs"] = joined(cell["outputs"])
        project = self._folder / "project" / name
        files = {
            path.name: path.read_text() for path in project.iterdir() if path.is_file() and path.suffix != ".ipynb"
        }
        notebook = without_identities(json.dumps(node, indent=1, ensure_ascii=False))
        return Ran(operation, notebook, str(operation.kernel_start), files)


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs with each run of one stream as one output: where a stream is cut depends on the time."""
    result: list[dict[str, Any]] = []
    for output in outputs:
        before = result[-1] if result else {}
        if output["output_type"] == "stream":
            output["text"] = "".join(output["text"])
        if output["output_type"] == "stream" and output["name"] == before.get("name"):
            before["text"] += output["text"]
        else:
            result.append(output)
    return result


def without_identities(text: str) -> str:
    for pattern, name in _IDENTITIES:
        text = pattern.sub(name, text)
    return text
