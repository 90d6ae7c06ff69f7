"""Rows of text in columns, for terminals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

Show = Callable[[str], str]
"""How a word is shown, e.g. a status with a symbol and a colour."""


def columns(rows: Sequence[Sequence[str]], shows: Mapping[int, Show] | None = None, *, right: int = -1) -> list[str]:
    """A line for each row, indented by two spaces and with two between the columns.

    `shows`: by its number, how the words of a column are shown; each must become longer by the same. The column `right` is
    aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "".join(
            "  " + _cell(word, width, (shows or {}).get(number, str), is_right=number == right)
            for number, (word, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cell(word: str, width: int, show: Show, *, is_right: bool) -> str:
    space = " " * (width - len(word))
    return space + show(word) if is_right else show(word) + space
