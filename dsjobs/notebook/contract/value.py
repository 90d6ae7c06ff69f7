"""The contract of a notebook: names that its code reads, sets, assigns and publishes, and what in it cannot work.

What the code does dynamically (`exec`, `%run`, `os.environ[name]`) makes a whole kind of names unknown: then
nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import ast

Need = Literal["raises", "none", "optional"]
"""What becomes of a notebook without a variable that it reads: it surely raises; it goes on with None, of which it takes no
notice; or it may well know what to do."""


@dataclass(frozen=True, slots=True)
class CodeSource:
    """A code cell as it runs. `number` counts code cells from 1; `may_raise`: the notebook goes on when it does."""

    number: int
    source: str
    may_raise: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """An environment variable that code reads, at the place where it matters most. `line` and `column` count from 1.

    `default`: what the notebook takes without it, as code; None where it takes nothing. `is_optional`: it has a default, or the
    code looks whether it is there.
    """

    name: str
    cell: int
    line: int
    column: int
    need: Need = "optional"
    default: ast.expr | None = None
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What in a cell cannot work, whichever job runs it."""

    code: str
    message: str
    cell: int
    line: int
    column: int
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """What the code of a notebook has to do with a job's inputs and outputs.

    `mentions`: texts in the code that may be names of variables which something reads. `sets`: variables that the code itself
    sets. `assigned`: top-level names that are there when the last cell has run. `published`: names handed to `dsjobs.publish`.
    `modules`: imported modules that may lie beside the notebook: all but Python's own. Of what is dynamic nothing can be said:
    any name may be read, set, assigned or published.
    """

    reads: Mapping[str, Read] = field(default_factory=dict)
    mentions: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    assigned: frozenset[str] = frozenset()
    published: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    is_dynamic_reads: bool = False
    is_dynamic_sets: bool = False
    is_dynamic_assignments: bool = False
    is_dynamic_publishing: bool = False
