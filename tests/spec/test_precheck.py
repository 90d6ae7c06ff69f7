"""The fast check says yes only where jsonschema does, and says it to what is valid: a no costs a hundred times as much."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dsjobs import schemas
from dsjobs.spec import source
from dsjobs.spec.patterns import ecma, validator_class
from dsjobs.spec.precheck import compile_check

CASES = Path(__file__).parents[1] / "cases"
REPOSITORY = Path(__file__).parents[2]
VALID = [*sorted((CASES / "valid").glob("*.yaml")), REPOSITORY / "jobs.example.yaml"]
SCHEMA = schemas.load("jobs")

accepts = compile_check(SCHEMA)
validator = validator_class()(SCHEMA)


def data_of(path: Path) -> Any:
    return source.parse(source.decode(path.name, path.read_bytes())[0]).data


def test_schema_when_read_is_itself_valid() -> None:
    validator_class().check_schema(SCHEMA)


# A whole number written with a point is an integer for JSON Schema; such a file goes the slow way.
@pytest.mark.parametrize("path", [path for path in VALID if path.stem != "environments"], ids=lambda path: path.stem)
def test_precheck_when_a_case_is_valid_says_yes(path: Path) -> None:
    data = data_of(path)
    assert accepts(data)
    assert not list(validator.iter_errors(data))


WORDS = [
    *(
        "name",
        "jobs",
        "needs",
        "inputs",
        "notebook",
        "cell",
        "outputs",
        "version",
        "spec",
        "backend",
        "local",
        "datasphere",
    ),
    *("settings", "output_store", "x y", "", "a\n", "s3://b", "1", "é", "a" * 64, "a" * 201, "matrix"),
]
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        1.0,
        1.5,
        float("nan"),
        float("inf"),
        10**30,
        [],
        {},
        [[]],
        [None],
        ["a", "a"],
        [1, 1],
    ),
    *([{}, {}], {"a": None}, {"notebook": "a", "cell": "b"}, {"type": "integer"}, *WORDS),
]


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Each container below `data` with each of its keys."""
    items: Any = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield data, key
        yield from places(value)


def mutate(data: Any, random_: random.Random) -> None:
    container, key = random_.choice(list(places(data)))
    choice = random_.randrange(5)
    if choice == 0:
        del container[key]
    elif choice == 1 and isinstance(container, dict):
        container[random_.choice(WORDS)] = container.pop(key)
    elif choice == 2 and isinstance(container, dict):
        container[random_.choice(WORDS)] = copy.deepcopy(random_.choice(VALUES))
    elif choice == 3 and isinstance(container, list):
        container.insert(key, copy.deepcopy(random_.choice([*VALUES, container[key]])))
    else:
        container[key] = copy.deepcopy(random_.choice(VALUES))


def test_precheck_when_it_accepts_a_mutation_jsonschema_accepts_it() -> None:
    random_ = random.Random(20250131)
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in VALID]
    answers = {True: 0, False: 0}
    for _ in range(3000):
        data = copy.deepcopy(random_.choice(documents))
        for _ in range(random_.choice((1, 1, 1, 2, 5))):
            if not list(places(data)):
                break
            mutate(data, random_)
        answers[accepts(data)] += 1
        if accepts(data):
            errors = [error.message for error in validator.iter_errors(data)]
            assert not errors, (errors, data)
    assert min(answers.values()) > 300, answers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=10,
)
SCHEMAS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["string", "integer", "number", "boolean", "array", "object", "null", ["string", "null"]]
        ),
        "enum": st.lists(st.sampled_from([0, 1, True, False, "1", "a", 1.0]), min_size=1, max_size=3),
        "pattern": st.sampled_from(["^a$", "[$]", r"\$", "a|b", "^[a-z]*$"]),
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 3),
        "minItems": st.integers(0, 2),
        "minProperties": st.integers(0, 2),
        "minimum": st.integers(-2, 2),
        "maximum": st.floats(-2, 2),
        "exclusiveMinimum": st.integers(-2, 2),
        "exclusiveMaximum": st.integers(-2, 2),
        "uniqueItems": st.booleans(),
        "required": st.lists(st.sampled_from(WORDS), max_size=2, unique=True),
        "items": st.sampled_from([{"type": "string"}, {"type": "integer"}, {}]),
        "propertyNames": st.just({"pattern": "^[a-z]*$"}),
        "not": st.sampled_from([{"required": ["name"]}, {"required": ["name", "jobs"]}]),
        "properties": st.sampled_from(
            [{"name": {"type": "string"}}, {"jobs": {"minimum": 0}, "name": {"maxLength": 1}}]
        ),
        "allOf": st.lists(
            st.builds(
                lambda value, then: {
                    "if": {"required": ["name"], "properties": {"name": {"const": value}}},
                    "then": then,
                },
                st.sampled_from(["a", 1, True]),
                st.sampled_from(
                    [{"properties": {"jobs": {"type": "integer"}}}, {"required": ["jobs"]}, {"maxProperties": 1}]
                ),
            ),
            max_size=2,
        ),
    },
)


@settings(max_examples=300, deadline=None)
@given(schema=SCHEMAS, value=JSON)
def test_precheck_when_it_accepts_a_value_of_any_schema_jsonschema_accepts_it(
    schema: dict[str, Any], value: Any
) -> None:
    if compile_check(schema)(value):
        assert not list(validator_class()(schema).iter_errors(value))


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": []},
        {"contains": {}},
        {"not": {"type": "string"}},
        {"items": {"if": {}}},
        {"if": {"required": ["a"], "properties": {"a": {"type": "string"}}}, "then": {}},
    ],
)
def test_precheck_when_a_keyword_is_unknown_refuses_the_schema(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the fast check"):
        compile_check(schema)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        (r"^a\$", "a$", True),
        ("^[$]$", "$", True),
        (r"[\]$]x", "$x", True),
        ("a$|b$", "xb", True),
        ("(a$)", "a\n", False),
    ],
)
def test_pattern_when_it_has_a_dollar_means_the_end_of_the_text(pattern: str, text: str, found: bool) -> None:
    assert bool(ecma(pattern).search(text)) is found
