"""The journal: what a run did, one JSON record a line, on disk before it is acted on.

Each line ends with a checksum of what stands before. Reading stops at a torn last line, which is what a crash leaves; a bad
line anywhere else is an error with its number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any
from zlib import crc32

from dsjobs.errors import InvalidFileError
from dsjobs.run.records import KINDS, SCHEMA_VERSION

Record = Mapping[str, Any]

_sync = getattr(os, "fdatasync", os.fsync)
_SEAL = len(b',"crc":"00000000"}')
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class UnwrittenError(OSError):
    """A record that could not be written down, so that nothing may follow it."""


class Journal:
    """A journal open for appending. A new one must not exist yet; one that is taken up again loses its torn last line, which
    was never acknowledged. Whoever opens it holds the run's lock: it has one writer."""

    def __init__(self, path: Path, *, existing: bool = False) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags | (0 if existing else os.O_CREAT | os.O_EXCL), 0o644)
        if existing:
            os.ftruncate(self._file, _end_of_last_line(path))
            _sync(self._file)
        else:
            _sync_folder(path.parent)

    def append(self, records: Iterable[Record]) -> None:
        """Write `records` and wait until they are on disk: one write and one sync for all of them. Raises UnwrittenError."""
        # Half of a surrogate pair, e.g. in a file's name, is no UTF-8: the JSON escape stands for it.
        content = b"".join(_line(_encode(record).encode("utf-8", "backslashreplace")) for record in records)
        try:
            self._write(content)
        except OSError as error:
            raise UnwrittenError(error.errno, error.strerror, str(self.path)) from error

    def _write(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(self._file, view) :]
        _sync(self._file)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _line(record: bytes) -> bytes:
    """A record as a line, with a checksum of all that stands before it as its last field."""
    return b'%b,"crc":"%08x"}\n' % (record[:-1], crc32(record[:-1]))


def _end_of_last_line(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> list[Record]:
    """Every whole record of a journal. Raises InvalidFileError with the line for anything but a torn last one."""
    return list(parse(_content(path), str(path)))


def header(path: Path) -> Record:
    """The first record of a journal, whatever follows. Raises InvalidFileError."""
    return next(parse(_content(path, lines=1), str(path)))


def _content(path: Path, *, lines: int | None = None) -> bytes:
    """The bytes of a journal, or of so many lines of it."""
    try:
        with open(path, "rb") as file:
            return file.read() if lines is None else b"".join(islice(file, lines))
    except OSError as error:
        raise InvalidFileError(f"{path}: the journal cannot be read: {error.strerror}") from None


def parse(content: bytes, name: str) -> Iterator[Record]:
    """The records in a journal's bytes; `name` stands in messages."""
    lines = content.split(b"\n")
    torn = lines.pop()  # whatever follows the last line end was never acknowledged
    if _is_sealed(torn[:-1]):
        raise InvalidFileError(f"{name}:{len(lines) + 1}: the end of this line of the journal is damaged")
    for number, line in enumerate(lines, start=1):
        yield _record(line, f"{name}:{number}", is_header=number == 1)
    if not lines:
        raise InvalidFileError(f"{name}: the journal has no header" + (" (it is torn)" if torn else ""))


def _record(line: bytes, place: str, *, is_header: bool) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{place}: this line of the journal is damaged: {error}") from None
    if not isinstance(record, dict) or record.get("record") not in KINDS:
        raise InvalidFileError(f"{place}: this line of the journal is not a record of this version")
    if is_header:
        _check_header(record, place)
    if not _is_sealed(line):
        raise InvalidFileError(f"{place}: this line of the journal is damaged: its checksum is not that of the rest")
    del record["crc"]
    return record


def _is_sealed(line: bytes) -> bool:
    """Whether `line` is a whole record with the checksum that belongs to it."""
    return line[-_SEAL:] == b',"crc":"%08x"}' % crc32(line[:-_SEAL])


def _check_header(record: Record, place: str) -> None:
    if record["record"] != "run_started":
        raise InvalidFileError(f"{place}: a journal begins with 'run_started', not '{record['record']}'")
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        hint = "use the version of dsjobs that wrote it"
        raise InvalidFileError(f"{place}: the journal has version {version}, not {SCHEMA_VERSION}", hint=hint)
