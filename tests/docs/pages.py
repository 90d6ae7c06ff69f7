"""The pages of the documentation as a list of blocks, each with what the page says about how it is to be tried.

A block is what stands between two fences. HTML comments directly before it are its marks, `NAME` or `NAME: VALUE`:

    file: PATH         it is written there, in the page's folder
    notebook: PATH     (python) it is written there as a notebook; `# %%` begins a cell
    fragment           (yaml) a part of a job file
    wrong: CODE        (yaml) there is this one mistake in it, on purpose
    ci: NAME           (yaml) a workflow of GitHub Actions (`github`) or GitLab (`gitlab`)
    exit: N            (console, sh) what the last command ends with; 0 without it
    needs: PROGRAM     (console) it is tried where this program is installed
    not run: WHY       (console, sh) its commands are only parsed
    serves             (sh) a server, which runs until the page ends
    shown: WHY         (text) only for people to read
    command: NAME      (sh) .ci/run runs it
    snippet: NAME      (python) tests/datasphere runs it in a notebook

A mark with no block after it is for the page: `folder: NAME` goes on in a new folder, `project: PAGE` in a new one with the
files that another page has written at its end, `interrupted` makes a run whose process was killed; `part: NAME` and `end of
part` stand around what is made from the code (`made.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

TRIED = [page for page in PAGES if page.stem != "diagnostics"]
"""The pages whose blocks are tried here. diagnostics.md is made from dsjobs/explanations, and tests/test_explanations.py runs
each of its examples."""

_MARK = re.compile(r"<!-- ([a-z][a-z ]*?)(?:: (.*))? -->")
_FENCE = re.compile(r"^( *)(`{3,})([a-z]*)$")


@dataclass(frozen=True)
class Block:
    """`kind`: the word after the fence. `line`: of the fence, counted from 1. `size`: lines between the fences."""

    page: Path
    line: int
    kind: str
    text: str
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"

    @property
    def size(self) -> int:
        return self.text.count("\n")


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, and its own marks as blocks of the kind `page`."""
    lines = page.read_text(encoding="utf-8").splitlines()
    marks: dict[str, str] = {}
    index = 0
    while index < len(lines):
        line = lines[index]
        mark, fence = _MARK.fullmatch(line), _FENCE.match(line)
        if mark:
            marks[mark[1]] = mark[2] or ""
        elif fence:
            end = next(number for number in range(index + 1, len(lines)) if lines[number].strip() == fence[2])
            text = "".join(f"{one.removeprefix(fence[1])}\n" for one in lines[index + 1 : end])
            yield Block(page, index + 1, fence[3], text, marks)
            marks, index = {}, end
        elif marks:
            yield Block(page, index, "page", "", marks)
            marks = {}
        index += 1
    if marks:
        yield Block(page, index, "page", "", marks)


def replaced(page: Path, texts: Mapping[int, str]) -> str:
    """The page with other texts in the blocks that begin at these lines."""
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    for block in sorted(blocks(page), key=lambda block: -block.line):
        if block.line in texts:
            lines[block.line : block.line + block.size] = [texts[block.line]]
    return "".join(lines)
