"""Ranges of versions: `requires_dsjobs`."""

from __future__ import annotations

import pytest

from dsjobs.spec.versions import is_within


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("1.2.3", ">=1,<2", True),
        ("2", ">=1,<2", False),
        ("1", ">=1.0.0", True),
        ("1.2", "==1.2.0", True),
        ("1.2", "!=1.2", False),
        ("1.10", ">1.9", True),
        ("1.9", "<=1.10", True),
        ("1.4.5", "~=1.4", True),
        ("2.0", "~=1.4", False),
        ("1.4.5", "~=1.4.2", True),
        ("1.5", "~=1.4.2", False),
        ("1.4.1", "~=1.4.2", False),
        ("1.0rc1", ">=1.0", False),
        ("1.0", ">1.0rc1", True),
        ("1.0b2", ">1.0a9", True),
        ("0.1.0", " >= 0.1 , < 1 ", True),
    ],
)
def test_version_when_held_against_a_range_then_is_in_it_or_not(version: str, wanted: str, expected: bool) -> None:
    assert is_within(version, wanted) is expected


@pytest.mark.parametrize("wanted", ["", "1", ">=1.x", ">=1,", "=>1", "~=1", ">= 1 2", "^1.2", ">=1;<2"])
def test_range_when_it_is_none_then_is_refused(wanted: str) -> None:
    with pytest.raises(ValueError, match="not a range of versions"):
        is_within("1.0", wanted)
