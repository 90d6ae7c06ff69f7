"""Faults on purpose, to test clients: which there are, and when they strike. None of them is on unless it is asked for.

`NAME[=VALUE]`. For most, VALUE is a probability; chances are drawn from one seed, and for an operation from the seed and its
ID, so that it keeps its fate. `fault_injection.py` and `FaultyView` below do what is decided here.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dsjobs.diagnostics import did_you_mean
from dsjobs.errors import UsageError

Unit = Literal["probability", "seconds", "count", "digits", "word", "none"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault: what its VALUE means, its value without one, and what it does."""

    unit: Unit
    default: float | str
    help: str


FAULTS: Mapping[str, Kind] = {
    "latency": Kind("seconds", 0.2, "every answer comes up to so much later"),
    "429": Kind("probability", 0.2, "refused with 429, no hint when to come back"),
    "429-retry-after": Kind("probability", 0.2, "the same with a Retry-After header"),
    "429-retry-info": Kind("probability", 0.2, "the same with RetryInfo in the body"),
    "503": Kind("probability", 0.2, "refused with 503, no hint"),
    "503-retry-after": Kind("probability", 0.2, "the same with a Retry-After header"),
    "503-retry-info": Kind("probability", 0.2, "the same with RetryInfo in the body"),
    "text-body": Kind("probability", 0.2, "refused with 503 and a body of plain text"),
    "html-body": Kind("probability", 0.2, "refused with 502 and a page of HTML"),
    "reset": Kind("probability", 0.2, "done as asked, then the connection is reset without an answer"),
    "truncate": Kind("probability", 0.2, "done as asked, but the JSON of the answer ends in the middle"),
    "cut": Kind("probability", 0.2, "done as asked, but the connection closes in the middle of the answer"),
    "not-found": Kind("count", 2, "the first VALUE polls of each operation find nothing"),
    "early-error": Kind("count", 2, "VALUE polls of an operation that failed show `error` before `done`"),
    "never-ends": Kind("probability", 1.0, "an operation stays as it is until it is cancelled"),
    "expiring-tokens": Kind("seconds", 5.0, "IAM tokens live only so long"),
    "poll-interval": Kind("count", 1, "polls are answered with x-operation-poll-interval: VALUE"),
    "fraction-digits": Kind("digits", 0, "timestamps have VALUE digits after the second, 0 to 9"),
    "bare": Kind("none", "", "fields with default values are left out, `done: false` too"),
    "no-result": Kind("none", "", "a done operation has neither error nor response"),
    "status": Kind("word", "missing", "executionStatus is `missing`, `number`, or else the word VALUE"),
    "no-route": Kind("word", "colon-open", "unknown: `colon-open`, `slash-open`, `get-cancel` or `post-cancel`"),
}  # fmt: skip
ROUTES = ("colon-open", "slash-open", "get-cancel", "post-cancel")


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults that are on, by name, and the seed of their chances."""

    values: Mapping[str, float | str] = field(default_factory=dict)
    seed: int = 0

    def __bool__(self) -> bool:
        return bool(self.values)

    def __str__(self) -> str:
        return ", ".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}".rstrip("=")
            for name, value in self.values.items()
        )

    def number(self, name: str) -> float | None:
        """The value of a fault that is a number; None when it is off."""
        value = self.values.get(name)
        return None if value is None else float(value)

    def strikes_operation(self, name: str, operation_id: str) -> bool:
        """Whether this operation is one of those that the fault hits."""
        chance = self.number(name)
        return chance is not None and random.Random(f"{self.seed}/{name}/{operation_id}").random() < chance  # noqa: S311

    def is_missing(self, route: str) -> bool:
        """Whether this route is to be unknown."""
        return self.values.get("no-route") == route


class Chances:
    """Draws, for one request after another, whether a fault strikes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = random.Random(faults.seed)  # noqa: S311 (nothing depends on nobody guessing it)
        self._lock = threading.Lock()

    def strikes(self, name: str) -> bool:
        chance = self._faults.number(name)
        return chance is not None and self.draw() < chance

    def draw(self) -> float:
        """A number from 0 up to 1."""
        with self._lock:
            return self._random.random()


class FaultyView:
    """Changes what a poll says of an operation. Counts the polls of each operation."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._polls: dict[str, int] = {}
        self._finals: dict[str, int] = {}

    def hides(self, operation_id: str) -> bool:
        """Whether this poll finds nothing."""
        hidden = self._faults.number("not-found")
        if hidden is None:
            return False
        count = self._polls[operation_id] = self._polls.get(operation_id, 0) + 1
        return count <= hidden

    def changed(self, operation: dict[str, Any]) -> dict[str, Any]:
        """The Operation message as this poll gives it."""
        faults = self._faults
        changed = dict(operation)
        if changed["done"] and (early := faults.number("early-error")):
            changed = self._early(changed, int(early))
        if changed["done"] and "no-result" in faults.values:
            changed.pop("error", None)
            changed.pop("response", None)
        if "status" in faults.values and "executionStatus" in changed.get("response", {}):
            changed["response"] = _odd_status(changed["response"], str(faults.values["status"]))
        if (digits := faults.number("fraction-digits")) is not None:
            for name in ("createdAt", "modifiedAt"):
                changed[name] = _with_digits(changed[name], int(digits))
        if "bare" in faults.values:
            changed = {name: value for name, value in changed.items() if value not in (False, "")}
        return changed

    def _early(self, operation: dict[str, Any], polls: int) -> dict[str, Any]:
        """`error` without `done`, as long as it is early; only of what failed: of the rest it would be untrue."""
        response = operation.get("response", {})
        if response.get("executionStatus") == "OK" or "projectUrl" in response:
            return operation
        count = self._finals[operation["id"]] = self._finals.get(operation["id"], 0) + 1
        if count > polls:
            return operation
        early = {name: value for name, value in operation.items() if name != "response"}
        failure = {"code": 2, "message": "A failure was detected", "details": []}
        return early | {"done": False, "error": operation.get("error", failure)}


def parse(words: Sequence[str], seed: int) -> Faults:
    """The faults of `--fault NAME[=VALUE]`. Raises UsageError."""
    values: dict[str, float | str] = {}
    for word in words:
        name, _, text = word.partition("=")
        kind = FAULTS.get(name)
        if kind is None:
            hint = did_you_mean(name, FAULTS) or f"there are: {', '.join(FAULTS)}"
            raise UsageError(f"unknown fault '{name}'", hint=hint)
        values[name] = _value(name, kind, text)
    return Faults(values, seed)


def _value(name: str, kind: Kind, text: str) -> float | str:
    if kind.unit in ("none", "word"):
        word = text or str(kind.default)
        if (kind.unit == "none" and text) or (name == "no-route" and word not in ROUTES):
            raise UsageError(f"fault '{name}' does not take the value '{text}'", hint=kind.help)
        return word
    if not text:
        return float(kind.default)
    largest = {"probability": 1.0, "seconds": 3600.0, "count": 1e6, "digits": 9.0}[kind.unit]
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= largest or (kind.unit in ("count", "digits") and not number.is_integer()):
        raise UsageError(f"fault '{name}' takes a number from 0 to {largest:g}, not '{text}'", hint=kind.help)
    return number


def _odd_status(response: Mapping[str, Any], how: str) -> dict[str, Any]:
    rest = {name: value for name, value in response.items() if name != "executionStatus"}
    if how == "missing":
        return rest
    numbers = {"OK": 1, "ERROR": 2, "ABORTED": 3}
    return rest | {"executionStatus": numbers[response["executionStatus"]] if how == "number" else how}


def _with_digits(timestamp: str, digits: int) -> str:
    seconds, _, fraction = timestamp.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction.ljust(9, '0')[:digits]}Z" if digits else f"{seconds}Z"
