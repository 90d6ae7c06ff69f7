"""JSON Schema's regular expressions are ECMA-262's, in which `$` is the end of the text; in Python it also stands before a last
line break, so a name with one would pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any


@lru_cache(maxsize=1024)
def ecma(pattern: str) -> re.Pattern[str]:
    """A pattern of JSON Schema, compiled."""
    return re.compile(re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]|\$", _end, pattern, flags=re.DOTALL))


def _end(match: re.Match[str]) -> str:
    return r"\Z" if match[0] == "$" else match[0]


@cache
def validator_class() -> Any:
    """jsonschema's validator for draft 2020-12 with these patterns. Loads jsonschema, which takes a tenth of a second."""
    import jsonschema

    extend: Any = jsonschema.validators.extend  # it has no types
    return extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if validator.is_type(instance, "string") and not ecma(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")
