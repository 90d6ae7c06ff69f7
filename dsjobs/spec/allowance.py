"""What all templates of a file that are rendered at load may cost together: the cells of a matrix and the jobs of a file multiply
what one of them may do (`budget.py`).

It is counted in the steps of a render, of which each takes about a microsecond, and two at most. The measure is a file of 10,000
jobs with three ordinary templates each: it takes half of what it has where Jinja renders all of them, and a tenth where they are
names in a text, as nearly all are.
"""

from __future__ import annotations

START = 250_000
"""Steps that any file has: more than one template can do."""

PER_JOB = 50
"""Steps that each job, or cell, adds in each environment."""

_RENDER = 6
"""Steps of a render by Jinja beside those that it counts."""

_CHARACTERS = 100
"""Characters of a text that are a step."""

_ITEMS = 8
"""Characters of JSON that are a step: most of them are small items."""


class Allowance:
    """What is left. Once it is spent, nothing more is rendered. `is_told`: that it is spent has been said."""

    __slots__ = ("is_spent", "is_told", "left")

    def __init__(self) -> None:
        self.left = START
        self.is_spent = self.is_told = False

    def grow(self) -> None:
        """One more job."""
        self.left += PER_JOB

    def take_render(self, steps: int, characters: int) -> None:
        """A render by Jinja: what it went through, and the characters that it read and made."""
        self._take(_RENDER + steps + characters // _CHARACTERS)

    def take_value(self, text: str, *, is_text: bool) -> None:
        """A value of a job: its text, or JSON."""
        self._take(1 + len(text) // (_CHARACTERS if is_text else _ITEMS))

    def take_items(self, count: int) -> None:
        """A value of a job whose text was not made, because a template in it failed: others may have been rendered before."""
        self._take(count // 2)

    def _take(self, steps: int) -> None:
        self.left -= steps
        self.is_spent = self.is_spent or self.left < 0
