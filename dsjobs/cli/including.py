"""The files that a job file includes, read: paths and globs relative to the file that names them, each file once."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsjobs import __version__
from dsjobs.cli.written import MAX_BYTES, content_of
from dsjobs.diagnostics import Diagnostic, did_you_mean
from dsjobs.marks import MarkedList, MarkedMap, Position, Source
from dsjobs.spec import source
from dsjobs.spec.include import included_schema
from dsjobs.spec.schema import Checked, check
from dsjobs.spec.source import Document
from dsjobs.spec.versions import is_within

MAX_FILES = 1_000
"""Files that one job file may include, directly or not."""


@dataclass(slots=True)
class Included:
    """Every included file, in the order in which they were read. `complete`: whether all of them could be read."""

    files: list[Checked] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    complete: bool = True

    def refuse(self, message: str, position: Position, hint: str | None) -> None:
        """Note that a file could not be included."""
        self.diagnostics.append(Diagnostic("DSJ112", message, position, hint))
        self.complete = False


def digest_of(content: bytes) -> str:
    """`sha256:…` of a file's bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def other_version(data: Any) -> Diagnostic | None:
    """The one diagnostic of a file that is for another version of dsjobs: what else is wrong with it cannot be known."""
    wanted = data.get("requires_dsjobs") if isinstance(data, MarkedMap) else None
    try:
        if not isinstance(wanted, str) or is_within(__version__, wanted):
            return None
    except ValueError as error:
        message, hint = str(error), 'a range of versions is e.g. ">=1,<2"'
        return Diagnostic("DSJ106", message, data.value_position("requires_dsjobs"), hint)
    message = f"this file is for dsjobs {wanted}, and this is dsjobs {__version__}"
    hint = f"install another version: pip install 'dsjobs{wanted.replace(' ', '')}'"
    return Diagnostic("DSJ110", message, data.value_position("requires_dsjobs"), hint)


def gather(path: Path, document: Document, schema: Mapping[str, Any]) -> Included:
    """Read the files that `document`, the job file at `path`, includes, and those that these include."""
    gathering = _Gathering(included_schema(schema), document)
    gathering.follow(path, document.data, (path,))
    return gathering.found


class _Gathering:
    def __init__(self, schema: Mapping[str, Any], document: Document) -> None:
        self.schema = schema
        self.values_left = source.MAX_VALUES - document.size
        self.bytes_left = MAX_BYTES - len(document.source.text)
        self.found = Included()
        self.seen: set[str] = set()

    def follow(self, path: Path, data: Any, way: Sequence[Path]) -> None:
        """Read what the file at `path` includes. `way`: the files that lead to it, itself included."""
        listed = data.get("include") if isinstance(data, MarkedMap) else None
        for name, position in listed.positioned() if isinstance(listed, MarkedList) else ():
            if isinstance(name, str) and name:
                for one in self.matching(path, name, position):
                    self.include(one, position, way)

    def matching(self, path: Path, name: str, position: Position) -> Iterator[Path]:
        pattern = os.path.normpath(path.parent / name)
        if not glob.has_magic(name):
            yield Path(pattern)
            return
        found = [one for one in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(one)]
        others = [one for one in found if not os.path.samefile(one, path)]
        if not others:
            message = f"no file matches '{name}'"
            hint = "paths are relative to the file that includes them"
            self.found.diagnostics.append(Diagnostic("DSJ112", message, position, hint, "warning"))
        yield from map(Path, others)

    def include(self, path: Path, position: Position, way: Sequence[Path]) -> None:
        real = os.path.realpath(path)
        circle = next((index for index, one in enumerate(way) if os.path.realpath(one) == real), None)
        if circle is not None:
            names = " → ".join(map(str, [*way[circle:], path]))
            self.found.refuse(
                f"files include each other in a circle: {names}", position, "remove one of these includes"
            )
        elif real not in self.seen and len(self.seen) < MAX_FILES:
            self.seen.add(real)
            self.read(path, position, way)
        elif real not in self.seen:
            self.found.refuse(f"more than {MAX_FILES:,} files are included", position, "include fewer")

    def read(self, path: Path, position: Position, way: Sequence[Path]) -> None:
        if self.bytes_left < 0 or self.values_left < 0:  # which has been said
            self.found.complete = False
            return
        try:
            content = content_of(path)
        except OSError as error:
            self.found.refuse(f"'{path}' cannot be read: {error.strerror}", position, _hint(path, error))
            return
        self.bytes_left -= len(content)
        if self.bytes_left < 0:
            message = f"a job file and what it includes have more than {MAX_BYTES >> 20} MiB together"
            self.found.refuse(message, position, "name the job files that it includes more closely")
            return
        found = self.found
        text, problems = source.decode(str(path), content)
        found.sources.append(text)
        found.digests[str(path)] = digest_of(content)
        if problems:
            found.diagnostics += problems
            found.complete = False
            return
        document = source.parse(text, self.values_left)
        self.values_left -= document.size
        refused = other_version(document.data)
        if refused is not None:
            found.diagnostics.append(refused)
            found.complete = False
            return
        checked = check(document, self.schema)
        found.diagnostics += [*document.diagnostics, *checked.diagnostics]
        found.files.append(checked)
        self.follow(path, checked.data, (*way, path))


def _hint(path: Path, error: OSError) -> str | None:
    if isinstance(error, FileNotFoundError) and path.parent.is_dir():
        return did_you_mean(path.name, [one.name for one in path.parent.glob("*.y*ml")])
    if isinstance(error, IsADirectoryError):
        return f"write {path.name}/*.yaml for the files in it"
    return "paths are relative to the file that includes them" if isinstance(error, FileNotFoundError) else None
