"""What a secret may look like where it was written: as it is, escaped for JSON, Python, HTML, a shell, SQL or an address, in
base64 at any place of a longer text, and in hexadecimal.

The model is what the runner of GitHub Actions masks (actions/runner, `ValueEncoders.cs`), and more. White space and control
characters count nowhere: a secret that was wrapped at column 76 is the same secret.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from dsjobs.secrets import SHORTEST, bare

_SHORTEST_ENCODED = 6
_SHORTEST_LINE = 8
_SHORTEST_LEAF = 16


@dataclass(frozen=True)
class Form:
    """`text`: what to look for. `before` and `after`: how many characters of base64 beside it have bits of the secret too.
    `is_encoded`: whether it may stand in the base64 of something larger, such as an image."""

    text: bytes = field(repr=False)
    before: int = 0
    after: int = 0
    is_encoded: bool = False

    @cached_property
    def period(self) -> int:
        """How far apart two places of it can be, at least: its length, unless it ends as it begins."""
        text, border = self.text, 0
        borders = [0] * len(text)
        for index in range(1, len(text)):
            while border and text[index] != text[border]:
                border = borders[border - 1]
            border += text[index] == text[border]
            borders[index] = border
        return len(text) - borders[-1]


def forms(value: str) -> list[Form]:
    """Every form of a secret's value, of its lines, and of the texts in it where it is JSON. Empty for a short value."""
    found: dict[bytes, Form] = {}
    whole = [value, *_leaves(value)]
    for part in dict.fromkeys([*whole, *(line for one in whole for line in _lines(one))]):
        for text in _escaped(part):
            _add(found, Form(bare(text)), SHORTEST)
    for part in whole:
        for form in _encoded(part):
            _add(found, form, _SHORTEST_ENCODED)
    return list(found.values())


def _add(found: dict[bytes, Form], form: Form, shortest: int) -> None:
    if len(form.text) >= shortest:
        found.setdefault(form.text, form)


def _lines(value: str) -> list[str]:
    """The lines of a value that has several, but for short ones, which stand in many texts."""
    lines = [line.strip() for line in value.splitlines()]
    return [line for line in lines if len(line) >= _SHORTEST_LINE] if len(lines) > 1 else []


def _leaves(value: str) -> Iterator[str]:
    """The longer texts of a value that is JSON, as the key of a service account is: who reads it has them one by one."""
    if not value.lstrip().startswith(("{", "[", '"')):
        return
    try:
        waiting = [json.loads(value)]
    except (ValueError, RecursionError):
        return
    while waiting:
        one = waiting.pop()
        if isinstance(one, str) and len(one) >= _SHORTEST_LEAF:
            yield one
        elif isinstance(one, dict | list):
            waiting += one.values() if isinstance(one, dict) else one


def _escaped(part: str) -> Iterator[str | bytes]:
    """`part` as it stands in texts of many kinds."""
    yield part
    for escaped in (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]):
        yield escaped
        yield escaped.replace("/", "\\/")
        yield json.dumps(escaped)[1:-1]
        yield json.dumps(escaped, ensure_ascii=False)[1:-1]
        yield re.sub(r"\\u[0-9a-f]{4}", lambda match: "\\u" + match[0][2:].upper(), escaped)
    yield from _python(part)
    yield from _html(part)
    yield part.replace("'", "'\"'\"'")  # shlex.quote
    yield part.replace("'", "'\\''")
    yield part.replace("'", "''")  # SQL
    yield part.replace('"', '""')  # CSV
    yield from _addresses(part.encode())


def _python(part: str) -> Iterator[str | bytes]:
    for written in (repr(part), ascii(part)):
        yield written[1:-1]
        yield json.dumps(written[1:-1])[1:-1]
    # With both kinds of quotes in it a text is written in single ones.
    yield repr(part + "'\"")[1:-4]
    yield repr(part.encode())[2:-1]
    yield part.encode("unicode_escape")


def _html(part: str) -> Iterator[str | bytes]:
    quoted = html.escape(part)
    for escaped in (
        html.escape(part, quote=False),
        quoted,
        quoted.replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    ):
        yield escaped
        yield escaped.encode("ascii", "xmlcharrefreplace")


_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_UNQUOTED = (b"_.-~", b"_.-~/", b"_.-~!*'()", b"_.-~!*'();,/?:@&=+$#", b"*-._")
"""What stays as it is beside letters and digits: in `quote` and `quote_plus` of Python, in `encodeURIComponent`, `encodeURI` and
the forms of browsers."""


def _addresses(data: bytes) -> Iterator[bytes]:
    for kept in _UNQUOTED:
        for space in (b"%20", b"+"):
            for digits in ("%%%02X", "%%%02x"):
                yield b"".join(_quoted(byte, kept, space, digits) for byte in data)


def _quoted(byte: int, kept: bytes, space: bytes, digits: str) -> bytes:
    if byte == 0x20:
        return space
    return bytes([byte]) if byte in _LETTERS or byte in kept else (digits % byte).encode()


def _encoded(part: str) -> Iterator[Form]:
    data = part.encode()
    for written in (data.hex(), data.hex(":"), data.hex("-"), data.hex().upper(), data.hex(":").upper()):
        yield Form(written.encode(), is_encoded=True)
    # Alone, and as a part of JSON.
    for content in dict.fromkeys(
        (data, json.dumps(part)[1:-1].encode(), json.dumps(part, ensure_ascii=False)[1:-1].encode())
    ):
        for shift in range(3):
            yield from _base64(content, shift)
    # Of a short one there is not enough that does not depend on what stands beside it.
    yield Form(base64.b64encode(data).rstrip(b"="), is_encoded=True)


def _base64(data: bytes, shift: int) -> Iterator[Form]:
    """The characters that stand for `data` and nothing else where so many bytes, modulo 3, come before it."""
    encoded = base64.b64encode(bytes(shift) + data)
    end = shift + len(data)
    text = encoded[-(-8 * shift // 6) : 8 * end // 6]
    before, after = int(shift > 0), int(end % 3 > 0)
    yield Form(text, before, after, is_encoded=True)
    yield Form(text.translate(bytes.maketrans(b"+/", b"-_")), before, after, is_encoded=True)
    for plus, slash in ((b"%2B", b"%2F"), (b"%2b", b"%2f")):
        yield Form(text.replace(b"+", plus).replace(b"/", slash), before, after, is_encoded=True)
    yield Form(text.replace(b"/", b"\\/"), before, after, is_encoded=True)
