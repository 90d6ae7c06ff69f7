"""Every block of every page of the documentation is tried: job files are validated, commands are run, their output is compared.

`DSJOBS_UPDATE_CASES=1 pytest tests/docs` writes what commands print now into the pages: read the difference before it is
committed.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import dsjobs_calls, parse
from pages import REPOSITORY, TRIED, Block, blocks, replaced
from session import Session
from workflows import problems_of_github, problems_of_gitlab

from dsjobs.cli import loading
from dsjobs.cli.contracts import Contracts
from dsjobs.diagnostics import text as shown

UPDATE = bool(os.environ.get("DSJOBS_UPDATE_CASES"))
EXTRAS = frozenset(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"])


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path)
    yield session
    session.close()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DSJOBS_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("page", TRIED, ids=lambda page: page.stem)
def test_page_when_a_reader_follows_it_then_everything_is_as_it_says(
    page: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = []
    for block in blocks(page):
        monkeypatch.chdir(session.folder)
        problem = TREATMENTS.get(block.kind, _unknown)(block, session)
        if problem:
            problems.append(f"{block.place}: {problem}")
    if UPDATE and session.texts:
        page.write_text(replaced(page, session.texts), encoding="utf-8")
    assert not problems, "\n\n".join(problems)


def _unknown(block: Block, session: Session) -> str:
    return f"nobody knows how to try a block of the kind '{block.kind}'"


def _page(block: Block, session: Session) -> str | None:
    if "folder" in block.marks or "project" in block.marks:
        session.move(block)
    if "interrupted" in block.marks:
        session.interrupt()
    unknown = set(block.marks) - {"folder", "project", "interrupted", "part", "end of part"}
    return f"a mark that is not known: {unknown}" if unknown else None


def _yaml(block: Block, session: Session) -> str | None:
    if "ci" in block.marks:
        check = {"github": problems_of_github, "gitlab": problems_of_gitlab}[block.marks["ci"]]
        return "; ".join(check(block.text)) or None
    if "file" in block.marks:
        session.write(block)
        data = yaml.load(block.text, yaml.BaseLoader)
        return _validated(session.folder / block.marks["file"], block.marks.get("wrong")) if "jobs" in data else None
    path = session.folder / "shown.yaml"
    path.write_text(block.text if "fragment" not in block.marks else _whole(block.text), encoding="utf-8")
    try:
        return _validated(path, None)
    finally:
        path.unlink()


def _validated(path: Path, wrong: str | None) -> str | None:
    """What is wrong with a job file. `wrong`: the code of what is wrong with it on purpose."""
    loaded = loading.load(path)
    found = list(loaded.diagnostics)
    contracts = Contracts(path.parent, is_here=False)
    if loaded.spec is not None:
        found += loading.check_everywhere(loaded.spec, list(loaded.spec.environments.values()), contracts)
    if wrong is not None:
        return (
            None if [one.code for one in found] == [wrong] else f"it should have {wrong}: {[one.code for one in found]}"
        )
    return "\n".join(shown(one, (*loaded.sources, *contracts.sources)) for one in found) or None


def _whole(fragment: str) -> str:
    """A job file around a part of one."""
    data = yaml.load(fragment, yaml.BaseLoader)
    if isinstance(data, list):
        return "version: 1\njobs:\n" + fragment
    rest = "" if "jobs" in data else "jobs: [{name: shown, project: analytics, notebook: shown.ipynb}]\n"
    return ("" if "version" in data else "version: 1\n") + fragment + rest


def _console(block: Block, session: Session) -> str | None:
    if "needs" in block.marks and shutil.which(block.marks["needs"]) is None:
        return None
    return _parsed(block) if "not run" in block.marks else session.show(block)


def _sh(block: Block, session: Session) -> str | None:
    if "command" in block.marks:
        runs = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
        return None if f"readme_command {block.marks['command']})" in runs else ".ci/run does not run it"
    installs = [line for line in block.text.splitlines() if line.startswith("pip install ")]
    if installs:
        unknown = set(re.findall(r"[a-z]+", ",".join(re.findall(r"dsjobs\[(.*?)\]", block.text)))) - EXTRAS
        return f"there are no extras {unknown}" if unknown else None
    if "serves" in block.marks:
        session.serve(block)
        return None
    return _parsed(block) if "not run" in block.marks else session.execute(block)


def _parsed(block: Block) -> str | None:
    """What is wrong with commands that are not run: their syntax, and arguments that dsjobs does not take."""
    script = block.text
    if block.kind == "console":
        script = "\n".join(line[2:] for line in script.splitlines() if line.startswith("$ "))
    checked = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True)
    calls = list(dsjobs_calls(script))
    for arguments in calls:
        parse(arguments)
    if not calls and "not run" in block.marks:
        return "no command of dsjobs is in it"
    return checked.stderr or None


def _json(block: Block, session: Session) -> str | None:
    json.loads(block.text)
    if "file" in block.marks:
        session.write(block)
    return None


def _python(block: Block, session: Session) -> str | None:
    if "file" in block.marks or "notebook" in block.marks:
        ast.parse(block.text)
        session.write(block)
        return None
    if "snippet" in block.marks:
        tests = (REPOSITORY / "tests" / "datasphere" / "test_datasphere_store.py").read_text(encoding="utf-8")
        return None if f'"{block.marks["snippet"]}"' in tests else "no test runs this snippet"
    path = session.folder / "shown.py"
    path.write_text(block.text, encoding="utf-8")
    code, printed = session.run("python shown.py")
    path.unlink()
    return printed if code else None


def _text(block: Block, session: Session) -> str | None:
    return None if "shown" in block.marks else "say why it is not tried: <!-- shown: WHY -->"


TREATMENTS: dict[str, Any] = {
    "page": _page, "yaml": _yaml, "console": _console, "sh": _sh, "json": _json, "python": _python, "text": _text,
}  # fmt: skip


def test_blocks_when_they_are_not_run_then_are_few() -> None:
    found = [block for page in TRIED for block in blocks(page) if block.kind != "page"]
    left_out = [block.place for block in found if "not run" in block.marks or "shown" in block.marks]
    assert len(left_out) <= len(found) / 8, left_out
