"""Values become text by one rule."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsjobs.spec.values import encode, not_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        (" text \n", " text \n"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-12, "-12"),
        (10**30, "1" + "0" * 30),
        (0.1, "0.1"),
        (2.0, "2.0"),
        (1e21, "1e+21"),
        (-0.0, "-0.0"),
        ([], "[]"),
        ({}, "{}"),
        ([1, 2.0, True, None, "ü"], '[1,2.0,true,null,"ü"]'),
        ((1, [2]), "[1,[2]]"),
        ({"b": {"a": [1]}}, '{"b":{"a":[1]}}'),
        ({"nul": "\0"}, '{"nul":"\\u0000"}'),
    ],
)
def test_value_when_encoded_is_its_text(value: Any, text: str) -> None:
    assert encode(value) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null has no text"),
        (math.nan, "nan is not a number"),
        (math.inf, "inf is not a number"),
        (-math.inf, "-inf is not a number"),
        ([math.nan], "NaN and infinities"),
        ({"a": [math.inf]}, "NaN and infinities"),
        ("a\0b", "NUL character"),
        ("a\ud800", "half of a surrogate pair"),
        (["\U0001f600", {"a": "\udfff"}], "half of a surrogate pair"),
        ({"\udcff": 1}, "half of a surrogate pair"),
        (b"bytes", "type bytes cannot be sent"),
        ({"a": {1, 2}}, "not JSON"),
        (object(), "type object cannot be sent"),
        pytest.param(10**5000, "too many digits", id="large"),
        pytest.param([10**5000], "too many digits", id="large in a list"),
    ],
)
def test_value_when_it_has_no_text_is_refused(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        encode(value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (math.nan, ()),
        ("\udcff", ()),
        ([1, -math.inf], (1,)),
        ({"a": [{}, {"b": math.inf}], "c": math.nan}, ("a", 1, "b")),
        (["é\U0001f600", 10**400, 1e308, True, None, {"a": "1e999"}], None),
    ],
)
def test_value_when_json_does_not_have_a_part_of_it_says_where(value: Any, path: Any) -> None:
    found = not_json(value)
    assert (found[0] if found else None) == path


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_float_when_its_text_is_read_is_the_same(value: float) -> None:
    assert float(encode(value)) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ).filter(lambda value: isinstance(value, list | dict))
)
def test_list_or_mapping_when_its_text_is_read_as_json_is_the_same(value: Any) -> None:
    assert json.loads(encode(value)) == value
