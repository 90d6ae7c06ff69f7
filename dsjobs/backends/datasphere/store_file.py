"""An output store in a folder of a disk that the notebooks and dsjobs share."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import pathname2url
from uuid import uuid4

from dsjobs.backends.datasphere.store import TooLargeError
from dsjobs.errors import BackendError


class FileStore:
    """The store at `file:///folder`. The folder is made when it is needed."""

    def __init__(self, url: str) -> None:
        self._folder = Path(unquote(urlsplit(url).path))

    @property
    def location(self) -> str:
        return str(self._folder)

    def address(self, name: str, at: float) -> str:
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed("made", error) from error
        return "file://" + pathname2url(str(path))

    def write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        draft = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise self._failed("written to", error) from error

    def read(self, name: str, limit: int) -> bytes | None:
        try:
            with (self._folder / name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                content = b"" if size > limit else file.read(limit + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("read", error) from error
        if size > limit or len(content) > limit:
            raise TooLargeError(max(size, len(content)))
        return content

    def _failed(self, verb: str, error: OSError) -> BackendError:
        message = f"the output store {self._folder} cannot be {verb}: {error.strerror or error}"
        return BackendError(message, retryable=False, hint="settings.output_store names a folder on a shared disk")
