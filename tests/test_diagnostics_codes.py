"""The table of codes is the truth: what is raised is in it, and what is in it is raised and shown by a case or a test."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from dsjobs.diagnostics import CODES

REPOSITORY = Path(__file__).parents[1]
SOURCES = (*(path for path in sorted((REPOSITORY / "dsjobs").rglob("*.py")) if path.name != "diagnostics.py"),)
TESTS = (
    *sorted((REPOSITORY / "tests").rglob("*.expected")),
    *(path for path in sorted((REPOSITORY / "tests").rglob("*.py")) if path != Path(__file__)),
)


@cache
def codes_in(paths: tuple[Path, ...]) -> set[str]:
    return {code for path in paths for code in re.findall(r"\bDSJ\d{3}\b", path.read_text(encoding="utf-8"))}


def test_codes_when_raised_are_in_the_table() -> None:
    assert codes_in(SOURCES) <= CODES.keys()


@pytest.mark.parametrize("code", CODES)
def test_code_when_it_is_in_the_table_is_raised(code: str) -> None:
    assert code in codes_in(SOURCES)


@pytest.mark.parametrize("code", CODES)
def test_code_when_it_is_in_the_table_is_shown_by_a_case_or_a_test(code: str) -> None:
    assert code in codes_in(TESTS)


def test_codes_when_listed_are_in_order_with_their_stage_and_a_meaning() -> None:
    assert list(CODES) == sorted(CODES)
    assert all(re.fullmatch(r"DSJ[0-4]\d\d", code) and meaning for code, meaning in CODES.items())
