"""Project.Open: starts the project's web interface, tells each status, and ends with its address and a session token.

Page: Project.Open, OpenProjectMetadata and OpenProjectResponse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from dsjobs.backends.datasphere import answers
from dsjobs.backends.datasphere.answers import RawOperation
from dsjobs.backends.datasphere.api import Api
from dsjobs.backends.datasphere.client import Edge
from dsjobs.backends.datasphere.status import ServiceError
from dsjobs.errors import BackendError, ExitCode

STATUSES = {
    "CLOSING_IDE": "closing the previous instance of the interface",
    "UNZIPPING_PROJECT": "unzipping the project",
    "ALLOCATING_VM": "allocating a virtual machine",
    "ALLOCATING_RESOURCES": "allocating resources",
    "STARTING_IDE": "starting the interface",
    "UNKNOWN": "status unknown to the service itself",
}
_NUMBERS = {1: "CLOSING_IDE", 2: "UNZIPPING_PROJECT", 3: "ALLOCATING_VM", 4: "ALLOCATING_RESOURCES", 5: "STARTING_IDE"}
_PREFIX = "OPEN_PROJECT_STATUS_"

FIRST_LOOK, LONGEST_LOOK, GROWTH = 0.5, 5.0, 1.5
PATIENCE = 60.0
"""Seconds for which looks may fail before that is the end."""


class OpenTimeoutError(BackendError):
    """The project did not open in the time that the command was given."""

    exit_code = ExitCode.TIMEOUT


@dataclass(frozen=True, slots=True)
class Opened:
    """An open project. Whoever has the session token is its user."""

    operation_id: str
    project_url: str
    session_token: str | None = field(repr=False)


def open_project(
    api: Api, project: str, *, edge: Edge, timeout: float, tell: Callable[[str], None], started: Callable[[str], None]
) -> Opened:
    """Open `project` and wait for it. `tell` gets each status when it changes; `started` the operation's ID.

    Raises BackendError where it cannot be opened, OpenTimeoutError after `timeout` seconds.
    """
    until = edge.ticks() + timeout
    raw = api.open(project, key=edge.new_id())
    started(raw.id)
    told = None
    interval = FIRST_LOOK
    while True:
        status = status_text(raw.metadata)
        if status is not None and status != told:
            tell(status)
            told = status
        if raw.done:
            return _opened(raw)
        wait = max(interval, raw.poll_after or 0.0)
        if edge.ticks() + wait > until:
            message = f"the project did not open within {timeout:.0f} s; operation {raw.id} goes on at the service"
            raise OpenTimeoutError(message, retryable=True, hint="wait longer with --timeout")
        edge.sleep(wait)
        interval = min(interval * GROWTH, LONGEST_LOOK)
        raw = _look(api, raw.id, edge)


def status_text(metadata: Mapping[str, object]) -> str | None:
    """An OpenProjectStatus in words; None for UNSPECIFIED and where there is none."""
    value = metadata.get("status")
    name = _NUMBERS.get(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(name, str) or name in ("", f"{_PREFIX}UNSPECIFIED"):
        return None
    short = name.removeprefix(_PREFIX)
    return STATUSES.get(short, short.lower().replace("_", " "))


def _look(api: Api, operation_id: str, edge: Edge) -> RawOperation:
    """One look that succeeds: failures are forgiven for a while, also that a new operation is not known everywhere yet."""
    until = edge.ticks() + PATIENCE
    misses = 0
    while True:
        try:
            return api.operation(operation_id)
        except ServiceError as error:
            misses += 1
            is_new = error.status == 404 and misses <= 3
            if not (error.retryable or is_new) or edge.ticks() > until:
                raise
            edge.sleep(max(FIRST_LOOK * misses, error.retry_after or 0.0))


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.netloc)


def _opened(raw: RawOperation) -> Opened:
    if raw.error is not None:
        failure = answers.failure_of(raw.error)
        what = f"the project was not opened: {failure.message}" if failure else "opening the project was cancelled"
        raise BackendError(f"{what} (operation {raw.id}){raw.request_ids}", retryable=False)
    response = raw.response or {}
    url, token = response.get("projectUrl"), response.get("sessionToken")
    if not isinstance(url, str) or not _is_address(url):
        message = f"operation {raw.id} is done, but its response has no projectUrl{raw.request_ids}"
        raise BackendError(message, retryable=False)
    return Opened(raw.id, url, token if isinstance(token, str) and token else None)
