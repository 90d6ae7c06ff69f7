"""Text to Document: YAML as people read it, with the place of every key and value, all problems in one pass.

Differs from PyYAML's loaders: only `true` and `false` are booleans, dates stay text, keys are always text, a key that stands
twice is an error, and how far aliases expand is bounded. Built on the parser's events, which cost a fifth of the time and
memory of a loaded tree and still carry every place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from dsjobs.diagnostics import Diagnostic
from dsjobs.marks import MarkedList, MarkedMap, Position, Source, pack, pack_pair, unpack

MAX_DEPTH = 64
"""How deeply mappings and lists may be nested."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """The data of one file with its places, and what was wrong with it. `data` is None when nothing could be read."""

    source: Source
    data: Any
    diagnostics: tuple[Diagnostic, ...]


def decode(name: str, content: bytes) -> tuple[Source, list[Diagnostic]]:
    """The text of a file. What is not UTF-8 text is a diagnostic, with the place of the first bad character."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Source(name, ""), [_undecodable(name, content, error)]
    control = _CONTROL.search(text)
    if control is None:
        return Source(name, text), []
    found = control.start()
    hint = "this is a binary file, or one in another encoding; a job file is UTF-8 text"
    message = f"the character U+{ord(text[found]):04X} cannot be in a job file"
    return Source(name, ""), [Diagnostic("DSJ002", message, _position(name, text, found), hint)]


def parse(source: Source) -> Document:
    """The document in `source`, with every problem of its YAML."""
    composer = _Composer(source)
    try:
        composer.run(_Loader(source.text))
    except yaml.MarkedYAMLError as error:
        composer.problems.append(_syntax_problem(source, error))
        return Document(source, None, tuple(composer.problems))
    except _StopError:
        return Document(source, None, tuple(composer.problems))
    return Document(source, composer.root, tuple(composer.problems))


# Control characters that YAML does not allow in text; U+FFFE and lone surrogates cannot come out of the decoder.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def _undecodable(name: str, content: bytes, error: UnicodeDecodeError) -> Diagnostic:
    before = content[: error.start].decode("utf-8", errors="replace")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Diagnostic("DSJ002", "the file is UTF-16, not UTF-8", Position(name, 1, 1), "save it as UTF-8")
    message = f"byte 0x{content[error.start]:02x} is not UTF-8"
    hint = "save the file as UTF-8"
    return Diagnostic("DSJ002", message, _position(name, before, len(before)), hint)


def _position(name: str, text: str, index: int) -> Position:
    start = text.rfind("\n", 0, index) + 1
    return Position(name, text.count("\n", 0, index) + 1, index - start + 1)


class _StopError(Exception):
    """The file cannot be understood any further; the problem is already noted."""


@dataclass(slots=True)
class _Frame:
    """A mapping or list under construction. `size` counts its values with every alias expanded."""

    container: MarkedMap | MarkedList
    anchor: str | None
    key: str | None = None
    key_place: int = 0
    skip: bool = False
    merges: list[MarkedMap] = field(default_factory=list)
    size: int = 1


class _Composer:
    """Builds the data from the parser's events, one at a time, without recursion."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Diagnostic] = []
        self.root: Any = None
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.open_anchors: set[str] = set()
        self.values = 0
        self.aliased = 0

    def run(self, loader: Any) -> None:
        get: Callable[[], Any] = loader.get_event
        documents = 0
        while True:
            event = get()
            kind = type(event)
            if kind is ScalarEvent:
                self.add_scalar(event)
            elif kind is MappingStartEvent:
                self.open(event, MarkedMap())
            elif kind is SequenceStartEvent:
                self.open(event, MarkedList())
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                self.close()
            elif kind is AliasEvent:
                self.add_alias(event)
            elif kind is DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self.stop("DSJ003", "a second document begins here", event, "a job file is one YAML document")
            elif kind is StreamEndEvent:
                return

    def add_scalar(self, event: Any) -> None:
        mark = event.start_mark
        place = pack(mark.line, mark.column)
        stack = self.stack
        if stack:
            frame = stack[-1]
            if type(frame.container) is MarkedMap and frame.key is None:
                self.set_key(frame, event.value, place, plain=event.style is None)
                return
        value = event.value
        if event.tag is not None:
            value = self.tagged(event)
        elif event.implicit[0] and (not value or value[0] in _MAYBE_NOT_TEXT):
            value = self.plain(value, event)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        self.add(value, place, 1)

    def set_key(self, frame: _Frame, key: str, place: int, *, plain: bool) -> None:
        frame.key, frame.key_place = key, place
        if key in frame.container:
            assert isinstance(frame.container, MarkedMap)
            first = frame.container.key_position(key)
            frame.skip = True
            message = f"the key '{key}' stands twice in this mapping"
            self.problem("DSJ004", message, place, f"it stands first in line {first.line}; remove one of them")
        elif not key and plain:
            frame.skip = True
            self.problem("DSJ003", "a key is missing before this colon", place, "write `key: value`")

    def add(self, value: Any, place: int, size: int) -> None:
        self.values += 1
        if not self.stack:
            self.root = value
            return
        frame = self.stack[-1]
        frame.size += size
        container = frame.container
        if type(container) is MarkedList:
            container.append(value)
            container.marks.append(place)
            return
        key = frame.key
        frame.key = None
        if key is None:
            self.complex_key(place)
        elif frame.skip:
            frame.skip = False
        elif key == "<<":
            self.merge(frame, value, place)
        else:
            container[key] = value  # type: ignore[call-overload]
            container.marks.append(pack_pair(frame.key_place, place))

    def open(self, event: Any, container: MarkedMap | MarkedList) -> None:
        mark = event.start_mark
        container.source, container.place, container.marks = self.source, pack(mark.line, mark.column), []
        if len(self.stack) >= MAX_DEPTH:
            self.stop("DSJ006", f"values are nested more than {MAX_DEPTH} deep", event, "use fewer levels")
        if event.tag is not None and event.tag not in _CONTAINER_TAGS:
            self.bad_tag(event)
        if self.stack:
            frame = self.stack[-1]
            if type(frame.container) is MarkedMap and frame.key is None:
                self.complex_key(container.place)
        if event.anchor is not None:
            self.open_anchors.add(event.anchor)
        self.stack.append(_Frame(container, event.anchor))

    def close(self) -> None:
        frame = self.stack.pop()
        container = frame.container
        for merged in frame.merges:
            _merge_into(container, merged)
        if frame.anchor is not None:
            self.open_anchors.discard(frame.anchor)
            self.anchors[frame.anchor] = (container, frame.size)
        self.add(container, container.place, frame.size)

    def add_alias(self, event: Any) -> None:
        name = event.anchor
        if name in self.open_anchors:
            self.stop("DSJ005", f"the alias '*{name}' stands inside its own anchor", event, "remove the alias")
        if name not in self.anchors:
            self.stop(
                "DSJ005", f"the alias '*{name}' has no anchor before it", event, f"write `&{name}` at a value above"
            )
        value, size = self.anchors[name]
        mark = event.start_mark
        place = pack(mark.line, mark.column)
        self.aliased += size
        if self.aliased > max(10_000, 10 * self.values):
            message = "the aliases of this file stand for too many values"
            self.stop("DSJ005", message, event, "write the values out, or use fewer aliases of aliases")
        frame = self.stack[-1] if self.stack else None
        if frame is not None and type(frame.container) is MarkedMap and frame.key is None:
            self.complex_key(place)
        self.add(value, place, size)

    def merge(self, frame: _Frame, value: Any, place: int) -> None:
        merged = value if isinstance(value, MarkedList) else [value]
        if not all(isinstance(one, MarkedMap) for one in merged):
            self.problem("DSJ008", "`<<` merges mappings only", place, "write `<<: *anchor_of_a_mapping`")
            return
        frame.merges += merged

    def plain(self, value: str, event: Any) -> Any:
        """The value of an unquoted scalar, by the core schema of YAML 1.2."""
        if value in _WORDS:
            return _WORDS[value]
        if _INTEGER.fullmatch(value):
            return int(value, 0) if len(value) <= _MAX_DIGITS else value
        if _LEADING_ZERO.fullmatch(value):
            mark = event.start_mark
            hint = f'write "{value}" for text, or {int(value)} for the number'
            message = f"{value} has leading zeros: it is read as text"
            self.problem("DSJ007", message, pack(mark.line, mark.column), hint, severity="warning")
            return value
        if _FLOAT.fullmatch(value) and len(value) <= _MAX_DIGITS:
            return float(value.replace(".inf", "inf").replace(".nan", "nan"))
        return value

    def tagged(self, event: Any) -> Any:
        value = event.value
        if event.tag in ("!", "tag:yaml.org,2002:str"):
            return value
        converted = self.plain(value, event) if event.tag in _SCALAR_TAGS else value
        if not isinstance(converted, _SCALAR_TAGS.get(event.tag, ())):
            self.bad_tag(event)
        return converted

    def bad_tag(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        mark = event.start_mark
        hint = "a job file has plain values only: remove the tag"
        self.problem("DSJ008", f"the tag '{tag}' cannot be used here", pack(mark.line, mark.column), hint)

    def complex_key(self, place: int) -> None:
        position = unpack(self.source, place)
        line = self.source.line(position.line)
        if "{{" in line:
            message = "a template must be quoted: YAML reads these braces as a mapping"
            hint = 'write "{{ … }}", with the quotes'
            position = position._replace(column=line.index("{{") + 1)
        else:
            message, hint = "a key must be text, not a list or a mapping", "write `key: value`"
        self.problems.append(Diagnostic("DSJ003", message, position, hint))
        raise _StopError

    def problem(self, code: str, message: str, place: int, hint: str, *, severity: Any = "error") -> None:
        self.problems.append(Diagnostic(code, message, unpack(self.source, place), hint, severity))

    def stop(self, code: str, message: str, event: Any, hint: str) -> None:
        mark = event.start_mark
        self.problem(code, message, pack(mark.line, mark.column), hint)
        raise _StopError


def _merge_into(container: MarkedMap | MarkedList, merged: MarkedMap) -> None:
    for mark, (key, value) in zip(merged.marks, merged.items(), strict=True):
        if key not in container:
            container[key] = value  # type: ignore[call-overload]
            container.marks.append(mark)


_MAYBE_NOT_TEXT = frozenset("0123456789+-.tTfFnN~")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# Longer numbers are text: Python would refuse to print them, and no service would take them.
_MAX_DIGITS = 400
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_CONTAINER_TAGS = frozenset({"!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_SCALAR_TAGS: dict[str, tuple[type, ...]] = {
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (float, int),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
}

# What libyaml says, what a person should do.
_REMEDIES = {
    "mapping values are not allowed": "is a line above not ended, or a text with a colon not quoted?",
    "could not find expected ':'": "write `key: value`; is a colon missing, or a text not quoted?",
    "did not find expected key": "check the indentation of this line, and that quotes and brackets above are closed",
    "did not find expected '-' indicator": "items of one list start in one column",
    "did not find expected ',' or": "a bracket or brace above is not closed",
    "found unexpected end of stream": "a quote above is not closed",
    "found unknown escape character": "in double quotes a backslash is an escape: use single quotes, or write it twice",
    "cannot start any token": "quote the text",
    "found undefined tag handle": "quote a text that begins with an exclamation mark",
}


def _syntax_problem(source: Source, error: yaml.MarkedYAMLError) -> Diagnostic:
    problem = error.problem or "this is not YAML"
    mark = error.problem_mark or error.context_mark
    if "end of stream" in problem and error.context_mark:
        mark = error.context_mark
    position = Position(source.name, mark.line + 1, mark.column + 1) if mark else source.start
    hint = next((remedy for words, remedy in _REMEDIES.items() if words in problem), "see the lines above this place")
    rest = source.line(position.line)[position.column - 1 :]
    if rest.startswith("\t") or source.line(position.line)[: position.column - 1].strip(" ").startswith("\t"):
        return Diagnostic("DSJ003", "a tab cannot indent YAML", position, "indent with spaces")
    if rest.startswith(("%", "@", "`")):
        hint = f"quote a text that begins with {rest[0]}"
    context = f", {error.context}" if error.context else ""
    if context and error.context_mark and error.context_mark.line != position.line - 1:
        context += f" that begins in line {error.context_mark.line + 1}"
    return Diagnostic("DSJ003", f"invalid YAML: {problem}{context}", position, hint)
