"""`dsjobs explain`: of a job file, each command in `tests/cases/explain/transcript.expected` with what it prints; and of codes.

`DSJOBS_UPDATE_CASES=1 pytest tests/cli/test_explain.py` writes what is printed now: read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from dsjobs.cli import explained, loading, main
from dsjobs.cli.explained import Explained, every_key
from dsjobs.diagnostics import CODES
from dsjobs.explanations import TOPICS
from dsjobs.spec.expand import expand
from dsjobs.spec.uses import Given
from dsjobs.spec.variables import resolve

CASES = Path(__file__).parents[1] / "cases"
TRANSCRIPT = CASES / "explain" / "transcript.expected"
SAID = dict(re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", TRANSCRIPT.read_text(encoding="utf-8"), re.MULTILINE))
UPDATE = bool(os.environ.get("DSJOBS_UPDATE_CASES"))
RUNS = json.loads((CASES / "valid" / "runs.json").read_text(encoding="utf-8"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    for name in [name for name in os.environ if name.startswith("DSJOBS_")]:
        monkeypatch.delenv(name)

    def run(command: str) -> tuple[int, str, str]:
        words = shlex.split(command)
        while "=" in words[0]:
            monkeypatch.setenv(*words.pop(0).split("=", 1))
        with pytest.raises(SystemExit) as stop:
            main(words[1:])
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize("command", SAID)
def test_explain_when_asked_for_a_value_says_where_it_comes_from(
    command: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CASES / "explain")
    code, out, err = run(command)
    printed = f"{out}{err}" + (f"(exit code {code})\n" if code else "") + "\n"
    if UPDATE:
        SAID[command] = printed
        TRANSCRIPT.write_text("".join(f"$ {one}\n{said}" for one, said in SAID.items()), encoding="utf-8", newline="\n")
    assert printed == SAID[command]
    assert code in (0, 2, 3)
    assert max(map(len, out.splitlines()), default=0) <= 120


def test_explain_when_a_value_is_asked_for_as_json_has_every_layer_and_place(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CASES / "explain")
    code, out, _ = run("dsjobs explain train.inputs.ALPHA -e prod --var alpha=0.5 -o json")
    document = json.loads(out)
    (key,) = document.pop("keys")
    assert code == 0
    assert document == {"subject": "train.inputs.ALPHA", "environment": "prod", "file": "jobs.yaml"}
    assert (key["key"], key["value"], key["known"], key["template"]) == (
        "inputs.ALPHA", "0.5", "at load", "{{ vars.alpha }}",
    )  # fmt: skip
    assert [(one["layer"], one["state"], one["place"]) for one in key["layers"]] == [
        ("the job", "used", "jobs.yaml:30:14"),
        ("defaults of 'prod'", "overruled", "jobs.yaml:14:44"),
    ]
    assert [(one["file"], one["line"], one["column"]) for one in key["layers"][1:]] == [("jobs.yaml", 14, 44)]
    (use,) = key["uses"]
    assert (use["name"], use["value"], use["layers"][0]["place"]) == ("vars.alpha", 0.5, "--var")


@pytest.mark.parametrize(
    ("subject", "name"), [("DSJ104", "DSJ104"), ("dsj104", "DSJ104"), ("lost", "lost"), ("exit_codes", "exit-codes")]
)
def test_explain_when_asked_for_a_code_or_a_topic_says_what_to_do(
    subject: str, name: str, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(f"dsjobs explain {subject}")
    document = json.loads(run(f"dsjobs explain {subject} -o json")[1])
    assert (code, err, document["name"]) == (0, "", name)
    assert out.startswith(f"{name}: {document['meaning']}\n\n")
    assert out.split()[-10:] == document["remedy"].split()[-10:]
    assert all(f"    {line}".rstrip() in out.splitlines() for line in document["printed"].splitlines())


def test_explain_when_asked_for_nothing_lists_the_codes(run: Any) -> None:
    code, out, _ = run("dsjobs explain")
    listed = json.loads(run("dsjobs explain -o json")[1])
    assert code == 0
    assert [one["name"] for one in listed["codes"]] == list(CODES)
    assert [one["name"] for one in listed["topics"]] == list(TOPICS)
    assert all(f"  {name}  " in out and meaning in out for name, meaning in {**CODES, **TOPICS}.items())


@pytest.mark.parametrize("path", sorted((CASES / "valid").glob("*.yaml")), ids=lambda path: path.stem)
def test_explanation_of_a_valid_file_agrees_with_its_plan(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    spec = loading.load(Path(path.name)).spec
    assert spec is not None
    for wanted in ({}, *RUNS.get(path.stem, {}).values()):
        environment = loading.choose_environment(spec, wanted.get("env"))
        environ, flags = wanted.get("environ", {}), tuple(map(tuple, wanted.get("given", ())))
        values, _ = resolve(spec, environment, environ=environ, given=flags)
        git = {"commit": "c0ffee", "branch": "main", "dirty": False}
        jobs, _ = expand(spec, environment, values, git)
        given = Given(spec, environment, values, environ, flags, (), git, "--env")
        for name, value in values.items():
            used = [one for one in explained.variable(given, name)["layers"] if one["state"] == "used"]
            assert [(one["value"], one["place"]) for one in used] == [(value.value, value.layer)], name
        for fields in spec.jobs:
            mine = [job for job in jobs if (job.base or job.name) == fields.name]
            for job in mine[:2]:
                keys = every_key(Explained(given, fields, [job]))
                inputs = {one["key"][7:]: one["value"] for one in keys if one["key"].startswith("inputs.")}
                secrets = {name: {"secret": secret} for name, secret in job.request.secrets.items()}
                known = {**job.request.input_variables, **secrets}
                assert {name: text for name, text in inputs.items() if text is not None} == known
                assert {name for name, text in inputs.items() if text is None} == set(job.deferred_inputs)
                assert all(sum(layer["state"] == "used" for layer in one["layers"]) == 1 for one in keys)
            assert len(every_key(Explained(given, fields, mine))) == len(keys)


def test_secret_when_it_is_explained_as_json_has_its_name_and_its_definition(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CASES / "explain")
    monkeypatch.setenv("LOAD_TOKEN", "hunter2-hunter2")
    code, out, err = run("dsjobs explain load.inputs.TOKEN -f blocks.yaml -o json")
    (key,) = json.loads(out)["keys"]
    assert (code, err, key["value"], key["template"]) == (0, "", {"secret": "TOKEN"}, None)
    assert [(one["value"], one["place"]) for one in key["layers"]] == [({"secret": "TOKEN"}, "blocks.yaml:20:14")]
    (use,) = key["uses"]
    assert (use["name"], use["value"], use["known"]) == ("secrets.TOKEN", None, "at submit")
    assert [(one["layer"], one["value"], one["line"]) for one in use["layers"]] == [
        ("secrets", {"env": "LOAD_TOKEN"}, 9)
    ]
    assert "hunter2" not in out


def test_value_when_it_is_no_plain_data_is_shown_by_its_own_text() -> None:
    assert explained.plain({"a": Path("x/y"), "b": (1, None, True)}) == {"a": "x/y", "b": [1, None, True]}
