"""Project.Open: shows each status of the page, starts a JupyterLab, lets in whoever has the session token.

Page: DataSphere API v2, REST, Project.Open. A JupyterLab speaks plain HTTP at a port of its own, and its address has a token: so
projects are opened at loopback addresses only, on this machine or at the end of a tunnel to it. All of it runs in the server's
event loop, because a JupyterLab ends with the thread that started it.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import shutil
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from dsjobs.server import lab, operations, outcomes
from dsjobs.server.answers import open_response
from dsjobs.server.configuration import Configuration
from dsjobs.server.errors import ApiError, Code, unauthenticated
from dsjobs.server.gate import is_loopback
from dsjobs.server.lab import Lab, LabError, LabPlace
from dsjobs.server.operations import OperationStore, StoredOperation

UNSPECIFIED = "OPEN_PROJECT_STATUS_UNSPECIFIED"
CLOSING_IDE = "OPEN_PROJECT_STATUS_CLOSING_IDE"
UNZIPPING_PROJECT = "OPEN_PROJECT_STATUS_UNZIPPING_PROJECT"
ALLOCATING_VM = "OPEN_PROJECT_STATUS_ALLOCATING_VM"
ALLOCATING_RESOURCES = "OPEN_PROJECT_STATUS_ALLOCATING_RESOURCES"
STARTING_IDE = "OPEN_PROJECT_STATUS_STARTING_IDE"

_NOT_FROM_AFAR = (
    "Projects can be opened at a loopback address only, because JupyterLab speaks plain HTTP and its token would cross the "
    "network in clear: open it on the server's machine, or through an SSH tunnel to a server that was started without --host"
)


@dataclass(frozen=True, slots=True)
class _Session:
    """A JupyterLab that was opened, and what lets a browser in until `expires_at` (of `time.monotonic`)."""

    operation_id: str
    token: str
    expires_at: float
    lab: Lab


class Opening:
    """The projects that are open, one JupyterLab each. Every method belongs to the event loop."""

    def __init__(self, store: OperationStore, configuration: Configuration, labs: Path) -> None:
        self._store = store
        self._configuration = configuration
        self._folder = labs
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sessions: dict[str, _Session] = {}

    def check_reach(self, hostname: str) -> None:
        """Refuses who comes by a name that leads here over a network. Raises ApiError (9)."""
        if not (is_loopback(self._configuration.host) and is_loopback(hostname.casefold())):
            raise ApiError(Code.FAILED_PRECONDITION, _NOT_FROM_AFAR)

    def start(self, operation: StoredOperation) -> None:
        """Begins an accepted Open."""
        task = asyncio.create_task(self._run(operation))
        self._tasks[operation.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(operation.id, None))

    def cancel(self, operation_id: str) -> None:
        """Ends an Open that is not done yet."""
        task = self._tasks.get(operation_id)
        if task is not None:
            task.cancel()

    def enter(self, operation_id: str, session_token: str, hostname: str) -> str:
        """Where a browser with this session token goes, that reaches this machine as `hostname`. Raises ApiError: 16 when the
        token is wrong, old or closed."""
        self.check_reach(hostname)
        session = next((session for session in self._sessions.values() if session.operation_id == operation_id), None)
        # Compared also where there is no session, so that an answer takes as long.
        expected = session.token if session else secrets.token_urlsafe(32)
        is_right = hmac.compare_digest(session_token.encode("utf-8", "surrogatepass"), expected.encode())
        if session is None or not is_right or time.monotonic() >= session.expires_at or not session.lab.is_running:
            raise unauthenticated("The session token is invalid or has expired. Open the project again.")
        return session.lab.address(f"[{hostname}]" if ":" in hostname else hostname)

    async def close(self) -> None:
        """Ends every JupyterLab."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(session.lab.stop() for session in self._sessions.values()))
        self._sessions.clear()

    async def _run(self, operation: StoredOperation) -> None:
        """Brings an Open to its end, whatever happens."""
        try:
            result = await self._open(operation)
        except asyncio.CancelledError:
            result = outcomes.CANCELLED
        except (LabError, OSError) as error:
            result = outcomes.error_result(Code.UNAVAILABLE, str(error))
        except Exception as bug:  # noqa: BLE001 (else the operation would stay as it is for ever)
            self._configuration.tell("".join(traceback.format_exception(bug)))
            result = outcomes.error_result(Code.INTERNAL, f"dsjobs itself failed: {bug}")
        await asyncio.to_thread(self._store.finish, operation.id, result, {})
        self._configuration.tell(f"{operation.id} ended: {outcomes.summary(result)}")

    async def _open(self, operation: StoredOperation) -> outcomes.Result:
        project = operation.project
        async with self._locks[project]:
            previous = self._sessions.get(project)
            if previous is not None:
                await self._show(operation, CLOSING_IDE)
                await previous.lab.stop()
                del self._sessions[project]
            await self._show(operation, UNZIPPING_PROJECT)
            await self._show(operation, ALLOCATING_VM)
            if not await lab.is_installed(self._configuration.lab_python):
                message = f"Opening a project needs JupyterLab, which is not installed here: {lab.INSTALL_HINT}"
                return outcomes.error_result(Code.FAILED_PRECONDITION, message)
            place = LabPlace(
                self._configuration.projects[project],
                self._folder / operation.id,
                self._configuration.host,
                self._configuration.lab_python,
            )
            await self._show(operation, ALLOCATING_RESOURCES)
            await asyncio.to_thread(self._make_room, operation)
            await self._show(operation, STARTING_IDE)
            running = await lab.start(place)
            session = _Session(
                operation.id,
                secrets.token_urlsafe(32),
                time.monotonic() + self._configuration.session_seconds,
                running,
            )
            self._sessions[project] = session
        return open_response(f"{operation.base_url}/open/{operation.id}", session.token)

    def _make_room(self, operation: StoredOperation) -> None:
        """A folder for the new JupyterLab; those of projects that are closed are removed, and nothing else that lies there."""
        in_use = {session.operation_id for session in self._sessions.values()} | set(self._tasks)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for old in self._folder.iterdir():
            if operations.is_id(old.name) and old.name not in in_use:
                shutil.rmtree(old, ignore_errors=True)
        (self._folder / operation.id).mkdir(mode=0o700)

    async def _show(self, operation: StoredOperation, status: str) -> None:
        """Shows a status, long enough for a client to see it."""
        await asyncio.to_thread(self._store.show, operation.id, status)
        await asyncio.sleep(self._configuration.open_pause)
