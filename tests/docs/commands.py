"""What a block of commands says: the commands, what they print, and whether that is what they print now."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import click

from dsjobs.cli import COMMANDS, cli


@dataclass(frozen=True)
class Step:
    """A command as it is typed, and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]


def steps(text: str) -> list[Step]:
    """The commands of a console block: lines after `$ `, going on after a backslash at the end."""
    found: list[Step] = []
    command, shown = "", []
    goes_on = False
    for line in text.splitlines():
        if goes_on:
            command += "\n" + line
        elif line.startswith("$ "):
            if command:
                found.append(Step(command, tuple(shown)))
            command, shown = line[2:], []
        else:
            assert command, f"before the first command: {line}"
            shown.append(line)
            continue
        goes_on = command.endswith("\\")
    return [*found, Step(command, tuple(shown))] if command else found


def matches(shown: tuple[str, ...], printed: str) -> bool:
    """Whether `printed` is what a page shows. A line `…` stands for any lines, an ellipsis in a line for any text; what differs
    from run to run, and how wide a column is, does not count."""
    pattern = ""
    for line in shown:
        plain = normal(line)
        if plain == "…":
            pattern += r"(?:.*\n)*?"
        elif plain:
            pattern += re.escape(plain).replace("…", ".*") + r"\n"
    lines = "".join(f"{normal(line)}\n" for line in printed.splitlines() if line.strip())
    return re.fullmatch(pattern, lines) is not None


_RULES = [
    (r"\d{8}-\d{6}-[0-9a-f]{6}", "RUN"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME"),
    (r"^\d\d:\d\d:\d\d ", "CLOCK "),
    (r"sha256:[0-9a-f]{6,64}…?", "DIGEST"),
    (r"\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?s\b(?: ago)?", "TIME"),
    (r"(?<=in )\d+ processes", "N processes"),
    (r"process \d+ on \S+", "process N on HOST"),
    (r"\b\d+(?:\.\d+)? (?:MB|kB)", "SIZE"),
    (r"\([+-]\d+%\)", "(CHANGE)"),
]  # fmt: skip


def normal(line: str) -> str:
    """A line without what differs from run to run, and with single spaces."""
    for pattern, word in _RULES:
        line = re.sub(pattern, word, line)
    return " ".join(line.split())


def dsjobs_calls(script: str) -> Iterator[list[str]]:
    """The arguments of each call of dsjobs in a script."""
    joined = re.sub(r"\\\n", " ", script)
    for line in joined.splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if word and set(word) <= set("|&;()<>"):
                yield from _call(words)
                words = []
            else:
                words.append(word)


def _call(words: list[str]) -> Iterator[list[str]]:
    names = [index for index, word in enumerate(words) if word == "dsjobs" or word.endswith("/dsjobs")]
    if names and all(
        re.fullmatch(r"[A-Za-z_]\w*=.*|if|then|else|!|nohup", word, re.DOTALL) for word in words[: names[0]]
    ):
        yield words[names[0] + 1 :]


def parse(arguments: list[str]) -> None:
    """Fails where dsjobs would not take these arguments."""
    if not arguments or arguments[0].startswith("-"):
        assert arguments in (["--version"], ["--help"], ["-h"]), arguments
        return
    assert arguments[0] in COMMANDS, f"there is no command {arguments[0]}"
    command = cli.get_command(click.Context(cli), arguments[0])
    assert command is not None
    with contextlib.suppress(click.exceptions.Exit):  # --help
        command.make_context(arguments[0], arguments[1:])
