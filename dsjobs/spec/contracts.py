"""JSON Schemas that users write: contracts of outputs and the constraints of variables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dsjobs.diagnostics import did_you_mean
from dsjobs.spec.automaton import UnsupportedError
from dsjobs.spec.patterns import TooMuchError, errors_of, finder, is_quick, validator_class
from dsjobs.spec.precheck import Check, compile_check
from dsjobs.spec.values import FINITE, not_json

KEYWORDS = frozenset(
    (
        "$schema $ref $defs $comment type enum const title description default examples deprecated format "
        "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern "
        "items prefixItems contains minContains maxContains minItems maxItems uniqueItems unevaluatedItems "
        "properties patternProperties additionalProperties propertyNames required minProperties maxProperties "
        "dependentRequired dependentSchemas unevaluatedProperties allOf anyOf oneOf not if then else"
    ).split()
)
"""The vocabulary of draft 2020-12. JSON Schema ignores other words; a contract with one checks less than its author thinks."""


def schema_of(contract: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON Schema in a contract: everything but `severity`, which says what it means to break it."""
    if "severity" not in contract:
        return contract
    return {key: part for key, part in contract.items() if key != "severity"}


def only_warns(contract: Mapping[str, Any]) -> bool:
    """Whether an output that breaks `contract` is no failure."""
    return contract.get("severity") == "warn"


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """Why a schema is not usable: the path to the place in it, whether the key there is meant or its value, and the words."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None
    is_key: bool = False


def schema_problem(schema: Mapping[str, Any]) -> SchemaProblem | None:
    """The first reason why `schema` is not a usable JSON Schema; None when it is one."""
    return None if _is_simple(schema) else _infinite(schema) or _problem(json.dumps(schema))


def _infinite(schema: Mapping[str, Any]) -> SchemaProblem | None:
    found = not_json(schema)
    return None if found is None else SchemaProblem(found[0], found[1], FINITE)


@lru_cache(maxsize=1024)
def _problem(text: str) -> SchemaProblem | None:
    # Many jobs have the same contract, and jsonschema takes a millisecond for each.
    schema = json.loads(text)
    return (
        _unknown_keyword(schema, ()) or _pattern_problem(schema) or _meta_problem(schema) or _reference_problem(schema)
    )


def violations(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[str, str]]:
    """What in `value` breaks `schema`: where (`$` is the value itself, `$.rows[2]` a part of it), and how."""
    text = json.dumps(schema, sort_keys=True)
    if _fast_check(text)(value):
        return
    try:
        for error in errors_of(_validator(text), value):
            yield error.json_path, _message(error)
    except RecursionError:
        yield "$", "cannot be checked: the schema, or the value, is nested without end"
    except TooMuchError:
        yield "$", "cannot be checked: the schema's references lead to each other too often"


_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_json(value)


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(finder(value))
    except (re.error, RecursionError, OverflowError, UnsupportedError):
        return False


def _is_scalars(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str | int | float) for item in value) and _is_json(value)


def _is_json(value: Any) -> bool:
    return not_json(value) is None


# Keywords that are seen to be right at a glance. jsonschema takes a tenth of a second to load, in the executor's loop as
# well, and most schemas need no more than these.
_SIMPLE: dict[str, Callable[[Any], bool]] = {
    "type": lambda value: isinstance(value, str) and value in _TYPES,
    "enum": _is_scalars,
    "pattern": _is_pattern,
    "title": lambda value: isinstance(value, str),
    "description": lambda value: isinstance(value, str),
    "default": _is_json,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems"), _is_size),
}


def _is_simple(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is valid at a glance."""
    return all(key in _SIMPLE and _SIMPLE[key](value) for key, value in schema.items())


@lru_cache(maxsize=1024)
def _fast_check(text: str) -> Check:
    """Whether a value surely satisfies the schema in `text`; never true where jsonschema has to say."""
    schema = json.loads(text)
    return compile_check(schema) if _is_simple(schema) else lambda value: False


# Where a schema has other schemas: as the value, as the items of a list, as the values of a mapping.
_INNER = frozenset(
    "items contains unevaluatedItems additionalProperties propertyNames unevaluatedProperties not if then else".split()
)
_INNER_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_INNER_MAPPINGS = frozenset({"$defs", "properties", "patternProperties", "dependentSchemas"})

_OF_SEVERAL_DOCUMENTS = frozenset({"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary"})

Path = tuple[str | int, ...]


def _subschemas(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for key, value in schema.items():
        inner: Iterable[tuple[Path, Any]] = ()
        if key in _INNER:
            inner = [((key,), value)]
        elif key in _INNER_LISTS and isinstance(value, list):
            inner = [((key, index), item) for index, item in enumerate(value)]
        elif key in _INNER_MAPPINGS and isinstance(value, Mapping):
            inner = [((key, name), item) for name, item in value.items()]
        yield from ((path, item) for path, item in inner if isinstance(item, Mapping))


def _unknown_keyword(schema: Mapping[str, Any], path: Path) -> SchemaProblem | None:
    for key in schema:
        if key in _OF_SEVERAL_DOCUMENTS:
            message = f"'{key}' cannot be used here"
            return SchemaProblem((*path, key), message, "a schema here stands alone", is_key=True)
        if key not in KEYWORDS and not key.startswith("x-"):
            message = f"'{key}' is not a keyword of JSON Schema"
            return SchemaProblem((*path, key), message, did_you_mean(key, KEYWORDS), is_key=True)
    inner = (_unknown_keyword(item, (*path, *step)) for step, item in _subschemas(schema))
    return next((problem for problem in inner if problem), None)


def _meta_problem(schema: Mapping[str, Any]) -> SchemaProblem | None:
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        path = tuple(error.absolute_path)
        where = next((key for key in reversed(path) if isinstance(key, str)), "this")
        if where == "type":
            kinds = error.instance if isinstance(error.instance, list) else [error.instance]
            wrong = next((kind for kind in kinds if kind not in _TYPES), error.instance)
            hint = did_you_mean(str(wrong), _TYPES)
            return SchemaProblem(path, f"{_shown(wrong)} is not a type of JSON Schema", hint)
        return SchemaProblem(path, f"'{where}': {_shown(error.instance)} {_expected(error)}")
    return None


def _expected(error: Any) -> str:
    """What a keyword of JSON Schema takes, in words."""
    if error.validator == "type":
        kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        return "is not " + " or ".join(_TYPE_WORDS[kind] for kind in kinds)
    if error.validator == "format":
        return f"is not a valid {error.validator_value}"
    return "is not valid in a JSON Schema"


_TYPE_WORDS = {
    "string": "a text", "number": "a number", "integer": "a whole number", "boolean": "true or false",
    "array": "a list", "object": "a mapping", "null": "null",
}  # fmt: skip


def _reference_problem(schema: Mapping[str, Any]) -> SchemaProblem | None:
    """A `$ref` that leads out of the schema, to nothing, or in a circle. Nothing is ever fetched."""
    ending: set[int] = set()
    for path, part in _all_subschemas(schema, ()):
        seen, ids = [part], {id(part)}
        while "$ref" in seen[-1] and id(seen[-1]) not in ending:
            reference = seen[-1]["$ref"]
            target = _target(schema, reference)
            if target is None:
                message = f"'$ref': {_shown(reference)} is not in this schema"
                return SchemaProblem((*path, "$ref"), message, "write '#/$defs/NAME', and the schema under $defs")
            if id(target) in ids:
                return SchemaProblem((*path, "$ref"), f"'$ref': {_shown(reference)} leads back to itself")
            seen.append(target)
            ids.add(id(target))
        ending |= ids
    return None


def _pattern_problem(schema: Mapping[str, Any]) -> SchemaProblem | None:
    """A pattern that could take for ever to try."""
    for path, part in _all_subschemas(schema, ()):
        of_keys = part.get("patternProperties")
        places: list[Path] = [(*path, "pattern")] if isinstance(part.get("pattern"), str) else []
        places += [(*path, "patternProperties", name) for name in of_keys] if isinstance(of_keys, Mapping) else []
        for place in places:
            is_of_keys = place[-2:-1] == ("patternProperties",)
            pattern = str(place[-1] if is_of_keys else part["pattern"])
            if _is_slow(pattern, is_of_keys=is_of_keys):
                message = f"the pattern {_shown(pattern)} could take for ever"
                return SchemaProblem(
                    place, message, "write it without a repetition inside of another", is_key=is_of_keys
                )
    return None


def _is_slow(pattern: str, *, is_of_keys: bool) -> bool:
    """Whether trying a pattern could take too long. jsonschema tries those of keys by itself."""
    try:
        finder(pattern)
        return is_of_keys and not is_quick(pattern)
    except (UnsupportedError, RecursionError, OverflowError):
        return True
    except re.error:
        return False  # the meta-schema says so


def _all_subschemas(schema: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    yield path, schema
    for step, inner in _subschemas(schema):
        yield from _all_subschemas(inner, (*path, *step))


def _target(schema: Mapping[str, Any], reference: str) -> Mapping[str, Any] | None:
    """The schema in `schema` that a JSON pointer names."""
    head, *steps = reference.split("/")
    target: Any = schema if head == "#" else None
    for step in steps:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
            target = target[int(key)]
        else:
            target = target.get(key) if isinstance(target, Mapping) else None
    return target if isinstance(target, Mapping) else None


@lru_cache(maxsize=1024)
def _validator(schema: str) -> Any:
    from referencing.jsonschema import EMPTY_REGISTRY

    # jsonschema's own registry would ask the network, or read a file, for an address that it does not know.
    return validator_class()(json.loads(schema), registry=EMPTY_REGISTRY)


_LIMITS = {
    "minimum": "is less than the minimum {}", "maximum": "is more than the maximum {}",
    "exclusiveMinimum": "is not more than {}", "exclusiveMaximum": "is not less than {}",
    "minLength": "is shorter than {} characters", "maxLength": "is longer than {} characters",
    "minItems": "has fewer than {} items", "maxItems": "has more than {} items", "pattern": "does not match {}",
}  # fmt: skip


def _shown(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else shown[:57] + "…"


def _message(error: Any) -> str:
    shown = _shown(error.instance)
    if error.validator == "type":
        expected = error.validator_value
        words = expected if isinstance(expected, str) else " or ".join(expected)
        return f"{shown} is not of type {words}"
    if error.validator == "enum":
        return f"{shown} is not one of " + ", ".join(
            json.dumps(value, ensure_ascii=False) for value in error.validator_value
        )
    if error.validator in _LIMITS:
        return f"{shown} {_LIMITS[error.validator].format(error.validator_value)}"
    message: str = error.message
    return message if len(message) <= 200 else message[:197] + "…"
