"""Errors of the service: google.rpc.Status in a body or in an operation, and HTTP answers that are not from the API at all.

Pages: Project.Execute, Status; the API design guide, Errors (codes and their HTTP statuses, RequestInfo, RetryInfo).
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from dsjobs.backends.datasphere.answer import Answer
from dsjobs.backends.datasphere.scrubbing import scrub
from dsjobs.errors import BackendError

CODES = {
    1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip
CANCELLED, NOT_FOUND, ABORTED, UNAUTHENTICATED = 1, 5, 10, 16
_TRANSIENT_CODES = frozenset({2, 4, 8, 10, 13, 14})
_TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRANSIENT_LOOKS = frozenset({499, 520, 521, 522, 523, 524})

LONGEST_MESSAGE = 2000
LONGEST_HINT = 300.0
"""Seconds: a longer Retry-After is taken for a mistake."""


class ServiceError(BackendError):
    """The service, or something on the way to it, did not do what was asked.

    `status`: of HTTP; `code`: of google.rpc, where the API itself answered; `retry_after`: seconds that the service asked for.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool,
        hint: str | None = None,
        status: int | None = None,
        code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        is_denied = not retryable and (status == 401 or code == UNAUTHENTICATED)
        super().__init__(message, retryable=retryable, hint=hint, is_denied=is_denied)
        self.status = status
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Status:
    """A google.rpc.Status that says something went wrong. `code` is None where it has none."""

    code: int | None
    message: str
    details: tuple[Mapping[str, Any], ...] = ()

    @property
    def text(self) -> str:
        """`NOT_FOUND: no such project`, with what its details add."""
        name = CODES.get(self.code, f"code {self.code}") if self.code is not None else "error"
        parts = [self.message or "no message", *_additions(self.details)]
        return scrub(f"{name}: {'; '.join(parts)}")[:LONGEST_MESSAGE]


def parse(error: Any) -> Status | None:
    """The `error` of an operation or the body of an error answer. None for what means no error: null, `{}`, code 0."""
    if isinstance(error, str):
        return Status(None, error) if error else None
    if not isinstance(error, Mapping):
        return None if error is None else Status(None, json.dumps(error))
    code = _integer(error.get("code"))
    message = error.get("message")
    text = message if isinstance(message, str) else "" if message is None else json.dumps(message)
    known = tuple(_objects(error.get("details")))
    if code == 0 or (code is None and error.get("code") is None and not text and not known):
        return None
    return Status(code, text, known)


def parse_body(answer: Answer) -> Status | None:
    """The Status that is the body of an error answer, where it is one."""
    return parse(_json(answer.body))


def refusal(answer: Answer) -> ServiceError | None:
    """What an answer whose status is not 2xx means; None for one whose status is."""
    if 200 <= answer.status < 300:
        return None
    if 300 <= answer.status < 400:
        return _redirect(answer)
    status = parse_body(answer)
    code = status.code if status else None
    said = status.text if status else _plain_text(answer.body)
    return ServiceError(
        f"{answer.call} answered {answer.status}{f', {said}' if said else ''}{request_ids(answer, status)}",
        retryable=_is_transient(answer, code),
        status=answer.status,
        code=code,
        retry_after=retry_after(answer, status),
    )


def request_ids(answer: Answer, status: Status | None = None) -> str:
    """The IDs by which the service's support finds a call, in parentheses; empty where there are none. `status`: what the answer
    says went wrong, whose details may have one of them."""
    details = status.details if status else ()
    info = [part.get("requestId") or part.get("request_id") for part in _of_type(details, "RequestInfo")]
    ids = {
        "request": answer.headers.get("x-request-id") or next((text for text in info if isinstance(text, str)), None),
        "trace": answer.headers.get("x-server-trace-id"),
        "client request": answer.call.headers.get("x-client-request-id"),
        "client trace": answer.call.headers.get("x-client-trace-id"),
    }
    shown = [f"{name} {_one_line(text)[:100]}" for name, text in ids.items() if text]
    return f" ({', '.join(shown)})" if shown else ""


def retry_after(answer: Answer, status: Status | None = None) -> float | None:
    """Seconds to wait before the next try: the header Retry-After (seconds or a date), else a RetryInfo in the details."""
    header = answer.headers.get("Retry-After")
    found = _retry_header(header.strip()) if header else None
    if found is None:
        details = status.details if status else ()
        delays = [
            _duration(part.get("retryDelay") or part.get("retry_delay")) for part in _of_type(details, "RetryInfo")
        ]
        found = next((delay for delay in delays if delay is not None), None)
    return None if found is None else min(max(found, 0.0), LONGEST_HINT)


def whole_seconds(text: str) -> float | None:
    """The number that a header is, None for anything but ASCII digits. One that no float can hold is infinite."""
    return float(text) if re.fullmatch(r"[0-9]+", text) else None


def _is_transient(answer: Answer, code: int | None) -> bool:
    """Whether the same call may do better. 4xx and 5xx by the code in the body where there is one: 500 is also DATA_LOSS."""
    if code is not None and code in CODES:
        return code in _TRANSIENT_CODES
    if answer.call.method == "GET" and answer.status in _TRANSIENT_LOOKS:
        return True
    return answer.status in _TRANSIENT_STATUSES


def _redirect(answer: Answer) -> ServiceError:
    where = _one_line(answer.headers.get("Location", "nowhere")).split("?")[0]
    message = f"{answer.call} answered {answer.status}, a redirect to {scrub(where)}, which is not followed"
    hint = "credentials go to no other address than the one configured: check the endpoints"
    return ServiceError(message + request_ids(answer), retryable=False, hint=hint, status=answer.status)


def _retry_header(text: str) -> float | None:
    seconds = whole_seconds(text)
    if seconds is not None:
        return seconds
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # Dates of HTTP are in GMT, also those that do not say so (RFC 9110, 5.6.7).
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() - time.time()


def _duration(text: Any) -> float | None:
    """A google.protobuf.Duration as JSON: `5s`, `0.250s`."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", text) if isinstance(text, str) else None
    return float(found[1]) if found else None


def _additions(details: tuple[Mapping[str, Any], ...]) -> Iterator[str]:
    for part in _of_type(details, "BadRequest"):
        for violation in _objects(part.get("fieldViolations") or part.get("field_violations")):
            yield f"{violation.get('field', '?')}: {violation.get('description', 'invalid')}"
    for part in _of_type(details, "QuotaFailure"):
        for violation in _objects(part.get("violations")):
            yield f"quota {violation.get('subject', '?')}: {violation.get('description', 'exceeded')}"
    for part in _of_type(details, "LocalizedMessage"):
        message = part.get("message")
        if isinstance(message, str) and message and not message.startswith("{i18n:"):
            yield message


def _objects(values: Any) -> Iterator[Mapping[str, Any]]:
    """The objects in a JSON array; none where it is something else."""
    return (value for value in values if isinstance(value, Mapping)) if isinstance(values, list) else iter(())


def _of_type(details: tuple[Mapping[str, Any], ...], name: str) -> Iterator[Mapping[str, Any]]:
    return (part for part in details if str(part.get("@type", "")).endswith(f".{name}"))


def _json(body: bytes) -> Any:
    """The body as a JSON object, else None."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, Mapping) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value) else None


def _plain_text(body: bytes) -> str:
    """The words of a body that is not JSON: a proxy's or a gateway's page, without its tags, on one line."""
    text = body[:20_000].decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style|head)\b.*?</\1>|<[^>]*>", " ", text)
    return scrub(_one_line(text))[:300]


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
