"""What the local backend keeps for a later process: that a notebook was begun, and what it came to.

Its kernels end with dsjobs. By these notes the next dsjobs knows of a submit with the same key whether the notebook never
began (so it may be started), ended (so its outcome stands) or was running (so it is lost). A file for each, in a folder of the
run, written before what it says may happen.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from dsjobs.errors import BackendError
from dsjobs.files import write_atomically
from dsjobs.model import ExecutedNotebook, Failure, KernelStart, Operation, Unread

LOST = Failure(
    "lost",
    "dsjobs ended while the notebook ran",
    "what it had done until then is not undone; `retry: {on: [lost]}` has such a job started again",
)


class Notes:
    """The notes of one run, in `folder`, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, key: str) -> None:
        """The notebook is about to begin. Raises BackendError where that cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path(key, "begun"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            message = f"{error.filename or self._folder}: cannot note that the notebook begins: {error.strerror}"
            raise BackendError(message, retryable=False, hint="nothing was run") from error

    def end(self, key: str, operation: Operation) -> None:
        """The notebook has ended. Where that cannot be written the outcome is only lost to a process that comes later."""
        with suppress(OSError, ValueError):
            content = json.dumps(_as_json(operation), ensure_ascii=False, allow_nan=False)
            write_atomically(self._path(key, "json"), content.encode("utf-8", "surrogatepass"))

    def recall(self, key: str, operation_id: str) -> Operation | None:
        """What became of the notebook in an earlier process; None where it never began."""
        try:
            return _from_json(json.loads(self._path(key, "json").read_bytes()), operation_id)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError, TypeError, KeyError):
            return Operation(operation_id, done=True, failure=LOST)
        if self._path(key, "begun").exists():
            return Operation(operation_id, done=True, failure=LOST)
        return None

    def _path(self, key: str, kind: str) -> Path:
        return self._folder / f"{key}.{kind}"


def _as_json(operation: Operation) -> dict[str, Any]:
    executed, start = operation.executed, operation.kernel_start
    return {
        "failure": operation.failure.as_json() if operation.failure is not None else None,
        "cancelled": operation.cancelled,
        "outputs": dict(operation.outputs) if operation.outputs is not None else None,
        "unread": {name: [one.message, one.hint] for name, one in operation.unread.items()},
        "executed": [executed.path, executed.code_digest] if executed is not None else None,
        "kernel_start": [start.way, start.reason] if start is not None else None,
        "started_at": operation.started_at,
        "finished_at": operation.finished_at,
    }


def _from_json(data: dict[str, Any], operation_id: str) -> Operation:
    return Operation(
        operation_id,
        done=True,
        failure=Failure.from_json(data["failure"]) if data["failure"] is not None else None,
        cancelled=data["cancelled"],
        outputs=data["outputs"],
        unread={name: Unread(*one) for name, one in data["unread"].items()},
        executed=ExecutedNotebook(*data["executed"]) if data["executed"] is not None else None,
        started_at=data["started_at"],
        finished_at=data["finished_at"],
        kernel_start=KernelStart(*data["kernel_start"]) if data["kernel_start"] is not None else None,
    )
