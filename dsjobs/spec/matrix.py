"""A job's `matrix`: its cells, in a stable order, with names that people and file systems can read.

As in GitHub Actions: the combinations of the lists, the first key varying slowest, without those that an entry of `exclude`
matches; then each entry of `include` is added to every combination whose own values it does not change, and one that fits none
is a cell of its own. A cell is named by the values of the matrix's lists, one that `include` adds by all of its values.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dsjobs.diagnostics import Diagnostic, Suggestions
from dsjobs.marks import MarkedList, MarkedMap, Position
from dsjobs.model import Cell, Matrix
from dsjobs.spec.combinations import Additions, Texts, Values, additions, change, combinations, identity
from dsjobs.spec.templates import texts_in
from dsjobs.spec.values import encode

MAX_CELLS = 1_000
"""Cells of one job."""

MAX_COMBINATIONS = 10_000
"""Combinations of a matrix's lists, before `exclude`."""

MAX_VALUES = 50_000
"""Values of all cells of one job together."""

MAX_CELLS_OF_A_FILE = 10_000
"""Cells of all jobs together: a line makes a thousand of them, and each takes as long as a job that is written out."""

MAX_COMBINATIONS_OF_A_FILE = 100_000
"""Combinations of all matrices that are written out."""

MAX_VALUE = 4_000
"""Characters of one value as JSON."""

MAX_LABEL = 120
"""Bytes of the part of a cell's name between the brackets: the name becomes the name of a file."""


class Matrices:
    """Reads the matrices of one file, whose cells together are bounded; one that an alias brings several times is read once."""

    def __init__(self) -> None:
        self._left = MAX_CELLS_OF_A_FILE
        self._combinations_left = MAX_COMBINATIONS_OF_A_FILE
        self._read: dict[int, Matrix | None] = {}

    def read(self, written: MarkedMap, problems: list[Diagnostic]) -> Matrix | None:
        """The cells of a matrix; None where it has errors, which are added to `problems`."""
        if self._left < 0 or self._combinations_left < 0:
            return None
        if id(written) not in self._read:
            self._combinations_left -= min(_number_of_combinations(written), MAX_COMBINATIONS)
            if self._combinations_left < 0:
                problems.append(_too_many_in_all(written.position(), MAX_COMBINATIONS_OF_A_FILE, "combinations"))
                return None
            self._read[id(written)] = read_matrix(written, problems)
        matrix = self._read[id(written)]
        self._left -= len(matrix.cells) if matrix else 0
        if self._left < 0:
            problems.append(too_many_in_all(written.position()))
            return None
        return matrix


def too_many_in_all(position: Position) -> Diagnostic:
    """The matrices of a file together make too many cells; `position`: of the one that was too much."""
    return _too_many_in_all(position, MAX_CELLS_OF_A_FILE, "cells")


def _too_many_in_all(position: Position, limit: int, what: str) -> Diagnostic:
    message = f"the matrices of this file make more than {limit:,} {what}"
    return Diagnostic("DSJ109", message, position, "use fewer values")


def _lists(written: MarkedMap) -> dict[str, MarkedList]:
    return {key: values for key, values in written.items() if key not in ("include", "exclude")}


def _number_of_combinations(written: MarkedMap) -> int:
    return math.prod(map(len, _lists(written).values()))


def read_matrix(written: MarkedMap, problems: list[Diagnostic]) -> Matrix | None:
    """The cells of a matrix; None where it has errors, which are added to `problems`."""
    found = [*_unusable_values(written), *_wrong_excludes(written)]
    lists, total = _lists(written), _number_of_combinations(written)
    if total > MAX_COMBINATIONS:
        found.append(_too_many(written, total, MAX_COMBINATIONS, "combinations"))
    problems += found
    if any(problem.is_error for problem in found):
        return None
    texts = Texts()
    cells = combinations(lists, written.get("exclude", ()), texts)
    entries = written.get("include", MarkedList())
    added = additions(cells, lists, entries, texts) if len(cells) <= MAX_CELLS else Additions()
    number, values = len(cells) + len(added.cells), len(cells) * len(lists) + added.size
    refused = [_repeated(entries, index) for index in added.repeated]
    if not number and not written.lost:
        hint = "exclude less, or leave the matrix out"
        refused.append(Diagnostic("DSJ109", "the matrix has no cells", written.position(), hint))
    elif number > MAX_CELLS:
        refused.append(_too_many(written, number, MAX_CELLS, "cells"))
    elif values > MAX_VALUES:
        refused.append(_too_many(written, values, MAX_VALUES, "values in all of its cells"))
    problems += refused
    if not number or refused:
        return None
    change(cells, added.changes)
    return _matrix(cells, added.cells, lists, texts)


def _repeated(entries: MarkedList, index: int) -> Diagnostic:
    return Diagnostic("DSJ109", "'include' adds this cell twice", entries.item_position(index), "remove one of them")


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
    keys = list(_lists(written))
    known = {key: frozenset(map(identity, written[key])) for key in keys}
    hints = {key: Suggestions([_shown(value) for value in written[key]]) for key in keys}
    key_hints = Suggestions(keys)
    for entry in written.get("exclude", ()):
        for key, value in entry.items():
            if key not in keys:
                message = f"'exclude' names '{key}', which is not a key of the matrix"
                hint = key_hints.hint(key) or "it takes away combinations of the matrix's lists"
                yield Diagnostic("DSJ104", message, entry.key_position(key), hint)
            elif identity(value) not in known[key]:
                message = f"this excludes nothing: '{key}' is never {_shown(value)}"
                near = hints[key].hint(_shown(value))
                yield Diagnostic("DSJ109", message, entry.value_position(key), near, "warning")


def _shown(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else shown[:57] + "…"


def _matrix(combined: Sequence[Values], added: Sequence[Values], lists: Mapping[str, Any], texts: Texts) -> Matrix:
    cells = [*combined, *added]
    named = [*({key: cell[key] for key in lists} for cell in combined), *added]
    keys = frozenset(key for cell in cells for key in cell)
    return Matrix(
        cells=tuple(
            Cell(label, cell, {key: texts.identity(value) for key, value in cell.items()})
            for label, cell in zip(_labels(named, texts), cells, strict=True)
        ),
        naming=frozenset(lists) or keys,
        keys=keys,
    )


def _labels(cells: Sequence[Values], texts: Texts) -> list[str]:
    """`seed=1,model=b` for each cell: unique, and safe as a part of a file's name."""
    ambiguous = _ambiguous(cells, texts)
    for digits in (6, 16, 64):
        parts: dict[tuple[str, str], str] = {}
        labels = [_label(cell, ambiguous, digits, texts, parts) for cell in cells]
        if len(set(labels)) == len(labels):
            break
    return labels


def _ambiguous(cells: Iterable[Values], texts: Texts) -> frozenset[tuple[str, str]]:
    """Keys with texts that two different values of the key have, such as 1 and "1"."""
    first: dict[tuple[str, str], str] = {}
    found = set()
    for cell in cells:
        for key, value in cell.items():
            name, own = (key, texts.text(value)), texts.identity(value)
            if first.setdefault(name, own) != own:
                found.add(name)
    return frozenset(found)


def _label(
    cell: Values, ambiguous: frozenset[tuple[str, str]], digits: int, texts: Texts, parts: dict[tuple[str, str], str]
) -> str:
    """`parts` has what a value is shortened to, by key and identity: the cells of a matrix share their values."""
    shown = []
    for key, value in cell.items():
        own = texts.identity(value)
        part = parts.get((key, own))
        if part is None:
            text = texts.text(value)
            is_plain = _PLAIN.fullmatch(text) and (key, text) not in ambiguous
            part = parts[key, own] = f"{key}={text if is_plain else _shortened(text, 24, own, digits)}"
        shown.append(part)
    label = ",".join(shown)
    if len(label.encode()) <= MAX_LABEL:
        return label
    return _shortened(label, MAX_LABEL - digits - 1, _whole(cell, texts), digits, unsafe=_UNSAFE_IN_LABEL)


def _whole(cell: Values, texts: Texts) -> str:
    """What tells a cell from another one; of long values their digests, which are made once for all cells."""
    if sum(len(texts.identity(value)) for value in cell.values()) <= MAX_VALUE:
        return identity(cell)
    return json.dumps({key: texts.digest(value) for key, value in sorted(cell.items())})


_PLAIN = re.compile(r"[\w.+-]{1,32}")
_UNSAFE = re.compile(r"[^\w.+-]+")
_UNSAFE_IN_LABEL = re.compile(r"[^\w.+=,~-]+")


def _shortened(text: str, size_bytes: int, whole: str, digits: int, *, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    """The safe beginning of a text, and a digest of what it stands for."""
    digest = hashlib.sha256(whole.encode()).hexdigest()[:digits]
    safe = unsafe.sub("-", text).encode()[:size_bytes].decode(errors="ignore").strip("-,")
    return f"{safe}~{digest}"
