"""What a backend is: six verbs. One contract suite (`tests/backends/`) holds every one of them to this page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dsjobs.diagnostics import Diagnostic
from dsjobs.model import Job, Operation, Request
from dsjobs.secrets import Redactor, Secret

Notify = Callable[[str], None]
"""`notify(operation_id)`: look at this operation now. May be called from any thread, and more than once; which backends
call it, their capabilities say."""


@dataclass(frozen=True, slots=True)
class Looks:
    """How often a backend bears to be looked at: seconds between two looks at one operation, and looks a second at all."""

    shortest: float = 1.0
    a_second: float = 100.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can give back beyond a status, how often it may be asked, and whether it also tells by itself.

    `notifies`: it calls `notify` at the end of each operation that runs in this process. One that does not is never heard of
    again after a submit: its operations end unseen unless they are looked at. `survives`: its operations go on when this
    process ends, and another one can look at them; else the other submits again with the same key, and learns what became of
    them.
    """

    outputs: bool
    logs: bool
    executed_notebook: bool
    looks: Looks = Looks()
    notifies: bool = False
    survives: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """One attempt of a job, ready to go: the request, and where its executed notebook belongs (None: nowhere). `notes`: a
    folder of the run in which a backend whose operations end with its process may keep what a later one must know. `secrets`:
    the inputs whose values stand nowhere else; whatever a backend writes to a disk goes through `redactor` first.
    `submitted_at`: when the attempt was submitted for the first time, seconds since the epoch as the journal keeps them: a submit
    that is repeated, by whichever process, has to be the same request, and is told the same time."""

    job: str
    attempt: int
    request: Request
    executed_notebook: Path | None = None
    notes: Path | None = None
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    redactor: Redactor = field(default_factory=Redactor, repr=False, compare=False)
    submitted_at: float = 0.0

    def variables(self) -> dict[str, str]:
        """Every input as it is handed over, secrets with their values."""
        revealed = {name: secret.reveal() for name, secret in self.secrets.items()}
        return {**self.request.input_variables, **revealed}


class Backend(Protocol):
    """Where jobs run. Every method may be called from any thread.

    Failed notebooks are values (`Operation.failure`). The only exception raised is `BackendError`.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def check(self, jobs: Sequence[Job]) -> list[Diagnostic]:
        """Look at what the jobs need and report what is missing; of no jobs, what is wrong whatever they are. Changes nothing and
        starts nothing."""
        ...

    def submit(self, submission: Submission, *, idempotency_key: str, notify: Notify) -> Operation:
        """Start the job and return at once. The same key never starts a second run: it returns the first one's operation.

        The operation returned may already be done. `notify` is a hint, not a promise: a backend that has news itself calls it
        when the operation has ended and `poll` says so already; one whose service tells nobody never does.
        """
        ...

    def poll(self, operation_id: str) -> Operation:
        """One look. Raises `BackendError(retryable=False)` for an operation that this backend does not know."""
        ...

    def cancel(self, operation_id: str) -> None:
        """Ask for the end of an operation. The outcome arrives through `poll`; a finished one stays as it is."""
        ...

    def forget(self, operation_id: str) -> None:
        """Let go of what is held of an operation that is done: its outcome is kept elsewhere, and neither it nor its key will be
        asked for again. One that is not done, or unknown, stays as it is. Raises nothing."""
        ...

    def close(self) -> None:
        """End what runs in this process and release what is held; what runs at a service goes on there. May be called twice.

        Afterwards nothing can be submitted, and what was seen to be done can still be polled.
        """
        ...
