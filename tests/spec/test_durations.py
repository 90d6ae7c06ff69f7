"""Durations: what is one, what comes back out of it, and what is suggested instead of what is none."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsjobs import schemas
from dsjobs.spec.durations import DurationError, duration_hint, seconds, written
from dsjobs.spec.patterns import ecma


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("15m", 900), ("2h30m", 9000), ("1d", 86_400), ("0s", 0), ("1.5h", 5400), ("1d2h3m4.5s", 93_784.5)],
)
def test_duration_when_it_has_units_then_is_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "90", "s", "2 h", "30m2h", "1h1h", "-1s", "1e3s", "٣s", "90s\n", "400d", "1.s", ".5s"]
)
def test_duration_when_it_is_none_then_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(DurationError) as raised:
        seconds(text)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("value", "meant"),
    [(90, "90s"), ("90", "90s"), ("2 H", "2h"), ("1 hour, 5 mins", "1h5m"), ("30m2h", "2h30m"), (1.5, "1.5s")],
)
def test_duration_hint_when_it_is_nearly_one_then_says_which(value: Any, meant: str) -> None:
    assert duration_hint(value) == f"did you mean {meant}?"
    seconds(meant)


@pytest.mark.parametrize("value", ["soon", "1:30", "-5m", "2h 3h", True, None, [], "5 parsecs", ""])
def test_duration_hint_when_nothing_is_near_then_gives_examples(value: Any) -> None:
    assert "90s, 15m or 2h30m" in duration_hint(value)


@given(st.integers(0, 366 * 86_400_000))
def test_duration_when_written_then_reads_back(milliseconds: int) -> None:
    duration = milliseconds / 1000
    assert seconds(written(duration)) == pytest.approx(duration, abs=1e-6)


@given(st.text("0123456789.dhms -\n", max_size=8))
def test_duration_when_the_schema_takes_it_then_the_parser_does_and_the_other_way_round(text: str) -> None:
    pattern = schemas.load("jobs")["$defs"]["duration"]["pattern"]
    try:
        seconds(text)
    except DurationError as error:
        assert not ecma(pattern).search(text) or "longer than a year" in str(error)
    else:
        assert ecma(pattern).search(text)
        assert re.search(schemas.load("jobs")["$defs"]["job"]["properties"]["timeout"]["pattern"], text)
