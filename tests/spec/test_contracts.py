"""Contracts: which schemas can be used, and what in a value breaks them. Nothing is ever fetched."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsjobs.spec.contracts import schema_problem, violations
from dsjobs.spec.patterns import validator_class


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "integer", "minimum": 1, "description": "rows", "title": "Rows", "default": None},
        {"type": ["string", "null"]},
        {"enum": [1, "a", None]},
        {"pattern": "^a$"},
        {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
        {"properties": {"anything_at_all": True}},
        {"items": False, "x-owner": "me"},
        {"const": {"typ": 1, "$ref": "http://example.com"}},
        {"default": {"typ": 1}, "examples": [{"typ": 1}]},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}},
        {"properties": {"child": {"$ref": "#"}}},
        {"allOf": [{"$ref": "#/allOf/1"}, {"type": "integer"}]},
        {"dependentRequired": {"a": ["b"]}, "if": {}, "then": {}, "else": {}, "not": {"type": "null"}},
    ],
)
def test_schema_when_it_is_usable_has_no_problem(schema: dict[str, Any]) -> None:
    assert schema_problem(schema) is None


@pytest.mark.parametrize(
    ("schema", "path", "message", "hint"),
    [
        ({"minimun": 1}, ("minimun",), "'minimun' is not a keyword", "did you mean 'minimum'?"),
        ({"items": {"typ": 1}}, ("items", "typ"), "'typ' is not a keyword", "did you mean 'type'?"),
        ({"anyOf": [{}, {"a": 1}]}, ("anyOf", 1, "a"), "'a' is not a keyword", None),
        ({"properties": {"a": {"b": 1}}}, ("properties", "a", "b"), "'b' is not a keyword", None),
        ({"type": "int"}, ("type",), '"int" is not a type', "did you mean 'integer'?"),
        ({"type": ["string", "nul"]}, ("type",), '"nul" is not a type', "did you mean 'null'?"),
        ({"pattern": "("}, ("pattern",), "is not a valid regex", None),
        ({"minLength": -1}, ("minLength",), "-1 is not valid", None),
        ({"minLength": 1.5}, ("minLength",), "1.5 is not a whole number", None),
        ({"required": "a"}, ("required",), '"a" is not a list', None),
        ({"enum": 1}, ("enum",), "1 is not a list", None),
        ({"$ref": "https://example.com/x"}, ("$ref",), "is not in this schema", "$defs"),
        ({"$ref": "file:///etc/passwd"}, ("$ref",), "is not in this schema", "$defs"),
        ({"$ref": "#/nope/0"}, ("$ref",), "is not in this schema", "$defs"),
        ({"items": {"$ref": "x"}}, ("items", "$ref"), "is not in this schema", "$defs"),
        ({"$ref": "#"}, ("$ref",), "leads back to itself", None),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, ("$defs", "a", "$ref"), "back to", None),
        ({"$id": "https://example.com"}, ("$id",), "cannot be used here", "stands alone"),
        ({"items": {"$anchor": "a"}}, ("items", "$anchor"), "cannot be used here", "stands alone"),
    ],
)
def test_schema_when_it_is_not_usable_says_where_and_why(
    schema: dict[str, Any], path: tuple[Any, ...], message: str, hint: str | None
) -> None:
    problem = schema_problem(schema)
    assert problem is not None
    assert problem.path == path
    assert message in problem.message
    assert hint is None or hint in (problem.hint or "")


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        ({"type": "integer"}, 1, []),
        ({"type": "integer"}, 1.0, []),
        ({"type": "integer"}, True, [("$", "true is not of type integer")]),
        ({"type": "number"}, False, [("$", "false is not of type number")]),
        ({"type": ["string", "null"]}, 1, [("$", "1 is not of type string or null")]),
        ({"minimum": 2}, 1, [("$", "1 is less than the minimum 2")]),
        ({"exclusiveMaximum": 1}, 1, [("$", "1 is not less than 1")]),
        ({"maxLength": 2}, "abc", [("$", '"abc" is longer than 2 characters')]),
        ({"pattern": "^a$"}, "a\n", [("$", '"a\\n" does not match ^a$')]),
        ({"enum": ["a", 1]}, "b", [("$", '"b" is not one of "a", 1')]),
        ({"enum": [1]}, True, [("$", "true is not one of 1")]),
        ({"items": {"type": "string"}}, ["a", 1, 2], [("$[1]", "1 is not of type string"), ("$[2]", "2 is not of type string")]),
        ({"required": ["a"]}, {}, [("$", "'a' is a required property")]),
        ({"type": "string"}, "x" * 100, []),
        ({"type": "integer"}, "x" * 100, [("$", '"' + "x" * 56 + "… is not of type integer")]),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, "a", [("$", '"a" is not of type integer')]),
    ],
)  # fmt: skip
def test_value_when_held_against_its_contract_says_what_breaks_it(
    schema: dict[str, Any], value: Any, found: list[tuple[str, str]]
) -> None:
    assert list(violations(schema, value)) == found


def test_schema_when_it_is_endless_is_a_violation_and_no_exception() -> None:
    schema = {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}
    assert [where for where, _ in violations(schema, 1)] == ["$"]


def test_schema_when_it_names_an_address_asks_nobody() -> None:
    """A listening socket hears nothing, though the schema of a value asks for what it would serve."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        schema = {"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"}
        assert schema_problem(schema) is not None
        with pytest.raises(Exception, match="Unresolvable"):
            list(violations(schema, 1))
        with pytest.raises(TimeoutError):
            server.accept()


SIMPLE = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"]),
        "minimum": st.integers(-2, 2) | st.floats(-2, 2),
        "maximum": st.integers(-2, 2),
        "exclusiveMinimum": st.integers(-2, 2),
        "exclusiveMaximum": st.integers(-2, 2),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "minItems": st.integers(0, 2),
        "pattern": st.sampled_from(["^a$", "a"]),
        "enum": st.lists(st.integers(0, 2) | st.booleans() | st.sampled_from(["a", 1.0]), max_size=3),
    },
)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.sampled_from(["", "a", "a\n", "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(schema=SIMPLE, value=VALUE)
def test_value_when_its_contract_is_simple_is_judged_as_jsonschema_judges_it(
    schema: dict[str, Any], value: Any
) -> None:
    assert bool(list(violations(schema, value))) == bool(list(validator_class()(schema).iter_errors(value)))
