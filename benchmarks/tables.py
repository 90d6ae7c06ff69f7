"""Figures as a table for people, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Cell = str | float | int | None
"""A float is shown with three significant digits, None as a dash."""


@dataclass
class Table:
    """`columns` name what stands in each row; `notes` say what was left out, and why."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": self.notes}


def text(table: Table) -> str:
    """The table in Markdown."""
    lines = [[*table.columns], *([_shown(cell) for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    shown = [_line(lines[0], widths), _line(rule, widths), *(_line(line, widths) for line in lines[1:])]
    notes = ["", *(f"- {note}" for note in table.notes)] if table.notes else []
    return "\n".join([f"### {table.title}", "", *shown, *notes])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cells[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
    ]
    return "| " + " | ".join(padded) + " |"


def _shown(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return (
            f"{cell:.0f}"
            if cell >= 100
            else f"{cell:.1f}"
            if cell >= 10
            else f"{cell:.2f}"
            if cell >= 0.1
            else f"{cell:.3f}"
        )
    return f"{cell:,}" if isinstance(cell, int) else cell
