"""Reads a reference page: its request line, and the fields of its messages from its own tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_ROW = re.compile(
    r"^\|\| (?P<name>\S+) \| \*\*(?P<type>.+?)\*\*(?: \((?P<format>.+?)\))?\n(?P<text>.*?) ?\|\|$",
    re.MULTILINE | re.DOTALL,
)
_HEADING = re.compile(r"^## (?P<title>[^{\n]+?)(?: \{#(?P<anchor>[^}]+)\})?$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\(#(?P<anchor>[^)]+)\)")


@dataclass(frozen=True)
class Field:
    """A field as a row of a table gives it. `path` is from the top of its message, e.g. `error.details[]`."""

    path: str
    type: str
    required: bool
    max_length: int | None
    enum: tuple[str, ...]
    one_of: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """A page: the verb and path of its request, and its fields."""

    method: str
    path: str
    path_parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    response: tuple[Field, ...]


def read(name: str) -> Page:
    """The page `name`.md of the folder `pages`."""
    text = (Path(__file__).parent / "pages" / f"{name}.md").read_text(encoding="utf-8")
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    sections = {h["title"]: text[h.end() : end] for h, end in zip(headings, ends, strict=True)}
    by_anchor = {h["anchor"]: text[h.end() : end] for h, end in zip(headings, ends, strict=True) if h["anchor"]}
    request = re.search(r"```\n(?P<method>[A-Z]+) https://[^/]+(?P<path>/\S+)\n```", sections["HTTP request"])
    assert request is not None
    return Page(
        request["method"],
        request["path"],
        _fields(sections["Path parameters"], by_anchor),
        _fields(sections.get("Body parameters", ""), by_anchor),
        _fields(sections["Response"], by_anchor),
    )


def _fields(section: str, by_anchor: dict[str, str], prefix: str = "") -> tuple[Field, ...]:
    found: list[Field] = []
    for row in _ROW.finditer(section):
        path, text = prefix + row["name"], row["text"]
        link = _LINK.search(row["type"])
        found.append(
            Field(
                path,
                "message" if link else row["type"],
                "Required field" in text,
                _max_length(text),
                tuple(re.findall(r"^- `(\w+)`", text, re.MULTILINE)),
                _one_of(text),
            )
        )
        if link:
            found += _fields(by_anchor[link["anchor"]], by_anchor, f"{path}.")
    return tuple(found)


def _max_length(text: str) -> int | None:
    limit = re.search(r"maximum string length is (\d+)|0-(\d+) characters long", text)
    return int(limit[1] or limit[2]) if limit else None


def _one_of(text: str) -> tuple[str, ...]:
    names = re.search(r"Includes only one of the fields ((?:`\w+`(?:, )?)+)", text)
    return tuple(re.findall(r"`(\w+)`", names[1])) if names else ()
