"""The routes: HTTP to calls of the service and back. Nothing is decided here but who may ask and what a body looks like."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from dsjobs.server import federations, messages
from dsjobs.server.answers import timestamp
from dsjobs.server.auth import USER_ID
from dsjobs.server.errors import ApiError, Code, unauthenticated
from dsjobs.server.fault_injection import FaultInjection
from dsjobs.server.gate import REQUEST_ID, Gate, hostname
from dsjobs.server.inspection import Inspection
from dsjobs.server.projects import list_query
from dsjobs.server.service import Service

_PROJECTS = "/datasphere/v2/projects"
_SERVICES = ("datasphere", "iam", "operation")


def create_app(service: Service) -> ASGIApp:
    """The ASGI application. Its lifespan starts and stops the service."""
    routes = _Routes(service)
    inspection = Inspection(service)
    faults = service.configuration.faults
    found = [
        *([] if faults.is_missing("colon-open") else [_post(f"{_PROJECTS}/{{project_id}}:open", routes.open)]),
        *([] if faults.is_missing("slash-open") else [_post(f"{_PROJECTS}/{{project_id}}/open", routes.open)]),
        _post(f"{_PROJECTS}/{{project_id}}:execute", routes.execute),
        _get(f"{_PROJECTS}/{{project_id}}", routes.project),
        _get(_PROJECTS, routes.projects),
        Route("/operations/{operation_id}:cancel", routes.cancel, methods=_cancel_methods(service)),
        _get("/operations/{operation_id}", routes.operation),
        _get("/endpoints", routes.endpoints),
        _get("/endpoints/{endpoint_id}", routes.endpoint),
        _post("/iam/v1/tokens", routes.iam_token),
        _post("/oauth/token", routes.oauth_token),
        _get("/computeMetadata/v1/instance/service-accounts/default/token", routes.metadata_token),
        Route("/open/{operation_id}", routes.enter, methods=["GET", "POST"]),
        _get("/openapi.json", routes.openapi),
        _get("/_dsjobs/operations", inspection.operations),
        _get("/_dsjobs/operations/{operation_id}", inspection.operation),
        _get("/_dsjobs/operations/{operation_id}/notebook", inspection.notebook),
        _get("/_dsjobs/operations/{operation_id}/log", inspection.log),
    ]
    app = Starlette(
        routes=found,
        lifespan=_lifespan(service),
        exception_handlers={
            ApiError: _refused,
            HTTPException: _no_route,
            sqlite3.Error: _no_store,
            ClientDisconnect: _gone,
            Exception: _bug,
        },
    )
    app.router.redirect_slashes = False
    return Gate(
        FaultInjection(app, faults) if faults else app,
        bound_to=service.configuration.host,
        hosts=service.configuration.allowed_hosts,
        faults=str(faults),
    )


class _Routes:
    """The endpoints of the API, one method each."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._strict = service.configuration.strict

    async def execute(self, request: Request) -> Response:
        service, subject = self._service, authenticate(self._service, request)
        key = service.check_key(request.headers.get("idempotency-key"))
        asked = messages.execution(request.path_params["project_id"], await request.body(), strict=self._strict)
        operation = await asyncio.to_thread(
            service.accept_execution, asked, subject=subject, key=key, base_url=_base_url(request)
        )
        return JSONResponse(service.shown(operation))

    async def open(self, request: Request) -> Response:
        service, subject = self._service, authenticate(self._service, request)
        key = service.check_key(request.headers.get("idempotency-key"))
        project_id = request.path_params["project_id"]
        messages.opening(project_id, await request.body(), strict=self._strict)
        operation, is_new = await asyncio.to_thread(
            service.accept_opening, project_id, subject=subject, key=key, base_url=_base_url(request)
        )
        if is_new:
            service.opening.start(operation)
        return JSONResponse(service.shown(operation))

    async def operation(self, request: Request) -> Response:
        subject = authenticate(self._service, request)
        operation_id = request.path_params["operation_id"]
        if ":" in operation_id:
            raise ApiError(Code.NOT_FOUND, "Not Found")  # a verb that is unknown, not an operation
        return JSONResponse(self._service.polled(operation_id, subject), headers=self._poll_headers())

    async def cancel(self, request: Request) -> Response:
        subject = authenticate(self._service, request)
        operation = await asyncio.to_thread(self._service.ask_cancel, request.path_params["operation_id"], subject)
        self._service.cancel(operation)
        return JSONResponse(self._service.shown(operation), headers=self._poll_headers())

    async def project(self, request: Request) -> Response:
        authenticate(self._service, request)
        return JSONResponse(self._service.projects.get(request.path_params["project_id"]))

    async def projects(self, request: Request) -> Response:
        authenticate(self._service, request)
        return JSONResponse(self._service.projects.page(list_query(request.query_params.multi_items())))

    async def endpoints(self, request: Request) -> Response:
        return JSONResponse({"endpoints": [_endpoint(request, name) for name in _SERVICES]})

    async def endpoint(self, request: Request) -> Response:
        name = request.path_params["endpoint_id"]
        if name not in _SERVICES:
            raise ApiError(Code.NOT_FOUND, f"Endpoint {name} not found")
        return JSONResponse(_endpoint(request, name))

    async def iam_token(self, request: Request) -> Response:
        form, value = messages.token_exchange(await request.body(), strict=self._strict)
        given = self._service.tokens.exchange(form, value, _audiences(request))
        answer = {"iamToken": given.token, "expiresAt": timestamp(given.expires_at)}
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    async def oauth_token(self, request: Request) -> Response:
        """The exchange of workload identity. Its errors are those of OAuth, without a google.rpc.Status."""
        headers = {"Cache-Control": "no-store"}
        try:
            asked = federations.parse(await request.body())
            account = federations.verify(asked, self._service.configuration.federations, time.time())
        except federations.OAuthError as error:
            return JSONResponse(error.body, status_code=400, headers=headers)
        return JSONResponse(self._access_token(account), headers=headers)

    async def metadata_token(self, request: Request) -> Response:
        if request.headers.get("metadata-flavor") != "Google":
            raise ApiError(Code.PERMISSION_DENIED, "The header Metadata-Flavor: Google is missing")
        if not self._service.configuration.serves_metadata:
            raise ApiError(Code.NOT_FOUND, "There is no service account here")
        headers = {"Metadata-Flavor": "Google", "Cache-Control": "no-store"}
        return JSONResponse(self._access_token(USER_ID), headers=headers)

    async def enter(self, request: Request) -> Response:
        """The page: GET with the query parameter `sessionToken`, or POST with the body parameter."""
        token = await _body_token(request) if request.method == "POST" else request.query_params.get("sessionToken")
        if not token:
            raise unauthenticated("sessionToken is missing")
        host = hostname(request.headers["host"])
        address = self._service.opening.enter(request.path_params["operation_id"], token, host)
        # 303: a browser follows with GET, also after a POST. The token must not leave through Referer or a cache.
        return RedirectResponse(
            address, status_code=303, headers={"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
        )

    async def openapi(self, request: Request) -> Response:
        return Response(openapi_text(), media_type="application/json")

    def _access_token(self, subject: str) -> dict[str, Any]:
        """A new token, as OAuth answers it."""
        given = self._service.tokens.mint(subject)
        lifetime = self._service.tokens.seconds_left(given)
        return {"access_token": given.token, "expires_in": lifetime, "token_type": "Bearer"}

    def _poll_headers(self) -> dict[str, str]:
        interval = (
            self._service.configuration.faults.number("poll-interval") or self._service.configuration.poll_interval
        )
        return {} if interval is None else {"x-operation-poll-interval": str(int(interval))}


def openapi_text() -> str:
    """The OpenAPI document of what is served."""
    return resources.files("dsjobs.server").joinpath("openapi.json").read_text(encoding="utf-8")


def authenticate(service: Service, request: Request) -> str:
    """The subject of a request. Raises ApiError (16)."""
    return service.tokens.authenticate(request.headers.get("authorization"))


def _get(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(path, endpoint, methods=["GET"])


def _post(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(path, endpoint, methods=["POST"])


def _cancel_methods(service: Service) -> list[str]:
    missing = service.configuration.faults.is_missing
    return [verb for verb in ("GET", "POST") if not missing(f"{verb.casefold()}-cancel")]


def _base_url(request: Request) -> str:
    """How this client reaches the server; the Host header has passed the gate."""
    return f"http://{request.headers['host']}"


def _audiences(request: Request) -> tuple[str, ...]:
    """This server's own address for IAM, as its client may write it: what comes through a proxy with TLS was https there."""
    return tuple(f"{scheme}://{request.headers['host']}/iam/v1/tokens" for scheme in ("http", "https"))


def _endpoint(request: Request, name: str) -> dict[str, str]:
    """An address as discovery gives it: without a scheme."""
    return {"id": name, "address": request.headers["host"]}


async def _body_token(request: Request) -> str | None:
    """The parameter `sessionToken` of a form, or of a JSON object."""
    raw = await request.body()
    try:
        text = raw.decode()
        if request.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
            data: Mapping[str, Any] = json.loads(text)
            return str(data["sessionToken"])
        return urllib.parse.parse_qs(text, max_num_fields=10).get("sessionToken", [None])[0]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _lifespan(service: Service) -> Callable[[Starlette], Any]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.start()
        yield
        await service.opening.close()
        await asyncio.to_thread(service.stop)

    return lifespan


def refused(request: Request, error: ApiError) -> Response:
    """The answer to a request that is refused."""
    return JSONResponse(error.body(request.scope[REQUEST_ID]), status_code=error.http_status, headers=error.headers)


async def _refused(request: Request, error: Exception) -> Response:
    return refused(request, error) if isinstance(error, ApiError) else await _bug(request, error)


async def _no_route(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        headers = dict(error.headers or {})
        return refused(request, ApiError(Code.UNIMPLEMENTED, "Method Not Allowed", http_status=405, headers=headers))
    return refused(request, ApiError(Code.NOT_FOUND, "Not Found"))


async def _no_store(request: Request, error: Exception) -> Response:
    return refused(request, ApiError(Code.UNAVAILABLE, f"The store of operations cannot be used: {error}"))


async def _gone(request: Request, error: Exception) -> Response:
    return refused(request, ApiError(Code.CANCELLED, "The client has gone"))


async def _bug(request: Request, error: Exception) -> Response:
    """Starlette raises it again afterwards, so uvicorn logs it with its traceback."""
    return refused(request, ApiError(Code.INTERNAL, "Internal error"))
