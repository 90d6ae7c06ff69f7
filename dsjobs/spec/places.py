"""Where a part of a text stands in the file: through quotes, escapes, folded lines and block scalars.

YAML gives the place where a value begins. From there the file is read along with the value: white space stands for white
space, an escape for what it makes, and anything else for itself.
"""

from __future__ import annotations

import re

from dsjobs.marks import Position, Source


def place_inside(source: Source, start: Position, text: str, name: str) -> Position:
    """The position of `name` in the template `text`, a value that begins at `start`; `start` where it cannot be told."""
    index = _index_of(name, text)
    return start if index is None else (_position_of(source, start, text, index) or start)


def _index_of(name: str, text: str) -> int | None:
    """Where `name` stands between braces: from its beginning, else as a part of a name, else its last part alone."""
    whole, last = re.escape(name), re.escape(name.rpartition(".")[2])
    for pattern in (rf"(?<![\w.]){whole}(?!\w)", rf"(?<!\w){whole}(?!\w)", rf"(?<!\w){last}(?!\w)"):
        for match in re.finditer(pattern, text):
            if _is_between_braces(text, match.start()):
                return match.start()
    return None


def _is_between_braces(text: str, index: int) -> bool:
    opened = max(text.rfind("{{", 0, index), text.rfind("{%", 0, index))
    closed = max(text.rfind("}}", 0, index), text.rfind("%}", 0, index))
    return opened > closed


_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_ESCAPED_DIGITS = {"x": 2, "u": 4, "U": 8}


def _position_of(source: Source, start: Position, text: str, index: int) -> Position | None:
    line, column = start.line, start.column - 1
    column = _PROPERTIES.match(source.line(line), column).end()  # type: ignore[union-attr]  # it matches nothing, too
    style = source.line(line)[column : column + 1]
    if style in ("|", ">"):
        line, column = line + 1, 0
    elif style in ('"', "'"):
        column += 1
    at = 0
    while True:
        while at < index and text[at].isspace():
            at += 1
        line, column = _skip_space(source, line, column)
        rest = source.line(line)[column:]
        if not rest or at == index:
            return Position(start.file, line, column + 1) if rest else None
        made, length = _written(rest, style)
        if made is not None and made != text[at]:
            return None
        at += 0 if made is None and rest[1:2] in _MAKES_SPACE else 1
        column += length


def _skip_space(source: Source, line: int, column: int) -> tuple[int, int]:
    """The next place that is not white space."""
    while True:
        text = source.line(line)
        while column < len(text) and text[column].isspace():
            column += 1
        if column < len(text) or line >= len(source.lines):
            return line, column
        line, column = line + 1, 0


_MAKES_SPACE = frozenset({"n", "t", "r", " ", "v", "f", "_", "N", "L", "P", ""})


def _written(rest: str, style: str) -> tuple[str | None, int]:
    """The character that `rest` begins with, None for one that an escape makes, and how many characters it takes there."""
    if style == "'" and rest.startswith("''"):
        return "'", 2
    if style == '"' and rest.startswith("\\"):
        kind = rest[1:2]
        return (kind, 2) if kind in ('"', "\\", "/") else (None, 2 + _ESCAPED_DIGITS.get(kind, 0))
    return rest[0], 1
