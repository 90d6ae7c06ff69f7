"""What one render may cost, counted before and while it is spent: the bounds of `sandbox.py`.

Steps stand for time: a round of a loop costs what its body has parts, an operation what its operands have items. Characters
stand for memory, those that are made; those that are only read cost time and have a wider bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jinja2
from jinja2.runtime import Context, LoopContext

from dsjobs.spec.allowance import Allowance
from dsjobs.spec.templates import MAX_CHARACTERS, TemplateError, as_text, too_much_text

MAX_STEPS = 100_000
"""Parts of a template and items of its values that one render may go through."""

MAX_READ = 4 * MAX_CHARACTERS
"""Characters that the operations of one render may look at."""

MAX_BITS = 4_096
"""Bits of the largest integer."""


class _Budget:
    __slots__ = ("full", "made", "read", "steps")

    def __init__(self, steps: int) -> None:
        self.full = self.steps = steps
        self.read = MAX_READ
        self.made = MAX_CHARACTERS

    def spent(self) -> tuple[int, int]:
        """The steps and the characters that were taken from it; what was refused was not done."""
        return self.full - max(0, self.steps), MAX_READ - max(0, self.read) + MAX_CHARACTERS - max(0, self.made)


_BUDGET: ContextVar[_Budget] = ContextVar("budget")


@contextmanager
def new_budget(allowance: Allowance | None = None) -> Iterator[None]:
    """A full budget for what happens inside, or what is left of an allowance, which pays for it."""
    budget = _Budget(MAX_STEPS if allowance is None else max(0, min(MAX_STEPS, allowance.left)))
    token = _BUDGET.set(budget)
    try:
        yield
    finally:
        _BUDGET.reset(token)
        if allowance is not None:
            allowance.take_render(*budget.spent())


def spend(*, steps: int = 0, read: int = 0, made: int = 0) -> None:
    """Take from the budget. Raises TemplateError when there is not enough left."""
    budget = _BUDGET.get()
    budget.steps -= steps
    budget.read -= read
    budget.made -= made
    if budget.made < 0:
        raise too_much_text()
    if budget.steps < 0 or budget.read < 0:
        raise TemplateError("DSJ206", "the template does too much work", hint="loop over less, or use smaller values")


def counted(items: Iterable[Any], cost: int = 1) -> Iterator[Any]:
    """The items, each of them paid for."""
    for item in items:
        spend(steps=cost)
        yield item


def read(value: Any) -> Any:
    """The value, all of it paid for, because an operation may look at all of it; an iterator pays as it goes."""
    if isinstance(value, str):
        spend(steps=1, read=len(value))
    elif isinstance(value, range):
        spend(steps=len(value))
    elif isinstance(value, list | tuple):
        spend(steps=1 + len(value))
        for item in value:
            if type(item) not in _SCALARS:
                read(item)
    elif isinstance(value, Mapping) and not isinstance(value, Context):
        spend(steps=1 + len(value))
        for key, item in value.items():
            read(key)
            read(item)
    elif isinstance(value, Iterator) and not isinstance(value, LoopContext):
        return (read(item) for item in value)
    else:
        spend(steps=1)
    return value


_SCALARS = frozenset({int, float, bool, type(None)})


def made(value: Any) -> Any:
    """The value that an operation made, paid for; its parts were there before."""
    if isinstance(value, str):
        spend(made=len(value))
    elif isinstance(value, list | tuple | dict):
        spend(steps=len(value))
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise TemplateError("DSJ206", f"a number has more than {MAX_BITS} bits")
    return value


def plain(value: Any) -> Any:
    """A result as JSON data; generators become lists."""
    if isinstance(value, jinja2.Undefined):
        value._fail_with_undefined_error()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        spend(made=len(value))
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in counted(value.items())}
    if isinstance(value, Iterable) and not isinstance(value, LoopContext):
        return [plain(item) for item in counted(value)]
    raise TemplateError("DSJ206", f"a template cannot give a value of type {type(value).__name__}")


def written(value: Any) -> str:
    """The text of a value inside a longer text, not yet paid for; what it is made of is."""
    return str(value) if isinstance(value, str) else as_text(plain(value))
