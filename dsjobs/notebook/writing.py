"""Writes executed notebooks."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from nbformat import NotebookNode, v4


def write(node: NotebookNode, path: Path) -> None:
    """Writes `node` to `path` in one step: whoever reads there finds the old notebook or the new one. Raises OSError."""
    # Half of a surrogate pair that a cell printed is not UTF-8; written as \udXXX it is the same text in JSON.
    json_text: str = v4.writes(node)  # type: ignore[no-untyped-call]
    text = f"{json_text}\n".encode("utf-8", "backslashreplace")
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        written.write_bytes(text)
        os.replace(written, path)
    except OSError:
        with suppress(OSError):
            written.unlink()
        raise
