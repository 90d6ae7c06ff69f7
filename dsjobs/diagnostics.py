"""Diagnostics are values: severity, code, place, message, hint. One mistake of a user gives one diagnostic."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from dsjobs.marks import Position, Source, divided

Severity = Literal["error", "warning"]

# Every code and what it means. The hundreds are the stage: 0 the file, 1 its schema, 2 names and templates, 3 the
# graph, 4 what a backend finds before anything runs.
CODES: dict[str, str] = {
    "DSJ001": "the file cannot be read",
    "DSJ002": "the file is not UTF-8 text",
    "DSJ003": "the file is not valid YAML",
    "DSJ004": "a key stands twice in one mapping",
    "DSJ005": "an alias expands too far, or into itself",
    "DSJ006": "values are nested too deeply, or are too many",
    "DSJ007": "a number with leading zeros is read as text",
    "DSJ008": "a YAML tag or key that a job file cannot have",
    "DSJ101": "a value has the wrong type",
    "DSJ102": "a value is not one of those allowed",
    "DSJ103": "a required key is missing",
    "DSJ104": "a key is unknown",
    "DSJ106": "a value breaks a limit or a pattern",
    "DSJ107": "keys that exclude each other, or none of them",
    "DSJ108": "a contract or a variable's schema is not a valid JSON Schema",
    "DSJ109": "a matrix makes no cell, too many, or not those that it seems to make",
    "DSJ110": "the file is for another version of dsjobs",
    "DSJ111": "a name is defined in two files",
    "DSJ112": "an included file cannot be read, or includes itself",
    "DSJ201": "a template has a syntax error",
    "DSJ202": "a template uses an unknown name",
    "DSJ203": "a template uses a job that is not in needs",
    "DSJ204": "a template uses an output that the needed job does not declare",
    "DSJ205": "a template uses something that is not allowed there",
    "DSJ206": "a template cannot be evaluated",
    "DSJ207": "a variable has no value, or a wrong one",
    "DSJ208": "an input has a value that cannot be sent",
    "DSJ209": "an environment, a project, a connector, a pool or a secret is unknown",
    "DSJ210": "a template takes a list of a matrix job's cells for one, or one for a list",
    "DSJ301": "two jobs have the same name",
    "DSJ302": "needs names an unknown job",
    "DSJ303": "jobs need each other in a circle",
    "DSJ304": "cells of matrix jobs do not fit together",
    "DSJ401": "a notebook or a project is not where the job says",
    "DSJ402": "a notebook cannot be run as it is",
    "DSJ403": "a deprecated or doubtful setting",
    "DSJ404": "the environment's backend cannot do what the job asks",
    "DSJ405": "a cell of a notebook is not Python",
    "DSJ406": "no cell of the notebook reads an input",
    "DSJ407": "the notebook needs a variable that no input sets",
    "DSJ408": "no cell of the notebook assigns an output",
    "DSJ409": "a cell asks for an answer that nobody can give",
    "DSJ410": "a secret has no value, or one that cannot be used",
    "DSJ411": "a value that would be written down holds the value of a secret",
}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `position` is None only where there is no file to point at (the command line, a backend)."""

    code: str
    message: str
    position: Position | None = None
    hint: str | None = None
    severity: Severity = "error"

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def as_json(self) -> dict[str, Any]:
        """The shape that `-o json` prints; `cell` is there for a place in a notebook, and counts code cells from 1."""
        place = self.position
        file, cell = divided(place.file) if place else (None, None)
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
            "file": file,
            **({} if cell is None else {"cell": cell}),
            "line": place.line if place else None,
            "column": place.column if place else None,
        }


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Sorted by place, then by code; those without a place come last. A warning where an error stands is left out."""
    last = ("\U0010ffff", 0, 0)
    found = set(diagnostics)
    wrong = {diagnostic.position for diagnostic in found if diagnostic.is_error and diagnostic.position}
    kept = (diagnostic for diagnostic in found if diagnostic.is_error or diagnostic.position not in wrong)
    return sorted(kept, key=lambda d: (d.position or last, d.code, d.message))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(diagnostic.is_error for diagnostic in diagnostics)


def text(diagnostic: Diagnostic, sources: Sequence[Source] = ()) -> str:
    """A diagnostic as the terminal shows it: the place and message, the line with a caret, the hint."""
    place = f"{diagnostic.position}: " if diagnostic.position else ""
    lines = [_visible(f"{place}{diagnostic.severity}: {diagnostic.message} [{diagnostic.code}]")]
    lines += _excerpt(diagnostic.position, sources)
    if diagnostic.hint:
        lines.append(_visible(f"  hint: {diagnostic.hint}"))
    return "\n".join(lines)


def _visible(text: str) -> str:
    """What a file says cannot move the cursor or break the line of a message."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the nearest known name, the list when it is short, or nothing."""
    names = sorted(set(known))
    # What is longer is no name with a slip in it, and comparing takes the product of both lengths.
    short = [candidate for candidate in names if len(candidate) <= _LONGEST] if len(name) <= _LONGEST else []
    near = difflib.get_close_matches(name, short, n=1, cutoff=0.6) or [
        candidate for candidate in short if candidate.casefold() == name.casefold()
    ]
    if near:
        return f"did you mean '{near[0]}'?"
    if 0 < len(names) <= 12:
        return "known: " + ", ".join(names)
    return None


_LONGEST = 200
"""Characters of a name for which a nearer one is looked for."""


class Suggestions:
    """`did_you_mean` over one large set of names. An answer is kept for the next who asks; after a hundred different ones
    there are no more, because each takes milliseconds and a renamed job may be needed ten thousand times."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._answers: dict[str, str | None] = {}

    def hint(self, name: str) -> str | None:
        """As `did_you_mean`."""
        if name not in self._answers:
            if len(self._answers) >= 100:
                return None
            self._answers[name] = did_you_mean(name, self._candidates(name))
        return self._answers[name]

    def _candidates(self, name: str) -> Collection[str]:
        if len(self._names) <= 500:
            return self._names
        ends = (name[:2], name[-2:])
        near = (n for n in self._names if abs(len(n) - len(name)) <= 2 and (n[:2] == ends[0] or n[-2:] == ends[1]))
        return list(islice(near, 500))


_EXCERPT_WIDTH = 160


def _excerpt(position: Position | None, sources: Sequence[Source]) -> list[str]:
    source = next((s for s in sources if position and s.name == position.file), None)
    if position is None or source is None:
        return []
    line = source.line(position.line)
    if not line.strip():
        return []
    start = 0
    if position.column > _EXCERPT_WIDTH - 20:
        start = position.column - _EXCERPT_WIDTH // 2
    shown = "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in line[start : start + _EXCERPT_WIDTH])
    before = shown[: position.column - 1 - start]
    return [f"  {shown}", f"  {_blank(before)}^"]


def _blank(text: str) -> str:
    """As many columns of white space as `text` takes in a terminal."""
    return "".join(
        "\t"
        if c == "\t"
        else "  "
        if unicodedata.east_asian_width(c) in "WF"
        else ""
        if unicodedata.category(c) in {"Mn", "Me"}
        else " "
        for c in text
    )
