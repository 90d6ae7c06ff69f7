"""Diagnostics as text: sorted, said once, with a caret under the place; suggestions that stay fast."""

from __future__ import annotations

import time

import pytest

from dsjobs.diagnostics import Diagnostic, Suggestions, did_you_mean, in_order, text
from dsjobs.marks import Position, Source


def at(line: int, column: int, code: str = "DSJ101", severity: str = "error", message: str = "m") -> Diagnostic:
    return Diagnostic(code, message, Position("f", line, column), None, severity)  # type: ignore[arg-type]


def test_diagnostics_when_put_in_order_are_sorted_by_place_and_said_once() -> None:
    nowhere = Diagnostic("DSJ207", "m")
    found = [nowhere, at(2, 1), at(1, 10), at(1, 2), at(1, 2), at(1, 2, "DSJ001")]
    assert in_order(found) == [at(1, 2, "DSJ001"), at(1, 2), at(1, 10), at(2, 1), nowhere]


def test_warning_when_an_error_stands_at_its_place_is_left_out() -> None:
    found = [
        at(1, 2, "DSJ007", "warning"),
        at(1, 2),
        at(1, 3, "DSJ007", "warning"),
        Diagnostic("DSJ207", "m", severity="warning"),
    ]
    assert [one.severity for one in in_order([*found, Diagnostic("DSJ207", "n")])] == [
        "error",
        "warning",
        "warning",
        "error",
    ]


@pytest.mark.parametrize(
    ("line", "column", "shown", "caret"),
    [
        ("abc", 1, "abc", "^"),
        ("abc", 4, "abc", "   ^"),
        ("a\tb", 3, "a\tb", " \t^"),
        ("日本x", 3, "日本x", "    ^"),
        ("🚀x", 2, "🚀x", "  ^"),
        ("e\u0301x", 3, "e\u0301x", " ^"),
        ("❤\ufe0fx", 3, "❤\ufe0fx", " ^"),
        ("a\x1b[31mb", 7, "a\ufffd[31mb", "      ^"),
        ("a\u00a0b", 3, "a\ufffdb", "  ^"),
        ("x" * 200, 101, "x" * 160, " " * 100 + "^"),
        ("x" * 300 + "y", 301, "x" * 79 + "y", " " * 79 + "^"),
    ],
)
def test_diagnostic_when_shown_has_a_caret_under_its_place(line: str, column: int, shown: str, caret: str) -> None:
    source = Source("f", f"first\n{line}\nlast")
    assert text(at(2, column), [source]).splitlines()[1:] == [f"  {shown}", f"  {caret}"]


def test_diagnostic_when_its_line_is_not_there_has_no_excerpt() -> None:
    assert text(at(7, 1), [Source("f", "a")]) == "f:7:1: error: m [DSJ101]"
    assert text(at(1, 1), []) == "f:1:1: error: m [DSJ101]"
    assert text(Diagnostic("DSJ207", "m", hint="h")) == "error: m [DSJ207]\n  hint: h"


def test_diagnostic_when_its_message_has_control_characters_shows_them_as_escapes() -> None:
    diagnostic = Diagnostic("DSJ101", "a\n\x1b[31m", Position("f\r", 1, 1), "h\u2028\u00a0")
    assert text(diagnostic) == "f\\r:1:1: error: a\\n\\x1b[31m [DSJ101]\n  hint: h\\u2028\\xa0"


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("notebok", ["notebook", "needs"], "did you mean 'notebook'?"),
        ("ALPHA", ["alpha", "b"], "did you mean 'alpha'?"),
        ("zzz", ["a", "b"], "known: a, b"),
        ("zzz", [], None),
        ("zzz", [f"n{i}" for i in range(13)], None),
    ],
)
def test_suggestion_when_asked_is_the_nearest_name_or_a_short_list(
    name: str, known: list[str], hint: str | None
) -> None:
    assert did_you_mean(name, known) == hint


def test_suggestions_when_there_are_many_names_stay_fast_and_right() -> None:
    hints = Suggestions([f"job_{index}" for index in range(20_000)] + ["extract_table"])
    start = time.process_time()
    assert hints.hint("extract_tabel") == "did you mean 'extract_table'?"
    assert all(hints.hint("extract_tabel") for _ in range(10_000))
    for index in range(10_000):
        hints.hint(f"jop_{index}")
    assert time.process_time() - start < 10
