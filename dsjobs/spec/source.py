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
from dsjobs.spec.syntax import QUOTE_TEMPLATE, UNQUOTED_TEMPLATE, syntax_problem

MAX_DEPTH = 64
"""How deeply mappings and lists may be nested."""

MAX_VALUES = 500_000
"""How many values a job file may have, with all that it includes: those of 20,000 jobs and more. What is not bounded could take
any time and memory."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """The data of one file with its places, and what was wrong with it. `data` is None when nothing could be read. `size`: how
    many values were read."""

    source: Source
    data: Any
    diagnostics: tuple[Diagnostic, ...]
    size: int = 0


def decode(name: str, content: bytes) -> tuple[Source, list[Diagnostic]]:
    """The text of a file. What is not UTF-8 is a diagnostic, with the place of the first bad byte."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Of what was decoded, which begins after a byte order mark.
        return _undecodable(name, error.object, error.start)
    return Source(name, text), []


def parse(source: Source, most: int = MAX_VALUES) -> Document:
    """The document in `source`, with every problem of its YAML. It may have at `most` so many values."""
    composer = _Composer(source, most)
    try:
        composer.run(_Loader(source.text))
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        composer.problems.append(_unreadable(source, error))
        return Document(source, None, tuple(composer.problems), composer.values)
    except _StopError:
        return Document(source, None, tuple(composer.problems), composer.values)
    return Document(source, composer.root, tuple(composer.problems), composer.values)


# What YAML does not allow in text; lone surrogates cannot come out of the decoder, but from the command line.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_NOT_TEXT = "this is a binary file, or one in another encoding; a job file is UTF-8 text"


def _unreadable(source: Source, error: Exception) -> Diagnostic:
    # Looked for only now: the parser stops at these characters, and searching every file for them would cost a tenth more.
    control = _CONTROL.search(source.text)
    if control is not None:
        hint = _NOT_TEXT if "\0" in source.text else "remove it; between double quotes it can be written as an escape"
        message = f"the character U+{ord(control[0]):04X} cannot be in a job file"
        return Diagnostic("DSJ002", message, _position(source, control.start()), hint)
    if isinstance(error, yaml.MarkedYAMLError):
        return syntax_problem(source, error)
    return Diagnostic("DSJ003", f"invalid YAML: {error}", source.start)


def _undecodable(name: str, content: bytes, start: int) -> tuple[Source, list[Diagnostic]]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        source = Source(name, "")
        return source, [Diagnostic("DSJ002", "the file is UTF-16, not UTF-8", source.start, "save it as UTF-8")]
    source = Source(name, content.decode("utf-8", errors="replace"))
    position = _position(source, len(content[:start].decode("utf-8")))
    hint = _NOT_TEXT if b"\0" in content[:8192] else "save the file as UTF-8"
    return source, [Diagnostic("DSJ002", f"byte 0x{content[start]:02x} is not UTF-8", position, hint)]


def _position(source: Source, index: int) -> Position:
    lines = (source.text[:index] + ".").splitlines()
    return Position(source.name, len(lines), len(lines[-1]))


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
    merging: bool = False
    merge_place: int = 0
    merges: list[MarkedMap] = field(default_factory=list)
    size: int = 1


class _Composer:
    """Builds the data from the parser's events, one at a time, without recursion."""

    def __init__(self, source: Source, most: int) -> None:
        self.source = source
        self.most = most
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
        value = event.value
        if self.stack:
            frame = self.stack[-1]
            if frame.key is None and type(frame.container) is MarkedMap:
                # A third of all events are keys, and nearly all of them plain: these cost no call.
                is_plain = event.anchor is None and event.tag is None and value not in ("", "<<")
                if is_plain and value not in frame.container:
                    frame.key, frame.key_place = value, place
                else:
                    self.set_key(frame, event, place)
                return
        if event.tag is not None:
            value = self.tagged(event)
        elif event.implicit[0] and (not value or value[0] in _MAYBE_NOT_TEXT):
            value = self.plain(value, event)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        self.add(value, place, 1)

    def set_key(self, frame: _Frame, event: Any, place: int) -> None:
        key = event.value
        frame.key, frame.key_place = key, place
        if event.anchor is not None:
            self.anchors[event.anchor] = (key, 1)
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            self.bad_tag(event)
        if key in frame.container:
            assert isinstance(frame.container, MarkedMap)
            self.duplicate(frame, place, frame.container.key_position(key).line)
        elif key == "<<" and not event.style:
            if frame.merges:
                self.duplicate(frame, place, unpack(self.source, frame.merge_place).line)
            frame.merging, frame.merge_place = True, place
        elif not key and not event.style:
            frame.skip = True
            self.problem("DSJ003", "a key is missing before this colon", place, "write `key: value`")

    def duplicate(self, frame: _Frame, place: int, first_line: int) -> None:
        frame.skip = True
        hint = f"it stands first in line {first_line}; remove one of them"
        if frame.key == "<<":
            hint = f"it stands first in line {first_line}; write one `<<: [*first, *second]`"
        self.problem("DSJ004", f"the key '{frame.key}' stands twice in this mapping", place, hint)

    def add(self, value: Any, place: int, size: int) -> None:
        self.values += 1
        if self.values > self.most:
            self.too_many_values(place)
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
            frame.skip = frame.merging = False
        elif frame.merging:
            frame.merging = False
            self.merge(frame, value, place)
        else:
            container[key] = value  # type: ignore[call-overload]
            container.marks.append(pack_pair(frame.key_place, place))

    def too_many_values(self, place: int) -> None:
        message = f"a job file has at most {MAX_VALUES:,} values, with all that it includes"
        hint = "keep data in files that the notebooks read, or make several job files"
        self.problem("DSJ006", message, place, hint)
        raise _StopError

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
            self.leading_zeros(value, event)
            return value
        if _FLOAT.fullmatch(value) and len(value) <= _MAX_DIGITS:
            return float(value.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return value

    def leading_zeros(self, value: str, event: Any) -> None:
        mark = event.start_mark
        sign, digits = ("-", value[1:]) if value[0] == "-" else ("", value.lstrip("+"))
        hint = f'write "{value}" for text, or {sign}{digits.lstrip("0") or "0"} for the number'
        message = f"{value} has leading zeros: it is read as text"
        if len(value) > 40:
            message, hint = "a number with leading zeros is read as text", "quote it, or remove the zeros"
        self.problem("DSJ007", message, pack(mark.line, mark.column), hint, severity="warning")

    def tagged(self, event: Any) -> Any:
        value = event.value
        if event.tag in _TEXT_TAGS:
            return value
        converted = self.plain(value, event) if event.tag in _SCALAR_TAGS else value
        if not isinstance(converted, _SCALAR_TAGS.get(event.tag, ())):
            self.bad_tag(event)
        return converted

    def bad_tag(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        mark = event.start_mark
        hint = "a job file has plain values only: remove the tag"
        if not tag.startswith("!!"):
            hint += ", or quote a text that begins with !"
        self.problem("DSJ008", f"the tag '{tag}' cannot be used here", pack(mark.line, mark.column), hint)

    def complex_key(self, place: int) -> None:
        """A list, a mapping or an alias where a key belongs; most often it is a template without quotes."""
        position = unpack(self.source, place)
        line, column = self.source.line(position.line), position.column - 1
        opening = next((start for start in (column, column - 1) if line[max(start, 0) :].startswith("{{")), None)
        if opening is not None:
            position = position._replace(column=opening + 1)
            self.problems.append(Diagnostic("DSJ003", UNQUOTED_TEMPLATE, position, QUOTE_TEMPLATE))
        else:
            message = "a key is a text, not a list, a mapping or an alias"
            self.problems.append(Diagnostic("DSJ003", message, position, "write `key: value`"))
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
_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_CONTAINER_TAGS = frozenset({"!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_SCALAR_TAGS: dict[str, tuple[type, ...]] = {
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (float, int),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
}
