"""A fast yes from the JSON Schema itself: compiled into closures, it tells the files that are surely valid.

The schema stays the one source of truth: `compile_check` reads it, refuses a keyword that it does not know, and a property
test holds that whatever it accepts jsonschema accepts too. Where it says no, jsonschema decides and explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dsjobs.spec.patterns import finder

Check = Callable[[Any], bool]
Schema = Mapping[str, Any]


def compile_check(schema: Schema, definitions: Mapping[str, Schema] | None = None) -> Check:
    """A predicate that is true only for values that satisfy `schema` (draft 2020-12, the keywords below).

    `definitions`: the targets of `#/$defs/NAME`; by default those of `schema`. Raises ValueError for other keywords.
    """
    return _compile(schema, definitions if definitions is not None else schema.get("$defs", {}), {})


_ANNOTATIONS = frozenset(
    {"$schema", "$id", "$defs", "$comment", "title", "description", "examples", "default", "deprecated", "errorMessage"}
)

_TYPES: dict[str, Check] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: value is True or value is False,
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) is int or type(value) is float,
}


def _compile(schema: Schema, definitions: Mapping[str, Schema], compiled: dict[str, Check]) -> Check:
    checks = [
        _compiler(keyword)(argument, schema, lambda inner: _compile(inner, definitions, compiled))
        for keyword, argument in schema.items()
        if keyword not in _ANNOTATIONS and keyword != "$ref" and _WITH_ANOTHER.get(keyword) not in schema
    ]
    if "$ref" in schema:
        checks.append(_reference(schema["$ref"], definitions, compiled))
    return _all(checks)


# What is looked at together with another keyword, where that is there.
_WITH_ANOTHER = {"properties": "additionalProperties", "then": "if"}


def _compiler(keyword: str) -> _Compiler:
    if keyword not in _COMPILERS:
        raise ValueError(f"the fast check does not know the keyword '{keyword}'")
    return _COMPILERS[keyword]


def _reference(pointer: str, definitions: Mapping[str, Schema], compiled: dict[str, Check]) -> Check:
    name = pointer.removeprefix("#/$defs/")
    if name not in compiled:
        compiled[name] = _compile(definitions[name], definitions, compiled)
    return compiled[name]


def _all(checks: list[Check]) -> Check:
    if not checks:
        return lambda value: True
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        one, two = checks
        return lambda value: one(value) and two(value)

    def check(value: Any) -> bool:
        for part in checks:  # noqa: SIM110 - a generator costs twice as much, a million times
            if not part(value):
                return False
        return True

    return check


_Compiler = Callable[[Any, Schema, Callable[[Schema], Check]], Check]


def _type(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    names = [argument] if isinstance(argument, str) else argument
    checks = [_TYPES[name] for name in names]
    if len(checks) == 1:
        return checks[0]
    return lambda value: any(check(value) for check in checks)


def _enum(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    # True == 1 in Python but not in JSON: the type is part of the answer.
    allowed = {(type(value), value) for value in argument}
    return lambda value: isinstance(value, str | int | float | bool) and (type(value), value) in allowed


def _const(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _enum([argument], schema, inner)


def _pattern(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    finds = finder(argument)
    return lambda value: not isinstance(value, str) or finds(value)


def _length(limit: Callable[[int], bool], kind: type[str] | type[list[Any]] | type[dict[str, Any]]) -> Check:
    return lambda value: not isinstance(value, kind) or limit(len(value))


def _min_length(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _length(lambda size: size >= argument, str)


def _max_length(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _length(lambda size: size <= argument, str)


def _min_items(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _length(lambda size: size >= argument, list)


def _max_items(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _length(lambda size: size <= argument, list)


def _max_properties(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _length(lambda size: size <= argument, dict)


def _min_properties(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _length(lambda size: size >= argument, dict)


def _bound(limit: Callable[[Any], bool]) -> Check:
    return lambda value: not isinstance(value, int | float) or isinstance(value, bool) or limit(value)


def _minimum(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _bound(lambda value: value >= argument)


def _maximum(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _bound(lambda value: value <= argument)


def _exclusive_minimum(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _bound(lambda value: value > argument)


def _exclusive_maximum(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _bound(lambda value: value < argument)


def _unique(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    def check(value: Any) -> bool:
        if not argument or not isinstance(value, list) or len(value) < 2:
            return True
        # For JSON, true is another value than 1, and 1.0 is not.
        scalars = {(type(item) is bool, item) for item in value if isinstance(item, str | int | float)}
        return len(scalars) == len(value)

    return check


def _items(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    check_item = inner(argument)
    return lambda value: not isinstance(value, list) or all(map(check_item, value))


def _required(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    names = frozenset(argument)
    return lambda value: not isinstance(value, dict) or names <= value.keys()


def _not(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    # A fast "no" may be wrong, so its negation would be too; only `required`, which is exact, can be negated.
    if set(argument) != {"required"}:
        raise ValueError("the fast check can negate 'required' only")
    check = inner(argument)
    return lambda value: isinstance(value, dict) and not check(value)


def _any_of(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    checks = [inner(one) for one in argument]
    if not checks:
        raise ValueError("the fast check needs something that may be true in 'anyOf'")
    return lambda value: any(check(value) for check in checks)


def _property_names(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    check_name = inner(argument)
    return lambda value: not isinstance(value, dict) or all(map(check_name, value))


def _all_of(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _all([inner(one) for one in argument])


def _if(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    """`then` where one key has one constant. Of any other condition the fast check might say no where it holds."""
    constants = argument.get("properties", {})
    if set(argument) != {"required", "properties"} or list(constants) != argument["required"] or "else" in schema:
        raise ValueError("the fast check knows conditions of one key and its constant only")
    key, constant = next(iter(constants.items()))
    if len(constants) != 1 or set(constant) != {"const"}:
        raise ValueError("the fast check knows conditions of one key and its constant only")
    holds, then = inner(constant), inner(schema["then"])
    return lambda value: not (isinstance(value, dict) and key in value and holds(value[key])) or then(value)


def _properties(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    return _additional(True, schema, inner)


def _additional(argument: Any, schema: Schema, inner: Callable[[Schema], Check]) -> Check:
    """`properties` and `additionalProperties` in one pass over the mapping."""
    known = {name: inner(part) for name, part in schema.get("properties", {}).items()}
    others = None if argument is False else inner({} if argument is True else argument)

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for key, item in value.items():
            part = known.get(key, others)
            if part is None or not part(item):
                return False
        return True

    return check


_COMPILERS: dict[str, _Compiler] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "minLength": _min_length,
    "maxLength": _max_length,
    "minItems": _min_items,
    "maxItems": _max_items,
    "minProperties": _min_properties,
    "maxProperties": _max_properties,
    "minimum": _minimum,
    "maximum": _maximum,
    "exclusiveMinimum": _exclusive_minimum,
    "exclusiveMaximum": _exclusive_maximum,
    "uniqueItems": _unique,
    "items": _items,
    "required": _required,
    "not": _not,
    "anyOf": _any_of,
    "propertyNames": _property_names,
    "additionalProperties": _additional,
    "properties": _properties,
    "allOf": _all_of,
    "if": _if,
}
