"""JSON values side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsjobs.reports.values import (
    ABSENT,
    Difference,
    change,
    changes,
    differences,
    same,
    same_but_for,
    short,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 0.5, 1.0]) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), (1, "1", False), (None, False, False), ("", None, False),
        (10**30, 1e30, False), (0.1 + 0.2, 0.3, False), ([], {}, False), ([], None, False), ({}, {}, True),
    ],
)  # fmt: skip
def test_values_when_compared_then_as_json_has_them(one, other, is_same):
    assert (not list(differences(one, other))) == is_same
    assert (not list(differences(other, one))) == is_same


@given(JSON)
def test_differences_when_the_values_are_the_same_then_none(value):
    assert list(differences(value, value)) == []


@given(JSON, JSON)
def test_differences_when_looked_at_from_the_other_side_then_are_the_same(one, other):
    there = {(found.path, repr(found.before), repr(found.after)) for found in differences(one, other)}
    back = {(found.path, repr(found.after), repr(found.before)) for found in differences(other, one)}
    assert there == back


def test_differences_when_inside_then_each_has_its_path():
    before = {"a": [1, {"b c": 2}], "d": 1, "same": [0]}
    after = {"a": [1, {"b c": 3}, 4], "e": 5, "same": [0]}
    assert list(differences(before, after)) == [
        Difference('$.a[1]["b c"]', 2, 3),
        Difference("$.a[2]", ABSENT, 4),
        Difference("$.d", 1, ABSENT),
        Difference("$.e", ABSENT, 5),
    ]


def test_differences_when_nested_deeper_than_python_recurses_then_are_found():
    before: list = [1]
    after: list = [2]
    for _ in range(20_000):
        before, after = [before], [after]
    (found,) = differences(before, after)
    assert (found.before, found.after) == (1, 2)


def test_short_when_long_then_is_cut():
    assert short("abc") == '"abc"'
    assert short(ABSENT) == "(none)"
    assert len(short(list(range(100)))) == 60 and short(list(range(100))).endswith("…")


def test_change_when_long_texts_differ_late_then_shows_that_part():
    before, after = "x" * 500 + "apple" + "y" * 500, "x" * 500 + "pear" + "y" * 500
    assert "apple" in change(before, after) and "pear" in change(before, after)
    assert len(change(before, after)) < 140
    assert "ple" in change("x" * 500, "x" * 500 + "apple")


def test_changes_when_there_are_several_then_the_first_and_their_number():
    found = list(differences({"a": 1, "b": 2}, {"a": 3, "b": 4}))
    assert changes(found) == "$.a: 1 → 3 (and 1 more)"
    assert changes(list(differences(1, 2))) == "1 → 2"


def test_texts_when_they_differ_by_words_of_their_own_then_are_the_same():
    is_same = same_but_for(("run-1",), ("run-2", "run-0"))
    assert is_same("/data/run-1/x", "/data/run-2/x") and is_same("run-1", "run-0")
    assert not is_same("/data/run-1/x", "/data/run-2/y") and not is_same("/data/run-2", "/data/run-1/x")
    assert is_same(1, 1.0) and not is_same(1, True) and same("a", "a")
