"""--var-file: where it stands among the layers, and what is wrong with a file of variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsjobs.cli import main

JOBS = """\
version: 1
variables:
  region: eu
  alpha: {type: number, default: 0.1, minimum: 0}
  mode: {type: string, enum: [fast, full]}
jobs: [{name: a, notebook: a.ipynb, inputs: {A: "{{ vars.region }} {{ vars.alpha }} {{ vars.mode }}"}}]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.yaml").write_text(JOBS, encoding="utf-8")
    notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    Path("a.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--color", "never"])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_var_file_when_several_layers_set_a_variable_then_stands_between_the_job_file_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("one.yaml").write_text("region: us\nmode: fast\nalpha: 1\n", encoding="utf-8")
    Path("two.json").write_text('{\n  "mode": "full", "alpha": 2\n}\n', encoding="utf-8")
    monkeypatch.setenv("DSJOBS_VAR_alpha", "3")
    assert run("plan", "--var-file", "one.yaml", "--var-file", "two.json", "-o", "json") == 0
    variables = json.loads(capsys.readouterr().out)["variables"]
    assert variables == {
        "region": {"value": "us", "layer": "--var-file one.yaml:1:9"},
        "mode": {"value": "full", "layer": "--var-file two.json:2:11"},
        "alpha": {"value": 3, "layer": "DSJOBS_VAR_alpha"},
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("regoin: us\n", "vars.yaml:1:1: error: the job file declares no variable 'regoin' [DSJ207]\n  regoin: us\n  ^\n"
         "  hint: did you mean 'region'?\n"),
        ("mode: fats\n", "vars.yaml:1:7: error: variable 'mode': \"fats\" is not one of \"fast\", \"full\" [DSJ207]\n"
         "  mode: fats\n        ^\n  hint: did you mean 'fast'?\n"),
        ("mode: fast\nalpha: -1\n", 'vars.yaml:2:8: error: variable \'alpha\': -1 is less than the minimum 0 [DSJ207]\n'
         "  alpha: -1\n         ^\n"),
        ("mode: fast\nalpha: .inf\n", "vars.yaml:2:8: error: variable 'alpha': inf is not a number in JSON [DSJ207]\n"
         "  alpha: .inf\n         ^\n  hint: write a finite number; what is meant as text is quoted\n"),
        ("- mode: fast\n", "vars.yaml:1:1: error: this is not a mapping of variables [DSJ101]\n  - mode: fast\n  ^\n"
         "  hint: a file of variables is a mapping: `region: eu`\n"),
        ("mode: fast\nmode: full\n", "vars.yaml:2:1: error: the key 'mode' stands twice in this mapping [DSJ004]\n"
         "  mode: full\n  ^\n  hint: it stands first in line 1; remove one of them\n"),
    ],
)  # fmt: skip
def test_var_file_when_it_has_a_mistake_then_shows_its_place(
    content: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("vars.yaml").write_text(content, encoding="utf-8")
    assert run("plan", "--var-file", "vars.yaml") == 3
    assert expected in capsys.readouterr().err


def test_var_file_when_it_is_not_there_then_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    Path("vars.yaml").write_text("mode: fast\n", encoding="utf-8")
    assert run("plan", "--var-file", "vasr.yaml") == 3
    shown = capsys.readouterr().err
    assert "--var-file vasr.yaml: the file cannot be read: No such file or directory [DSJ001]" in shown
    assert "did you mean 'vars.yaml'?" in shown
