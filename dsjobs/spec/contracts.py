"""JSON Schemas that users write: contracts of outputs and the constraints of variables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from dsjobs.diagnostics import did_you_mean

KEYWORDS = frozenset(
    (
        "$schema $id $ref $defs $comment $anchor type enum const title description default examples deprecated format "
        "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern "
        "items prefixItems contains minContains maxContains minItems maxItems uniqueItems unevaluatedItems "
        "properties patternProperties additionalProperties propertyNames required minProperties maxProperties "
        "dependentRequired dependentSchemas unevaluatedProperties allOf anyOf oneOf not if then else"
    ).split()
)
"""The vocabulary of draft 2020-12. JSON Schema ignores other words; a contract with one checks less than its author thinks."""


def schema_problem(schema: Mapping[str, Any]) -> tuple[tuple[str, ...], str, str | None] | None:
    """Why `schema` is not a usable JSON Schema: the path of keys to the place, the message, a hint. None when it is."""
    for key in schema:
        if key not in KEYWORDS and not key.startswith("x-"):
            return (key,), f"'{key}' is not a keyword of JSON Schema", did_you_mean(key, KEYWORDS)
    return None if _is_simple(schema) else _meta_problem(schema)


def violations(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[str, str]]:
    """What in `value` breaks `schema`: where (`$` is the value itself, `$.rows[2]` a part of it), and how."""
    if _obviously_valid(schema, value):
        return
    for error in _validator(json.dumps(schema, sort_keys=True)).iter_errors(value):
        yield error.json_path, _message(error)


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,), "object": (dict,),
    "null": (type(None),),
}  # fmt: skip
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})


def _is_simple(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is valid at a glance. jsonschema takes a tenth of a second to load, and most contracts are these."""
    return all(
        (key == "type" and isinstance(value, str) and value in _TYPES)
        or (key in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool))
        or (key in {"title", "description"} and isinstance(value, str))
        or key == "default"
        for key, value in schema.items()
    )


def _obviously_valid(schema: Mapping[str, Any], value: Any) -> bool:
    if not schema.keys() <= {"type", "title", "description", "default"}:
        return False
    kind = schema.get("type")
    if kind is None:
        return True
    if not isinstance(kind, str) or (isinstance(value, bool) and kind != "boolean"):
        return False
    return isinstance(value, _TYPES[kind])


def _meta_problem(schema: Mapping[str, Any]) -> tuple[tuple[str, ...], str, str | None] | None:
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        path = tuple(str(key) for key in error.absolute_path)
        where = f"'{path[-1]}'" if path else "this"
        if path[-1:] == ("type",):
            return path, f"{where} is not a type of JSON Schema", did_you_mean(str(error.instance), _TYPES)
        return path, f"{where} is not valid in a JSON Schema: {error.message}", None
    return None


@lru_cache(maxsize=1024)
def _validator(schema: str) -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(json.loads(schema))


_LIMITS = {
    "minimum": "is less than the minimum {}", "maximum": "is more than the maximum {}",
    "exclusiveMinimum": "is not more than {}", "exclusiveMaximum": "is not less than {}",
    "minLength": "is shorter than {} characters", "maxLength": "is longer than {} characters",
    "minItems": "has fewer than {} items", "maxItems": "has more than {} items", "pattern": "does not match {}",
}  # fmt: skip


def _message(error: Any) -> str:
    shown = json.dumps(error.instance, ensure_ascii=False, default=str)
    shown = shown if len(shown) <= 60 else shown[:57] + "…"
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
