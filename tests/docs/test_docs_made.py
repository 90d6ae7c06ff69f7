"""The parts of the documentation that are made from the schemas and the commands are what these say now.

`DSJOBS_UPDATE_CASES=1 pytest tests/docs/test_docs_made.py` makes them again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from made import PARTS
from pages import PAGES, REPOSITORY

from dsjobs import schemas
from dsjobs.cli import COMMANDS, cli
from dsjobs.errors import ExitCode

_PART = re.compile(r"(<!-- part: (.*?) -->\n\n)(.*?)(\n\n<!-- end of part -->)", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_part_when_it_is_made_again_then_stays_the_same(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    made = _PART.sub(lambda match: match[1] + PARTS[match[2]]() + match[4], text)
    if os.environ.get("DSJOBS_UPDATE_CASES"):
        page.write_text(made, encoding="utf-8")
        return
    assert made == text, "DSJOBS_UPDATE_CASES=1 pytest tests/docs/test_docs_made.py makes it again"


def test_parts_when_counted_then_each_is_in_a_page() -> None:
    found = [match[2] for page in PAGES for match in _PART.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(PARTS)


def page(name: str) -> str:
    return (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8")


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for parameter in command.params:
            yield name, parameter


def test_flags_when_a_command_has_them_then_say_what_they_do() -> None:
    assert [(name, one.name) for name, one in parameters() if isinstance(one, click.Option) and not one.help] == []


def test_command_line_when_it_is_read_then_has_each_exit_code_and_command() -> None:
    text = page("command-line")
    for code in ExitCode:
        assert re.search(rf"^\| (?:\d+, )?{code.value}[ ,]", text, re.MULTILINE), code
    for name in COMMANDS:
        assert f"`dsjobs {name}" in (REPOSITORY / "README.md").read_text(encoding="utf-8"), name


def properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        found = schema.get("properties")
        if isinstance(found, dict):
            yield from found
        for value in schema.values():
            yield from properties(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from properties(item)


@pytest.mark.parametrize(
    ("name", "schema"), [("job-file-keys", "jobs"), ("manifest", "manifest"), ("manifest", "journal")]
)
def test_page_when_a_schema_has_a_key_then_describes_it(name: str, schema: str) -> None:
    missing = {key for key in properties(schemas.load(schema)) if f"| `{key}` |" not in page(name)}
    assert {key for key in missing if f"| **`{key}`** |" not in page(name)} == set()


def test_index_when_a_page_is_there_then_leads_to_it() -> None:
    index = page("README")
    assert [one.name for one in PAGES if one.name != "README.md" and f"]({one.name})" not in index] == []


def test_links_when_they_lead_into_the_repository_then_there_is_something() -> None:
    links = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
    pages = [*PAGES, REPOSITORY / "CHANGELOG.md"]
    found = [(one, link) for one in pages for link in links.findall(one.read_text(encoding="utf-8"))]
    assert [(one.name, link) for one, link in found if not (one.parent / link).exists()] == []
