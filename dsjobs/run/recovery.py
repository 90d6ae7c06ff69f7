"""How far a run had come, from its journal: what the executor needs to go on where another process stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsjobs.errors import UsageError
from dsjobs.model import ExecutedNotebook, Failure, KernelStart, OutputWarning, Plan, Request, Status
from dsjobs.plan.saved import from_json
from dsjobs.run.events import Past, StopRequested
from dsjobs.run.manifest import Fold
from dsjobs.run.outcome import Outcome
from dsjobs.run.records import seconds
from dsjobs.run.rules import reused_before, skipped_before

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt whose end is not in the journal. `operation_id` is None where its fate is unknown: the submit may have
    arrived, or not. `submitted_at`: for the first time, in seconds since the epoch; `cancelling`: why it was asked to end, if
    it was."""

    job: str
    number: int
    key: str
    request: Request
    operation_id: str | None
    submitted_at: float
    cancelling: str | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """A run that did not finish. `ended`: the jobs that have ended in it, with their outputs; `failed_attempts`: of jobs that
    are to be tried again, the last attempt; `due`: when (seconds since the epoch)."""

    plan: Plan
    header: Record
    past: Past
    open_attempts: Sequence[OpenAttempt]
    ended: Mapping[str, tuple[Status, Mapping[str, Any] | None]]
    failed_attempts: Mapping[str, tuple[int, Outcome]]
    due: Mapping[str, float]
    written_stop: StopRequested | None

    def stopped(self, reason: str) -> Recovered:
        """The same, to be taken up only to bring it to its end: nothing starts, and what is in flight is cancelled."""
        return replace(self, past=replace(self.past, stop=StopRequested(reason, cancel=True)))


def recover(records: Sequence[Record], state: Fold) -> Recovered:
    """What the records of a journal, which `state` has taken in, came to. Raises UsageError for a run that has not begun."""
    header = records[0]
    planned = [record for record in records if record["record"] == "job_planned"]
    if len(planned) < header["jobs"]:
        raise never_began(header["run_id"])
    plan = from_json(header, planned)
    skipped = skipped_before(plan)
    names = [*(planned.job.name for planned in plan.jobs if planned.action == "run"), *skipped]
    jobs = {name: state.jobs[name] for name in names}
    resting = {name for name, job in jobs.items() if job["status"] == Status.PENDING and job["attempts"]}
    ended = {name: Status(job["status"]) for name, job in jobs.items() if Status(job["status"]).is_terminal}
    return Recovered(
        plan=plan,
        header=header,
        past=Past(
            ended=ended | dict.fromkeys(reused_before(plan), Status.SUCCEEDED),
            causes={**skipped, **state.causes},
            in_flight={
                name: job["attempts"][-1]["operation_id"]
                for name, job in jobs.items()
                if job["status"] == Status.RUNNING
            },
            resting=frozenset(resting),
            attempts={name: len(job["attempts"]) for name, job in jobs.items()},
            stop=_stop(state),
        ),
        open_attempts=[_open_attempt(job) for job in jobs.values() if job["status"] == Status.RUNNING],
        ended={name: (status, jobs[name]["outputs"]) for name, status in ended.items()},
        failed_attempts={name: _failed_attempt(jobs[name]) for name in resting},
        written_stop=_stop(state),
        due={name: seconds(jobs[name]["attempts"][-1]["retry_at"]) for name in resting},
    )


def never_began(run: str) -> UsageError:
    """Why a run cannot be gone on with whose plan is not whole in its journal."""
    return UsageError(f"run {run} never began: its process ended while its plan was written", hint="`dsjobs apply`")


def _stop(state: Fold) -> StopRequested | None:
    reason = state.run["run"]["stopped"]
    return StopRequested(reason, state.is_cancelled) if reason is not None else None


def _open_attempt(job: Mapping[str, Any]) -> OpenAttempt:
    attempt = job["attempts"][-1]
    return OpenAttempt(
        job=job["name"],
        number=attempt["number"],
        key=attempt["idempotency_key"],
        request=Request.from_json(job["request"]),
        operation_id=attempt["operation_id"],
        submitted_at=seconds(attempt["submitted_at"]),
        cancelling=attempt["cancelling"],
    )


def _failed_attempt(job: Mapping[str, Any]) -> tuple[int, Outcome]:
    attempt, notebook, start = job["attempts"][-1], job["notebook"], job["kernel_start"]
    outcome = Outcome(
        Status.FAILED,
        Failure.from_json(attempt["failure"]),
        job["outputs"],
        ExecutedNotebook(notebook["path"], notebook["code_digest"]) if notebook else None,
        kernel_start=KernelStart(start["way"], start["reason"]) if start else None,
        warnings=tuple(OutputWarning(warning["output"], warning["message"]) for warning in job["warnings"]),
        started_at=seconds(attempt["started_at"]) if attempt["started_at"] else None,
        finished_at=seconds(attempt["finished_at"]) if attempt["finished_at"] else None,
    )
    return attempt["number"], outcome
