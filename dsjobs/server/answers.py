"""Operations as the two pages show them. What dsjobs knows beyond that is not in here: see `inspection.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dsjobs.server.operations import StoredOperation

_TYPES = "type.googleapis.com/yandex.cloud.datasphere.v2."
_DESCRIPTIONS = {"execute": "Execute project", "open": "Open project"}


def operation_json(operation: StoredOperation) -> dict[str, Any]:
    """The Operation message. `error` and `response` are there only when the operation is done, and then exactly one."""
    answer: dict[str, Any] = {
        "id": operation.id,
        "description": _DESCRIPTIONS[operation.kind],
        "createdAt": timestamp(operation.created_at),
        "createdBy": operation.created_by,
        "modifiedAt": timestamp(operation.modified_at),
        "done": operation.is_done,
        "metadata": _metadata(operation),
    }
    return answer | dict(operation.result or {})


def execution_response(status: str) -> dict[str, Any]:
    """The result of an Execute that came to an end: `OK`, `ERROR` or `ABORTED`."""
    return {"response": {"@type": f"{_TYPES}ProjectExecutionResponse", "executionStatus": status}}


def open_response(project_url: str, session_token: str) -> dict[str, Any]:
    """The result of an Open."""
    response = {"@type": f"{_TYPES}OpenProjectResponse", "projectUrl": project_url, "sessionToken": session_token}
    return {"response": response}


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC, with as many digits (0, 3, 6 or 9) as it takes, which is how protobuf writes it."""
    seconds, rest = divmod(nanoseconds, 10**9)
    digits = f"{rest:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{digits}Z" if digits else f"{moment}Z"


def _metadata(operation: StoredOperation) -> dict[str, Any]:
    if operation.kind == "open":
        return {"@type": f"{_TYPES}OpenProjectMetadata", "projectId": operation.project, "status": operation.status}
    metadata = {"@type": f"{_TYPES}ProjectExecutionMetadata", "projectId": operation.project}
    target = {name: operation.request[name] for name in ("notebookId", "cellId") if name in operation.request}
    return metadata | target
