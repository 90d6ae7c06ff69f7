"""Templates that wait for the submit: what is known at load is missed before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsjobs.cli import loading
from dsjobs.spec.expand import expand
from dsjobs.spec.variables import resolve

FILE = """\
version: 1
variables: {given: {type: object}}
jobs:
  - name: a
    notebook: a.ipynb
    inputs: {COMMIT: "{{ git.commit }} {{ run.id }}", BRANCH: "{{ git.branch | default('none') }} {{ run.id }}"}
  - name: b
    notebook: a.ipynb
    inputs: {X: "{{ vars.given.x }} {{ run.id }}"}
"""


@pytest.fixture
def problems(tmp_path: Path) -> Any:
    path = tmp_path / "jobs.yaml"
    path.write_text(FILE, encoding="utf-8")
    spec = loading.load(path).spec
    assert spec is not None

    def problems(git: Any, *given: tuple[str, str]) -> list[str]:
        environment = spec.environments["local"]
        values, _ = resolve(spec, environment, environ={}, given=given)
        return [problem.message for problem in expand(spec, environment, values, git)[1]]

    return problems


def test_deferred_template_when_nobody_knows_the_value_yet_then_nothing_is_said(problems: Any) -> None:
    assert problems(None) == []


def test_deferred_template_when_there_is_no_repository_then_what_it_takes_of_it_is_missed(problems: Any) -> None:
    assert problems({}) == ["input 'COMMIT': git has no 'commit'"]
    assert problems({"commit": "c0ffee", "branch": "main", "dirty": False}) == []


def test_deferred_template_when_a_variable_was_given_then_its_parts_are_known(problems: Any) -> None:
    assert problems(None, ("given", "{y: 1}")) == ["input 'X': vars.given has no 'x'"]
    assert problems(None, ("given", "{x: 1}")) == []
