"""What each diagnostic code means, and a few words more, as `dsjobs explain` and docs/diagnostics.md tell it.

Beside this file lies a Markdown file for each code: what it means, files that give it and what dsjobs prints, what to do. A test
runs the files and holds what is printed. `diagnostics.CODES` is the list of the codes; a code without a file fails that test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dsjobs.diagnostics import CODES

TOPICS: Mapping[str, str] = {
    "notebook": "a cell raised, or the kernel died",
    "contract": "the notebook ran, but an output is not what was promised",
    "aborted": "the service ended the operation",
    "timeout": "an attempt took longer than it may",
    "lost": "whether the notebook succeeded is not known",
    "backend": "the job could not be started or watched",
    "template": "an input could not be rendered when the job was to start",
    "exit-codes": "what the command's exit code says",
}
"""The kinds of failure of a job, and the exit codes."""

STAGES: Mapping[str, str] = {
    "0": "the file", "1": "its schema", "2": "names and templates", "3": "the graph", "4": "the backend",
}  # fmt: skip
"""What the first digit of a code stands for."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of an example; `encoding`: where it is not UTF-8."""

    name: str
    text: str
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A code or a topic. `text` says what it means, `remedy` what to do; `printed`: what a terminal shows for `files`, the
    command first, empty where there is no example."""

    name: str
    meaning: str
    text: str
    files: tuple[File, ...]
    printed: str
    remedy: str


def path_of(name: str) -> Path:
    """The file that explains a code or a topic."""
    return Path(__file__).with_name(f"{name}.md")


def explain(name: str) -> Explanation:
    """The explanation of a code or a topic, as they are spelt in CODES and TOPICS."""
    body = path_of(name).read_text(encoding="utf-8")
    meaning = CODES[name] if name in CODES else TOPICS[name]
    text, *blocks = _FENCE.split(body)
    if not blocks:
        text, _, remedy = body.rstrip().rpartition("\n\n")
        return Explanation(name, meaning, text, (), "", remedy)
    # The split gives, after the text, for each block its language, its name, its text, and what stands after it.
    found = list(zip(blocks[0::4], blocks[1::4], blocks[2::4], strict=True))
    files = tuple(_file(words, inner) for language, words, inner in found if language != "text")
    printed = next((inner for language, _, inner in found if language == "text"), "")
    return Explanation(name, meaning, text.strip(), files, printed, blocks[-1].strip())


_FENCE = re.compile(r"^```(\w+)(.*)\n((?:.*\n)*?)```\n", re.MULTILINE)


def _file(words: str, text: str) -> File:
    name, encoding = [*words.split(), "", ""][:2]
    return File(name or "jobs.yaml", text, encoding or "utf-8")


def page() -> str:
    """docs/diagnostics.md."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    yield from (
        "# Diagnostics",
        "",
        "What dsjobs finds wrong before it runs anything has a code. `dsjobs explain CODE` prints what stands here.",
        "This page is made from `dsjobs/explanations/`, and each example on it is run by a test.",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| [{code}](#{code.lower()}) | {meaning} |" for code, meaning in CODES.items()),
    )
    stage = ""
    for code, meaning in CODES.items():
        if code[3] != stage:
            stage = code[3]
            yield from ("", f"## {_capital(STAGES[stage])}")
        yield from ("", f"### {code}", "", f"**{_capital(meaning)}.**", "", _body(code))
    yield from (
        "",
        "## Kinds of failure",
        "",
        "Why a job failed: in the report, the journal, the manifest, and for `retry.on`.",
    )
    for topic, meaning in TOPICS.items():
        if topic == "exit-codes":
            yield from ("", "## Exit codes", "", _body(topic))
        else:
            yield from ("", f"### {topic}", "", f"**{_capital(meaning)}.**", "", _body(topic))
    yield ""


def _body(name: str) -> str:
    """What the file of a code or a topic says; a block that has a name of its own, with the name before it."""
    return re.sub(
        r"^```(\w+) (\S+).*$", r"`\2`:\n\n```\1", path_of(name).read_text(encoding="utf-8"), flags=re.MULTILINE
    ).rstrip()


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
