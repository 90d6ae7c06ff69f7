"""The combinations of a matrix's lists, without those that are excluded, and what `include` makes of them.

Which entries may still match a combination, and which combinations an entry fits, are the bits of one number: a thousand entries
cost hardly more than one, whatever keys they name.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsjobs.spec.values import encode

Values = dict[str, Any]
Lists = Mapping[str, Sequence[Any]]


class Texts:
    """What the values of a matrix are written as. Each is looked at once, however many cells have it: it must stay alive for as
    long as this is used, which what was read from a file does."""

    def __init__(self) -> None:
        self._identities: dict[int, str] = {}
        self._texts: dict[int, str] = {}
        self._digests: dict[int, str] = {}

    def identity(self, value: Any) -> str:
        """Two values are the same where this is: `1` and `"1"` are not."""
        found = self._identities.get(id(value))
        if found is None:
            found = self._identities[id(value)] = identity(value)
        return found

    def digest(self, value: Any) -> str:
        """A text of one length that is the same where the values are."""
        found = self._digests.get(id(value))
        if found is None:
            found = self._digests[id(value)] = hashlib.sha256(self.identity(value).encode()).hexdigest()
        return found

    def text(self, value: Any) -> str:
        """The value as the text that an input would have."""
        found = self._texts.get(id(value))
        if found is None:
            found = self._texts[id(value)] = encode(value)
        return found


def identity(value: Any) -> str:
    """As `Texts.identity`."""
    return str(value) if type(value) is int else _encode(value)


# `json.dumps` makes an encoder at each call, and there may be a hundred thousand values.
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


def combinations(lists: Lists, excludes: Sequence[Values], texts: Texts) -> list[Values]:
    """All combinations, the first key varying slowest, but those that have all values of an entry of `excludes`."""
    if not lists:
        return []
    excludes = [
        entry for entry in excludes if entry.keys() <= lists.keys()
    ]  # another key was reported where it was read
    every = (1 << len(excludes)) - 1
    columns = [list(_with_matches(key, values, excludes, texts)) for key, values in lists.items()]
    return [
        {key: value for key, (value, _) in zip(lists, row, strict=True)}
        for row in itertools.product(*columns)
        if not functools.reduce(operator.and_, (matching for _, matching in row), every)
    ]


def _with_matches(
    key: str, values: Sequence[Any], excludes: Sequence[Values], texts: Texts
) -> Iterator[tuple[Any, int]]:
    """Each value with the entries that it does not rule out."""
    silent, named = 0, dict[str, int]()
    for index, entry in enumerate(excludes):
        if key not in entry:
            silent |= 1 << index
        else:
            name = texts.identity(entry[key])
            named[name] = named.get(name, 0) | 1 << index
    for value in values:
        yield value, silent | named.get(texts.identity(value), 0)


@dataclass(frozen=True, slots=True)
class Additions:
    """What `include` comes to. `cells`: entries that fit no combination; `repeated`: the indexes of those among them that stand
    twice; `changes`: for each key the values that combinations get, later ones first in rank; `size`: how many values in all."""

    cells: list[Values] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    changes: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many values the combinations get, at most one for each key."""
        given = (functools.reduce(operator.or_, (fitting for fitting, _ in rows)) for rows in self.changes.values())
        return sum(one.bit_count() for one in given) + sum(map(len, self.cells))


def additions(cells: Sequence[Values], lists: Lists, entries: Sequence[Values], texts: Texts) -> Additions:
    """What each entry adds to the combinations whose own values it does not change; one that fits none is a cell of its own."""
    found = Additions()
    seen: set[str] = set()
    having = {key: _having(cells, key, texts) for key in lists}
    every = (1 << len(cells)) - 1
    for index, entry in enumerate(entries):
        fits = (having[key].get(texts.identity(value), 0) for key, value in entry.items() if key in having)
        fitting = functools.reduce(operator.and_, fits, every)
        if not fitting:
            found.cells.append(dict(entry))
            if texts.identity(entry) in seen:
                found.repeated.append(index)
            seen.add(texts.identity(entry))
            continue
        for key, value in entry.items():
            if key not in lists:
                found.changes.setdefault(key, []).append((fitting, value))
    return found


def _having(cells: Sequence[Values], key: str, texts: Texts) -> dict[str, int]:
    """For each value of a key the combinations that have it."""
    found: dict[str, int] = {}
    for index, cell in enumerate(cells):
        name = texts.identity(cell[key])
        found[name] = found.get(name, 0) | 1 << index
    return found


def change(cells: Sequence[Values], changes: Mapping[str, list[tuple[int, Any]]]) -> None:
    """Put the additions into the combinations; of several for one key the last one counts."""
    for key, rows in changes.items():
        left = (1 << len(cells)) - 1
        for fitting, value in reversed(rows):
            for index in _bits(fitting & left):
                cells[index][key] = value
            left &= ~fitting


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
