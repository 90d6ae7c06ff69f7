"""The cases of the fuzzer: job files, files of variables, and the arguments and variables to plan them with.

A number makes a case, always the same."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml
from documents import Documents
from expressions import template
from hostile import hostile

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Case:
    """`files`: by name, `jobs.yaml` first of all. `arguments`: of `plan`, beside the file. `environ`: DSJOBS_ variables."""

    number: int
    kind: str
    files: Mapping[str, bytes]
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


SAVED = ("-o", "json", "--out", "made.json")
"""The arguments of `plan` that print it and save it."""


def case(number: int) -> Case:
    """The case of this number, always the same."""
    chance = random.Random(number)
    kind = chance.choice(
        ("bytes", "lines", "tokens", "structure", "schema", "schema", "schema", "hostile", "values", "values")
    )
    content = _MADE[kind](chance)
    arguments, environ, more = _outside(chance)
    # A large plan as JSON takes longer than it takes to make it.
    arguments = arguments if kind == "hostile" else (*SAVED, *arguments)
    return Case(number, kind, {"jobs.yaml": content, **more}, arguments, environ)


@cache
def _files(kind: str) -> tuple[bytes, ...]:
    paths = sorted((REPOSITORY / "tests" / "cases" / kind).glob("*.yaml"))
    return tuple(content for path in paths if len(content := path.read_bytes()) < 20_000)


def _seed(chance: random.Random) -> bytes:
    """A job file of the repository, mostly a valid one."""
    return chance.choice(_files("valid" if chance.random() < 0.7 else "invalid"))


def _bytes(chance: random.Random) -> bytes:
    content = bytearray(_seed(chance))
    for _ in range(chance.choice((1, 1, 2, 7))):
        place = chance.randrange(len(content) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            content[place : place + chance.randrange(1, 30)] = b""
        elif kind == 1:
            content[place:place] = bytes([chance.randrange(256)] * chance.choice((1, 1, 2, 500)))
        elif kind == 2:
            start = chance.randrange(len(content) + 1)
            content[place:place] = content[start : start + chance.randrange(200)]
        elif content:
            content[min(place, len(content) - 1)] = chance.randrange(256)
    return bytes(content)


def _lines(chance: random.Random) -> bytes:
    lines = _seed(chance).split(b"\n")
    others = _seed(chance).split(b"\n")
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(lines) + 1)
        kind = chance.randrange(4)
        if kind == 0 and place < len(lines):
            del lines[place]
        elif kind == 1:
            lines.insert(place, chance.choice(others))
        elif kind == 2 and place < len(lines):
            lines[place] = b"  " + lines[place] if chance.random() < 0.5 else lines[place].lstrip()
        elif place < len(lines):
            lines[place:place] = [lines[place]] * chance.choice((1, 2, 300))
    return b"\n".join(lines)


_TOKENS = (
    ": ",
    "- ",
    "? ",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "!!python/object:os.system ",
    "!!binary ",
    "|",
    ">",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    ",",
    "#",
    "%YAML 1.2",
    "---",
    "...",
    "\t",
    "\r",
    "\u2028",
    "null",
    "~",
    ".inf",
    ".nan",
    "0x1F",
    "1_000",
    "007",
    "1e999",
    "on",
    "2026-11-22",
    "{{ vars.region }}",
    "{{",
    "}}",
    "matrix: {a: [1, 2]}",
    "needs: [a]",
    "include: [jobs.yaml]",
    "include: ['*.yaml']",
    "include: ['**/*']",
)


def _tokens(chance: random.Random) -> bytes:
    text = _seed(chance).decode("utf-8", errors="replace")
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(text) + 1)
        token = template(chance) if chance.random() < 0.2 else chance.choice(_TOKENS)
        text = text[:place] + token * chance.choice((1, 1, 1, 3, 200)) + text[place + chance.choice((0, 0, 5)) :]
    return text.encode("utf-8", errors="replace")


def _structure(chance: random.Random) -> bytes:
    """Two documents of the repository, with parts of one in the other."""
    try:
        one, other = (yaml.safe_load(_seed(chance)) for _ in range(2))
        places = [(container, key) for document in (one, other) for container, key in _places(document)]
        for _ in range(chance.randrange(1, 5)):
            (container, key), (source, name) = chance.choice(places), chance.choice(places)
            container[key] = source[name]
        return json.dumps(one, ensure_ascii=False, default=str).encode()
    except (yaml.YAMLError, ValueError, IndexError, KeyError, TypeError, RecursionError, UnicodeError):
        return _lines(chance)


def _places(value: object) -> list[tuple[object, object]]:
    found: list[tuple[object, object]] = []
    stack = [value]
    while stack and len(found) < 2000:
        current = stack.pop()
        items = (
            current.items() if isinstance(current, dict) else enumerate(current) if isinstance(current, list) else ()
        )
        for key, item in items:
            found.append((current, key))
            stack.append(item)
    return found


def _schema(chance: random.Random) -> bytes:
    document = Documents(chance).document()
    if chance.random() < 0.5:
        return json.dumps(document, ensure_ascii=False).encode("utf-8", errors="replace")
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=chance.choice((20, 10**6))).encode()


def _values(chance: random.Random) -> bytes:
    """A job file that can be planned, but for some of the values that may be anything."""

    def value(usual: object) -> object:
        return usual if chance.random() < 0.94 else chance.choice(_ANYTHING)

    contract = {key: value(usual) for key, usual in (("minimum", 0), ("maximum", 9), ("enum", [1, 2]), ("default", 1))}
    inputs = {"A": "{{ vars.v }}", "B": "{{ vars.list }} {{ run.id }}", "C": value("text")}
    first = {"name": "first", "notebook": "a.ipynb", "outputs": {"x": contract}, "inputs": inputs}
    cells = {"name": "cells", "notebook": "a.ipynb", "needs": ["first"], "matrix": {"seed": [1, value(2)]}}
    document = {
        "version": 1,
        "variables": {
            "v": value(1),
            "list": {"default": [1, value(2)]},
            "alpha": {"type": "number", "default": value(0.5), "maximum": value(1e9)},
            "region": {"type": "string", "default": "eu"},
        },
        "environments": {
            "local": {"backend": "local", "variables": {"v": value(3)}},
            "prod": {
                "backend": "datasphere",
                "projects": {"main": "bt1abcdefghijklmnopq"},
                "settings": {"rate_limit": value(20), "poll_interval": value(1), "output_store": "s3://bucket/runs"},
                "defaults": {"project": "main"},
            },
        },
        "jobs": [first, {**cells, "inputs": {"SEED": "{{ matrix.seed }}", "X": "{{ needs.first.outputs.x }}"}}],
    }
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode()


_ANYTHING = (
    float("inf"), float("nan"), [1, -float("inf")], {"a": [float("nan")]}, 1e308, -0.0, 10**399, "", "é", "x" * 900, [], {},
    True, "{{ '\\ud800' }}", "{{ 1e308 * 10 }}",
)  # fmt: skip

_MADE = {
    "values": _values,
    "bytes": _bytes,
    "lines": _lines,
    "tokens": _tokens,
    "structure": _structure,
    "schema": _schema,
    "hostile": lambda chance: hostile(chance).encode("utf-8", errors="replace"),
}

_VALUES = (
    "eu",
    "",
    "1",
    "0.5",
    "true",
    "[1, 2",
    "{a: 1}",
    "null",
    "~",
    "&a [*a]",
    "!!int x",
    "{{ vars.a }}",
    "x" * 3000,
    "[" * 200,
    "\x00"[:0],
    "é",
    "\udcff",
    ".inf",
    "[1, {a: .nan}]",
    "-1e999",
    "- a\n- b",
)
_SELECTORS = (
    "a",
    "+a",
    "a+",
    "1+first+2",
    "tag:nightly",
    "tag:*",
    "*",
    "first[seed=1]",
    "cells",
    "state:changed",
    "result:failed",
    "",
    ",",
    "a,b",
    "[",
    "?*",
    "+" * 50,
    "j1+",
)


def _outside(chance: random.Random) -> tuple[tuple[str, ...], dict[str, str], dict[str, bytes]]:
    """Arguments, variables and files beside the job file."""
    arguments: list[str] = []
    environ: dict[str, str] = {}
    files: dict[str, bytes] = {}
    names = ("region", "alpha", "v", "nope", "list", "snapshot_date")
    for _ in range(chance.choice((0, 0, 1, 2))):
        arguments += ["--var", f"{chance.choice(names)}={chance.choice(_VALUES)}"]
    if chance.random() < 0.2:
        environ[f"DSJOBS_VAR_{chance.choice(names)}"] = chance.choice(_VALUES)
    if chance.random() < 0.2:
        made = {chance.choice(names): chance.choice(_VALUES) for _ in range(3)}
        files["variables.yaml"] = chance.choice((json.dumps(made).encode(), _bytes(chance), b"", b"[]", b"a: &a [*a]"))
        arguments += ["--var-file", "variables.yaml"]
    if chance.random() < 0.2:
        arguments += [chance.choice(("--select", "--exclude")), chance.choice(_SELECTORS)]
    if chance.random() < 0.1:
        arguments += ["--env", chance.choice(("local", "prod", "nope", ""))]
    if chance.random() < 0.1:
        files["other.yaml"] = chance.choice((_lines, _schema))(chance)
    return tuple(arguments), environ, files
