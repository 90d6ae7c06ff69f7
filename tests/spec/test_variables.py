"""The final values of variables: which layer wins, what is typed how, what is wrong with what comes from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsjobs.cli import loading
from dsjobs.diagnostics import Diagnostic, text
from dsjobs.model import VariableValue
from dsjobs.spec.variables import resolve, typed

FILE = """\
version: 1
variables:
  region: eu
  alpha: {type: number, default: 1, minimum: 0}
  date: {type: string, pattern: '^[0-9-]+$'}
  free: {}
environments:
  local: {backend: local}
  prod: {backend: local, variables: {region: ru, date: '2025'}}
jobs: [{name: a, notebook: a.ipynb}]
"""


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    Path("jobs.yaml").write_text(FILE, encoding="utf-8")
    spec = loading.load(Path("jobs.yaml")).spec
    assert spec is not None

    def resolved(
        environment: str = "prod", environ: dict[str, str] | None = None, given: Any = (), kept: Any = None
    ) -> tuple[dict[str, VariableValue], list[Diagnostic]]:
        return resolve(spec, spec.environments[environment], environ=environ or {}, given=given, kept=kept or {})

    return resolved


FREE = ("free", "x")


def test_variable_when_several_layers_set_it_has_the_strongest(resolved: Any) -> None:
    environ = {"DSJOBS_VAR_region": "us", "OTHER": "x"}
    layers = [
        resolved("local", given=[FREE, ("date", "1")]),
        resolved("prod", given=[FREE]),
        resolved("prod", environ, given=[FREE]),
        resolved("prod", environ, given=[("region", "first"), ("region", "last"), FREE]),
    ]
    assert [problems for _, problems in layers] == [[], [], [], []]
    assert [values["region"] for values, _ in layers] == [
        VariableValue("eu", "jobs.yaml:3:11"),
        VariableValue("ru", "jobs.yaml:9:46"),
        VariableValue("us", "DSJOBS_VAR_region"),
        VariableValue("last", "--var"),
    ]


def test_variable_when_nothing_sets_it_is_missed_where_it_is_declared(resolved: Any) -> None:
    _, problems = resolved("local")
    assert [text(problem) for problem in problems] == [
        "jobs.yaml:5:9: error: the variable 'date' has no value [DSJ207]\n"
        "  hint: give it: --var date=VALUE, DSJOBS_VAR_date, or a default",
        "jobs.yaml:6:9: error: the variable 'free' has no value [DSJ207]\n"
        "  hint: give it: --var free=VALUE, DSJOBS_VAR_free, or a default",
    ]


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        (("alpha", "-1"), "--var alpha: -1 is less than the minimum 0", "declared at jobs.yaml:4:10"),
        (("alpha", "x"), '--var alpha: "x" is not of type number', "declared at jobs.yaml:4:10"),
        (("alpha", ""), "--var alpha: null is not of type number", "declared at jobs.yaml:4:10"),
        (("alpha", "[1"), "--var alpha: '[1' is not YAML: ", "declared at jobs.yaml:4:10"),
        (("alpha", "\x01"), "--var alpha: '\\x01' is not YAML: the character U+0001", "declared at jobs.yaml:4:10"),
        (("alpha", "\udcff"), "--var alpha: it is not UTF-8 text", "declared at jobs.yaml:4:10"),
        (("region", "a\udcff"), "--var region: it is not UTF-8 text", "declared at jobs.yaml:3:11"),
        (("alpha", ".nan"), "--var alpha: nan is not a number in JSON", "declared at jobs.yaml:4:10"),
        (
            ("free", "{a: [1, -.inf]}"),
            "--var free: at $.a[1]: -inf is not a number in JSON",
            "declared at jobs.yaml:6:9",
        ),
        (("free", "1e999"), "--var free: inf is not a number in JSON", "declared at jobs.yaml:6:9"),
        (("alpha", "{{ x }}"), "--var alpha: '{{ x }}' is not YAML: a template must be quoted", "declared at"),
        (("alpha", "1\n---\n2"), "is not YAML: a second document begins here", "declared at"),
        (("date", "today"), '--var date: "today" does not match ^[0-9-]+$', "declared at jobs.yaml:5:9"),
        (("date", "2025\n"), "does not match", "declared at jobs.yaml:5:9"),
        (("regoin", "x"), "--var regoin: the file declares no such variable", "did you mean 'region'?"),
    ],
)
def test_variable_when_a_flag_is_wrong_is_one_problem(resolved: Any, given: Any, message: str, hint: str) -> None:
    _, problems = resolved(given=[FREE, given])
    assert len(problems) == 1
    shown = text(problems[0])
    assert message in shown
    assert hint in shown


def test_variable_when_the_environment_sets_an_unknown_one_is_a_warning(resolved: Any) -> None:
    _, problems = resolved(environ={"DSJOBS_VAR_regoin": "x", "DSJOBS_VAR_": "x"}, given=[FREE])
    assert [(one.severity, one.hint) for one in problems] == [
        ("warning", "known: alpha, date, free, region"),
        ("warning", "did you mean 'region'?"),
    ]


def test_variable_when_an_earlier_run_was_given_it_has_that_value_unless_a_flag_sets_it(resolved: Any) -> None:
    kept = {"region": VariableValue("us", "--var-file a.yaml:1:9"), "free": VariableValue("true", "--var")}
    values, problems = resolved("prod", {"DSJOBS_VAR_region": "eu"}, given=[FREE], kept=kept)
    assert problems == []
    assert (values["region"], values["free"]) == (kept["region"], VariableValue("x", "--var"))


def test_variable_when_what_an_earlier_run_was_given_is_not_allowed_is_one_problem(resolved: Any) -> None:
    kept = {"alpha": VariableValue(-1, "--var"), "gone": VariableValue(1, "DSJOBS_VAR_gone")}
    _, problems = resolved(given=[FREE], kept=kept)
    assert [text(problem) for problem in problems] == [
        "error: --var alpha, as the earlier run was given it: -1 is less than the minimum 0 [DSJ207]\n"
        "  hint: the variable is declared at jobs.yaml:4:10; give it another value with --var",
        "warning: the earlier run was given the variable 'gone' (DSJOBS_VAR_gone), which the file does not declare [DSJ207]",
    ]
    assert resolved(given=[FREE, ("alpha", "2")], kept={"alpha": kept["alpha"]})[1] == []


@pytest.mark.parametrize(
    ("written", "schema", "value"),
    [
        ("1", {}, 1),
        ("1", {"type": "string"}, "1"),
        ("", {"type": "string"}, ""),
        ("no", {"type": "boolean"}, "no"),
        ("true", {"type": "boolean"}, True),
        ("[1, {a: b}]", {"type": "array"}, [1, {"a": "b"}]),
        ("a: b", {}, {"a": "b"}),
        ("007", {}, "007"),
        ("2025-01-31", {"type": "integer"}, "2025-01-31"),
        (": {", {"type": "string"}, ": {"),
    ],
)
def test_text_from_outside_when_typed_is_what_yaml_reads_unless_text_is_wanted(
    written: str, schema: dict[str, Any], value: Any
) -> None:
    assert typed(written, schema) == (value, None)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("{type: integer, default: 1}", "jobs.yaml:3:31"),
        ("\n    type: integer\n    minimum: 0\n    default: 1", "jobs.yaml:6:14"),
        ("\n    default:\n      - 1\n    type: array", "jobs.yaml:5:7"),
        ("1", "jobs.yaml:3:6"),
    ],
)
def test_default_when_it_counts_then_its_own_place_is_given(
    written: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = "jobs: [{name: a, notebook: a.ipynb}]\n"
    Path("jobs.yaml").write_text(f"version: 1\nvariables:\n  n: {written}\n{jobs}", encoding="utf-8")
    spec = loading.load(Path("jobs.yaml")).spec
    assert spec is not None
    values, _ = resolve(spec, loading.choose_environment(spec, None), environ={}, given=())
    assert values["n"].layer == place


@pytest.mark.parametrize("text", ["5.0", "5", "0.5e+1"])
def test_variable_when_it_is_an_integer_then_a_number_with_a_point_becomes_one(tmp_path, text):
    path = tmp_path / "jobs.yaml"
    path.write_text("version: 1\nvariables: {n: {type: integer, default: 2.0}}\njobs: [{name: a, notebook: a.ipynb}]\n")
    spec = loading.load(path).spec
    assert spec is not None
    local = spec.environments["local"]
    assert repr(resolve(spec, local, environ={}, given=[])[0]["n"].value) == "2"
    assert repr(resolve(spec, local, environ={}, given=[("n", text)])[0]["n"].value) == "5"
