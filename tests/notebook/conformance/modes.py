"""Runs the conformance set with one backend, and makes of each notebook what can be compared."""

from __future__ import annotations

import json
import re
import threading
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
    (re.compile(r"/[^\s'\"]*/(fork|usual)/project"), "/PROJECT"),
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
    """The set, run by one backend, two notebooks at a time, each in a folder of its own."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._slots = threading.Semaphore(2)
        self._ended: dict[str, threading.Event] = {}
        self._backend = LocalBackend(folder, settings)
        self.ran = self._run()

    def _run(self) -> dict[str, Ran]:
        operations = {}
        for name in NOTEBOOKS:
            self._slots.acquire()
            operations[name] = self._submit(name)
        for name in NOTEBOOKS:
            assert self._ended[name].wait(PATIENCE), name
        ids = {name: operation.id for name, operation in operations.items()}
        ways = {name: str(self._backend.kernel_start(ids[name])) for name in ids}
        done = {name: self._backend.poll(ids[name]) for name in ids}
        self._backend.close()
        return {name: self._outcome(name, done[name], ways[name]) for name in NOTEBOOKS}

    def _submit(self, name: str) -> Operation:
        project = self._folder / "project" / name
        project.mkdir(parents=True)
        (project / "worker.py").write_text(WORKER)
        (project / f"{name}.ipynb").write_text(json.dumps(NOTEBOOKS[name], ensure_ascii=False), encoding="utf-8")
        ended = self._ended[name] = threading.Event()

        def notify(_: str) -> None:
            ended.set()
            self._slots.release()

        request = Request(project=f"project/{name}", notebook=f"{name}.ipynb")
        submission = Submission(name, 1, request, self._folder / "ran" / f"{name}.ipynb")
        return self._backend.submit(submission, idempotency_key=name, notify=notify)

    def _outcome(self, name: str, operation: Operation, way: str) -> Ran:
        assert operation.executed is not None, operation
        node = json.loads((self._folder / "ran" / f"{name}.ipynb").read_text())
        for cell in node["cells"]:
            cell["metadata"].pop("execution", None)
            cell["outputs"] = joined(cell["outputs"])
        project = self._folder / "project" / name
        files = {
            path.name: path.read_text() for path in project.iterdir() if path.is_file() and path.suffix != ".ipynb"
        }
        return Ran(operation, without_identities(json.dumps(node, indent=1, ensure_ascii=False)), way, files)


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs with each run of one stream as one output: where a stream is cut depends on the time."""
    result: list[dict[str, Any]] = []
    for output in outputs:
        before = result[-1] if result else {}
        if output["output_type"] == "stream" and output.get("name") == before.get("name"):
            before["text"] = "".join(before["text"]) + "".join(output["text"])
        else:
            result.append(output)
    return result


def without_identities(text: str) -> str:
    for pattern, name in _IDENTITIES:
        text = pattern.sub(name, text)
    return text
