"""The one rule by which values become text: what a notebook gets as an environment variable.

The service does not document how it writes numbers (Project.Execute, inputVariables), so dsjobs sends text only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def encode(value: Any) -> str:
    """Text of a value: strings as they are, `true`/`false`, integers without a point, floats in the shortest form that
    reads back, lists and mappings as compact JSON.

    Raises ValueError for null, NaN, infinities, NUL characters and anything that is not JSON.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a text with a NUL character cannot be an environment variable")
        return value
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
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        is_float = "float" in str(error)
        raise ValueError(
            "NaN and infinities are not numbers that can be sent" if is_float else _TOO_MANY_DIGITS
        ) from None
    except TypeError as error:
        raise ValueError(f"this value is not JSON: {error}") from None
