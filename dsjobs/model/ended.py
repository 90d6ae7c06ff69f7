"""What became of it: statuses, failures and what a backend says of an operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from dsjobs.model.written import FailureKind


class Status(StrEnum):
    """Where a job stands. `pending` and `running` are not final."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self not in (Status.PENDING, Status.RUNNING)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed. `notebook`: a cell raised or the kernel died; `contract`: it ran, but its outputs are not what
    was promised; `backend`: it could not be started or watched, or a secret had no value; `template`: its inputs could not be
    rendered.

    `cell_number` counts code cells from 1; `line` is the line of that cell's source, from 1.
    """

    kind: FailureKind
    message: str
    hint: str | None = None
    cell_number: int | None = None
    cell_id: str | None = None
    line: int | None = None
    source_line: str | None = None
    exception: str | None = None
    traceback: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The shape of the journal and the manifest; what is not known is left out."""
        fields: dict[str, Any] = {
            "kind": self.kind,
            "message": self.message,
            "hint": self.hint,
            "cell_number": self.cell_number,
            "cell_id": self.cell_id,
            "line": self.line,
            "source_line": self.source_line,
            "exception": self.exception,
            "traceback": list(self.traceback) or None,
        }
        return {key: value for key, value in fields.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Failure:
        """The failure that `as_json` wrote."""
        return cls(**{**data, "traceback": tuple(data.get("traceback", ()))})


@dataclass(frozen=True, slots=True)
class ExecutedNotebook:
    """What a backend that keeps the executed notebook says of it: the path of the file, and the digest of the code that
    ran (`sha256:…` over the sources of the code cells)."""

    path: str | None
    code_digest: str | None


@dataclass(frozen=True, slots=True)
class KernelStart:
    """How a kernel on this machine was started: as a fork, the usual way, or the usual way but ahead of its notebook, from a
    pool. `reason`: why not as a fork."""

    way: Literal["fork", "pool", "usual"]
    reason: str | None = None

    def __str__(self) -> str:
        return self.way if self.reason is None else f"{self.way}: {self.reason}"

    def as_json(self) -> dict[str, Any]:
        return {"way": self.way, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a declared output has no value, and what to do about it."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One look at a submitted job. Until `done`, only `id` and `poll_after` mean anything.

    `poll_after`: seconds to wait before the next look, where the backend gave a hint. `cancelled`: it ended because it was
    asked to. `outputs`: what was read, None where the backend cannot return any; `unread`: by name those that could not be,
    where the failure is about nothing else. `kernel_start`: how the kernel was started, where the backend starts one itself and
    came so far. Times are seconds since the epoch.
    """

    id: str
    done: bool = False
    failure: Failure | None = None
    cancelled: bool = False
    outputs: Mapping[str, Any] | None = None
    unread: Mapping[str, Unread] = field(default_factory=dict)
    executed: ExecutedNotebook | None = None
    kernel_start: KernelStart | None = None
    started_at: float | None = None
    finished_at: float | None = None
    poll_after: float | None = None
