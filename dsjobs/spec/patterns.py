"""JSON Schema's regular expressions are ECMA-262's, in which `$` is the end of the text; in Python it also stands before a last
line break, so a name with one would pass. And a pattern from a file must not take for ever (`automaton.py`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

from dsjobs.spec.automaton import Automaton, UnsupportedError, parsed

SHORT = 200
"""Characters of a text on which a pattern with one or two repetitions is tried by Python's own `re`."""

REFERENCES, REFERENCES_OF_A_VALUE = 1_000, 20
"""How many `$ref` are followed while a value is checked, and how many more for each value in it: a few that name each other twice
make millions."""


class TooMuchError(Exception):
    """A schema would take too long to check a value."""


@lru_cache(maxsize=1024)
def ecma(pattern: str) -> re.Pattern[str]:
    """A pattern of JSON Schema, compiled."""
    return re.compile(_with_ends(pattern))


def _with_ends(pattern: str) -> str:
    return re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]|\$", _end, pattern, flags=re.DOTALL)


def _end(match: re.Match[str]) -> str:
    return r"\Z" if match[0] == "$" else match[0]


@lru_cache(maxsize=1024)
def finder(pattern: str) -> Callable[[str], bool]:
    """Says whether a pattern of JSON Schema is found in a text, in a time that does not explode. Raises re.error for what is no
    pattern, UnsupportedError for one that cannot be tried in such a time."""
    search = ecma(pattern).search
    endless, is_nested, is_anchored = _shape(pattern)

    def quick(text: str) -> bool:
        return search(text) is not None

    if not is_nested and endless <= is_anchored:
        return quick
    try:
        found = Automaton(_with_ends(pattern)).finds
    except UnsupportedError:
        if is_quick(pattern):
            return quick
        raise
    return found if not is_quick(pattern) else lambda text: quick(text) if len(text) <= SHORT else found(text)


def is_quick(pattern: str) -> bool:
    """Whether Python's own `re` tries a pattern on a short text in no time."""
    endless, is_nested, _ = _shape(pattern)
    return not is_nested and endless <= 2


@lru_cache(maxsize=1024)
def _shape(pattern: str) -> tuple[int, bool, bool]:
    """How many repetitions without an end there are, whether one is inside of another, and whether it begins with the text."""
    tree = parsed(_with_ends(pattern))
    is_anchored = bool(len(tree)) and str(tree[0][1]) in ("AT_BEGINNING", "AT_BEGINNING_STRING")
    return (*_repetitions(tree, inside=False), is_anchored)


def _repetitions(items: Any, *, inside: bool) -> tuple[int, bool]:
    """Of what stands `inside` a repetition or not: how many have no end, and whether one, or a choice, is inside of another."""
    endless, is_nested = 0, False
    for operation, argument in items:
        repeats = inside
        if str(operation).endswith("REPEAT"):
            least, most, _ = argument
            is_nested = is_nested or (inside and least != most)
            endless += str(most) == "MAXREPEAT" or int(most) > SHORT
            repeats = inside or most != 1
        is_nested = is_nested or (inside and str(operation) in ("BRANCH", "GROUPREF_EXISTS"))
        for body in _bodies(str(operation), argument):
            more, deeper = _repetitions(body, inside=repeats)
            endless, is_nested = endless + more, is_nested or deeper
    return endless, is_nested


def _bodies(operation: str, argument: Any) -> list[Any]:
    """What is inside of an operation of Python's parser."""
    if operation == "BRANCH":
        return list(argument[1])
    if operation == "GROUPREF_EXISTS":
        return [body for body in argument[1:] if body is not None]
    if operation.endswith("REPEAT") or operation in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        return [argument[-1]]
    return [argument] if operation == "ATOMIC_GROUP" else []


def canonical(value: Any) -> str:
    """A text that is the same for values that are the same for JSON Schema: 1 is 1.0, and true is neither."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@cache
def validator_class() -> Any:
    """jsonschema's validator for draft 2020-12 with these patterns. Loads jsonschema, which takes a tenth of a second."""
    import jsonschema

    extend: Any = jsonschema.validators.extend  # it has no types
    own = {"pattern": _pattern, "uniqueItems": _unique, "$ref": _reference}
    return extend(jsonschema.Draft202012Validator, own)


def errors_of(validator: Any, value: Any) -> list[Any]:
    """What a schema that a user has written finds wrong with `value`. Raises TooMuchError where that would take too long."""
    token = _LEFT.set([REFERENCES + REFERENCES_OF_A_VALUE * _size(value)])
    try:
        return list(validator.iter_errors(value))
    finally:
        _LEFT.reset(token)


_LEFT: ContextVar[list[int] | None] = ContextVar("left", default=None)


def _size(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inner))


def _reference(validator: Any, target: str, instance: Any, schema: Any) -> Iterator[Any]:
    import jsonschema

    left = _LEFT.get()
    if left is not None:
        left[0] -= 1
        if left[0] < 0:
            raise TooMuchError
    yield from jsonschema.Draft202012Validator.VALIDATORS["$ref"](validator, target, instance, schema)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if validator.is_type(instance, "string") and not finder(pattern)(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _unique(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if wanted and validator.is_type(instance, "array") and len({canonical(item) for item in instance}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")
