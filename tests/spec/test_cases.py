"""Job files as cases: each file of `tests/cases` beside what dsjobs says of it.

`invalid/NAME.yaml` has beside it `NAME.expected`, the exact diagnostics of `dsjobs validate NAME.yaml`; `valid/NAME.yaml` has
`NAME.plan.json`, for each run of its own the requests that the plan has. `DSJOBS_UPDATE_CASES=1 pytest tests/spec/test_cases.py`
writes what is printed now: read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from dsjobs.cli import loading, main
from dsjobs.cli.loading import Loaded
from dsjobs.diagnostics import has_errors, in_order, text
from dsjobs.plan.planner import make_plan
from dsjobs.plan.saved import job_as_json, plain
from dsjobs.spec.environments import check_environment
from dsjobs.spec.expand import expand
from dsjobs.spec.variables import resolve

CASES = Path(__file__).parents[1] / "cases"
INVALID = sorted((CASES / "invalid").glob("*.yaml"))
VALID = sorted((CASES / "valid").glob("*.yaml"))
UPDATE = bool(os.environ.get("DSJOBS_UPDATE_CASES"))


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DSJOBS_")]:
        monkeypatch.delenv(name)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*arguments])
    code = stop.value.code
    assert isinstance(code, int)
    return code


def expected(path: Path, printed: str) -> str:
    if UPDATE:
        path.write_text(printed, encoding="utf-8", newline="\n")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_validate_when_a_case_is_invalid_prints_its_diagnostics(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(path.parent)
    code = run("validate", path.name, "--color", "never")
    printed = capsys.readouterr()
    assert printed.err == expected(path.with_suffix(".expected"), printed.err)
    assert code == (3 if ": error: " in printed.err else 0)
    assert "Traceback" not in printed.err + printed.out


def test_cases_when_counted_are_at_least_sixty_and_each_says_something() -> None:
    texts = {path: path.with_suffix(".expected").read_text(encoding="utf-8") for path in INVALID}
    assert len(texts) >= 60
    assert [path.name for path, text in texts.items() if not text] == []
    assert {path.stem for path in INVALID} == {path.stem for path in (CASES / "invalid").glob("*.expected")}


def test_diagnostics_when_printed_are_sorted_by_place_and_said_once() -> None:
    for path in INVALID:
        text = path.with_suffix(".expected").read_text(encoding="utf-8")
        places = [(int(line), int(column)) for line, column in re.findall(r"^[\w.]+:(\d+):(\d+): ", text, re.MULTILINE)]
        assert places == sorted(places), path.name
        codes = re.findall(r"^([\w.]+:\d+:\d+): .*\[(DSJ\d+)\]$", text, re.MULTILINE)
        assert len(set(codes)) == len(codes), path.name


RUNS = json.loads((CASES / "valid" / "runs.json").read_text(encoding="utf-8"))
"""For a case, by name, the environment, process environment and `--var`s to plan it with, beside the plan without any."""

GIT = {"commit": "c0ffee", "branch": "main", "dirty": False}


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_plan_when_a_case_is_valid_has_its_requests(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    loaded = loading.load(Path(path.name))
    shown = {name: planned(loaded, **run) for name, run in {"default": {}, **RUNS.get(path.stem, {})}.items()}
    text = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"
    assert text == expected(path.with_suffix(".plan.json"), text)


SHOWN_OTHERWISE = {"name", "action", "reasons", "needs", "request", "deferred_inputs", "outputs"}


def planned(loaded: Loaded, env: str | None = None, environ: Any = None, given: Any = ()) -> dict[str, Any]:
    """The compact form of a plan: variables with their layers; for each job, in order, its request and what is deferred."""
    spec = loaded.spec
    assert spec is not None
    environment = loading.choose_environment(spec, env)
    values, problems = resolve(spec, environment, environ=environ or {}, given=given)
    jobs, found = expand(spec, environment, values, GIT)
    said = in_order([*loaded.diagnostics, *problems, *check_environment(spec, environment), *found])
    assert not has_errors(said), [text(one) for one in said]
    plan = make_plan(spec, environment, values, jobs)
    requests = {
        one.job.name: one.job.request.as_json()
        | ({"deferred": one.job.deferred_inputs} if one.job.deferred_inputs else {})
        | ({"skipped": one.reasons} if one.action == "skip" else {})
        | {key: value for key, value in job_as_json(one).items() if key not in SHOWN_OTHERWISE}
        for one in plan.jobs
    }
    return {
        "environment": plan.environment,
        "max_parallel": plan.max_parallel,
        "said": [text(one) for one in said],
        "variables": {name: [value.value, value.layer] for name, value in values.items()},
        **({"settings": plain(plan.settings)} if plan.settings else {}),
        **({"pools": plan.pools} if plan.pools else {}),
        "jobs": requests,
    }


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_validate_when_a_case_is_valid_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(path.parent)
    assert run("validate", path.name) == 0
    assert f"{path.name}: valid" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["jobs.yml", "folder.yaml"])
def test_validate_when_the_file_cannot_be_read_is_one_diagnostic(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.yaml").write_text("version: 1\njobs: [{name: a, notebook: a.ipynb}]\n", encoding="utf-8")
    Path("folder.yaml").symlink_to("folder.yaml")
    assert run("validate", name) == 3
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {name}: the job file cannot be read: ")
    assert "[DSJ001]" in printed
    assert (name != "jobs.yml") or "hint: did you mean 'jobs.yaml'?" in printed
    assert run("validate", name, "-o", "json") == 3
    document = json.loads(capsys.readouterr().out)
    assert [one["code"] for one in document["diagnostics"]] == ["DSJ001"]
