"""Real HTTP servers on loopback, in threads, that answer as a test says: byte by byte where it matters."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from urllib.request import url2pathname

from dsjobs.backends.datasphere.settings import Settings

PROJECT = "bt1abcdefghijklmnopq"
OPERATION = "op0abcdefghijklmnopq"
TOKEN = "t1.first." + "s" * 86


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def form(self):
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    @property
    def token(self):
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Reply:
    """An answer. `raw`: these bytes and nothing else; `reset`: the connection breaks, after `raw`; `wait`: until this is set."""

    status: int = 200
    body: object = None
    headers: dict = field(default_factory=dict)
    raw: bytes | None = None
    reset: bool = False
    wait: threading.Event | None = None

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode() if self.body is not None else b""


class Loopback:
    """A server. `on(method, path, *replies)`: the replies in turn, the last one again and again; a function gets the request."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self._routes: list[tuple[str, re.Pattern, list]] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                with outer._lock:
                    outer.connections += 1

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, parts.path, query, headers, self.rfile.read(length))
                self.send(outer._reply(asked))

            def send(self, reply):
                if reply.wait is not None:
                    reply.wait.wait(30)
                if reply.raw is not None:
                    self.wfile.write(reply.raw)
                    self.wfile.flush()
                    self.close_connection = True
                if reply.reset:
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.close_connection = True
                if reply.raw is None and not reply.reset:
                    self.send_response(reply.status)
                    for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(reply.content)))
                    self.end_headers()
                    self.wfile.write(reply.content)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 (names of http.server)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def on(self, method: str, path: str, *replies: Reply | Callable[[Asked], Reply]) -> None:
        """From now on. `path` is a regular expression; a later call for the same path wins."""
        self._routes.insert(0, (method, re.compile(path), list(replies)))

    def calls(self, method: str, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method and re.fullmatch(path, asked.path)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _reply(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            reply = self._next(asked)
        return reply(asked) if callable(reply) else reply

    def _next(self, asked):
        for method, path, replies in self._routes:
            if method == asked.method and path.fullmatch(asked.path):
                return replies.pop(0) if len(replies) > 1 else replies[0]
        return Reply(404, b"no route", {"Content-Type": "text/plain"})


EXECUTE = r"/datasphere/v2/projects/[^/]+:execute"
OPERATIONS = r"/operations/[^/:]+"
IAM = "/iam/v1/tokens"


def operation(*, done: bool | None = False, **fields) -> Reply:
    """An answer with an operation of Project.Execute."""
    body = {
        "id": OPERATION,
        "description": "Execute project",
        "createdAt": "2026-11-22T14:10:03.419948750Z",
        "createdBy": "ajeabcdefghijklmnopq",
        "modifiedAt": "2026-11-22T14:12:03Z",
        "metadata": {"projectId": PROJECT, "notebookId": "train.ipynb"},
        **({"done": done} if done is not None else {}),
        **fields,
    }
    return Reply(body=body)


def succeeded(**fields) -> Reply:
    return operation(done=True, response={"executionStatus": "OK"}, **fields)


def refused(status: int, code: int, message: str = "no", details: Iterable[dict] = (), **headers: str) -> Reply:
    """An error as the API answers it: a google.rpc.Status at top level."""
    return Reply(status, {"code": code, "message": message, "details": list(details)}, headers)


def publish_as_a_notebook(asked, values):
    """What the notebook does: it writes to the address that it got."""
    url = asked.json["inputVariables"]["DSJOBS_OUTPUTS_URL"]
    with open(url2pathname(urlsplit(url).path), "wb") as file:
        file.write(values if isinstance(values, bytes) else json.dumps(values).encode())


def settings_for(server: Loopback, **more) -> Settings:
    """Every service at one address, and no rate to speak of."""
    services = dict.fromkeys(("datasphere", "operation", "iam", "auth"), server.url)
    return Settings(**{"endpoints": services, "rate_limit": 10_000.0, **more})
