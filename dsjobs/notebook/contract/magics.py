"""A cell's code as Python, with IPython's own syntax taken out: `%magic`, `%%magic`, `!shell`, `x = !shell`, `help?`, prompts.

Lines keep their numbers. The rules are those of IPython's inputtransformer2, which splits a cell into logical lines and looks at
the first token of each; this reads strings, comments and brackets by itself, because the tokens of Python's own tokenizer differ
from version to version and IPython need not be installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dsjobs.notebook.contract.magic_names import AUTOMAGIC, RUN_PYTHON, SCRATCH


@dataclass(frozen=True, slots=True)
class Magic:
    """A line or a cell that IPython itself runs. `kind` is `shell` for `!`, where `text` is the command; else `text` is what
    follows the name, and `body` the cell below the first line. `line` counts from 1."""

    kind: Literal["line", "cell", "shell"]
    name: str
    text: str
    line: int
    body: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """`text`: the Python of a cell. `margin`: columns that were cut off each line. `is_scratch`: what it assigns is gone when
    it has run, as of `%%timeit`."""

    text: str
    magics: tuple[Magic, ...] = ()
    margin: int = 0
    is_scratch: bool = False


_CLASSIC_START, _CLASSIC = re.compile(r">>>( |$)"), re.compile(r"(>>>|\.\.\.)( |$)")
_PROMPT = re.compile(r"(((\[nav\]|\[ins\])? )?In \[\d+\]: |\s*\.{3,}: ?)")
_LEADING = re.compile(
    r"(?:[^\S\n]*[\x0b\x0c\x1c-\x1e\x85\u2028\u2029])+"
)  # ends of lines for IPython, and no others here
_HELP = re.compile(r"(%{0,2}(?!\d)[\w*]+(\.(?!\d)[\w*]+|\[-?[0-9]+\])*)(\?\??)$")
_AUTOMAGIC = re.compile(r"\s*([A-Za-z_]\w*)(?:\s+([^=,].*)|\s*)$", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<comment>\#.*)
    | (?P<string>[A-Za-z]{0,3}(?:'''|\"\"\"|'|\"))
    | (?P<open>[(\[{]) | (?P<close>[)\]}])
    | (?P<word>\w+)
    | (?P<operator>[=!<>]=|:=|(?:\*\*|//|>>|<<|[-+*/%&|^@])=?|->)
    | (?P<assign>=)
    | (?P<other>\S)
    """,
    re.VERBOSE,
)
_ENDS = {quote: re.compile(rf"(?:\\.|[^\\])*?{quote}", re.DOTALL) for quote in ("'''", '"""')} | {
    quote: re.compile(rf"(?:\\(?:.|\n)|[^\\\n{quote}])*{quote}") for quote in ("'", '"')
}


def python_of(source: str) -> Code:
    """The Python of a cell, and what IPython runs itself."""
    lines = _LEADING.sub("", source.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    first = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return Code("")
    margin = len(lines[first]) - len(lines[first].lstrip(" \t"))
    lines = _without_prompts(_without_margin(lines, lines[first][:margin]), first)
    if lines[first].startswith("#!:"):  # on DataSphere a cell of another language
        name = lines[first][3:].strip() or "unknown"
        return Code("", (Magic("cell", name, "", first + 1, "\n".join(lines[first + 1 :])),))
    if lines[first].startswith("%%") and not re.match(r"%%\w+\?", lines[first]):
        return _cell_magic(lines, first, margin)
    if _is_automagic(lines, first):
        name, _, text = lines[first].strip().partition(" ")
        return Code("", (Magic("line", name, text, first + 1),))
    magics: list[Magic] = []
    _LineReader(lines, magics).read()
    return Code("\n".join(lines), tuple(magics), margin)


def _without_margin(lines: list[str], margin: str) -> list[str]:
    return [line.removeprefix(margin) for line in lines] if margin else lines


def _without_prompts(lines: list[str], first: int) -> list[str]:
    second = lines[first + 1] if first + 1 < len(lines) else ""
    for start, prompt in ((_CLASSIC_START, _CLASSIC), (_PROMPT, _PROMPT)):
        if start.match(lines[first]) or prompt.match(second):
            lines = [prompt.sub("", line, count=1) if prompt.match(line) else line for line in lines]
    return lines


def _cell_magic(lines: list[str], first: int, margin: int) -> Code:
    name, _, text = lines[first][2:].rstrip().partition(" ")
    body = "\n".join(lines[first + 1 :])
    magic = Magic("cell", name, text, first + 1, "" if name in RUN_PYTHON else body)
    if name not in RUN_PYTHON:
        return Code("", (magic,))
    inner = python_of(body)
    inner_magics = tuple(Magic(m.kind, m.name, m.text, m.line + first + 1, m.body) for m in inner.magics)
    return Code(
        "\n" * (first + 1) + inner.text,
        (magic, *inner_magics),
        margin + inner.margin,
        inner.is_scratch or name in SCRATCH,
    )


def _is_automagic(lines: list[str], first: int) -> bool:
    """Whether the cell is one line that IPython takes for a magic without its `%`. Where it is Python as well, it is Python."""
    if len("\n".join(lines[first:]).splitlines()) != 1:
        return False
    match = _AUTOMAGIC.match(lines[first])
    if match is None or match[1] not in AUTOMAGIC or not match[2]:
        return False
    try:
        compile(lines[first], "", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return False


class _LineReader:
    """Goes through the logical lines of a cell and replaces, in place, those that are not Python."""

    def __init__(self, lines: list[str], magics: list[Magic]) -> None:
        self._lines = lines
        self._magics = magics

    def read(self) -> None:
        index = 0
        while index < len(self._lines):
            index = self._logical_line(index)

    def _logical_line(self, start: int) -> int:
        """Looks at the logical line that begins there. Gives the line after it, or the same one where it has to be read again."""
        first = _TOKEN.search(self._lines[start])
        if first is None or first["comment"]:
            return start + 1
        if first[0] == "\\" and self._lines[start].endswith("\\"):
            return self._after_backslash(start)
        if first[0] in ("%", "!", "?", ",", "/", ";"):
            return self._escaped(start, first.start())
        index, column, depth, assigned, last = start, first.start(), 0, False, ""
        while True:
            token = _TOKEN.search(self._lines[index], column)
            if token is None or token["comment"]:
                if depth == 0 and not self._goes_on(index, token):
                    break
                index, column, last = index + 1, 0, ""
                if index >= len(self._lines):
                    return index
                continue
            column, last = token.end(), token[0]
            if token["string"]:
                index, column = self._after_string(index, token)
                if index >= len(self._lines):
                    return index
            elif token["open"]:
                depth += 1
            elif token["close"]:
                depth = max(0, depth - 1)
            elif token["assign"] and depth == 0 and not assigned:
                assigned = True
                if re.match(r"\s*(?:%\s*[^\W\d]|!)", self._lines[index][column:]):
                    return self._assigned(index, column)
        if last == "?" and token is None:
            self._help(start, index)
        return index + 1

    def _after_backslash(self, start: int) -> int:
        """A logical line may begin below a backslash that stands alone."""
        following = self._lines[start + 1].lstrip()[:1] if start + 1 < len(self._lines) else ""
        if following and following in "%!?,/;":
            self._lines[start] = ""
        return start + 1

    def _goes_on(self, index: int, comment: re.Match[str] | None) -> bool:
        return comment is None and self._lines[index].endswith("\\")

    def _after_string(self, index: int, token: re.Match[str]) -> tuple[int, int]:
        """The line and column behind a string; behind its quote where it does not end."""
        quote = token[0].lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        on_one_line = self._lines[index][token.end() :]
        rest = on_one_line if len(quote) == 1 and not on_one_line.endswith("\\") else self._rest(index, token.end())
        end = _ENDS[quote].match(rest)
        if end is None:
            return (len(self._lines), 0) if len(quote) == 3 else (index, token.end())
        breaks = end[0].count("\n")
        return (index + breaks, len(end[0]) - end[0].rfind("\n") - 1) if breaks else (index, token.end() + len(end[0]))

    def _rest(self, index: int, column: int) -> str:
        return "\n".join([self._lines[index][column:], *self._lines[index + 1 :]])

    def _taken(self, start: int, column: int) -> str:
        """The text from there on, over lines that end in a backslash, which are emptied but for what is before it."""
        index, parts = start, [self._lines[start][column:]]
        self._lines[start] = self._lines[start][:column]
        while parts[-1].endswith("\\") and index + 1 < len(self._lines):
            index += 1
            parts.append(self._lines[index])
            self._lines[index] = ""
        joined = [part.rstrip().removesuffix("\\") for part in parts[:-1]]
        return " ".join([*joined, parts[-1].rstrip()])

    def _escaped(self, start: int, column: int) -> int:
        text = self._taken(start, column)
        help_call = _HELP.search(text)
        if help_call is not None and not text.startswith("!"):
            self._lines[start] += "pass"
            return start + 1
        if text.startswith("!"):
            self._magics.append(Magic("shell", "!", text.lstrip("!"), start + 1))
        elif text.startswith("%"):
            name, _, rest = text[1:].partition(" ")
            if name == "time" and rest.strip():  # it runs the statement, which may be a magic in turn
                self._lines[start] += rest.strip()
                return start
            self._magics.append(Magic("line", name, rest, start + 1))
        self._lines[start] += "pass"
        return start + 1

    def _assigned(self, start: int, column: int) -> int:
        text = self._taken(start, column).strip()
        if text.startswith("!"):
            self._magics.append(Magic("shell", "!", text.lstrip("!"), start + 1))
        else:
            name, _, rest = text[1:].strip().partition(" ")
            self._magics.append(Magic("line", name, rest, start + 1))
        self._lines[start] += " None"
        return start + 1

    def _help(self, start: int, end: int) -> None:
        piece = "\n".join(self._lines[start : end + 1]).rstrip()
        if _HELP.search(piece) is None:
            return
        indent = len(piece) - len(piece.lstrip())
        self._lines[start] = piece[:indent] + "pass"
        self._lines[start + 1 : end + 1] = [""] * (end - start)
