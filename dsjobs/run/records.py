"""The records of a journal: one function for each kind. The shapes are those of `journal.v1.json`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dsjobs.model import Plan, Request, Status
from dsjobs.plan.saved import job_as_json, job_file_as_json, plain, secrets_as_json
from dsjobs.run.outcome import Outcome

SCHEMA_VERSION = 1

KINDS = frozenset({
    "run_started", "job_planned", "job_submitting", "job_submitted", "job_cancelling", "job_retrying", "job_finished",
    "job_skipped", "stop_requested", "run_detached", "run_resumed", "run_finished",
})  # fmt: skip

Record = dict[str, Any]


def moment(seconds: float) -> str:
    """A time (seconds since the epoch) as RFC 3339 text in UTC, with microseconds."""
    # `strftime` gives the same and takes four times as long, three times for each job.
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def seconds(moment: str) -> float:
    """Seconds since the epoch of a time as `moment` writes it."""
    return datetime.fromisoformat(moment).timestamp()


def run_started(at: float, run: Mapping[str, Any], plan: Plan, plan_digest: str) -> Record:
    """The header. `run` holds what the edge knows: `run_id`, `tool_version`, `host`, `pid`, `git`, `folder`, `parent_run`, and
    `fail_fast` where that was asked for."""
    protected = {"protected": True} if plan.protected else {}
    secrets = {"secrets": secrets_as_json(plan)} if plan.secrets else {}
    return {
        "record": "run_started",
        "schema_version": SCHEMA_VERSION,
        "at": moment(at),
        "folder": "../../..",
        "parent_run": None,
        **run,
        "name": plan.name,
        "job_file": job_file_as_json(plan),
        "plan_digest": plan_digest,
        "environment": plan.environment,
        "backend": plan.backend,
        **protected,
        **secrets,
        "settings": plain(plan.settings),
        "max_parallel": plan.max_parallel,
        "pools": dict(plan.pools),
        "jobs": len(plan.jobs),
        "variables": {n: {"value": v.value, "layer": v.layer} for n, v in sorted(plan.variables.items())},
    }


def jobs_planned(plan: Plan) -> list[Record]:
    """One record for each job of the plan, in its order."""
    return [{"record": "job_planned", **job_as_json(planned)} for planned in plan.jobs]


def job_submitting(at: float, job: str, attempt: int, idempotency_key: str, request: Request) -> Record:
    """The intent: on disk before the request leaves."""
    return {
        "record": "job_submitting",
        "at": moment(at),
        "job": job,
        "attempt": attempt,
        "idempotency_key": idempotency_key,
        "request": request.as_json(),
    }


def job_submitted(at: float, job: str, attempt: int, operation_id: str) -> Record:
    """The backend accepted it."""
    return {
        "record": "job_submitted",
        "at": moment(at),
        "job": job,
        "attempt": attempt,
        "operation_id": operation_id,
    }


def job_cancelling(at: float, job: str, attempt: int, reason: str) -> Record:
    """The intent to ask for the end of an attempt: `timeout` or `stopped`."""
    return {"record": "job_cancelling", "at": moment(at), "job": job, "attempt": attempt, "reason": reason}


def job_retrying(at: float, job: str, attempt: int, outcome: Outcome, retry_in: float) -> Record:
    """An attempt failed, and another follows in so many seconds."""
    assert outcome.failure is not None, "an attempt that did not fail is not followed by another"
    record: Record = {
        "record": "job_retrying",
        "at": moment(at),
        "job": job,
        "attempt": attempt,
        "failure": outcome.failure.as_json(),
        "retry_in": retry_in,
    }
    if outcome.outputs is not None:
        record["outputs"] = dict(outcome.outputs)
    return {**record, **_rest(outcome)}


def job_finished(at: float, job: str, attempt: int, outcome: Outcome) -> Record:
    """The outcome. `started_at` and `finished_at` are the backend's own times, where it gives them."""
    record: Record = {
        "record": "job_finished",
        "at": moment(at),
        "job": job,
        "attempt": attempt,
        "status": outcome.status.value,
        "outputs": dict(outcome.outputs) if outcome.outputs is not None else None,
    }
    if outcome.failure is not None:
        record["failure"] = outcome.failure.as_json()
    return {**record, **_rest(outcome)}


def _rest(outcome: Outcome) -> Record:
    """What an outcome may have beside its status, its failure and its outputs."""
    rest: Record = {}
    if outcome.warnings:
        rest["warnings"] = [warning.as_json() for warning in outcome.warnings]
    times = {"started_at": outcome.started_at, "finished_at": outcome.finished_at}
    rest.update((name, moment(seconds)) for name, seconds in times.items() if seconds is not None)
    if outcome.executed is not None:
        rest["notebook"] = {"path": outcome.executed.path, "code_digest": outcome.executed.code_digest}
    if outcome.kernel_start is not None:
        rest["kernel_start"] = outcome.kernel_start.as_json()
    return rest


def job_skipped(at: float, job: str, reason: str, cause: str) -> Record:
    """The job will not run in this run; `cause` is what is behind it, as it is said of the jobs below."""
    return {"record": "job_skipped", "at": moment(at), "job": job, "reason": reason, "cause": cause}


def stop_requested(at: float, reason: str, *, cancel: bool) -> Record:
    """Nothing starts any more; with `cancel`, what is in flight is asked to end. A stop may become a cancel later."""
    return {"record": "stop_requested", "at": moment(at), "reason": reason, "cancel": cancel}


def run_detached(at: float, reason: str) -> Record:
    """dsjobs leaves the run as it is, to be taken up again."""
    return {"record": "run_detached", "at": moment(at), "reason": reason}


def run_resumed(at: float, run: Mapping[str, Any]) -> Record:
    """Another process takes the run up: its `host`, `pid` and `tool_version`."""
    return {"record": "run_resumed", "at": moment(at), **{key: run[key] for key in ("host", "pid", "tool_version")}}


def run_finished(at: float, status: Status) -> Record:
    """Every job has ended. A journal without this record is of a run that did not finish."""
    return {"record": "run_finished", "at": moment(at), "status": status.value}
