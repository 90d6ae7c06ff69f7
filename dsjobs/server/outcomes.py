"""What a backend says of a run, as the API says it. One function, because every shape has one meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsjobs.diagnostics import Diagnostic
from dsjobs.model import Operation
from dsjobs.server.answers import execution_response
from dsjobs.server.errors import Code, status_json

Result = Mapping[str, Any]
Record = Mapping[str, Any]

_MISSING = "DSJ401"


def error_result(code: Code, message: str) -> Result:
    """The result of an operation that ended in an `error`."""
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code.name, "domain": "dsjobs"}
    return {"error": status_json(code, message, [reason])}


CANCELLED = error_result(Code.CANCELLED, "The operation was cancelled")
LOST = error_result(
    Code.UNAVAILABLE,
    "The server stopped while this ran. Whether it would have succeeded is not known; it was not run again",
)


def result(operation: Operation, *, cancel_requested: bool) -> Result:
    """The result of a backend's operation that is done.

    A cell that raised, or a kernel that died, is an execution that ended with ERROR. Outputs that could not be read are none
    of the API's business: the execution was OK. What the client did not ask for, such as the end of the server, is ABORTED.
    """
    if operation.cancelled:
        return CANCELLED if cancel_requested else execution_response("ABORTED")
    failure = operation.failure
    if failure is None or failure.kind == "contract":
        return execution_response("OK")
    if failure.kind == "notebook":
        return execution_response("ERROR")
    if failure.kind in ("aborted", "timeout"):
        return execution_response("ABORTED")
    code = Code.UNAVAILABLE if failure.kind == "lost" else Code.INTERNAL
    return error_result(code, failure.message)


def refusal(diagnostics: Sequence[Diagnostic], job: str) -> Result | None:
    """The error of an operation that cannot run at all, from what the backend found wrong before; None when it can."""
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.is_error]
    if not errors:
        return None
    code = Code.NOT_FOUND if errors[0].code == _MISSING else Code.FAILED_PRECONDITION
    return error_result(code, "; ".join(error.message.removeprefix(f"job '{job}': ") for error in errors))


def record(operation: Operation) -> Record:
    """What inspection shows beyond the API: outputs, the failure with its traceback, times, whether there is a notebook."""
    return {
        "startedAt": operation.started_at,
        "finishedAt": operation.finished_at,
        "outputs": None if operation.outputs is None else dict(operation.outputs),
        "failure": None if operation.failure is None else operation.failure.as_json(),
        "hasNotebook": bool(operation.executed and operation.executed.path),
    }


def summary(result: Result) -> str:
    """One or two words on a result, for the server's own log."""
    if "error" in result:
        return f"error {result['error']['code']}: {result['error']['message']}"
    return str(result["response"].get("executionStatus", "OK"))
