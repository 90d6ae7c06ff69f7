"""What happens in a run, as the scheduler hears of it, and what it wants done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsjobs.model import RunIf, Status


@dataclass(frozen=True, slots=True)
class Started:
    """The backend accepted a job."""

    job: str
    operation_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A job has its outcome; it may come without a `Started`, when it could not be submitted. `cause`: of a job that was
    skipped when it should have started, why."""

    job: str
    status: Status
    cause: str = ""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt of a job failed, and another is to follow."""

    job: str


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The time until the next attempt of a job has passed."""

    job: str


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Nothing new starts. `cancel`: and what is in flight is asked to end."""

    reason: str
    cancel: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing new starts until it is decided what becomes of the run: a stop, or leaving it as it is."""


Event = Started | Finished | AttemptFailed | RetryDue | StopRequested | Hold


@dataclass(frozen=True, slots=True)
class Submit:
    """Start an attempt of a job (attempts count from 1)."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Look at an operation until it is done."""

    job: str
    operation_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask for the end of an operation."""

    job: str
    operation_id: str


@dataclass(frozen=True, slots=True)
class Skip:
    """A job will not run, and why; `cause` is what is behind it, as it is said of the jobs below it."""

    job: str
    reason: str
    cause: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A job will not be tried again: its last failure is its outcome. A `Finished` is to follow."""

    job: str


Action = Submit | Watch | Cancel | Skip | GiveUp


@dataclass(frozen=True, slots=True)
class Rules:
    """What the jobs of a run ask for, by name; a job that is silent has the default. `limits`: how many jobs of a pool may
    be in flight."""

    max_parallel: int
    fail_fast: bool = False
    run_if: Mapping[str, RunIf] | None = None
    allowed_failures: frozenset[str] = frozenset()
    pools: Mapping[str, Sequence[str]] | None = None
    limits: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """How far a run had come: final statuses, and why jobs were skipped; attempts begun, with the operation where the backend
    had accepted it; jobs that wait to be tried again; attempts so far; and the stop that was in force."""

    ended: Mapping[str, Status]
    causes: Mapping[str, str]
    in_flight: Mapping[str, str | None]
    resting: frozenset[str]
    attempts: Mapping[str, int]
    stop: StopRequested | None
