"""Durations as people write them: `90s`, `15m`, `2h30m`. The schema has the same pattern; here they become seconds."""

from __future__ import annotations

import re
from typing import Any

LONGEST = 366 * 86_400.0
"""Seconds of the longest duration: more is a slip of the keyboard."""

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_DURATION = re.compile(r"(?=.)" + "".join(rf"(?:(?P<{unit}>{_NUMBER}){unit})?" for unit in _UNITS))
_PART = re.compile(rf"({_NUMBER})\s*([a-z]+)")
_SPELT_OUT = {
    "s": "s sec secs second seconds", "m": "m min mins minute minutes", "h": "h hr hrs hour hours", "d": "d day days",
}  # fmt: skip
_UNIT_OF = {word: unit for unit, words in _SPELT_OUT.items() for word in words.split()}


class DurationError(ValueError):
    """A text that is no duration; `hint` says what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def seconds(text: str) -> float:
    """The seconds of a duration. Raises DurationError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise DurationError(f"'{text[:60]}' is not a duration", duration_hint(text))
    total = sum(float(number) * _UNITS[unit] for unit, number in match.groupdict().items() if number)
    if total > LONGEST:
        raise DurationError(f"'{text}' is longer than a year", "write less")
    return total


def duration_hint(value: Any) -> str:
    """What to write instead of `value`, which is not a duration."""
    meant = _meant(str(value).strip().lower()) if isinstance(value, str | int | float) else None
    return f"did you mean {meant}?" if meant else "a duration is a number with a unit, such as 90s, 15m or 2h30m"


def _meant(text: str) -> str | None:
    if re.fullmatch(_NUMBER, text):
        return f"{text}s"
    parts = _PART.findall(text)
    if not parts or re.sub(r"[\s,]+|\band\b", "", _PART.sub("", text)):
        return None
    amounts = {_UNIT_OF.get(word): number for number, word in parts}
    if None in amounts or len(amounts) < len(parts):
        return None
    return "".join(f"{amounts[unit]}{unit}" for unit in _UNITS if unit in amounts)


def written(duration: float) -> str:
    """A duration in the shape in which it is read; exact to the millisecond."""
    left = round(duration, 3)
    parts = []
    for unit, size in _UNITS.items():
        amount = left if unit == "s" else left // size
        left = round(left - amount * size, 3)
        if amount:
            parts.append(f"{amount:.3f}".rstrip("0").rstrip(".") + unit)
    return "".join(parts) or "0s"
