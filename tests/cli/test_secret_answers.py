"""What `-o json` and `-o jsonl` print is JSON whatever the secrets are, and has none in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from as_user import by_name, run, write_notebook, write_project

from dsjobs.cli.console import KNOWN, Console
from dsjobs.secrets import Secret


@pytest.fixture
def known() -> Iterator[Any]:
    """Learns the value of a secret."""
    yield lambda value: KNOWN.learn(Secret("PIN", value))
    KNOWN.forget()


@pytest.mark.parametrize(
    ("secret", "data", "expected"),
    [
        ("4217", {"rows": 1421733, "note": "a 4217."}, {"rows": 1421733, "note": "a ***."}),
        ("4217", [4217, -4217, 4217.5, "1e4217"], ["***", -4217, 4217.5, "1e***"]),
        ("0.25", {"alpha": 0.25}, {"alpha": "***"}),
        ("true", {"selected": True, "is": "true"}, {"selected": True, "is": "***"}),
        ("null", {"failure": None, "nulls": "null"}, {"failure": None, "***s": "***"}),
        ('","--"', ["a", "--", 'x", "--"y'], ["a", "--", "x***y"]),
        ("12", {"12": 12, "a": "on 12, and on 120"}, {"***": 12, "a": "on ***, and on 120"}),
        ("eu", {"a": "line\neu"}, {"a": "line\n***"}),
        ("pass\nword\\é", {"a": "pass\nword\\é"}, {"a": "***"}),
    ],
)
def test_answer_when_a_secret_stands_in_a_bare_word_of_json_then_it_is_json_without_it(
    known, capsys, secret, data, expected
):
    known(secret)
    for indent in (2, None):
        Console().answer_json(data, indent=indent)
        assert json.loads(capsys.readouterr().out) == expected


@pytest.mark.parametrize("pin", ["4217", "true"])
def test_apply_when_a_secret_is_like_a_part_of_the_answer_then_that_is_json(tmp_path: Path, pin: str):
    jobs = "  - {name: a, notebook: a.ipynb, outputs: [rows], inputs: {PIN: {secret: PIN}}}\n"
    project = write_project(tmp_path / "project", jobs)
    head = (project / "jobs.yaml").read_text().replace("name: small\n", "name: small\nsecrets: {PIN: {env: PIN}}\n")
    (project / "jobs.yaml").write_text(head)
    write_notebook(project / "notebooks" / "a.ipynb", "import os\nrows = 1421733\nos.environ['PIN']")

    ended = run("apply", "-q", "-o", "json", cwd=project, PIN=pin)

    assert ended.code == 0, ended.err
    job = by_name(ended.json)["a"]
    assert (job["outputs"], job["selected"]) == ({"rows": 1421733}, True)
    assert all(
        isinstance(line["record"], str) for line in run("apply", "-q", "-o", "jsonl", cwd=project, PIN=pin).lines
    )
    assert run("plan", "-q", "-o", "json", cwd=project, PIN=pin).json["jobs"][0]["name"] == "a"
