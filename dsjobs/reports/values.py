"""Two JSON values side by side: whether they are the same, where they differ, and both in short."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

ABSENT: Final = object()
"""In place of a value where there is none."""

Same = Callable[[Any, Any], bool]
"""Whether two values that hold no others are the same."""

WIDTH = 60
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Difference:
    """A place, as a JSON path, with what is there before and after; `ABSENT` where there is nothing."""

    path: str
    before: Any
    after: Any


def same(before: Any, after: Any) -> bool:
    """Whether two values without others inside are the same in JSON: 1 and 1.0 are, 1 and true are not."""
    if is_number(before) and is_number(after):
        return bool(before == after)
    return type(before) is type(after) and bool(before == after)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def differences(before: Any, after: Any, same: Same = same) -> Iterator[Difference]:
    """Where two JSON values differ, in their order. What only one of them has is one difference."""
    todo = [("$", before, after)]
    while todo:
        path, one, other = todo.pop()
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            keys = [*one, *(key for key in other if key not in one)]
            inner = [(path + _step(key), one.get(key, ABSENT), other.get(key, ABSENT)) for key in keys]
        elif isinstance(one, list) and isinstance(other, list):
            inner = [(f"{path}[{index}]", *pair) for index, pair in enumerate(_pairs(one, other))]
        else:
            if not same(one, other):
                yield Difference(path, one, other)
            continue
        todo += reversed(inner)


def _step(key: str) -> str:
    return f".{key}" if _NAME.fullmatch(key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def _pairs(one: list[Any], other: list[Any]) -> Iterator[tuple[Any, Any]]:
    for index in range(max(len(one), len(other))):
        yield one[index] if index < len(one) else ABSENT, other[index] if index < len(other) else ABSENT


def short(value: Any, around: int = 0) -> str:
    """A value in at most `WIDTH` characters, a long text from shortly before its character `around`."""
    if value is ABSENT:
        return "(none)"
    if not isinstance(value, str):
        return _cut(json.dumps(value, ensure_ascii=False), WIDTH)
    start = max(0, around - WIDTH // 3) if len(value) > WIDTH else 0
    shown = json.dumps(value[start : start + WIDTH + 1], ensure_ascii=False)
    return ("…" if start else "") + _cut(shown, WIDTH)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def change(before: Any, after: Any) -> str:
    """Both values in short; of long texts the part where they differ."""
    around = 0
    if isinstance(before, str) and isinstance(after, str):
        pairs = zip(before, after, strict=False)
        around = next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(before), len(after)))
    return f"{short(before, around)} → {short(after, around)}"


def changes(found: list[Difference]) -> str:
    """The first of some differences with its place, and how many there are."""
    first = found[0]
    place = "" if first.path == "$" else f"{first.path}: "
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{place}{change(first.before, first.after)}{more}"


def same_but_for(own_before: tuple[str, ...], own_after: tuple[str, ...]) -> Same:
    """As `same`, where texts count as the same if they differ only by words that each of two runs has of its own, e.g. its ID."""

    def is_same(before: Any, after: Any) -> bool:
        if isinstance(before, str) and isinstance(after, str):
            return before == after or _neutral(before, own_before) == _neutral(after, own_after)
        return same(before, after)

    return is_same


def _neutral(text: str, own: tuple[str, ...]) -> str:
    for word in own:
        text = text.replace(word, "\0")
    return text


def own_words(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Texts that differ from run to run and say nothing: the run's ID and beginning, and the IDs of runs that it took from."""
    run = manifest["run"]
    taken = {job["reused_from"] for job in manifest["jobs"] if job["reused_from"]}
    return (run["id"], run["started_at"], *sorted(taken))
