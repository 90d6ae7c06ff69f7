"""A job's `matrix`: its cells, in a stable order, with names that people and file systems can read.

As in GitHub Actions: the combinations of the lists, the first key varying slowest, without those that an entry of `exclude`
matches; then each entry of `include` is added to every combination whose own values it does not change, and one that fits none
is a cell of its own. A cell is named by the values of the matrix's lists, one that `include` adds by all of its values.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dsjobs.diagnostics import Diagnostic, Suggestions, did_you_mean
from dsjobs.marks import MarkedList, MarkedMap, Position
from dsjobs.model import Cell, Matrix
from dsjobs.spec.templates import texts_in
from dsjobs.spec.values import encode

MAX_CELLS = 1_000
"""Cells of one job."""

MAX_COMBINATIONS = 10_000
"""Combinations of a matrix's lists, before `exclude`."""

MAX_CELLS_OF_A_FILE = 50_000
"""Cells of all jobs together."""

MAX_VALUE = 4_000
"""Characters of one value as JSON."""

MAX_LABEL = 120
"""Bytes of the part of a cell's name between the brackets: the name becomes the name of a file."""

Values = dict[str, Any]


class Matrices:
    """Reads the matrices of one file, whose cells together are bounded; one that an alias brings several times is read once."""

    def __init__(self) -> None:
        self._left = MAX_CELLS_OF_A_FILE
        self._read: dict[int, Matrix | None] = {}

    def read(self, written: MarkedMap, problems: list[Diagnostic]) -> Matrix | None:
        """The cells of a matrix; None where it has errors, which are added to `problems`."""
        if self._left < 0:
            return None
        if id(written) not in self._read:
            self._read[id(written)] = read_matrix(written, problems)
        matrix = self._read[id(written)]
        self._left -= len(matrix.cells) if matrix else 0
        if self._left < 0:
            problems.append(too_many_in_all(written.position()))
            return None
        return matrix


def too_many_in_all(position: Position) -> Diagnostic:
    """The matrices of a file together make too many cells; `position`: of the one that was too much."""
    message = f"the matrices of this file make more than {MAX_CELLS_OF_A_FILE:,} cells"
    return Diagnostic("DSJ109", message, position, "use fewer values")


def read_matrix(written: MarkedMap, problems: list[Diagnostic]) -> Matrix | None:
    """The cells of a matrix; None where it has errors, which are added to `problems`."""
    found = [*_unusable_values(written), *_wrong_excludes(written)]
    lists = {key: values for key, values in written.items() if key not in ("include", "exclude")}
    total = math.prod(map(len, lists.values()))
    if total > MAX_COMBINATIONS:
        found.append(_too_many(written, total, MAX_COMBINATIONS, "combinations"))
    problems += found
    if any(problem.is_error for problem in found):
        return None
    cells = _combinations(lists, written.get("exclude", ()))
    added: list[Values] = []
    repeated: list[Diagnostic] = []
    if len(cells) <= MAX_CELLS:
        added, repeated = _include(cells, lists, written.get("include", MarkedList()))
    number = len(cells) + len(added)
    if not number and not written.lost:
        hint = "exclude less, or leave the matrix out"
        repeated.append(Diagnostic("DSJ109", "the matrix has no cells", written.position(), hint))
    elif number > MAX_CELLS:
        repeated.append(_too_many(written, number, MAX_CELLS, "cells"))
    problems += repeated
    return _matrix(cells, added, lists) if number and not repeated else None


def identity(value: Any) -> str:
    """Two values are the same where this is: `1` and `"1"` are not."""
    return str(value) if type(value) is int else _encode(value)


# `json.dumps` makes an encoder at each call, and there may be a hundred thousand values.
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


def _too_many(written: MarkedMap, number: int, limit: int, what: str) -> Diagnostic:
    message = f"the matrix makes {number:,} {what}, more than {limit:,}"
    return Diagnostic("DSJ109", message, written.position(), "use fewer values, or several jobs")


def _unusable_values(written: MarkedMap) -> Iterator[Diagnostic]:
    for values in written.values():
        for value, position in _scattered(values):
            if texts_in(value):
                message = "a matrix takes no templates: its cells are known before anything is rendered"
                yield Diagnostic("DSJ205", message, position, "write the values out")
                continue
            try:
                length = len(encode(value))
            except ValueError as error:
                yield Diagnostic("DSJ106", f"this cannot be a value of a matrix: {error}", position, "leave it out")
                continue
            if length > MAX_VALUE:
                message = f"a value of a matrix has {length:,} characters, more than {MAX_VALUE:,}"
                yield Diagnostic("DSJ106", message, position, "name it by a short word, and look it up in the notebook")


def _scattered(values: MarkedList) -> Iterator[tuple[Any, Position]]:
    for value, position in values.positioned():
        yield from value.positioned() if isinstance(value, MarkedMap) else [(value, position)]


def _wrong_excludes(written: MarkedMap) -> Iterator[Diagnostic]:
    """Keys that the matrix does not have; a value that it does not have excludes nothing, which is nearly always a slip."""
    if written.lost or "exclude" not in written:
        return
    keys = [key for key in written if key not in ("include", "exclude")]
    known = {key: frozenset(map(identity, written[key])) for key in keys}
    hints = {key: Suggestions([_shown(value) for value in written[key]]) for key in keys}
    for entry in written.get("exclude", ()):
        for key, value in entry.items():
            if key not in keys:
                message = f"'exclude' names '{key}', which is not a key of the matrix"
                hint = did_you_mean(key, keys) or "it takes away combinations of the matrix's lists"
                yield Diagnostic("DSJ104", message, entry.key_position(key), hint)
            elif identity(value) not in known[key]:
                message = f"this excludes nothing: '{key}' is never {_shown(value)}"
                near = hints[key].hint(_shown(value))
                yield Diagnostic("DSJ109", message, entry.value_position(key), near, "warning")


def _shown(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else shown[:57] + "…"


def _combinations(lists: Mapping[str, Sequence[Any]], excludes: Sequence[Values]) -> list[Values]:
    if not lists:
        return []
    # Entries with the same keys are looked up together: a thousand of them cost as much as one.
    excluded: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for entry in excludes:
        if not entry.keys() <= lists.keys():
            continue  # the matrix has a key that was not understood, which has been reported
        keys = tuple(sorted(entry))
        excluded.setdefault(keys, set()).add(tuple(identity(entry[key]) for key in keys))
    ids = {key: [identity(value) for value in values] for key, values in lists.items()}
    found = []
    for indexes in itertools.product(*(range(len(values)) for values in lists.values())):
        place = dict(zip(lists, indexes, strict=True))
        if not any(tuple(ids[key][place[key]] for key in keys) in entries for keys, entries in excluded.items()):
            found.append({key: lists[key][index] for key, index in place.items()})
    return found


def _include(
    cells: list[Values], lists: Mapping[str, Sequence[Any]], entries: Sequence[Values]
) -> tuple[list[Values], list[Diagnostic]]:
    """Add `entries` to the combinations that they fit; what fits none comes back, with the entries that stand twice."""
    own = [{key: identity(value) for key, value in cell.items()} for cell in cells]
    by_values: dict[tuple[str, ...], dict[tuple[str, ...], list[Values]]] = {}
    added: list[Values] = []
    repeated: list[Diagnostic] = []
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        keys = tuple(key for key in lists if key in entry)
        if keys not in by_values:
            by_values[keys] = _grouped(cells, own, keys)
        fitting = by_values[keys].get(tuple(identity(entry[key]) for key in keys), ())
        for cell in fitting:
            cell.update(entry)
        if fitting:
            continue
        added.append(dict(entry))
        if identity(entry) in seen and isinstance(entries, MarkedList):
            position = entries.item_position(index)
            repeated.append(Diagnostic("DSJ109", "'include' adds this cell twice", position, "remove one of them"))
        seen.add(identity(entry))
    return added, repeated


def _grouped(
    cells: Sequence[Values], ids: Sequence[Mapping[str, str]], keys: tuple[str, ...]
) -> dict[tuple[str, ...], list[Values]]:
    found: dict[tuple[str, ...], list[Values]] = {}
    for cell, mine in zip(cells, ids, strict=True):
        found.setdefault(tuple(mine[key] for key in keys), []).append(cell)
    return found


def _matrix(combined: Sequence[Values], added: Sequence[Values], lists: Mapping[str, Any]) -> Matrix:
    cells = [*combined, *added]
    named = [*({key: cell[key] for key in lists} for cell in combined), *added]
    keys = frozenset(key for cell in cells for key in cell)
    return Matrix(
        cells=tuple(
            Cell(label, cell, {key: identity(value) for key, value in cell.items()})
            for label, cell in zip(_labels(named), cells, strict=True)
        ),
        naming=frozenset(lists) or keys,
        keys=keys,
    )


def _labels(cells: Sequence[Values]) -> list[str]:
    """`seed=1,model=b` for each cell: unique, and safe as a part of a file's name."""
    ambiguous = _ambiguous(cells)
    for digits in (6, 16, 64):
        labels = [_label(cell, ambiguous, digits) for cell in cells]
        if len(set(labels)) == len(labels):
            break
    return labels


def _ambiguous(cells: Iterable[Values]) -> frozenset[tuple[str, str]]:
    """Keys with texts that two different values of the key have, such as 1 and "1"."""
    ids: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        for key, value in cell.items():
            ids.setdefault((key, encode(value)), set()).add(identity(value))
    return frozenset(text for text, found in ids.items() if len(found) > 1)


def _label(cell: Values, ambiguous: frozenset[tuple[str, str]], digits: int) -> str:
    parts = []
    for key, value in cell.items():
        text = encode(value)
        is_plain = _PLAIN.fullmatch(text) and (key, text) not in ambiguous
        parts.append(f"{key}={text if is_plain else _shortened(text, 24, identity(value), digits)}")
    label = ",".join(parts)
    if len(label.encode()) <= MAX_LABEL:
        return label
    return _shortened(label, MAX_LABEL - digits - 1, identity(cell), digits, unsafe=_UNSAFE_IN_LABEL)


_PLAIN = re.compile(r"[\w.+-]{1,32}")
_UNSAFE = re.compile(r"[^\w.+-]+")
_UNSAFE_IN_LABEL = re.compile(r"[^\w.+=,~-]+")


def _shortened(text: str, size_bytes: int, whole: str, digits: int, *, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    """The safe beginning of a text, and a digest of what it stands for."""
    digest = hashlib.sha256(whole.encode()).hexdigest()[:digits]
    safe = unsafe.sub("-", text).encode()[:size_bytes].decode(errors="ignore").strip("-,")
    return f"{safe}~{digest}"
