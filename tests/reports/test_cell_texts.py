"""Executed notebooks as text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsjobs.reports.logs import as_json, lines_of, plain, tail, texts


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def result(**data):
    return {"output_type": "execute_result", "data": data}


def code(source, *outputs):
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


TEXT = {"cell_type": "markdown", "source": "# title"}


def lines(*outputs):
    (cell,) = texts([code("x", *outputs)])
    return list(cell.lines)


def test_texts_when_cells_are_numbered_then_only_code_counts():
    found = texts([TEXT, code("\n  first()\nsecond()"), TEXT, code(["a\n", "b"])])
    assert [(cell.number, cell.title) for cell in found] == [(1, "first()"), (2, "a")]


def test_lines_when_a_cell_left_nothing_then_it_is_left_out():
    found = texts([code("a"), code("b", stream("one\ntwo\n")), code("c", result(**{"text/plain": "3"}))])
    assert lines_of(found) == ["cell 2: b", "  one", "  two", "", "cell 3: c", "  3"]
    assert lines_of(texts([code("a")])) == []


def test_lines_when_a_stream_comes_in_parts_then_is_one():
    assert lines(stream("a"), stream(["b\n", "c"]), result(**{"text/plain": "d"}), stream("e")) == ["ab", "c", "d", "e"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (result(**{"text/html": "<b>", "text/plain": ["a\n", "b"]}), ["a", "b"]),
        (result(**{"image/png": "…", "text/html": "<b>"}), ["<image/png, text/html>"]),
        (result(), []),
        ({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["one\ntwo", "three"]}, ["one", "two", "three"]),
        ({"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}, ["E: v"]),
        ({"output_type": "new kind"}, []),
        ("no output at all", []),
    ],
)  # fmt: skip
def test_lines_when_of_each_kind_of_output_then_are_its_text(output, expected):
    assert lines(output) == expected


@pytest.mark.parametrize("cell", [{"cell_type": "code"}, {"cell_type": "code", "source": 7, "outputs": 7}, {}])
def test_texts_when_a_cell_is_no_cell_then_nothing_is_made_up(cell):
    assert lines_of(texts([cell])) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10%\r50%\r100%\n", ["100%"]),
        ("10%\r\n", ["10%"]),
        ("a\r", ["a"]),
        ("\n\n", ["", ""]),
        ("\x1b[31mred\x1b[0m", ["\x1b[31mred\x1b[0m"]),
        ("a\x1b[2Jb\x1b[10;20Hc", ["abc"]),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", ["ab"]),
        ("\x1b]never ended\nb", ["", "b"]),
        ("a\x00\x07\x08\x9b1mb\tc", ["a1mb\tc"]),
        ("\x1b", [""]),
    ],
)
def test_plain_when_a_text_would_make_a_terminal_act_then_only_colours_are_left(text, expected):
    assert plain(text) == expected


@given(st.text(alphabet="ab\x1b[]m0;\x07\r\n\\\x9b", max_size=30))
def test_plain_when_a_text_is_anything_then_no_escape_but_colours_is_left(text):
    for line in plain(text):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", re.sub(r"\x1b\[[0-9;:]*m", "", line))


def test_tail_when_shorter_than_the_cells_then_the_last_lines_of_all():
    found = texts([code("a", stream("1\n2\n")), code("b"), code("c", stream("3\n4\n"))])
    assert [cell.lines for cell in tail(found, 3)] == [("2",), (), ("3", "4")]
    assert [cell.lines for cell in tail(found, 1)] == [(), (), ("4",)]
    assert tail(found, 9) == found


def test_json_when_there_are_colours_then_they_are_taken_out():
    assert as_json(texts([code("a", stream("\x1b[31mred\x1b[0m\n"))])) == [
        {"number": 1, "title": "a", "lines": ["red"]}
    ]
