"""The fields of a JSON message, as the service's JSON transcoder reads them; whatever is wrong is collected."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from dsjobs.server.errors import ApiError, Code, Violation, bad_request


class Fields:
    """The fields of one message by their camelCase names, and what is wrong with them."""

    def __init__(self, raw: bytes, names: Sequence[str], *, strict: bool) -> None:
        self.violations: list[Violation] = []
        self._strict = strict
        self._values: dict[str, Any] = {}
        known = {spelling: name for name in names for spelling in (name, _snake(name))}
        for key, value in _json_object(raw).items():
            name = known.get(key)
            if name is None:
                if strict:
                    self.refuse(key, "unknown field")
            elif name in self._values:
                self.refuse(name, "is set twice")
            else:
                self._values[name] = value

    def refuse(self, field: str, description: str) -> None:
        self.violations.append(Violation(field, description))

    def finish(self) -> None:
        """Raises ApiError when anything was refused."""
        if self.violations:
            raise bad_request(self.violations)

    def text(self, name: str, limit: int | None = None) -> str | None:
        """A string, or None where it is not set."""
        value = self._value(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse(name, f"must be a string, not {_type(value)}")
            return None
        problem = "has half of a surrogate pair" if has_surrogate(value) else None
        if limit is not None and len(value) > limit:
            problem = f"must be at most {limit} characters long; it has {len(value)}"
        if problem:
            self.refuse(name, problem)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, each kept once."""
        value = self._value(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.refuse(name, f"must be an array of strings, not {_type(value)}")
            return ()
        for index, item in enumerate(value):
            if not isinstance(item, str):
                self.refuse(f"{name}[{index}]", f"must be a string, not {_type(item)}")
            elif has_surrogate(item):
                self.refuse(f"{name}[{index}]", "has half of a surrogate pair")
        return tuple(dict.fromkeys(item for item in value if isinstance(item, str)))

    def mapping(self, name: str) -> Mapping[str, Any]:
        """An object."""
        value = self._value(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(name, f"must be an object, not {_type(value)}")
            return {}
        return value

    def _value(self, name: str) -> Any:
        """The value; None where it is not set. For the transcoder null is the same, for the page it is a wrong type."""
        if self._strict and name in self._values and self._values[name] is None:
            self.refuse(name, "must not be null")
        return self._values.get(name)


def _json_object(raw: bytes) -> dict[str, Any]:
    """The body as an object; no body at all is an empty one."""
    if not raw.strip():
        return {}
    try:
        data = json.loads(raw.decode(), parse_constant=_not_json, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(Code.INVALID_ARGUMENT, f"The body is not JSON: {reason}") from None
    if not isinstance(data, dict):
        raise ApiError(Code.INVALID_ARGUMENT, f"The body must be a JSON object, not {_type(data)}")
    return data


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name!r} is there twice")
        found[name] = value
    return found


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _type(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
