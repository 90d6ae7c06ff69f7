"""What the API does, without HTTP: accepts, finds and cancels operations. Puts the parts of a server together."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

from dsjobs.backends.protocol import Backend
from dsjobs.model import Request
from dsjobs.server import answers, opening, outcomes
from dsjobs.server.auth import USER_ID, Tokens
from dsjobs.server.configuration import Configuration
from dsjobs.server.errors import ApiError, Code, Violation, bad_request
from dsjobs.server.faults import FaultyView
from dsjobs.server.operations import NewOperation, OperationStore, State, StoredOperation
from dsjobs.server.projects import Projects
from dsjobs.server.runner import Runner
from dsjobs.server.state_folder import StateFolder

MAX_IDEMPOTENCY_KEY = 200


class Service:
    """A server from `start` to `stop`. What begins with `accept` or `ask` waits for the disk; `cancel` and the methods of
    `opening` belong to the event loop."""

    def __init__(self, configuration: Configuration, backend: Backend, state: StateFolder) -> None:
        self.configuration = configuration
        self.store = OperationStore(state.database)
        self.projects = Projects(configuration.projects, time.time_ns())
        self.tokens = Tokens(
            configuration.token,
            state.signing_key(),
            configuration.service_accounts,
            lifetime=configuration.faults.number("expiring-tokens") or configuration.token_seconds,
            clock=time.time_ns,
        )
        state.notebooks.mkdir(mode=0o700, exist_ok=True)
        self.notebooks = state.notebooks
        self.opening = opening.Opening(self.store, configuration, state.labs)
        self._runner = Runner(self.store, backend, configuration, state.notebooks)
        self._view = FaultyView(configuration.faults)

    def start(self) -> None:
        """Takes up what an earlier server left behind."""
        self._runner.start()

    def stop(self) -> None:
        """Ends what runs and closes the store. JupyterLabs are closed before, in their event loop."""
        self._runner.stop()
        self.store.close()

    def accept_execution(self, request: Request, *, subject: str, key: str | None, base_url: str) -> StoredOperation:
        """The operation of an Execute: on the disk, or of an earlier request with this key. Raises ApiError."""
        stored = request.as_json()
        inputs = stored.pop("inputVariables", {})
        new = NewOperation(
            "execute", request.project, {**stored, "inputNames": sorted(inputs)}, inputs, base_url,
            _digest("execute", request.as_json()), subject, key,
        )  # fmt: skip
        if found := self._replayed(new):
            return found
        self.projects.check_target(request.project, request.notebook, request.cell)
        if request.spark_connector and request.spark_connector not in self.configuration.spark_connectors:
            raise ApiError(Code.NOT_FOUND, f"Spark connector {request.spark_connector} not found")
        if self.store.waiting() >= self.configuration.max_waiting:
            raise ApiError(Code.RESOURCE_EXHAUSTED, "The limit on maximum number of active operations has exceeded.")
        operation, is_new = self.store.accept(new)
        if is_new:
            self._runner.add(operation.id)
        return operation

    def accept_opening(
        self, project_id: str, *, subject: str, key: str | None, base_url: str
    ) -> tuple[StoredOperation, bool]:
        """The operation of an Open, and whether it is new: then `opening.start` must follow. Raises ApiError."""
        new = NewOperation(
            "open", project_id, {"projectId": project_id}, {}, base_url, _digest("open", project_id), subject, key,
            State.RUNNING, opening.UNSPECIFIED,
        )  # fmt: skip
        if found := self._replayed(new):
            return found, False
        self.projects.folder(project_id)
        self.opening.check_reach(urlsplit(base_url).hostname or "")
        return self.store.accept(new)

    def find(self, operation_id: str, subject: str) -> StoredOperation:
        """An operation that this subject may see. Raises ApiError for an ID that is not known, and in the same words for one of
        another subject."""
        operation = self.store.get(operation_id)
        if operation is None or not _may_see(subject, operation):
            raise ApiError(Code.NOT_FOUND, f"Operation {operation_id} not found")
        return operation

    def page(self, before: int, size: int, subject: str) -> list[StoredOperation]:
        """The newest operations before a sequence number, of those that this subject may see."""
        return self.store.page(before, size, created_by=None if subject == USER_ID else subject)

    def polled(self, operation_id: str, subject: str) -> dict[str, Any]:
        """The Operation message of one poll."""
        if self._view.hides(operation_id):
            raise ApiError(Code.NOT_FOUND, f"Operation {operation_id} not found")
        return self.shown(self.find(operation_id, subject))

    def shown(self, operation: StoredOperation) -> dict[str, Any]:
        """The Operation message."""
        message = answers.operation_json(operation)
        return self._view.changed(message) if self.configuration.faults else message

    def ask_cancel(self, operation_id: str, subject: str) -> StoredOperation:
        """Ends what is queued and notes the wish for what runs; `cancel` must follow. What is done stays as it is."""
        self.find(operation_id, subject)
        if self.store.finish(operation_id, outcomes.CANCELLED, {}, only=State.QUEUED):
            self.configuration.tell(f"{operation_id} ended: {outcomes.summary(outcomes.CANCELLED)}")
        else:
            self.store.request_cancel(operation_id)
        return self.find(operation_id, subject)

    def cancel(self, operation: StoredOperation) -> None:
        """Tells whoever runs the operation. Belongs to the event loop."""
        if operation.is_done:
            return
        if operation.kind == "open":
            self.opening.cancel(operation.id)
        else:
            self._runner.cancel(operation.id)

    def check_key(self, key: str | None) -> str | None:
        """An Idempotency-Key as it is used. The page wants a UUID; only a strict server insists. Raises ApiError."""
        if key is None:
            return None
        if not key or len(key) > MAX_IDEMPOTENCY_KEY:
            raise bad_request([Violation("Idempotency-Key", f"must have 1 to {MAX_IDEMPOTENCY_KEY} characters")])
        if self.configuration.strict and not _is_uuid(key):
            raise bad_request([Violation("Idempotency-Key", "must be a UUID")])
        return key

    def _replayed(self, new: NewOperation) -> StoredOperation | None:
        """The operation that this key already has. The page says that it is returned, whatever the body; strict refuses."""
        found = self.store.earlier(new)
        if found is not None and self.configuration.strict and found.digest != new.digest:
            raise ApiError(Code.ALREADY_EXISTS, f"The Idempotency-Key belongs to another request, operation {found.id}")
        return found


def _may_see(subject: str, operation: StoredOperation) -> bool:
    """Whoever has the server's own token sees everything; a service account, what it has started."""
    return subject in (USER_ID, operation.created_by)


def _digest(kind: str, content: Any) -> str:
    return hashlib.sha256(json.dumps([kind, content], sort_keys=True).encode()).hexdigest()


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.casefold()
    except ValueError:
        return False
