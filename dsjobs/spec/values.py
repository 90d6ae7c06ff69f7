"""The one rule by which values become text: what a notebook gets as an environment variable; and what is no value, because JSON
does not have it.

The service does not document how it writes numbers (Project.Execute, inputVariables), so dsjobs sends text only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

FINITE = "write a finite number; what is meant as text is quoted"
"""What to do about a number that JSON does not have."""


def not_json(value: Any) -> tuple[tuple[str | int, ...], str] | None:
    """The path to the first part of a value that JSON does not have, and what is wrong with it; None where there is none.

    Plans, journals and manifests are JSON (RFC 8259): its numbers are finite, and its texts are Unicode.
    """
    if isinstance(value, float):
        return None if math.isfinite(value) else ((), f"{value} is not a number in JSON")
    if isinstance(value, str):
        return ((), "a text has half of a surrogate pair") if is_halved(value) else None
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found = not_json(item)
        if found is not None:
            return (key, *found[0]), found[1]
    return None


def is_halved(text: str) -> bool:
    """Whether a text has half of a surrogate pair: it is no Unicode, but may be what bytes that are not UTF-8 became."""
    return not text.isascii() and _HALF.search(text) is not None


_HALF = re.compile("[\ud800-\udfff]")


def encode(value: Any) -> str:
    """Text of a value: strings as they are, `true`/`false`, integers without a point, floats in the shortest form that
    reads back, lists and mappings as compact JSON.

    Raises ValueError for null, NaN, infinities, NUL characters, halves of surrogate pairs and anything that is not JSON.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a text with a NUL character cannot be an environment variable")
        return _whole(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _float(value)
    if value is None:
        raise ValueError("null has no text: leave the input out, or give it a value")
    if isinstance(value, Mapping | list | tuple):
        return _compact(value)
    raise ValueError(f"a value of type {type(value).__name__} cannot be sent")


def _whole(text: str) -> str:
    if is_halved(text):
        raise ValueError("a text with half of a surrogate pair cannot be sent")
    return text


def _integer(value: int) -> str:
    try:
        return str(value)
    except ValueError:
        raise ValueError(_TOO_MANY_DIGITS) from None


_TOO_MANY_DIGITS = "a number has too many digits"


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    raise ValueError(f"{value} is not a number that can be sent")


def _compact(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        is_float = "float" in str(error)
        raise ValueError(
            "NaN and infinities are not numbers that can be sent" if is_float else _TOO_MANY_DIGITS
        ) from None
    except TypeError as error:
        raise ValueError(f"this value is not JSON: {error}") from None
    return _whole(text)
