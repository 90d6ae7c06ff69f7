"""Puts the client together for one environment: transport, endpoints, credentials, API."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from dsjobs.backends.access import Access
from dsjobs.backends.datasphere import endpoints, retries, status
from dsjobs.backends.datasphere.answer import Answer, Call
from dsjobs.backends.datasphere.api import Api
from dsjobs.backends.datasphere.client import Client, Edge
from dsjobs.backends.datasphere.credentials import search
from dsjobs.backends.datasphere.credentials.keeper import Keeper
from dsjobs.backends.datasphere.credentials.source import Surroundings
from dsjobs.backends.datasphere.endpoints import Endpoints
from dsjobs.backends.datasphere.settings import Settings
from dsjobs.backends.datasphere.transport import Timeouts, Transport
from dsjobs.errors import BackendError

PROBE = Timeouts(connect=1.0, read=2.0)
"""For what may not exist: the metadata server answers at once, or there is none."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The service for one environment. `keeper` has its tokens; `surroundings` is what credentials are looked for in."""

    api: Api
    endpoints: Endpoints
    keeper: Keeper
    surroundings: Surroundings
    edge: Edge
    transport: Transport

    def close(self) -> None:
        self.transport.close()


def edge(closing: threading.Event | None = None) -> Edge:
    """The real clock, chance and UUIDs. Waiting ends early when `closing` is set."""
    closed = closing or threading.Event()
    return Edge(time.monotonic, lambda seconds: _pause(closed, seconds), random.random, lambda: str(uuid.uuid4()))


def connect(
    settings: Settings,
    environ: Mapping[str, str],
    access: Access | None = None,
    *,
    outside: Edge | None = None,
    timeouts: Timeouts | None = None,
) -> Connection:
    """The connection that `settings`, `environ` and the command line (`access`) ask for. Nothing is sent before the first call.

    Raises BackendError for an endpoint that is not an address or a certificate file that does not exist.
    """
    access = access or Access()
    outside = outside or edge()
    transport = Transport(environ, timeouts=timeouts)
    open_client = Client(transport, None, rate=settings.rate_limit, edge=outside)

    def ask(call: Call) -> Answer:
        return open_client.call(call, _refused_or_not, lane="credentials", patience=retries.ASK)

    def discover(root: str) -> Mapping[str, str]:
        call = Call("GET", f"{root}/endpoints")
        return open_client.call(
            call, lambda answer: endpoints.listed(root, answer), lane="discovery", patience=retries.ASK
        )

    found = Endpoints(endpoints.layers(settings, environ, access), discover)
    surroundings = Surroundings(
        environ, settings, ask, lambda call: transport.send(call, timeouts=PROBE), found.url, time.time,
        access.iam_token, access.profile,
    )  # fmt: skip
    keeper = Keeper(lambda: search.find(surroundings), time.time)
    client = Client(transport, keeper, rate=settings.rate_limit, edge=outside)
    return Connection(Api(client, found.url), found, keeper, surroundings, outside, transport)


def _refused_or_not(answer: Answer) -> Answer:
    """The answer, for its reader to judge; what may be better the next time is raised, so that there is a next time."""
    refused = status.refusal(answer)
    if refused is not None and refused.retryable:
        raise refused
    return answer


def _pause(closed: threading.Event, seconds: float) -> None:
    if closed.wait(seconds):
        raise BackendError("the connection to DataSphere is closed", retryable=False)
