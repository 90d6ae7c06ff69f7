"""Every code is explained, every example gives its code and prints what its explanation says, and the page is made from both.

`DSJOBS_UPDATE_CASES=1 pytest tests/test_explanations.py` writes what is printed now, and docs/diagnostics.md.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

from dsjobs import __version__, explanations
from dsjobs.cli import main
from dsjobs.diagnostics import CODES
from dsjobs.errors import ExitCode
from dsjobs.explanations import TOPICS, Explanation, explain, path_of
from dsjobs.model import FailureKind

PAGE = Path(__file__).parents[1] / "docs" / "diagnostics.md"
UPDATE = bool(os.environ.get("DSJOBS_UPDATE_CASES"))
FILES = sorted(path.stem for path in path_of("x").parent.glob("*.md"))
EXPLAINED = [code for code in CODES if code in FILES]


def test_codes_when_listed_are_all_explained() -> None:
    missing = [f"{code} ({CODES[code]}): write dsjobs/explanations/{code}.md" for code in CODES if code not in FILES]
    assert missing == [], "codes without an explanation"


def test_explanations_when_listed_are_all_of_a_code_or_a_topic() -> None:
    assert [name for name in FILES if name not in CODES and name not in TOPICS] == []
    assert set(TOPICS) <= set(FILES)
    assert set(get_args(FailureKind)) < set(TOPICS)


@pytest.mark.parametrize("code", EXPLAINED)
def test_example_when_it_is_run_gives_its_code_and_prints_what_is_written(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = explain(code)
    assert found.text and found.files and found.remedy
    printed = run(found, tmp_path, monkeypatch, capsys)
    if UPDATE:
        path = path_of(code)
        path.write_text(
            path.read_text(encoding="utf-8").replace(found.printed, printed), encoding="utf-8", newline="\n"
        )
        found = explain(code)
    assert printed == found.printed
    assert set(re.findall(r"\[(DSJ\d{3})\]", printed)) == {code}


def run(found: Explanation, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    for name in [name for name in os.environ if name.startswith("DSJOBS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    for file in found.files:
        (folder / file.name).write_bytes(file.text.encode(file.encoding))
    command = found.printed.partition("\n")[0]
    assert command.startswith("$ dsjobs ")
    with pytest.raises(SystemExit):
        main(shlex.split(command)[2:])
    said = capsys.readouterr()
    shown = f"{command}\n{said.err}{said.out}"
    return shown.replace(f"dsjobs {__version__}", "dsjobs 0.1.0").replace(str(folder), "/home/ana/churn")


def test_exit_codes_when_explained_are_all_there() -> None:
    table = explain("exit-codes").text
    assert [
        int(number) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for number in row.split(", ")
    ] == [int(code) for code in ExitCode]


def test_page_when_it_is_published_is_made_from_the_explanations() -> None:
    if UPDATE:
        PAGE.write_text(explanations.page(), encoding="utf-8", newline="\n")
    assert PAGE.read_text(encoding="utf-8") == explanations.page()
