"""The code that a request runs, as fingerprints see it: edits that cannot change what a notebook does leave it as it is.

Of Python these are spaces at the ends of lines and empty lines, but those inside of texts over several lines; indentation counts.
A cell of another language, or with a cell magic (`%%bash`), counts to the letter: only Python's rules are known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dsjobs.model import Code, CodeCell
from dsjobs.notebook.cells import Target
from dsjobs.notebook.reading import code_digest


def code_of(target: Target) -> Code:
    """The code of what will run."""
    is_python = target.notebook.language in (None, "python")
    texts = ((cell.number, _text(cell.source, is_python=is_python)) for cell in target.cells)
    return Code(code_digest(target.cells), tuple(CodeCell(number, text) for number, text in texts if text))


def _text(source: str, *, is_python: bool) -> str:
    if not source.strip():
        return ""
    if not is_python or source.lstrip().startswith("%%"):
        return source
    return "\n".join(_lines(source))


def _lines(source: str) -> Iterator[str]:
    """The lines of Python that matter, without the spaces at their ends."""
    inside, joined = _inside_texts(source), False
    for number, line in enumerate(source.split("\n")):
        ends_inside, begins_inside = number in inside, number - 1 in inside
        kept = line if ends_inside else line.rstrip()
        if kept or ends_inside or begins_inside or joined:
            yield kept
        joined = kept.endswith("\\")


# Not the tokenizer of the Python that runs dsjobs: it differs from version to version, and magics are not for it.
_TEXT = re.compile(
    r"""\#[^\n]*
    | (?P<long>'{3}|"{3}) (?:\\.|[^\\])*? (?P=long)
    | '(?:\\.|[^'\\\n])*'
    | "(?:\\.|[^"\\\n])*"
    """,
    re.VERBOSE | re.DOTALL,
)


def _inside_texts(source: str) -> set[int]:
    """The lines, from 0, whose end is inside of a text."""
    found: set[int] = set()
    line, seen = 0, 0
    for match in _TEXT.finditer(source):
        line += source.count("\n", seen, match.start())
        seen = match.end()
        breaks = match[0].count("\n")
        found.update(range(line, line + breaks))
        line += breaks
    return found
