"""Errors as the API gives them: google.rpc.Status bodies with their HTTP status.

The table of codes is that of the API design guide, "Errors". A body has no wrapper: `{"code", "message", "details"}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

_TYPES = "type.googleapis.com/google.rpc."
_MAX_TEXT = 1000


class Code(IntEnum):
    """google.rpc.Code."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS: Mapping[Code, int] = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with one field of a request. `field` is its path in the API's own names."""

    field: str
    description: str


class ApiError(Exception):
    """A request that is refused. `http_status` is set only where HTTP has a status that the table of codes has not."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        details: Sequence[Mapping[str, Any]] = (),
        http_status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = _printable(message)
        self.details = tuple(details)
        self.http_status = http_status or HTTP_STATUS[code]
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> dict[str, Any]:
        """The answer's body: the Status with the details and the ID of the request."""
        status = status_json(self.code, self.message, self.details)
        status["details"].append({"@type": f"{_TYPES}RequestInfo", "requestId": request_id})
        return status


def status_json(code: Code, message: str, details: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A google.rpc.Status, as it stands in an operation's `error`."""
    return {"code": int(code), "message": message, "details": [dict(detail) for detail in details]}


def bad_request(violations: Sequence[Violation]) -> ApiError:
    """The refusal of a message, with every field that is wrong."""
    message = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
    fields = [{"field": _printable(item.field), "description": _printable(item.description)} for item in violations]
    return ApiError(
        Code.INVALID_ARGUMENT, message, details=[{"@type": f"{_TYPES}BadRequest", "fieldViolations": fields}]
    )


def unauthenticated(message: str = "Token is invalid or has expired.") -> ApiError:
    """401 with the message that the documentation gives."""
    return ApiError(Code.UNAUTHENTICATED, message, headers={"WWW-Authenticate": "Bearer"})


def _printable(text: str) -> str:
    """Text that can be sent: what a request had in it may have half of a surrogate pair, and may be long."""
    shown = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
    return shown.encode("utf-8", "backslashreplace").decode()


def retry_detail(seconds: float) -> dict[str, Any]:
    """A RetryInfo: how long to wait before the same request may succeed."""
    return {"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{seconds:.3f}s"}
