"""Containers that remember where they were written: the data of a YAML file with the place of every key and value.

A `MarkedMap` is a dict and a `MarkedList` a list, so code that only wants the data sees plain data. The places are packed
into one integer an entry, because a file of 100,000 jobs has a million of them and nearly none is ever asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any, NamedTuple


class Position(NamedTuple):
    """A place in a text file. `line` and `column` count from 1; a column is a character, not a byte."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


_CELL = ":cell "


def in_cell(notebook: str, number: int) -> str:
    """What stands for a file's name where a position is in a cell of a notebook: as ruff and nbqa have it."""
    return f"{notebook}{_CELL}{number}"


def divided(file: str) -> tuple[str, int | None]:
    """The file of a position and, where it is in a notebook, the number of the cell."""
    notebook, mark, number = file.rpartition(_CELL)
    return (notebook, int(number)) if mark and number.isdecimal() else (file, None)


class Source:
    """A text file as it was read: the name that messages show, and its text."""

    __slots__ = ("_lines", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._lines: list[str] | None = None

    @property
    def start(self) -> Position:
        return Position(self.name, 1, 1)

    @property
    def lines(self) -> list[str]:
        """The text of each line, without its end."""
        if self._lines is None:
            self._lines = self.text.splitlines()
        return self._lines

    def line(self, number: int) -> str:
        """The text of a line, without its end; empty where the file has no such line."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


# Line and column (from 0) of a key and of its value, in one integer: 28 bits a line, 20 bits a column.
_COLUMN_BITS, _LINE_BITS = 20, 28
_PLACE_BITS = _COLUMN_BITS + _LINE_BITS
_PLACE_MASK = (1 << _PLACE_BITS) - 1
_COLUMN_MASK = (1 << _COLUMN_BITS) - 1


def pack(line: int, column: int) -> int:
    """A place (counted from 0) as one integer; columns past a million are clipped."""
    # Called for every key and value of a file, where a call of `min` would be half of the cost.
    return line << _COLUMN_BITS | (column if column < _COLUMN_MASK else _COLUMN_MASK)  # noqa: FURB136


def pack_pair(key: int, value: int) -> int:
    """The packed places of a key and of its value as one integer."""
    return key << _PLACE_BITS | value


def unpack(source: Source, place: int) -> Position:
    """The position that `pack` packed, counted from 1."""
    return Position(source.name, (place >> _COLUMN_BITS) + 1, (place & _COLUMN_MASK) + 1)


class MarkedMap(dict[str, Any]):
    """A mapping from a file. `marks` holds a packed pair of places for each key, in the order of the keys."""

    __slots__ = ("_lost", "marks", "place", "source")

    source: Source
    place: int
    marks: list[int]
    _lost: set[str]

    def position(self) -> Position:
        """Where the mapping begins."""
        return unpack(self.source, self.place)

    def key_position(self, key: str) -> Position:
        """Where `key` stands. The mapping's own position when it has no such key."""
        pair = self._pair(key)
        return self.position() if pair is None else unpack(self.source, pair >> _PLACE_BITS)

    def value_position(self, key: str) -> Position:
        """Where the value of `key` begins. The mapping's own position when it has no such key."""
        pair = self._pair(key)
        return self.position() if pair is None else unpack(self.source, pair & _PLACE_MASK)

    def positioned(self) -> Iterator[tuple[Any, Position]]:
        """Each value with its position."""
        return (
            (item, unpack(self.source, mark & _PLACE_MASK))
            for item, mark in zip(self.values(), self.marks, strict=True)
        )

    def lose(self, key: str) -> None:
        """Note that `key`, or a part of its value, was written here and not understood; take the value out."""
        self.lose_part_of(key)
        if key in self:
            del self.marks[list(self).index(key)]
            del self[key]

    def lose_part_of(self, key: str) -> None:
        """Note that a part of the value of `key` was not understood."""
        if not hasattr(self, "_lost"):
            self._lost = set()
        self._lost.add(key)

    @property
    def lost(self) -> Set[str]:
        """The keys that were meant here and not, or not wholly, understood: what they would say is unknown."""
        return getattr(self, "_lost", frozenset())

    def _pair(self, key: str) -> int | None:
        return self.marks[list(self).index(key)] if key in self else None


class MergedMap(MarkedMap):
    """A mapping whose entries come from several files. `sources` holds the file of each key, in the order of the keys."""

    __slots__ = ("sources",)

    sources: list[Source]

    @classmethod
    def of(cls, first: MarkedMap) -> MergedMap:
        """A mapping with the entries of `first`, at its place."""
        merged = cls(first)
        merged.source, merged.place, merged.marks = first.source, first.place, list(first.marks)
        merged.sources = [first.source] * len(first)
        for key in first.lost:
            merged.lose_part_of(key)
        return merged

    def take(self, other: MarkedMap, key: str) -> None:
        """Add one entry of another mapping."""
        self[key] = other[key]
        self.marks.append(other.marks[list(other).index(key)])
        self.sources.append(other.source)

    def key_position(self, key: str) -> Position:
        index = self._index(key)
        return self.position() if index is None else unpack(self.sources[index], self.marks[index] >> _PLACE_BITS)

    def value_position(self, key: str) -> Position:
        index = self._index(key)
        return self.position() if index is None else unpack(self.sources[index], self.marks[index] & _PLACE_MASK)

    def positioned(self) -> Iterator[tuple[Any, Position]]:
        return (
            (item, unpack(source, mark & _PLACE_MASK))
            for item, mark, source in zip(self.values(), self.marks, self.sources, strict=True)
        )

    def lose(self, key: str) -> None:
        index = self._index(key)
        if index is not None:
            del self.sources[index]
        super().lose(key)

    def _index(self, key: str) -> int | None:
        return list(self).index(key) if key in self else None


class MarkedList(list[Any]):
    """A sequence from a file. `marks` holds the packed place of each item."""

    __slots__ = ("marks", "place", "source")

    source: Source
    place: int
    marks: list[int]

    def position(self) -> Position:
        """Where the sequence begins."""
        return unpack(self.source, self.place)

    def item_position(self, index: int) -> Position:
        """Where item `index` begins."""
        return unpack(self.source, self.marks[index])

    def positioned(self) -> Iterator[tuple[Any, Position]]:
        """Each item with its position."""
        return ((item, unpack(self.source, mark)) for item, mark in zip(self, self.marks, strict=True))


def position_at(data: Any, path: tuple[str | int, ...], *, of_key: bool = False) -> Position | None:
    """The position of the value (or, with `of_key`, of the key) at `path` below `data`; the deepest known place on the
    way when `path` leaves the data. None when `data` has no marks at all."""
    position = data.position() if isinstance(data, MarkedMap | MarkedList) else None
    for depth, key in enumerate(path):
        if isinstance(data, MarkedMap) and isinstance(key, str) and key in data:
            last = depth == len(path) - 1
            position = data.key_position(key) if last and of_key else data.value_position(key)
        elif isinstance(data, MarkedList) and isinstance(key, int) and 0 <= key < len(data):
            position = data.item_position(key)
        else:
            return position
        data = data[key]
    return position
