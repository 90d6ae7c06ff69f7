"""Patterns of contracts and variables: what `re` finds is found, and nothing takes for ever."""

from __future__ import annotations

import random
import re
import time

import pytest

from dsjobs.spec.automaton import Automaton, UnsupportedError
from dsjobs.spec.contracts import schema_problem, violations
from dsjobs.spec.patterns import finder

ATOMS = ["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\W", "-", "[a-c1]", r"[^\s-]"]


def pattern(chance: random.Random, depth: int) -> str:
    kind = chance.randrange(9)
    if depth <= 0 or kind < 2:
        return chance.choice(ATOMS)
    one, other = pattern(chance, depth - 1), pattern(chance, depth - 1)
    if kind == 2:
        return f"({one}|{other})"
    if kind == 3:
        return f"({one}){chance.choice(['*', '+', '?', '{2}', '{1,3}', '*?', '{2,}'])}"
    if kind == 4:
        return f"(?:{one})"
    if kind == 5:
        return chance.choice(["^", r"\A", ""]) + one + chance.choice([r"\Z", ""])
    return one + other


def test_automaton_when_a_pattern_is_random_then_finds_what_re_finds() -> None:
    chance = random.Random(7)
    found = 0
    for _ in range(600):
        written = pattern(chance, 4)
        automaton, by_re = Automaton(written), re.compile(written)
        for _ in range(4):
            text = "".join(chance.choice("abc-1\n") for _ in range(chance.randrange(7)))
            assert automaton.finds(text) == bool(by_re.search(text)), (written, text)
            found += automaton.finds(text)
    assert 300 < found < 2100


@pytest.mark.parametrize(
    ("written", "text", "is_found"),
    [
        (r"(a+)+$", "a" * 40 + "!", False),
        (r"^(a|aa)+$", "a" * 60 + "b", False),
        (r"(((((a*)*)*)*)*)*b", "a" * 2000, False),
        (r"(a?){30}a{30}", "a" * 30, True),
        (r"^a*a*a*a*a*b", "a" * 200, False),
        (r"\s+$", " " * 20_000 + "x", False),
        (r"^[a-z]+(-[a-z]+)*$", "one-two-three", True),
        (r"^(\d{1,3}\.){3}\d{1,3}$", "192.168.0.1", True),
        (r"^(\d{1,3}\.){3}\d{1,3}$", "192.168.0.1\n", False),
    ],
)
def test_pattern_when_it_could_take_for_ever_then_does_not(written: str, text: str, is_found: bool) -> None:
    start = time.process_time()
    assert finder(written)(text) == is_found
    assert schema_problem({"pattern": written}) is None
    assert bool(list(violations({"type": "string", "pattern": written}, text))) != is_found
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "written", [r"(?=a)(a+)+$", r"^((a+)b)+\1$", r"\b(\w+\s?)*$", "(a{1,30}){1,30}", "(" * 3000 + ")" * 3000]
)
def test_pattern_when_nobody_can_say_how_long_it_takes_then_is_refused(written: str) -> None:
    problem = schema_problem({"type": "string", "pattern": written})
    assert problem is not None
    assert "could take for ever" in problem.message
    assert schema_problem({"items": {"patternProperties": {"(a+)+$": {}}}}) is not None


def test_pattern_when_it_is_not_understood_and_quick_then_is_tried_by_re() -> None:
    assert finder(r"^(?=.*\d)[a-z0-9]{8,}$")("abcdefg1")
    with pytest.raises(UnsupportedError):
        Automaton(r"(?i)a")
    assert finder(r"(?i)A")("xa")


def test_schema_when_its_references_lead_to_each_other_twice_then_ends() -> None:
    definitions = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**definitions, "a40": {"type": "string"}}}
    chain = {"$ref": "#/$defs/a0", "$defs": {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(900)} | {"a900": {}}}
    start = time.process_time()
    assert schema_problem(schema) is None
    assert list(violations(schema, "x")) == [
        ("$", "cannot be checked: the schema's references lead to each other too often")
    ]
    assert schema_problem(chain) is None
    assert time.process_time() - start < 2


def test_items_when_there_are_thousands_then_are_compared_in_time() -> None:
    start = time.process_time()
    items = [{"a": number} for number in range(5_000)]
    assert list(violations({"type": "array", "uniqueItems": True}, items)) == []
    assert len(list(violations({"type": "array", "uniqueItems": True}, [*items, {"a": 1.0}]))) == 1
    assert list(violations({"type": "array", "uniqueItems": True}, [1, True, "1", [1], [True]])) == []
    assert time.process_time() - start < 1
