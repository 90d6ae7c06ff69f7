"""The operations, in SQLite: what was answered is there after a crash. Every change is committed before anyone hears of it.

An operation is `queued`, then `running`, then `done`; it never goes back, so that nothing is started twice. Times are
nanoseconds since the epoch.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

Kind = Literal["execute", "open"]
Clock = Callable[[], int]

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS operations (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    project TEXT NOT NULL,
    request TEXT NOT NULL,
    inputs TEXT,
    base_url TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_by TEXT NOT NULL,
    idempotency_key TEXT,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    status TEXT,
    backend_id TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    result TEXT,
    record TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS keys ON operations (created_by, kind, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS unfinished ON operations (state, sequence) WHERE state != 'done';
"""


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class NewOperation:
    """What is accepted. `request`: the message without the values of its variables, which are `inputs` and are forgotten
    when the operation is done. `digest` is of both. `base_url`: how the client reaches this server."""

    kind: Kind
    project: str
    request: Mapping[str, Any]
    inputs: Mapping[str, str]
    base_url: str
    digest: str
    created_by: str
    idempotency_key: str | None
    state: State = State.QUEUED
    status: str | None = None


@dataclass(frozen=True, slots=True)
class StoredOperation:
    """An operation as it stands. `result` is `{"error": …}` or `{"response": …}`; `record` is for inspection only."""

    sequence: int
    id: str
    kind: Kind
    project: str
    request: Mapping[str, Any]
    inputs: Mapping[str, str] | None
    base_url: str
    digest: str
    created_by: str
    created_at: int
    modified_at: int
    state: State
    status: str | None
    backend_id: str | None
    cancel_requested: bool
    result: Mapping[str, Any] | None
    record: Mapping[str, Any]

    @property
    def is_done(self) -> bool:
        return self.state is State.DONE


_COLUMNS = (
    "sequence, id, kind, project, request, inputs, base_url, digest, created_by, created_at, modified_at, state, status, "
    "backend_id, cancel_requested, result, record"
)


class OperationStore:
    """The operations of one state folder. Every method may be called from any thread."""

    def __init__(self, path: Path, clock: Clock = time.time_ns) -> None:
        self._clock = clock
        path.touch(mode=0o600)
        # Two connections: with a write-ahead log, readers need not wait while a commit reaches the disk.
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        self._writer = _connect(path)
        self._writer.executescript(_SCHEMA)
        self._reader = _connect(path)

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.close()

    def accept(self, new: NewOperation) -> tuple[StoredOperation, bool]:
        """Stores a new operation, or finds the one that has the same key. Returns it and whether it is new."""
        now = self._clock()
        with self._transaction() as sql:
            found = _by_key(sql, new)
            if found is not None:
                return found, False
            operation_id = _new_id()
            values = (
                operation_id, new.kind, new.project, json.dumps(new.request), json.dumps(new.inputs), new.base_url,
                new.digest, new.created_by, new.idempotency_key, now, now, new.state, new.status,
            )  # fmt: skip
            sql.execute(
                "INSERT INTO operations (id, kind, project, request, inputs, base_url, digest, created_by,"
                " idempotency_key, created_at, modified_at, state, status) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                values,
            )
            accepted = _one(sql, "id = ?", operation_id)
        assert accepted is not None
        return accepted, True

    def earlier(self, new: NewOperation) -> StoredOperation | None:
        """The operation that was accepted with the same key, from the same subject and by the same method."""
        with self._read_lock:
            return _by_key(self._reader, new)

    def get(self, operation_id: str) -> StoredOperation | None:
        with self._read_lock:
            return _one(self._reader, "id = ?", operation_id)

    def page(self, before: int, size: int, *, created_by: str | None = None) -> list[StoredOperation]:
        """The newest operations whose sequence number is below `before`, all of them or those of one subject."""
        condition = "sequence < ? AND created_by = coalesce(?, created_by) ORDER BY sequence DESC LIMIT ?"
        with self._read_lock:
            return _many(self._reader, condition, before, created_by, size)

    def unfinished(self) -> list[StoredOperation]:
        """Every operation that is not done, in the order in which they were accepted."""
        with self._read_lock:
            return _many(self._reader, "state != 'done' ORDER BY sequence")

    def waiting(self) -> int:
        """How many operations are queued."""
        with self._read_lock:
            row = self._reader.execute("SELECT count(*) FROM operations WHERE state = 'queued'").fetchone()
        return int(row[0])

    def claim(self, operation_id: str) -> bool:
        """Makes a queued operation a running one; False when it is not queued any more."""
        return self._change(operation_id, "state = 'running'", where="state = 'queued'")

    def attach(self, operation_id: str, backend_id: str) -> None:
        """Notes by which ID the backend knows a running operation."""
        self._change(operation_id, "backend_id = ?", backend_id, where="state = 'running'")

    def show(self, operation_id: str, status: str) -> None:
        """Changes the status in the metadata of an Open."""
        self._change(operation_id, "status = ?", status, where="state != 'done'")

    def finish(
        self, operation_id: str, result: Mapping[str, Any], record: Mapping[str, Any], *, only: State | None = None
    ) -> bool:
        """Makes an operation done, once; `only` when it is in this state. Returns whether this call did it."""
        where = "state != 'done'" if only is None else f"state = '{only}'"
        values = (json.dumps(result), json.dumps(record))
        return self._change(operation_id, "state = 'done', inputs = NULL, result = ?, record = ?", *values, where=where)

    def request_cancel(self, operation_id: str) -> None:
        """Notes that the end of a running operation was asked for."""
        self._change(operation_id, "cancel_requested = 1", where="state = 'running' AND NOT cancel_requested")

    def _change(self, operation_id: str, assignment: str, *values: Any, where: str) -> bool:
        with self._transaction() as sql:
            cursor = sql.execute(
                f"UPDATE operations SET {assignment}, modified_at = max(?, modified_at + 1) WHERE id = ? AND {where}",  # noqa: S608
                (*values, self._clock(), operation_id),
            )
        return cursor.rowcount == 1

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time; what is inside is on the disk afterwards, or nothing of it is."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise


def is_id(name: str) -> bool:
    """Whether this is what the ID of an operation looks like."""
    return len(name) == _ID_LENGTH and set(name) <= set(_ALPHABET)


def _new_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    # FULL: a commit survives a power cut, not only the end of the process. What is deleted is overwritten.
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")
    return connection


def _by_key(sql: sqlite3.Connection, new: NewOperation) -> StoredOperation | None:
    key = new.idempotency_key
    if key is None:
        return None
    return _one(sql, "created_by = ? AND kind = ? AND idempotency_key = ?", new.created_by, new.kind, key)


def _one(sql: sqlite3.Connection, condition: str, *values: Any) -> StoredOperation | None:
    return next(iter(_many(sql, condition, *values)), None)


def _many(sql: sqlite3.Connection, condition: str, *values: Any) -> list[StoredOperation]:
    rows = sql.execute(f"SELECT {_COLUMNS} FROM operations WHERE {condition}", values)  # noqa: S608 (our own text)
    return [_stored(row) for row in rows]


def _stored(row: tuple[Any, ...]) -> StoredOperation:
    sequence, operation_id, kind, project, request, inputs, base_url, digest, created_by, *rest = row
    created_at, modified_at, state, status, backend_id, cancel_requested, result, record = rest
    return StoredOperation(
        sequence=sequence,
        id=operation_id,
        kind=kind,
        project=project,
        request=json.loads(request),
        inputs=json.loads(inputs) if inputs else None,
        base_url=base_url,
        digest=digest,
        created_by=created_by,
        created_at=created_at,
        modified_at=modified_at,
        state=State(state),
        status=status,
        backend_id=backend_id,
        cancel_requested=bool(cancel_requested),
        result=json.loads(result) if result else None,
        record=json.loads(record) if record else {},
    )
