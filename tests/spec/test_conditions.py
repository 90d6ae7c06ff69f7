"""`when`: only true and false decide."""

from __future__ import annotations

from typing import Any

import pytest

from dsjobs.spec.conditions import holds
from dsjobs.spec.templates import TemplateError


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{{ a }}", True),
        ("{{ not a }}", False),
        ("{{ n > 2 and s == 'x' }}", True),
        ("{{ cells | selectattr('status', 'eq', 'failed') | list | length > 0 }}", False),
        ("{{ s is defined }}", True),
    ],
)
def test_condition_when_it_is_boolean_then_decides(when: str, expected: bool) -> None:
    names = {"a": True, "n": 3, "s": "x", "cells": [{"status": "succeeded"}]}
    assert holds(when, names) is expected


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("false", "the text 'false'"),
        (0, "the number 0"),
        (None, "null"),
        ([], "a list"),
        ({}, "a mapping"),
        (1.0, "the number 1.0"),
    ],
)
def test_condition_when_it_is_anything_else_then_is_refused(value: Any, shown: str) -> None:
    with pytest.raises(TemplateError, match=f"'when' gives {shown}, neither true nor false") as raised:
        holds("{{ value }}", {"value": value})
    assert raised.value.code == "DSJ206"
