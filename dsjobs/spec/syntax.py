"""What libyaml says when a text is not YAML, as one diagnostic: the place where the mistake is, and what to do about it.

libyaml names the place where it could not go on, which is often a line or more after the mistake; where it also says what it
was reading (the context), that is nearly always the better place.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from dsjobs.diagnostics import Diagnostic
from dsjobs.marks import Position, Source

UNQUOTED_TEMPLATE = "a template must be quoted: YAML reads these braces as its own"
QUOTE_TEMPLATE = 'write "{{ … }}", with the quotes'


def syntax_problem(source: Source, error: yaml.MarkedYAMLError) -> Diagnostic:
    """The diagnostic of a syntax error in `source`."""
    found = _Error(source, error)
    message, hint, position = _explained(found)
    return Diagnostic("DSJ003", message, position, hint)


class _Error:
    """The error with its places. `rest` is the text from where libyaml stopped to the end of the line."""

    def __init__(self, source: Source, error: yaml.MarkedYAMLError) -> None:
        self.source = source
        self.problem = error.problem or "this is not YAML"
        self.context = error.context or ""
        self.place = _position(source, error.problem_mark or error.context_mark)
        self.start = _position(source, error.context_mark) if error.context_mark else self.place
        line = source.line(self.place.line)
        self.before, self.rest = line[: self.place.column - 1], line[self.place.column - 1 :]


Explained = tuple[str, str, Position]


def _position(source: Source, mark: Any) -> Position:
    return Position(source.name, mark.line + 1, mark.column + 1) if mark else source.start


def _explained(error: _Error) -> Explained:
    for explain in (_tab, _conflict, _unclosed, _token, _colon, _structure):
        explained = explain(error)
        if explained is not None:
            return explained
    context = f", {error.context}" if error.context else ""
    return f"invalid YAML: {error.problem}{context}", "see the lines above this place", error.place


def _tab(error: _Error) -> Explained | None:
    if not (error.rest.startswith("\t") or error.before.strip(" ").startswith("\t")):
        return None
    column = len(error.before) - len(error.before.lstrip(" ")) + 1
    return "a tab cannot indent YAML", "indent with spaces", error.place._replace(column=column)


def _conflict(error: _Error) -> Explained | None:
    for place in (error.start, error.place):
        if re.match(r"<{7} |={7}$|>{7} ", error.source.line(place.line)):
            hint = "choose one side, and remove the lines with <<<<<<<, ======= and >>>>>>>"
            return "a merge conflict is not resolved here", hint, place._replace(column=1)
    return None


def _unclosed(error: _Error) -> Explained | None:
    if "quoted scalar" in error.context and "escape" not in error.problem:
        return "the quote that opens here is not closed", "add the closing quote", error.start
    for kind, end in (("sequence", "]"), ("mapping", "}")):
        if f"flow {kind}" not in error.context:
            continue
        if error.start.line == error.place.line:
            hint = "quote a text that has a bracket, a brace or a comma"
            return f"a comma or `{end}` is missing here", hint, error.place
        what = "list" if kind == "sequence" else "mapping"
        hint = f"close it with `{end}`, or add the comma that is missing before line {error.place.line}"
        return f"the {what} that opens here is not closed", hint, error.start
    return None


def _token(error: _Error) -> Explained | None:
    """A character that means something else where it stands."""
    if "unknown escape character" in error.problem or "hexdecimal" in error.problem:
        hint = "use single quotes, or write the backslash twice"
        return "in double quotes a backslash begins an escape, and this is none", hint, error.place
    if "cannot start any token" in error.problem:
        if error.before.endswith("{") and error.rest.startswith("%"):
            place = error.place._replace(column=error.place.column - 1)
            return UNQUOTED_TEMPLATE, 'write "{% … %}", with the quotes', place
        return f"a text cannot begin with `{error.rest[:1]}`", "quote it", error.place
    for kind, sign in (("an alias", "*"), ("an anchor", "&")):
        if f"scanning {kind}" in error.context:
            return f"`{sign}` begins {kind}, and no name follows", f"quote a text that begins with {sign}", error.start
    if "tag" in error.context or "tag" in error.problem:
        return f"`!` begins a tag, and this is none: {error.problem}", "quote a text that begins with !", error.start
    if "directive" in error.context or "directive" in error.problem or "incompatible YAML" in error.problem:
        return f"`%` begins a directive: {error.problem}", "remove the line; a job file needs no directive", error.place
    return None


def _colon(error: _Error) -> Explained | None:
    if "could not find expected ':'" in error.problem:
        hint = "write `key: value`, and quote a text that goes over several lines"
        return "a colon is missing: this is no `key: value`", hint, error.start
    if "mapping values are not allowed" not in error.problem:
        return None
    above = error.place.line - 1
    glued = re.match(r"[ -]*[A-Za-z_][\w-]*(:)[^\s/:]", error.source.line(above))
    if glued and re.fullmatch(r" *[\w-]+", error.before):
        place = Position(error.place.file, above, glued.start(1) + 1)
        return "a space is missing after this colon", "write `key: value`", place
    if ": " in error.before:
        return "a second colon in one `key: value`", "quote a text that has a colon and a space in it", error.place
    hint = "check the indentation of this line, and that the line above is complete"
    return "a key cannot stand here", hint, error.place


def _structure(error: _Error) -> Explained | None:
    sign = error.rest[:1]
    if "did not find expected key" not in error.problem and "expected '-' indicator" not in error.problem:
        return None
    if sign in ("]", "}"):
        return f"this `{sign}` closes nothing", "remove it, or quote the text", error.place
    if sign == ":":
        return "a key is missing before this colon", "write `key: value`", error.place
    if error.before.strip(" -"):
        return "this cannot follow what stands before it", "quote the text, or remove what is too much", error.place
    hint = f"check its indentation; it may belong to what begins in line {error.start.line}"
    return "this line does not fit to the lines above", hint, error.place
