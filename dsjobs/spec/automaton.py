"""Regular expressions without backtracking, in a time that grows with the text and the pattern only.

Python's `re` tries one way after another, and of `(a+)+$` there are as many as a text has subsets. Here all ways are followed
at once (Thompson's construction). Only whether there is a match is asked, so nothing is lost by that. What is more than
regular, or looks around, is not understood: UnsupportedError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from re import _parser  # type: ignore[attr-defined]  # the only reader of Python's patterns there is
from typing import Any

MAX_STATES = 500
"""States of one automaton: each character of a text may look at all of them."""

_MAX_KNOWN = 20_000
"""Steps that are remembered, so that they are made once."""

Test = Callable[[str], bool]
States = frozenset[int]


class UnsupportedError(ValueError):
    """The pattern cannot be followed in this way."""


def parsed(pattern: str) -> Any:
    """The pattern as Python's parser sees it: operations with their arguments."""
    tree: Any = _parser.parse(pattern)
    return tree


class Automaton:
    """Says whether a pattern is found in a text. A state is a character's test, a fork, the text's begin or end, or the match."""

    def __init__(self, pattern: str) -> None:
        tree = parsed(pattern)
        if tree.state.flags & ~re.UNICODE:
            raise UnsupportedError("flags")
        self._tests: dict[int, tuple[Test, int]] = {}
        self._forks: dict[int, tuple[int, ...]] = {}
        self._begins: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._size = 0
        self._match = self._new()
        self._start = self._sequence(tree, self._match)
        self._again = self._reached([self._start])
        self._known: dict[tuple[States, str], States] = {}

    def finds(self, text: str) -> bool:
        """Whether the pattern matches anywhere in `text`."""
        states = self._reached([self._start], at_begin=True)
        for letter in text:
            if self._match in states:
                return True
            step = (states, letter)
            if step not in self._known:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known[step] = self._stepped(states, letter)
            states = self._known[step]
        return self._match in self._reached(states, at_begin=not text, at_end=True)

    def _stepped(self, states: States, letter: str) -> States:
        tests = self._tests
        after = [tests[state][1] for state in states if state in tests and tests[state][0](letter)]
        return self._reached(after) | self._again

    def _reached(self, states: Iterable[int], *, at_begin: bool = False, at_end: bool = False) -> States:
        """The states that are reached from `states` without a character."""
        found: set[int] = set()
        left = list(states)
        while left:
            state = left.pop()
            if state in found:
                continue
            found.add(state)
            left += self._forks.get(state, ())
            left += [self._begins[state]] if at_begin and state in self._begins else []
            left += [self._ends[state]] if at_end and state in self._ends else []
        return frozenset(found)

    def _new(self) -> int:
        self._size += 1
        if self._size > MAX_STATES:
            raise UnsupportedError("too large")
        return self._size

    def _sequence(self, items: Iterable[Any], after: int) -> int:
        """The state in which `items` begin that go on in `after`."""
        for operation, argument in reversed(list(items)):
            after = self._one(str(operation), argument, after)
        return after

    def _one(self, operation: str, argument: Any, after: int) -> int:
        if operation in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            state = self._new()
            self._tests[state] = (_test(operation, argument), after)
            return state
        if operation == "BRANCH":
            return self._fork([self._sequence(branch, after) for branch in argument[1]])
        if operation == "SUBPATTERN" and not argument[1] and not argument[2]:
            return self._sequence(argument[3], after)
        if operation in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, items = argument
            return self._repeat(least, most, items, after)
        if operation == "AT" and str(argument) in ("AT_BEGINNING", "AT_BEGINNING_STRING", "AT_END_STRING"):
            state = self._new()
            places = self._ends if str(argument) == "AT_END_STRING" else self._begins
            places[state] = after
            return state
        raise UnsupportedError(operation)

    def _fork(self, ways: Sequence[int]) -> int:
        state = self._new()
        self._forks[state] = tuple(ways)
        return state

    def _repeat(self, least: int, most: Any, items: Any, after: int) -> int:
        if str(most) == "MAXREPEAT":
            start = self._fork([])
            self._forks[start] = (self._sequence(items, start), after)
        else:
            start = after
            for _ in range(int(most) - least):
                start = self._fork([self._sequence(items, start), after])
        for _ in range(least):
            start = self._sequence(items, start)
        return start


def _test(operation: str, argument: Any) -> Test:
    if operation == "LITERAL":
        return chr(argument).__eq__
    if operation == "NOT_LITERAL":
        return chr(argument).__ne__
    if operation == "ANY":
        return "\n".__ne__
    parts = [(str(kind), value) for kind, value in argument]
    inner = [_of_class(kind, value) for kind, value in parts if kind != "NEGATE"]
    wanted = parts[0][0] != "NEGATE"
    return lambda letter: any(test(letter) for test in inner) == wanted


def _of_class(kind: str, value: Any) -> Test:
    """A part of a class in brackets."""
    if kind == "RANGE":
        low, high = value
        return lambda letter: low <= ord(letter) <= high
    if kind == "CATEGORY":
        matches = re.compile(_CATEGORIES[str(value)]).match
        return lambda letter: matches(letter) is not None
    return _test(kind, value)


_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_SPACE": r"\s", "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w", "CATEGORY_NOT_WORD": r"\W",
}  # fmt: skip
