"""What the API does not show of an operation: outputs, logs, the executed notebook. It is not part of DataSphere, so it has
an address that no DataSphere client knows, below `/_dsjobs/`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from dsjobs.server.answers import operation_json
from dsjobs.server.errors import ApiError, Code, Violation, bad_request
from dsjobs.server.operations import StoredOperation

if TYPE_CHECKING:
    from dsjobs.server.service import Service

_PAGE_SIZE = 100
_MAX_SEQUENCE = 2**62


class Inspection:
    """The endpoints below `/_dsjobs/operations`. They want the same token as the API, and show the same operations for it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def operations(self, request: Request) -> Response:
        """The newest operations, a page at a time; `next` is the `before` of the next page."""
        subject = self._subject(request)
        text = request.query_params.get("before", str(_MAX_SEQUENCE))
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _MAX_SEQUENCE):
            raise bad_request([Violation("before", "must be the `next` of another page")])
        found = await asyncio.to_thread(self._service.page, int(text), _PAGE_SIZE, subject)
        page = {
            "operations": [_summary(operation) for operation in found],
            "next": found[-1].sequence if len(found) == _PAGE_SIZE else None,
        }
        return JSONResponse(page)

    async def operation(self, request: Request) -> Response:
        """Everything that is known of an operation but the values of its variables."""
        operation = self._found(request)
        request_json = {name: value for name, value in operation.request.items() if name != "inputNames"}
        return JSONResponse(
            _summary(operation)
            | {
                "request": request_json,
                "inputNames": operation.request.get("inputNames", []),
                "operation": _without_token(operation_json(operation)),
                **operation.record,
            }
        )

    async def notebook(self, request: Request) -> Response:
        """The executed notebook, however far it came."""
        text = await asyncio.to_thread(_read, self._path(self._found(request)))
        return Response(text, media_type="application/x-ipynb+json")

    async def log(self, request: Request) -> Response:
        """What the cells printed, and the traceback of the one that failed."""
        text = await asyncio.to_thread(_read, self._path(self._found(request)))
        return PlainTextResponse("".join(_printed(json.loads(text))))

    def _subject(self, request: Request) -> str:
        return self._service.tokens.authenticate(request.headers.get("authorization"))

    def _found(self, request: Request) -> StoredOperation:
        return self._service.find(request.path_params["operation_id"], self._subject(request))

    def _path(self, operation: StoredOperation) -> Path:
        return self._service.notebooks / f"{operation.id}.ipynb"


def _summary(operation: StoredOperation) -> dict[str, Any]:
    return {
        "id": operation.id,
        "kind": operation.kind,
        "project": operation.project,
        "state": operation.state,
        "cancelRequested": operation.cancel_requested,
    }


def _without_token(message: dict[str, Any]) -> dict[str, Any]:
    response = message.get("response")
    if isinstance(response, dict) and "sessionToken" in response:
        return message | {"response": response | {"sessionToken": "***"}}
    return message


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ApiError(Code.NOT_FOUND, "There is no executed notebook (yet)") from None


def _printed(notebook: dict[str, Any]) -> Iterator[str]:
    for cell in notebook.get("cells", []):
        for output in cell.get("outputs", []):
            if output.get("output_type") == "stream":
                text = output.get("text", "")
                yield text if isinstance(text, str) else "".join(text)
            elif output.get("output_type") == "error":
                yield "\n".join(output.get("traceback", [])) + "\n"
