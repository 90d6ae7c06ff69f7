"""Faults in HTTP: late, refused, cut off or reset answers of the DataSphere and operation services. Only where they are on.

To reset a connection one needs its transport, which ASGI does not give: `AbortableProtocol` keeps it by the client's address.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from dsjobs.server.errors import ApiError, Code, retry_detail
from dsjobs.server.faults import Chances, Faults
from dsjobs.server.gate import REQUEST_ID, answer

_PATHS = ("/datasphere/", "/operations/")
_RETRY_AFTER_SECONDS = 1
_RETRY_INFO_SECONDS = 0.2
_TEXT = b"upstream connect error or disconnect/reset before headers. reset reason: connection termination"
_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
_LINGER_NOT = struct.pack("ii", 1, 0)

_transports: dict[tuple[str, int], asyncio.Transport] = {}


class AbortableProtocol(H11Protocol):
    """uvicorn's protocol; its connections can be found by the client's address."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            _transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            _transports.pop(self.client, None)
        super().connection_lost(exc)


class FaultInjection:
    """Does to requests and answers what `faults` say. The inspection address is spared, so that tests can look."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults
        self._chances = Chances(faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PATHS):
            await self._app(scope, receive, send)
            return
        if latency := self._faults.number("latency"):
            await asyncio.sleep(latency * self._chances.draw())
        if await self._refuses(scope, send):
            return
        if self._chances.strikes("reset"):
            await self._app(scope, receive, _swallow)
            _reset(scope)
        elif self._chances.strikes("cut"):
            await self._app(scope, receive, _cutting(scope, send))
        elif self._chances.strikes("truncate"):
            await self._app(scope, receive, _truncating(send))
        else:
            await self._app(scope, receive, send)

    async def _refuses(self, scope: Scope, send: Send) -> bool:
        """Whether the request was refused before anything was done."""
        for status, code in (("429", Code.RESOURCE_EXHAUSTED), ("503", Code.UNAVAILABLE)):
            for hint in ("", "-retry-after", "-retry-info"):
                if self._chances.strikes(status + hint):
                    await answer(send, _refusal(code, hint), scope[REQUEST_ID])
                    return True
        for name, http_status, kind, body in (
            ("text-body", 503, b"text/plain", _TEXT),
            ("html-body", 502, b"text/html", _HTML),
        ):
            if self._chances.strikes(name):
                headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
                await send({"type": "http.response.start", "status": http_status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return True
        return False


def _refusal(code: Code, hint: str) -> ApiError:
    headers = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if hint == "-retry-after" else {}
    details = [retry_detail(_RETRY_INFO_SECONDS)] if hint == "-retry-info" else []
    return ApiError(code, "A fault that dsjobs serve was asked for", headers=headers, details=details)


async def _swallow(message: Message) -> None:
    """Sends nothing."""


def _truncating(send: Send) -> Send:
    """Sends half of the body as if it were all of it."""
    start: Message = {}

    async def truncate(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        half = message.get("body", b"")[: len(message.get("body", b"")) // 2]
        await send({**start, "headers": _with_length(start["headers"], len(half))})
        await send({"type": "http.response.body", "body": half})

    return truncate


def _cutting(scope: Scope, send: Send) -> Send:
    """Sends half of the body and hangs up."""

    async def cut(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            return
        body = message.get("body", b"")
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        transport = _transports.get(_client(scope))
        if transport is not None:
            transport.close()

    return cut


def _reset(scope: Scope) -> None:
    """Ends the connection with a TCP reset."""
    transport = _transports.get(_client(scope))
    if transport is None:
        return
    connection: Any = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


def _client(scope: Scope) -> tuple[str, int]:
    host, port = scope.get("client") or ("", 0)
    return host, port


def _with_length(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    return [(name, str(length).encode() if name.lower() == b"content-length" else value) for name, value in headers]
