"""`requires_dsjobs`: a range of versions, `>=1,<2`, in the part of PEP 440 that releases of one program need."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

_Version = tuple[tuple[int, ...], tuple[str, int]]

_FINAL = ("z", 0)
_VERSION = r"(\d{1,9}(?:\.\d{1,9})*)(?:(a|b|rc)(\d{1,9}))?"
_CLAUSE = re.compile(rf"\s*(>=|<=|==|!=|~=|>|<)\s*{_VERSION}\s*")
_COMPARISONS: dict[str, Callable[[_Version, _Version], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def is_within(version: str, wanted: str) -> bool:
    """Whether `version`, e.g. 1.2.0 or 1.2.0rc1, is in the range `wanted`. Raises ValueError where that is no range."""
    found = re.match(_VERSION, version)
    if found is None:
        raise ValueError(f"'{version}' is not a version")
    mine = _parsed(*found.groups())
    return all(_satisfies(mine, clause, wanted) for clause in wanted.split(","))


def _satisfies(mine: _Version, clause: str, wanted: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise ValueError(f"'{clause.strip() or wanted}' is not a range of versions")
    comparison, release, kind, number = match.groups()
    other = _parsed(release, kind, number)
    if comparison != "~=":
        return _COMPARISONS[comparison](mine, other)
    parts = release.split(".")
    if len(parts) < 2:
        raise ValueError(f"'{clause.strip()}' is not a range of versions: ~= takes at least two numbers")
    return mine >= other and mine[0][: len(parts) - 1] == other[0][: len(parts) - 1]


def _parsed(release: str, kind: str | None, number: str | None) -> _Version:
    numbers = tuple(map(int, release.split(".")))
    return (*numbers, *[0] * (8 - len(numbers))), (kind, int(number or 0)) if kind else _FINAL
