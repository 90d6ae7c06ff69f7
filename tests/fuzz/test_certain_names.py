"""Names that are certain to be used: where one has no value, the template cannot be rendered. Never a false alarm."""

from __future__ import annotations

import random

from expressions import template
from hypothesis import given, settings
from hypothesis import strategies as st

from dsjobs.spec.templates import TemplateError, compile_template

VALUES = {
    "vars": {"region": "eu", "alpha": 0.5, "list": [1, "a", {"x": 1}], "map": {"a": {"x": None}}, "none": None},
    "environment": "local",
    "git": {"commit": "c0ffee", "dirty": False},
    "matrix": {"seed": 1},
    "run": {"id": "r"},
    "needs": {
        "first": {"status": "succeeded", "outputs": {"x": 1}},
        "cells": [{"status": "failed", "outputs": {"x": 2}}],
    },
}


@settings(max_examples=1000, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_template_when_a_name_that_is_certain_has_no_value_then_cannot_be_rendered(seed: int) -> None:
    chance = random.Random(seed)
    text = template(chance)
    names = {name: value for name, value in VALUES.items() if chance.random() < 0.9}
    names["vars"] = {name: value for name, value in VALUES["vars"].items() if chance.random() < 0.7}
    try:
        found = compile_template(text)
    except TemplateError:
        return
    try:
        found.require(names, lambda path: path[0] in names)
    except TemplateError:
        try:
            found.render(names)
        except TemplateError:
            return
        raise AssertionError(f"{text!r} is rendered all the same") from None
