"""How a notebook may write a secret down, and a search for all of that; made without a line of dsjobs."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

UNSEEN = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x20\x7f]")


def _base64_after(prefix: bytes, value: str, encode: Callable[[bytes], bytes] = base64.b64encode) -> str:
    return encode(prefix + value.encode() + b"after").decode()


def _lower(quoted: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), quoted)


DISGUISES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "json": json.dumps,
    "json, as unicode": lambda value: json.dumps(value, ensure_ascii=False),
    "json in json": lambda value: json.dumps(json.dumps({"password": value})),
    "repr": repr,
    "repr in a list": lambda value: repr([value, "'\""]),
    "ascii": ascii,
    "bytes": lambda value: repr(value.encode()),
    "unicode_escape": lambda value: value.encode("unicode_escape").decode(),
    "url": lambda value: f"postgres://user:{quote(value)}@host",
    "url, all": lambda value: quote(value, safe=""),
    "url, plus": quote_plus,
    "url, lower": lambda value: _lower(quote(value, safe="")),
    "html": html.escape,
    "html, text only": lambda value: html.escape(value, quote=False),
    "xml": lambda value: html.escape(value).encode("ascii", "xmlcharrefreplace").decode(),
    "shell": shlex.quote,
    "hex": lambda value: value.encode().hex(),
    "hex, upper": lambda value: value.encode().hex().upper(),
    "hex, colons": lambda value: value.encode().hex(":"),
    "hex, spaces": lambda value: value.encode().hex(" "),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 in a header": lambda value: "Authorization: Basic " + _base64_after(b"user:", value),
    "base64 after 1": lambda value: _base64_after(b"1", value),
    "base64 after 2": lambda value: _base64_after(b"12", value),
    "base64 after 3, for addresses": lambda value: _base64_after(b"123", value, base64.urlsafe_b64encode),
    "base64 in an address": lambda value: quote(_base64_after(b"1234", value), safe=""),
    "base64 in lines": lambda value: base64.encodebytes(b"." * 40 + value.encode() + b"." * 40).decode(),
    "wrapped": lambda value: "\n".join(value[at : at + 5] for at in range(0, len(value), 5)),
    "wrapped and indented": lambda value: "\n    ".join(value[at : at + 7] for at in range(0, len(value), 7)),
    "in colours": lambda value: f"\x1b[1m{value[:4]}\x1b[0m\x1b[38;5;9m{value[4:]}\x1b[0m",
    "in carriage returns": lambda value: value[:6] + "\r\n" + value[6:],
}
"""By name: what somebody makes of a value that is printed."""


def _kernels(value: str) -> Iterator[str]:
    """What no disguise of `value` is without: for base64 the part that is the same whatever stands beside it."""
    data = value.encode()
    yield from (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1])
    yield from (repr(value + "'\"")[1:-4], ascii(value)[1:-1], repr(data)[2:-1], html.escape(value))
    yield from (html.escape(value, quote=False), quote(value), quote(value, safe=""), quote_plus(value))
    yield from (_lower(quote(value)), _lower(quote(value, safe="")), json.dumps(json.dumps(value))[3:-3])
    yield value.encode("unicode_escape").decode()
    yield html.escape(value).encode("ascii", "xmlcharrefreplace").decode()
    yield from (shlex.quote(value).strip("'"), data.hex(), data.hex().upper(), data.hex(":"))
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode()[4 * (before > 0) : 8 * (before + len(data)) // 6]
        if len(text) >= 8:
            yield from (
                text,
                text.replace("+", "-").replace("/", "_"),
                quote(text, safe=""),
                _lower(quote(text, safe="")),
            )


def leaks(content: str | bytes, value: str) -> list[str]:
    """The forms of `value` in `content`, as text or, where it is JSON, in its texts, white space and colours aside."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    squeezed = [UNSEEN.sub("", one) for one in (text, *_texts_in(text))]
    sought = {UNSEEN.sub("", kernel) for kernel in _kernels(value)}
    return sorted(kernel for kernel in sought if any(kernel in one for one in squeezed))


def leaks_below(folder: Path, value: str) -> dict[str, list[str]]:
    """By file, what `leaks` finds in everything below a folder, names included."""
    found = {
        str(path.relative_to(folder)): leaks(path.read_bytes(), value) for path in folder.rglob("*") if path.is_file()
    }
    return {name: forms + leaks(name, value) for name, forms in found.items() if forms or leaks(name, value)}


def _texts_in(text: str) -> Iterator[str]:
    """The texts of a JSON document, or of one in each line; lists of texts joined, as a notebook has its lines."""
    for part in (text, *(text.splitlines() if text.lstrip().startswith("{") else ())):
        try:
            yield from _texts(json.loads(part))
        except ValueError:
            continue


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        # What a cell wrote in several pieces, with something else in between, is read as one.
        streams = [
            one for one in value.get("outputs") or () if isinstance(one, dict) and one.get("output_type") == "stream"
        ]
        yield "".join("".join(one["text"]) for one in streams)
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            yield "".join(value)
        for inner in value:
            yield from _texts(inner)
