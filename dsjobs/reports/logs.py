"""An executed notebook as text: what each code cell printed, returned and raised, as a terminal would have shown it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Cell = Mapping[str, Any]
"""A cell as the .ipynb has it."""

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# What else a terminal would act on: other sequences, titles and links, and single control characters but \t, \n and \r.
_CONTROL = re.compile(
    rf"({_COLOUR.pattern})|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_][^\n\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)


@dataclass(frozen=True, slots=True)
class CellText:
    """What a code cell left behind. `number` counts code cells from 1; `lines` may hold colours."""

    number: int
    title: str
    lines: tuple[str, ...]


def texts(cells: Sequence[Cell]) -> list[CellText]:
    """The code cells of a notebook in their order, those that left nothing behind too."""
    code = [cell for cell in cells if cell.get("cell_type") == "code"]
    return [CellText(number, _title(cell), tuple(_lines(cell))) for number, cell in enumerate(code, start=1)]


def lines_of(found: Sequence[CellText]) -> list[str]:
    """The cells that left something behind, each below its number and its first line of code."""
    lines = []
    for cell in found:
        if cell.lines:
            lines += ["", f"cell {cell.number}: {cell.title}", *(f"  {line}".rstrip() for line in cell.lines)]
    return lines[1:]


def tail(found: Sequence[CellText], number: int) -> list[CellText]:
    """Of the cells together the last `number` lines."""
    kept = []
    for cell in reversed(found):
        lines = cell.lines[max(0, len(cell.lines) - number) :]
        number -= len(lines)
        kept.append(replace(cell, lines=lines))
    return kept[::-1]


def as_json(found: Sequence[CellText]) -> list[dict[str, Any]]:
    """The cells for programs, without colours."""
    return [
        {"number": cell.number, "title": cell.title, "lines": [_COLOUR.sub("", line) for line in cell.lines]}
        for cell in found
    ]


def _title(cell: Cell) -> str:
    """The first line of the cell's code."""
    lines = [_COLOUR.sub("", line).strip() for line in plain(_text(cell.get("source")))]
    return next(filter(None, lines), "")


def _lines(cell: Cell) -> list[str]:
    written = ""
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        text = _output(output) if isinstance(output, Mapping) else ""
        # Only parts of a stream go on in the middle of a line.
        is_apart = written and not written.endswith("\n") and output.get("output_type") != "stream"
        written += ("\n" if is_apart else "") + text
    return plain(written)


def _output(output: Mapping[str, Any]) -> str:
    kind = output.get("output_type")
    if kind == "stream":
        return _text(output.get("text"))
    if kind == "error":
        return _error(output) + "\n"
    data = output.get("data")
    if not isinstance(data, Mapping) or not data:
        return ""
    return (_text(data["text/plain"]) if "text/plain" in data else f"<{', '.join(map(str, data))}>") + "\n"


def _error(output: Mapping[str, Any]) -> str:
    traceback = output.get("traceback")
    if isinstance(traceback, list) and traceback:
        return "\n".join(map(str, traceback))
    return f"{output.get('ename', 'error')}: {output.get('evalue', '')}"


def _text(written: Any) -> str:
    """A text of a notebook, which may be a list of its lines."""
    return "".join(map(str, written)) if isinstance(written, list) else str(written or "")


def plain(text: str) -> list[str]:
    """The lines of `text` as they would stand in a terminal at the end: of a line that was written over, what came last.

    Colours are kept; whatever else would make a terminal act is taken out.
    """
    if not text:
        return []
    cleaned = _CONTROL.sub(lambda found: found[1] or "", text)
    return [_line(line) for line in cleaned.removesuffix("\n").split("\n")]


def _line(line: str) -> str:
    written = [part for part in line.split("\r") if part]
    return written[-1] if written else ""
