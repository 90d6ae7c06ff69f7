"""Where notebooks on DataSphere put their outputs, because the service returns a status only (page: ProjectExecutionResponse).

Each attempt has an object of its own, named by its idempotency key, and an address to write it to, which only the notebook
gets. `operations/<operation>` beside the objects says which object belongs to an operation, so that a new process that knows
only the operation's ID finds its outputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from dsjobs.backends.datasphere.settings import Settings
from dsjobs.errors import BackendError
from dsjobs.model import Failure
from dsjobs.notebook.outputs import MAX_BYTES
from dsjobs.publish import VARIABLE

HOW_TO_PUBLISH = (
    "the notebook's last cell publishes them: `dsjobs.publish(name=value)`, or the snippet in docs/datasphere.md"
)

__all__ = ["HOW_TO_PUBLISH", "MAX_BYTES", "VARIABLE", "Expected", "ObjectStore", "TooLargeError", "find", "open_store"]


class TooLargeError(Exception):
    """An object has more bytes than were asked for. The argument is how many it has."""


class ObjectStore(Protocol):
    """A place for small objects, by name. Every method may be called from any thread and raises BackendError."""

    @property
    def location(self) -> str:
        """Where it is, for people."""
        ...

    def address(self, name: str, at: float) -> str:
        """An address to which whoever knows it may write the object `name`, from `at` (seconds since the epoch) on. A secret.

        With the same keys of the store it is the same for the same name and time, in any process.
        """
        ...

    def write(self, name: str, content: bytes) -> None: ...

    def read(self, name: str, limit: int) -> bytes | None:
        """The object's content, None where there is no such object. Raises TooLargeError past `limit` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Expected:
    """What an operation should leave in the store: the object and the names of the outputs in it."""

    key: str
    names: tuple[str, ...]

    @property
    def object_name(self) -> str:
        return f"{self.key}.json"


def open_store(settings: Settings, environ: Mapping[str, str]) -> ObjectStore | None:
    """The store of an environment, None where it has none. Connects to nothing."""
    place = settings.output_store
    if place is None:
        return None
    if place.startswith("file:///"):
        from dsjobs.backends.datasphere.store_file import FileStore

        return FileStore(place)
    from dsjobs.backends.datasphere.store_s3 import S3Store

    return S3Store(place, settings.output_store_endpoint, settings.output_store_region, environ)


def remember(store: ObjectStore, operation_id: str, expected: Expected) -> None:
    """Note in the store which outputs belong to an operation."""
    note = {"object": expected.key, "outputs": list(expected.names)}
    store.write(_note_name(operation_id), json.dumps(note).encode())


def recall(store: ObjectStore, operation_id: str) -> Expected | None:
    """What `remember` noted; None for an operation that has no outputs."""
    content = store.read(_note_name(operation_id), MAX_BYTES)
    if content is None:
        return None
    try:
        note = json.loads(content)
        return Expected(str(note["object"]), tuple(map(str, note["outputs"])))
    except (ValueError, KeyError, TypeError) as error:
        message = f"{store.location}: the note on operation {operation_id} is not readable"
        raise BackendError(message, retryable=False) from error


def find(store: ObjectStore, expected: Expected) -> Mapping[str, Any] | Failure:
    """The outputs that the notebook published, the declared ones of them; or, as a contract failure, why there are none."""
    try:
        content = store.read(expected.object_name, MAX_BYTES)
    except TooLargeError as error:
        size, most = int(error.args[0]) / 2**20, MAX_BYTES // 2**20
        message = f"the published outputs take {size:.1f} MiB, more than the {most} MiB allowed"
        return Failure("contract", message, "write the data to a file and publish its path")
    if content is None:
        message = f"the notebook ended well, but published no outputs ({', '.join(expected.names)})"
        return Failure("contract", message, HOW_TO_PUBLISH)
    try:
        values = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return Failure("contract", f"what the notebook published as outputs is not JSON: {error}", HOW_TO_PUBLISH)
    if not isinstance(values, Mapping):
        message = f"what the notebook published as outputs is a JSON {_kind(values)}, not an object of names and values"
        return Failure("contract", message, HOW_TO_PUBLISH)
    return {name: values[name] for name in expected.names if name in values}


def _note_name(operation_id: str) -> str:
    return "operations/" + re.sub(r"[^A-Za-z0-9_-]", "_", operation_id)[:200]


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON value")


def _kind(value: Any) -> str:
    kinds: Sequence[tuple[type, str]] = ((bool, "boolean"), (str, "text"), (list, "array"), (type(None), "null"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "number")
