"""Reads .ipynb files: a notebook is checked here once, as plain JSON, so that looking at many costs no import of nbformat.

Page: https://nbformat.readthedocs.io/en/latest/format_description.html (nbformat 4).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsjobs.notebook.errors import NotebookError

_HINTS_BY_START = {
    "<<<<<<<": "the file has merge conflict markers: resolve the conflict",
    "version https://git-lfs": "this is a Git LFS pointer: run `git lfs pull`",
    "": "the file is empty",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell. `number` counts code cells from 1 and is 0 for any other cell; `id` is None before nbformat 4.5."""

    index: int
    number: int
    id: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook as it lies on disk. `content` is its JSON, of nbformat 4; `cells` are all cells, in order.

    `kernel_name` and `language` are what its metadata ask for, None where they are silent.
    """

    path: Path
    content: dict[str, Any]
    cells: tuple[Cell, ...]
    kernel_name: str | None
    language: str | None

    @property
    def code_cells(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.number)

    def code_cell(self, cell_id: str) -> Cell | None:
        """The code cell with this ID."""
        return next((cell for cell in self.code_cells if cell.id == cell_id), None)


def read(path: Path) -> Notebook:
    """The notebook at `path`. Raises NotebookError when it is not a regular file with a notebook of nbformat 4."""
    content = _content(path, _text(path, _bytes(path)))
    metadata = content.get("metadata")
    kernelspec, language_info = _section(metadata, "kernelspec"), _section(metadata, "language_info")
    return Notebook(
        path=path,
        content=content,
        cells=_cells(path, content["cells"]),
        kernel_name=_text_or_none(kernelspec.get("name")),
        language=_text_or_none(kernelspec.get("language")) or _text_or_none(language_info.get("name")),
    )


def code_digest(cells: tuple[Cell, ...]) -> str:
    """`sha256:…` over the sources of code cells, in order: neither outputs nor text nor metadata change it."""
    sources = json.dumps([cell.source for cell in cells if cell.number], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(sources.encode("ascii")).hexdigest()


def _bytes(path: Path) -> bytes:
    # O_NONBLOCK: opening a named pipe for reading would otherwise wait for a writer, maybe for ever.
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotebookError(f"'{path.name}' is not a regular file", code="DSJ401")
            return file.read()
    except OSError as error:
        raise NotebookError(f"'{path.name}' cannot be read: {error.strerror or error}", code="DSJ401") from error


def _text(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotebookError(
            f"'{path.name}' is not a notebook: it is not UTF-8 text (byte {error.start})",
            hint="save it again with Jupyter, which writes UTF-8",
        ) from error


def _content(path: Path, text: str) -> dict[str, Any]:
    """The JSON of a notebook of nbformat 4, whose `cells` are a list."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, json.JSONDecodeError) else "it is nested too deeply or has a huge number"
        start = next((hint for start, hint in _HINTS_BY_START.items() if start and text.startswith(start)), None)
        hint = start or (None if text.strip() else _HINTS_BY_START[""])
        raise NotebookError(f"'{path.name}' is not a notebook: it is not JSON ({why})", hint=hint) from error
    if not isinstance(content, dict) or not isinstance(content.get("nbformat"), int):
        raise NotebookError(
            f"'{path.name}' is not a notebook: it is JSON without an nbformat version",
            hint="a notebook is what Jupyter saves: a mapping with nbformat, metadata and cells",
        )
    _check_version(path, content["nbformat"])
    if not isinstance(content.get("cells"), list):
        raise NotebookError(f"'{path.name}' is not a notebook: its cells are missing")
    return content


def _check_version(path: Path, version: int) -> None:
    if version < 4:
        raise NotebookError(
            f"'{path.name}' has nbformat {version}; dsjobs runs nbformat 4",
            hint=f"convert it: jupyter nbconvert --to notebook --inplace {path.name}",
        )
    if version > 4:
        raise NotebookError(
            f"'{path.name}' has nbformat {version}, which is newer than the nbformat 4 that dsjobs knows",
            hint="save it as nbformat 4, or use a newer dsjobs",
        )


def _cells(path: Path, written: list[Any]) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    number = 0
    for index, cell in enumerate(written):
        if not isinstance(cell, dict) or not isinstance(cell.get("cell_type"), str):
            raise NotebookError(f"'{path.name}' is not a notebook: its cell {index + 1} has no cell_type")
        is_code = cell["cell_type"] == "code"
        number += is_code
        source = _source(cell.get("source", ""))
        if source is None:
            raise NotebookError(f"'{path.name}' is not a notebook: the source of its cell {index + 1} is not text")
        cells.append(Cell(index, number if is_code else 0, _text_or_none(cell.get("id")), source))
    return tuple(cells)


def _source(written: Any) -> str | None:
    """A source as one text; the format allows a list of lines as well."""
    if isinstance(written, list) and all(isinstance(line, str) for line in written):
        return "".join(written)
    return written if isinstance(written, str) else None


def _section(metadata: Any, name: str) -> dict[str, Any]:
    section = metadata.get(name) if isinstance(metadata, dict) else None
    return section if isinstance(section, dict) else {}


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
