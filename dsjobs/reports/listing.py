"""The list of runs as lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dsjobs.reports.columns import Show, columns
from dsjobs.reports.text import counted, duration

Row = Mapping[str, Any]
"""A run as `dsjobs runs -o json` prints it."""

_UNBEGUN = "its process ended before its plan was written"
_DAMAGED = "neither its manifest nor its journal can be read"


def listing(rows: Sequence[Row], show: Show = str, *, now: float) -> str:
    """A line for each run: ID, status, environment, when it began, how long it took, its jobs, and what it follows.

    `now`: seconds since the epoch. The pipeline's name is shown where the runs are of several.
    """
    are_several = len({row["name"] for row in rows if row["name"]}) > 1
    names = [[row["name"] or ""] if are_several else [] for row in rows]
    cells = [[row["id"], row["status"], *name, *_cells(row, now)] for row, name in zip(rows, names, strict=True)]
    return "\n".join(columns(cells, {1: show}))


def _cells(row: Row, now: float) -> list[str]:
    if row["started_at"] is None:
        return ["", "", "", _UNBEGUN if row["status"] == "unbegun" else _DAMAGED]
    elapsed = max(0.0, now - datetime.fromisoformat(row["started_at"]).timestamp())
    took = row["duration"] if row["duration"] is not None else elapsed if row["status"] == "running" else None
    jobs = counted(row["counts"]) if row["counts"] is not None else "see dsjobs status"
    if row["status"] == "unbegun":
        jobs = _UNBEGUN
    said = [jobs, f"on {row['host']}" if row["status"] == "running" else "", _follows(row)]
    return [
        row["environment"],
        f"{age(elapsed)} ago",
        duration(took) if took is not None else "",
        " · ".join(filter(None, said)),
    ]


def _follows(row: Row) -> str:
    return f"follows {row['parent_run']}" if row["parent_run"] else ""


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits: 12s, 5m, 3h, 40d."""
    for unit, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{int(seconds // unit)}{letter}"
    return f"{int(seconds)}s"
