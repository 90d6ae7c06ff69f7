"""The notebooks of the conformance set: a file in `cases/` for each, whose cells begin with `# %%` (and their tags)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

WORKER = "def double(x):\n    return x * 2\n"
"""A module beside the notebooks, for processes that import what they run."""

_CELL = re.compile(r"^# %%(?: tags=(.*))?\n", re.MULTILINE)


def _cells(text: str) -> list[dict[str, Any]]:
    """The cells of a case, with the keys that every version of nbformat 4 has."""
    _, *parts = _CELL.split(text)
    cells = []
    for tags, source in zip(parts[::2], parts[1::2], strict=True):
        metadata = {"tags": tags.split(",")} if tags else {}
        fixed = {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": []}
        cells.append({**fixed, "source": source.removesuffix("\n")})
    return cells


def _notebook(cells: list[dict[str, Any]], minor: int) -> dict[str, Any]:
    if minor >= 5:
        cells = [{**cell, "id": f"c{number}"} for number, cell in enumerate(cells)]
    return {"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": cells}


CASES = {path.stem: _cells(path.read_text("utf-8")) for path in sorted((Path(__file__).parent / "cases").glob("*.ipy"))}
NOTEBOOKS = {name: _notebook(cells, 5) for name, cells in CASES.items()}
NOTEBOOKS |= {f"nbformat_4_{minor}": _notebook(CASES["non_ascii"], minor) for minor in range(6)}
POOLED: tuple[str, ...] = (
    "empty",
    "empty_cell",
    "interpreter",
    "magics",
    "streams",
    "errors",
    "files",
    "at_exit",
    "signals",
)
if os.environ.get("DSJOBS_TEST_POOLED") == "all":
    POOLED += (
        "display",
        "input",
        "shell",
        "processes",
        "threads",
        "random",
        "warnings",
        "tags",
        "sys_exit",
        "killed",
        "asyncio",
    )
"""Those that could tell that their kernel has waited for them, after two that cannot have one that has. There are
more with DSJOBS_TEST_POOLED=all."""
