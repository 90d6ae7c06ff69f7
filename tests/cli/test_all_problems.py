"""A job file with several mistakes: `plan` and `apply` say all of them at once, as `validate` does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from as_user import write_notebook

from dsjobs.cli import loading, main

INVALID = sorted((Path(__file__).parents[1] / "cases" / "invalid").glob("*.yaml"))

THREE = """\
version: 1
jobs:
  - name: a
    notebook: ""
    timeout: 0s
    when: "{{ 1 }}"
"""

EVERYWHERE = """\
version: 1
variables: {folder: {type: string}, n: {type: integer, default: x}}
jobs:
  - {name: gone, notebook: gone.ipynb, timeout: 1x}
  - {name: reads, notebook: reads.ipynb}
  - {name: open, notebook: "{{ vars.folder }}/a.ipynb"}
  - {name: cell, notebook: reads.ipynb, inputs: {REGION: "{{ 1 // 0 }}", MORE: 1}}
  - {name: skipped, notebook: gone_too.ipynb, when: false}
"""


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """What a command says: the exit code and the code and place of each diagnostic, in order."""

    def run(command: str, *arguments: str) -> tuple[int, list[str]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([command, *arguments])
        places = re.findall(
            r"^(\S+?:\d+:\d+): (?:error|warning): .*\[(DSJ\d+)\]$", capsys.readouterr().err, re.MULTILINE
        )
        return int(stop.value.code or 0), [" ".join(place) for place in places]

    monkeypatch.chdir(tmp_path)
    return run


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_mistakes_when_they_are_of_different_stages_then_each_command_says_all(said, command):
    Path("jobs.yaml").write_text(THREE)
    assert said(command) == (3, ["jobs.yaml:4:15 DSJ106", "jobs.yaml:5:14 DSJ106", "jobs.yaml:6:11 DSJ206"])


def test_plan_when_values_are_wrong_then_variables_notebooks_and_their_code_are_looked_at_as_well(said):
    Path("jobs.yaml").write_text(EVERYWHERE)
    write_notebook(Path("reads.ipynb"), "import os\nregion = os.environ['REGION']")
    assert said("plan") == (
        3,
        [
            "jobs.yaml:2:21 DSJ207",
            "jobs.yaml:2:65 DSJ207",
            "jobs.yaml:4:28 DSJ401",
            "jobs.yaml:4:49 DSJ106",
            "jobs.yaml:5:29 DSJ407",
            "jobs.yaml:7:58 DSJ206",
            "jobs.yaml:7:74 DSJ406",
        ],
    )


def test_plan_when_a_selection_leaves_a_job_out_then_its_notebook_is_not_looked_at(said):
    Path("jobs.yaml").write_text(EVERYWHERE)
    write_notebook(Path("reads.ipynb"), "import os\nregion = os.environ['REGION']")
    _, found = said("plan", "-s", "open")
    assert {place.split()[1] for place in found} == {"DSJ207", "DSJ106", "DSJ206"}


def test_plan_when_the_selection_is_wrong_as_well_then_the_file_comes_first(said):
    Path("jobs.yaml").write_text(THREE)
    assert said("plan", "-s", "nobody") == said("plan")


def test_plan_when_a_file_of_variables_is_wrong_as_well_then_both_are_said(said):
    Path("jobs.yaml").write_text(THREE)
    Path("vars.yaml").write_text("- 1\n")
    code, found = said("plan", "--var-file", "vars.yaml")
    assert (code, found) == (3, ["jobs.yaml:4:15 DSJ106", "vars.yaml:1:1 DSJ101"])


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_plan_when_a_case_is_invalid_then_says_all_that_validate_says(path, monkeypatch, capsys):
    monkeypatch.chdir(path.parent)
    spec = loading.load(Path(path.name)).spec
    names = list(spec.environments) if spec else []
    for name in names[:2]:
        validated = diagnostics(capsys, "validate", path.name, "-e", name, "-o", "json")
        planned = diagnostics(capsys, "plan", path.name, "-e", name)
        assert [one for one in validated if one not in planned] == []
        assert len(planned) == len(set(planned))


def diagnostics(capsys: Any, *arguments: str) -> list[tuple[str, str]]:
    """The place and code of each diagnostic that there is of the job file."""
    with pytest.raises(SystemExit):
        main([*arguments])
    printed = capsys.readouterr()
    if "json" in arguments:
        found = json.loads(printed.out)["diagnostics"]
        whole = [one for one in found if one["line"] and one.get("cell") is None]
        return [(f"{one['file']}:{one['line']}:{one['column']}", one["code"]) for one in whole]
    return re.findall(r"^([^\s:]+:\d+:\d+): (?:error|warning): .*\[(DSJ\d+)\]$", printed.err, re.MULTILINE)
