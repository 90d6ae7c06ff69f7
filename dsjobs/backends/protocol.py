"""What a backend is: five verbs. One contract suite (`tests/backends/`) holds every one of them to this page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dsjobs.diagnostics import Diagnostic
from dsjobs.model import Job, Operation, Request

Notify = Callable[[str], None]
"""`notify(operation_id)`: look at this operation now. May be called from any thread, and more than once."""


@dataclass(frozen=True, slots=True)
class Looks:
    """How often a backend bears to be looked at: seconds between two looks at one operation, and looks a second at all."""

    shortest: float = 1.0
    a_second: float = 100.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can give back beyond a status, and how often it may be asked."""

    outputs: bool
    logs: bool
    executed_notebook: bool
    looks: Looks = Looks()


@dataclass(frozen=True, slots=True)
class Submission:
    """One attempt of a job, ready to go: the request, and where its executed notebook belongs (None: nowhere)."""

    job: str
    attempt: int
    request: Request
    executed_notebook: Path | None = None


class Backend(Protocol):
    """Where jobs run. Every method may be called from any thread.

    Failed notebooks are values (`Operation.failure`). The only exception raised is `BackendError`.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def check(self, jobs: Sequence[Job]) -> list[Diagnostic]:
        """Look at what the jobs need and report what is missing. Changes nothing and starts nothing."""
        ...

    def submit(self, submission: Submission, *, idempotency_key: str, notify: Notify) -> Operation:
        """Start the job and return at once. The same key never starts a second run: it returns the first one's operation.

        The operation returned may already be done.
        """
        ...

    def poll(self, operation_id: str) -> Operation:
        """One look. Raises `BackendError(retryable=False)` for an operation that this backend does not know."""
        ...

    def cancel(self, operation_id: str) -> None:
        """Ask for the end of an operation. The outcome arrives through `poll`; a finished one stays as it is."""
        ...

    def close(self) -> None:
        """End everything that is still running and release what is held. May be called twice."""
        ...
