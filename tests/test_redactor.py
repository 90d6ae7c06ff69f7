"""The redactor finds a secret in every form that is promised, and leaves everything else as it is."""

from __future__ import annotations

import copy
import json
import pickle
import time
from itertools import pairwise, product

import pytest
from disguises import DISGUISES, leaks
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dsjobs.secrets import Redactor, Secret

AWKWARD = 'p@ss "w0rd"/<&>\'é+%~\\ Ünï'
PLAIN = "hunter2-correct-horse"
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\n\t", exclude_characters="*")
TEXT = st.text(LETTERS, min_size=1, max_size=40)


def redactor(*values: str) -> Redactor:
    return Redactor(Secret(f"S{number}", value) for number, value in enumerate(values))


VALUES = [AWKWARD, PLAIN, "日本語のパスワード", "a/b+c==&d"]
# Of four characters not enough is sure inside of base64.
CASES = [*product(DISGUISES, VALUES), *((name, "abcd") for name in DISGUISES if not name.startswith("base64 "))]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_mask_when_a_text_has_a_secret_in_some_form_then_it_is_gone_and_the_rest_is_not(name, value):
    written = f"before {DISGUISES[name](value)} after"
    masked = redactor(value).mask(written)
    assert "***" in masked
    assert leaks(masked, value) == []
    assert masked.startswith("before ") and masked.endswith(" after")


@settings(max_examples=80, deadline=None)
@given(TEXT, TEXT, TEXT, st.sampled_from(sorted(DISGUISES)))
def test_mask_when_value_and_text_are_random_then_it_is_never_left(value, before, after, name):
    secret = Secret("S", value)
    assume(len("".join(value.split())) >= 6 and not secret.is_short)
    masked = Redactor([secret]).mask(before + DISGUISES[name](value) + after)
    assert leaks(masked, value) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=6), TEXT, st.data())
def test_mask_all_when_a_secret_is_spread_over_texts_then_no_part_of_it_is_left(texts, value, data):
    assume(not Secret("S", value).is_short)
    at = sorted(data.draw(st.lists(st.integers(0, len(value)), max_size=3)))
    cuts = [0, *at, len(value)]
    pieces = [value[start:end] for start, end in pairwise(cuts)]
    masked = redactor(value).mask_all([*texts, *pieces, *texts])
    assert len(masked) == 2 * len(texts) + len(pieces)
    assert leaks("".join(masked), value) == []


@settings(max_examples=100, deadline=None)
@given(TEXT)
def test_mask_when_a_text_has_no_secret_then_it_stays(text):
    assert redactor(PLAIN).mask(text) == text
    assert Redactor().mask(text) is text


def test_mask_when_a_secret_has_lines_then_each_longer_one_is_a_secret():
    lines = ["-----BEGIN KEY-----", "MIIEvQIBADANBgkqhkiG", "9w0BAQEFAASCBKcwggSj", "short", "-----END KEY-----"]
    one = redactor("\n".join(lines))
    assert one.mask(f"at {lines[2]}!") == "at ***!"
    assert one.mask("a short one") == "a short one"
    assert one.mask(" | ".join(lines)) == "*** | *** | *** | short | ***"
    assert one.mask("".join(lines)) == "***"


def test_mask_when_a_secret_is_json_then_its_longer_texts_are_secrets():
    key = json.dumps(
        {"type": "service", "private_key": "-----BEGIN-----\nMIIEvQIBADANBgkq\n-----END-----\n", "id": "4711"}
    )
    one = redactor(key)
    assert one.mask(json.loads(key)["private_key"]) == "***\n"
    assert one.mask("MIIEvQIBADANBgkq") == "***"
    assert one.mask("service 4711") == "service 4711"


def test_mask_when_a_secret_is_short_then_only_where_it_stands_alone():
    one = redactor("eu", "#!")
    assert one.mask("eu, region=eu, neutral, ZXU= #! a") == "***, region=***, neutral, ZXU= *** a"
    assert Secret("A", " a b ").is_short and not Secret("A", "a b cd").is_short


def test_mask_when_secrets_overlap_or_repeat_then_all_of_it_is_gone():
    assert redactor("abcdef", "defghi").mask("xabcdefghix") == "x***x"
    assert redactor("aaaa").mask("b" + "a" * 1001 + "b") == "b***b"
    assert redactor("abab").mask("ababababab") == "***"


def test_mask_when_it_is_binary_then_only_what_is_encoded_is_looked_for():
    one = redactor("abcdefgh")
    assert one.mask("iVBORabcdefghGgo", is_binary=True) == "iVBORabcdefghGgo"
    assert leaks(one.mask(DISGUISES["base64 after 1"]("abcdefgh"), is_binary=True), "abcdefgh") == []


def test_mask_json_when_secrets_are_in_it_then_texts_keys_and_whole_numbers_are_masked():
    one = redactor("87654321", "topsecret")
    value = {"a": ["my topsecret", 87654321, 876543210, True, None, 1.5], "topsecret": {"b": "87654321"}}
    assert one.mask_json(value) == {"a": ["my ***", "***", 876543210, True, None, 1.5], "***": {"b": "***"}}
    assert one.names_in(value) == ["S0", "S1"]
    assert one.names_in({"a": [876543210, "top secret"]}) == ["S1"]
    assert one.names_in({"a": [876543210, "fine"]}) == []


def test_mask_json_when_texts_stand_side_by_side_then_each_is_looked_at_alone():
    one = redactor("topsecret", "a\nb")
    value = [
        "tops",
        "ecret",
        {"top": "secret"},
        "\x1b]0;open",
        "x topsecret",
        "\x1b[1mtop\x1b[0msecret",
        "\x07",
        "a",
        "b",
        "a\nb",
    ]
    expected = ["tops", "ecret", {"top": "secret"}, "\x1b]0;open", "x ***", "\x1b[1m***", "\x07", "a", "b", "***"]
    assert one.mask_json(value) == expected
    assert one.mask_json(["topsecret", "topsecret"]) == ["***", "***"]


def test_mask_json_when_it_is_too_deep_then_it_is_masked_as_a_whole():
    deep: list = []
    for _ in range(20_000):
        deep = [deep]
    assert redactor(PLAIN).mask_json(deep) == "***"
    assert redactor(PLAIN).names_in(deep) == []


def test_learn_when_a_secret_changes_then_the_old_value_is_masked_too():
    one = redactor("the-first-value")
    assert one.learn(Secret("S0", "the-second-value"))
    assert not one.learn(Secret("S0", "the-second-value"))
    assert one.mask("the-first-value the-second-value") == "*** ***"


def test_mask_when_a_text_is_long_then_time_grows_as_the_text_does():
    """By searches of C, not by loops of Python: these would take seconds."""
    one = redactor(AWKWARD, PLAIN)
    text = "a line of a log that goes on and on, with \x1b[31mcolours\x1b[0m\n" * 10_000
    start = time.process_time()
    masked = one.mask(text + PLAIN + text)
    assert time.process_time() - start < 5
    assert masked == f"{text}***{text}"


def test_mask_when_a_text_is_hostile_then_it_does_not_take_for_ever():
    one = redactor("a" * 2000 + "b", "ab" * 1000)
    start = time.process_time()
    one.mask("a" * 100_000 + "\x1b]" * 10_000 + "ab" * 10_000)
    assert time.process_time() - start < 5


def test_secret_when_it_is_shown_then_it_is_not():
    secret = Secret("A", PLAIN)
    assert [str(secret), repr(secret), f"{secret}", f"{secret:>30}"] == ["***"] * 4
    assert repr({"a": secret}) == "{'a': ***}"


def test_secret_when_compared_then_by_name():
    assert Secret("A", "one") == Secret("A", "two") != Secret("B", "one")
    assert len({Secret("A", "one"), Secret("A", "two")}) == 1


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps, copy.copy, copy.deepcopy])
def test_secret_when_somebody_writes_it_down_then_that_fails(write):
    with pytest.raises(TypeError):
        write(Secret("A", PLAIN))
