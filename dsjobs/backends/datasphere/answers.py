"""From an answer of the service to an Operation: the only place that decides what counts as success.

Rules. Success is `done: true` with a response whose executionStatus is OK, and nothing else. `error` before `done` means that
the service is still cleaning up: look again. What can become clear by looking again raises a retryable ServiceError; what
the service has said for good is a Failure. Pages: Project.Execute and Project.Open, Response.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from dsjobs.backends.datasphere import status, timestamps
from dsjobs.backends.datasphere.answer import Answer
from dsjobs.backends.datasphere.scrubbing import scrub
from dsjobs.backends.datasphere.status import ServiceError, Status
from dsjobs.model import Failure, Operation

LONGEST_POLL_INTERVAL = 300.0

_NO_TRACEBACK = "the service returns no traceback; open the project, or run the job in a local environment, to see it"
_STATUS_NUMBERS = {1: "OK", 2: "ERROR", 3: "ABORTED"}  # enum ExecutionStatus; 0 is UNSPECIFIED


@dataclass(frozen=True, slots=True)
class RawOperation:
    """An operation as the API has it, whatever method started it. `error` is None where it says nothing; `answer`: what told
    of it."""

    id: str
    done: bool
    metadata: Mapping[str, Any]
    error: Status | None
    response: Mapping[str, Any] | None
    created_at: float | None
    modified_at: float | None
    poll_after: float | None
    answer: Answer | None = None

    @property
    def request_ids(self) -> str:
        """Of the call that told of it, for the end of a message."""
        return status.request_ids(self.answer, self.error) if self.answer is not None else ""


def execution(answer: Answer) -> Operation:
    """The operation of Project.Execute in `answer`. Raises ServiceError where the answer holds none."""
    return outcome(read(answer))


def read(answer: Answer) -> RawOperation:
    """The operation in `answer`, of any method. Raises ServiceError where it holds none."""
    refused = status.refusal(answer)
    if refused is not None:
        raise refused
    data = document(answer)
    done = data.get("done")
    identifier = data.get("id")
    if not isinstance(identifier, str) or not identifier:
        _raise_without_id(answer, data)
    if done is not None and not isinstance(done, bool):
        raise _unreadable(answer, f"`done` is {json.dumps(done)[:50]}, not true or false")
    response, metadata = data.get("response"), data.get("metadata")
    error = status.parse(data.get("error"))
    return RawOperation(
        id=identifier,
        done=done is True,
        metadata=metadata if isinstance(metadata, Mapping) else {},
        error=error,
        response=response if isinstance(response, Mapping) else None,
        created_at=timestamps.seconds(data.get("createdAt")),
        modified_at=timestamps.seconds(data.get("modifiedAt")),
        poll_after=_poll_interval(answer),
        answer=answer,
    )


def outcome(raw: RawOperation) -> Operation:
    """What an operation of Project.Execute came to."""
    if not raw.done:
        return Operation(raw.id, poll_after=raw.poll_after)
    failure = _failure(raw)
    if failure is not None:
        failure = replace(failure, message=failure.message + raw.request_ids)
    started_at, finished_at = raw.created_at, raw.modified_at
    if started_at is not None and finished_at is not None and finished_at < started_at:
        finished_at = started_at
    return Operation(
        raw.id,
        done=True,
        failure=failure,
        cancelled=raw.error is not None and raw.error.code == status.CANCELLED,
        started_at=started_at,
        finished_at=finished_at,
    )


def document(answer: Answer) -> Mapping[str, Any]:
    """The JSON object in the body of a 2xx answer. Raises ServiceError for anything else."""
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise _not_json(answer) from error
    if not isinstance(data, Mapping):
        raise _unreadable(answer, f"a JSON {type(data).__name__} in the place of an object")
    return data


def failure_of(error: Status) -> Failure | None:
    """The failure that an operation's error stands for; None where it was cancelled."""
    if error.code == status.CANCELLED:
        return None
    if error.code == status.ABORTED:
        return Failure("aborted", f"the service aborted the operation: {error.text}")
    hint = None
    if error.code == status.NOT_FOUND:
        hint = "check the notebook's path in the project's storage: JupyterLab's `Copy path` gives it"
    return Failure("backend", f"the operation failed: {error.text}", hint)


def _failure(raw: RawOperation) -> Failure | None:
    if raw.error is not None:
        return failure_of(raw.error)
    if raw.response is None:
        return Failure("backend", "the operation is done, but the service gave neither a response nor an error")
    said = raw.response.get("executionStatus", raw.response.get("execution_status"))
    name = _execution_status(said)
    if name == "OK":
        return None
    if name == "ERROR":
        return Failure("notebook", "the execution ended with an error", _NO_TRACEBACK)
    if name == "ABORTED":
        hint = "it was stopped in the interface, by a limit of the project, or because it was asked to"
        return Failure("aborted", "the execution was aborted", hint)
    what = "no executionStatus" if said is None else f"the executionStatus {scrub(json.dumps(said)[:80])}"
    hint = "whether the notebook succeeded is not known: look at what it should have written"
    return Failure("backend", f"the operation is done with {what}, which is not a success", hint)


def _execution_status(value: Any) -> str:
    """The name of an ExecutionStatus; proto3 JSON may also give its number, and other generators prefix it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _STATUS_NUMBERS.get(value, "")
    return value.removeprefix("EXECUTION_STATUS_") if isinstance(value, str) else ""


def _poll_interval(answer: Answer) -> float | None:
    """Whole seconds, the service's wish for the time between two looks; Retry-After stands for it too."""
    seconds = status.whole_seconds(answer.headers.get("x-operation-poll-interval", "").strip())
    return status.retry_after(answer) if seconds is None else min(seconds, LONGEST_POLL_INTERVAL)


def _raise_without_id(answer: Answer, data: Mapping[str, Any]) -> NoReturn:
    error = status.parse(data) if "code" in data else None
    if error is not None:
        raise ServiceError(
            f"{answer.call} answered {answer.status}, but with {error.text}{status.request_ids(answer, error)}",
            retryable=False,
            code=error.code,
            status=answer.status,
        )
    raise _unreadable(answer, "an operation without an ID")


def _not_json(answer: Answer) -> ServiceError:
    """A body that starts like JSON was cut off, and can be asked for again; any other is from somebody else."""
    start = answer.body.lstrip()[:1]
    if start in (b"{", b"["):
        return _unreadable(answer, f"JSON that ends in the middle, after {len(answer.body)} bytes")
    if not start and answer.call.is_safe:
        return _unreadable(answer, "an empty body")
    kind = answer.headers.get("Content-Type", "no content type")[:100]
    message = f"{answer.call} answered {answer.status} with {kind}, not with the API's JSON{status.request_ids(answer)}"
    hint = "is this the address of the service? a login page or a proxy may answer in its place"
    return ServiceError(message, retryable=answer.call.method == "GET", hint=hint, status=answer.status)


def _unreadable(answer: Answer, what: str) -> ServiceError:
    message = f"{answer.call} answered {answer.status} with {what}{status.request_ids(answer)}"
    return ServiceError(message, retryable=answer.call.is_safe, status=answer.status)
