"""What every request passes before the routes: whose host it is for, how large it is, and the headers of every answer."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
import uuid
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dsjobs import __version__
from dsjobs.server.errors import ApiError, Code

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 30.0
REQUEST_ID = "dsjobs.request_id"


class Gate:
    """The outermost part of the application. `hosts`: the names by which clients may call this server."""

    def __init__(self, app: ASGIApp, *, bound_to: str, hosts: Iterable[str], faults: str) -> None:
        self._app = app
        self._hosts = {"localhost", bound_to.casefold(), *(host.casefold() for host in hosts)}
        self._is_remote = not is_loopback(bound_to)
        self._headers = [(b"server", f"dsjobs/{__version__}".encode()), (b"x-content-type-options", b"nosniff")]
        if faults:
            self._headers.append((b"x-dsjobs-faults", faults.encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = str(uuid.uuid4())
        trace = secrets.token_hex(8)
        headers = [
            *self._headers,
            (b"x-request-id", request_id.encode()),
            (b"x-server-trace-id", f"{trace}:{secrets.token_hex(8)}:{trace}:1".encode()),
        ]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await answer(send_with_headers, refusal, request_id)
            return
        await self._app(scope, _limited(receive), send_with_headers)

    def _refusal(self, scope: Scope) -> ApiError | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._is_ours(hostname(hosts[0])):
            # A page of another site may call a name of its own that leads here (DNS rebinding).
            return ApiError(Code.PERMISSION_DENIED, "This server does not answer to the name in the Host header")
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        if lengths and lengths[0].isdigit() and int(lengths[0]) > MAX_BODY_BYTES:
            return too_large()
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether the name is ours. An address cannot be made to lead elsewhere, so any of ours will do."""
        if host.casefold() in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return address.is_loopback or self._is_remote


def hostname(host: str) -> str:
    """The name in a Host header, without its port and the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def too_large() -> ApiError:
    """The refusal of a body over the limit."""
    return ApiError(Code.INVALID_ARGUMENT, f"The body is larger than {MAX_BODY_BYTES} bytes", http_status=413)


async def answer(send: Send, error: ApiError, request_id: str) -> None:
    """Sends a refusal without the help of the framework."""
    body = json.dumps(error.body(request_id)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _limited(receive: Receive) -> Receive:
    """Counts what arrives, however it is sent, and does not wait for ever. Raises ApiError."""
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        try:
            async with asyncio.timeout(BODY_SECONDS):
                message = await receive()
        except TimeoutError:
            raise ApiError(Code.DEADLINE_EXCEEDED, "The body did not arrive in time") from None
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise too_large()
        return message

    return receive_limited
