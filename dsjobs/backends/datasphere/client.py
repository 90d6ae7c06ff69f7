"""Calls with everything that belongs to one: a turn in the lane, a token, request IDs, another try. Used by many threads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dsjobs.backends.datasphere import retries, status
from dsjobs.backends.datasphere.answer import Answer, Call
from dsjobs.backends.datasphere.pace import Lane
from dsjobs.backends.datasphere.retries import Patience
from dsjobs.backends.datasphere.status import ServiceError
from dsjobs.errors import BackendError

if TYPE_CHECKING:
    from dsjobs.backends.datasphere.transport import Transport

T = TypeVar("T")


class Tokens(Protocol):
    """Who the client is."""

    def current(self) -> str:
        """A token that should be good. Raises BackendError where there is none."""
        ...

    def instead_of(self, rejected: str) -> str:
        """Another token, after the service rejected this one. Raises BackendError where there can be none."""
        ...


@dataclass(frozen=True, slots=True)
class Edge:
    """What comes from outside and is passed in: a clock (seconds, never back), the waiting, chance, and new UUIDs."""

    ticks: Callable[[], float]
    sleep: Callable[[float], None]
    spread: Callable[[], float]
    new_id: Callable[[], str]


class Client:
    """Makes calls. `tokens` None: without credentials, for what needs none."""

    def __init__(self, transport: Transport, tokens: Tokens | None, *, rate: float, edge: Edge) -> None:
        self._transport = transport
        self._tokens = tokens
        self._rate = rate
        self._edge = edge
        self._trace_id = edge.new_id()
        self._lanes: dict[str, Lane] = {}
        self._lock = threading.Lock()

    def call(self, call: Call, read: Callable[[Answer], T], *, lane: str, patience: Patience) -> T:
        """What `read` makes of the answer. Where it raises a retryable ServiceError, the call is made again for a while."""
        return retries.repeat(
            lambda: self._once(call, read, self._lane(lane)),
            patience,
            is_safe=call.is_safe,
            sleep=self._edge.sleep,
            spread=self._edge.spread,
        )

    def _once(self, call: Call, read: Callable[[Answer], T], lane: Lane) -> T:
        held = lane.enter(retries.WORTH_WAITING)
        if held:
            message = f"{call} was not sent: the service asked for {held:.0f} more seconds without calls"
            raise ServiceError(message, retryable=True, retry_after=held)
        answer = self._send(call)
        wish = status.retry_after(answer, status.parse_body(answer)) if answer.status >= 400 else None
        # 429 is about the caller, so about all of its calls; else a short wish concerns this call alone (`retries.py`).
        if wish is not None and (answer.status == 429 or wish > retries.WORTH_WAITING):
            lane.hold(wish)
        return read(answer)

    def _send(self, call: Call) -> Answer:
        if self._tokens is None:
            return self._transport.send(self._headed(call, {}))
        token = _current(self._tokens)
        answer = self._transport.send(self._headed(call, _bearer(token)))
        if answer.status == 401:
            token = _renewed(self._tokens, token, answer)
            answer = self._transport.send(self._headed(call, _bearer(token)))
        return answer

    def _headed(self, call: Call, credentials: Mapping[str, str]) -> Call:
        headers = {
            "Accept": "application/json",
            "x-client-request-id": self._edge.new_id(),
            "x-client-trace-id": self._trace_id,
            **call.headers,
            **credentials,
        }
        return Call(call.method, call.url, headers, call.body, call.is_safe, call.is_direct)

    def _lane(self, name: str) -> Lane:
        with self._lock:
            if name not in self._lanes:
                self._lanes[name] = Lane(self._rate, ticks=self._edge.ticks, sleep=self._edge.sleep)
            return self._lanes[name]


def json_call(method: str, url: str, body: Any, *, key: str | None = None, is_safe: bool | None = None) -> Call:
    """A call with a JSON body. It is safe to repeat with an idempotency `key`, unless `is_safe` says otherwise."""
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return Call(method, url, headers, content, is_safe if is_safe is not None else key is not None)


def _current(tokens: Tokens) -> str:
    try:
        return tokens.current()
    except BackendError as error:
        if error.retryable:
            raise
        raise BackendError(str(error), retryable=False, hint=error.hint, is_denied=True) from error


def _renewed(tokens: Tokens, token: str, answer: Answer) -> str:
    try:
        return tokens.instead_of(token)
    except BackendError as error:
        refused = status.refusal(answer)
        raise ServiceError(f"{refused}; {error}", retryable=error.retryable, hint=error.hint, status=401) from error


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
