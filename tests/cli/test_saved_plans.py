"""Plans in files: what they hold, when they are refused, and that what was printed is what runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import nbformat
import pytest
from as_user import LOAD, TRAIN, Ended, manifest_of, run, write_notebook, write_project
from held_schemas import problems_of

from dsjobs import schemas
from dsjobs.cli import main, saved_plans
from dsjobs.errors import DsjobsError, GuardError, InvalidFileError
from dsjobs.plan.saved import as_json, digest
from dsjobs.run import journal, store
from dsjobs.spec.precheck import compile_check

PART = "jobs:\n  - {name: more, notebook: load.ipynb, project: notebooks, inputs: {REGION: x}}\n"


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a project of two jobs, with a part that it includes by a pattern."""
    project = write_project(tmp_path / "project")
    (project / "jobs.yaml").write_text("include: [parts/*.yaml]\n" + (project / "jobs.yaml").read_text())
    (project / "parts").mkdir()
    (project / "parts" / "one.yaml").write_text(PART)
    monkeypatch.chdir(project)


def dsjobs(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--color", "never"])
    return int(stop.value.code or 0)


def plan(*arguments: str, out: str = "plan.json") -> dict[str, Any]:
    """The plan as it was saved."""
    assert dsjobs("plan", "-q", "--out", out, *arguments) == 0
    return json.loads(Path(out).read_bytes())


def refusal(path: str = "plan.json") -> str | None:
    """Why a saved plan may not be applied, or nothing."""
    try:
        saved_plans.read(Path(path), None)
    except DsjobsError as error:
        assert isinstance(error, GuardError), error
        assert error.hint == f"make it again with `dsjobs plan --out {path}`"
        return str(error).removeprefix(f"{path} is out of date: ")
    return None


# --- what is in a plan ---


def test_plan_when_saved_then_is_what_was_printed(capsys):
    saved = plan("-o", "json", "--var", "alpha=0.5")
    assert json.loads(capsys.readouterr().out) == saved
    assert problems_of("plan", Path("plan.json").read_bytes()) == []
    assert saved["variables"]["alpha"] == {"value": 0.5, "layer": "--var"}
    assert [one["path"] for one in saved["job_file"]["includes"]] == ["parts/one.yaml"]
    assert all(job["fingerprint"]["code"].startswith("sha256:") for job in saved["jobs"])


def test_plan_when_saved_then_says_what_to_type(capsys):
    assert dsjobs("plan", "--out", "a plan.json") == 0
    assert capsys.readouterr().err == "saved: `dsjobs apply 'a plan.json'` runs this plan\n"


def test_plan_when_saved_elsewhere_then_its_paths_begin_there(monkeypatch, tmp_path):
    saved = plan(out="../ci/out/plan.json")
    assert saved["job_file"]["path"] == "../../project/jobs.yaml"
    assert saved["job_file"]["includes"][0]["path"] == "../../project/parts/one.yaml"
    monkeypatch.chdir("/")
    found = saved_plans.read(tmp_path / "ci" / "out" / "plan.json", None)
    assert found.base == tmp_path / "project"
    assert as_json(found.plan, saved["tool_version"]) == saved


def test_plan_when_its_file_is_a_link_then_the_link_stays(tmp_path):
    (tmp_path / "ci").mkdir()
    Path("plan.json").symlink_to("../ci/plan.json")
    assert plan()["job_file"]["path"] == "../project/jobs.yaml"
    assert Path("plan.json").is_symlink()
    assert refusal() is None


@pytest.mark.parametrize("out", ["jobs.yaml", "parts/one.yaml", "notebooks", "jobs.yaml/plan.json", "/proc/plan.json"])
def test_plan_when_it_cannot_be_saved_there_then_2_and_nothing_is_touched(out, capsys):
    before = [Path("jobs.yaml").read_bytes(), Path("parts/one.yaml").read_bytes()]
    assert dsjobs("plan", "--out", out) == 2
    assert f"{out}" in capsys.readouterr().err
    assert [Path("jobs.yaml").read_bytes(), Path("parts/one.yaml").read_bytes()] == before


def test_plan_when_the_file_is_invalid_then_nothing_is_saved():
    Path("parts/one.yaml").write_text(PART.replace("load.ipynb", "laod.ipynb"))
    assert dsjobs("plan", "--out", "plan.json") == 3
    assert not Path("plan.json").exists()


def test_plan_when_detailed_then_the_exit_code_says_whether_something_runs():
    assert dsjobs("plan", "--detailed-exitcode") == 2
    jobs = Path("jobs.yaml").read_text()
    Path("jobs.yaml").write_text(jobs.replace("defaults: {", "defaults: {when: false, "))
    Path("parts/one.yaml").write_text(PART.replace("{name", "{when: false, name"))
    assert dsjobs("plan", "--detailed-exitcode") == 0
    assert dsjobs("plan", "--detailed-exitcode", "-e", "nowhere") == 2
    Path("jobs.yaml").write_text("jobs: 1")
    assert dsjobs("plan", "--detailed-exitcode") == 3


# --- when it is refused ---


def edit(path: str, old: str, new: str) -> Callable[[], None]:
    def change() -> None:
        text = Path(path).read_text()
        assert old in text
        Path(path).write_text(text.replace(old, new))

    return change


CHANGES: dict[str, tuple[Callable[[], object], str]] = {
    "job file": (edit("jobs.yaml", "small", "large"), "jobs.yaml changed"),
    "job file gone": (lambda: Path("jobs.yaml").unlink(), "jobs.yaml cannot be read: No such file or directory"),
    "include": (edit("parts/one.yaml", "more", "less"), "parts/one.yaml changed"),
    "include gone": (lambda: Path("parts/one.yaml").unlink(), "parts/one.yaml is not included any more"),
    "include new": (lambda: Path("parts/two.yaml").write_text("{}"), "parts/two.yaml is included now"),
    "code": (edit("notebooks/train.ipynb", "import os", "import sys"), "train.ipynb cell 1 changed"),
    "code in spaces": (
        edit("notebooks/train.ipynb", "import os", "import os "),
        "train.ipynb changed, in spaces and empty lines only",
    ),
    "notebook gone": (lambda: Path("notebooks/train.ipynb").unlink(), "train.ipynb cannot be read any more"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_saved_plan_when_something_has_changed_then_is_refused_and_says_what(change):
    plan()
    assert refusal() is None
    act, message = CHANGES[change]
    act()
    assert refusal() == message


def test_saved_plan_when_much_has_changed_then_names_all():
    plan()
    for change in ("include", "code", "include new"):
        CHANGES[change][0]()
    edit("notebooks/load.ipynb", "rows = 3", "rows = 4")()
    assert refusal() == (
        "parts/one.yaml changed; parts/two.yaml is included now; load.ipynb cell 1 changed; train.ipynb cell 1 changed"
    )


def test_saved_plan_when_a_notebook_was_only_run_then_is_good():
    plan()
    path = Path("notebooks/train.ipynb")
    notebook = nbformat.read(path, 4)
    notebook.cells[0].update(execution_count=7, outputs=[nbformat.v4.new_output("stream", text="x")], id="other")
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# Training"))
    nbformat.write(notebook, path)
    assert refusal() is None


def test_saved_plan_when_a_notebook_that_it_skips_has_changed_then_is_good():
    plan("-s", "load")
    CHANGES["code"][0]()
    assert refusal() is None


def test_saved_plan_when_the_job_file_uses_git_then_the_commit_counts():
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    plan(out="plain.json")
    edit("jobs.yaml", '"{{ run.id }}"', '"{{ git.commit }}"')()
    saved = plan()
    assert refusal() is None
    git("commit", "-q", "--allow-empty", "-m", "two")
    assert refusal() == f"the git commit is not {saved['git_commit'][:12]} any more, which the job file uses"
    edit("jobs.yaml", '"{{ git.commit }}"', '"{{ run.id }}"')()
    assert refusal("plain.json") is None


def test_saved_plan_when_the_name_of_the_job_file_is_not_utf_8_then_it_is_kept():
    name = os.fsdecode(b"jobs-\xff.yaml")
    Path("jobs.yaml").rename(name)
    assert plan(name)["job_file"]["path"] == name
    assert refusal() is None


@pytest.mark.parametrize("place", range(0, 100, 9))
def test_saved_plan_when_it_is_cut_off_then_says_that_it_is_damaged(place, capsys):
    plan()
    content = Path("plan.json").read_bytes()
    Path("plan.json").write_bytes(content[: len(content) * place // 100])
    assert dsjobs("apply", "plan.json") == 3
    assert "plan.json:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"max_parallel": 4', '"max_parallel": 0', r"plan.json:19:19: this is not a plan of version 1: $.max_parallel: 0"),
        ('"max_parallel": 4', '"max_parallel": 5', "plan.json: this plan was changed after dsjobs wrote it"),
        ('"ALPHA": "0.1"', '"ALPHA": "0.2"', "plan.json: this plan was changed after dsjobs wrote it"),
        ('"value": 0.1', '"value": 1e999', "plan.json: this plan was changed after dsjobs wrote it"),
        ('"value": 0.1', '"value": NaN', "plan.json: this plan was changed after dsjobs wrote it"),
        ('"action": "run"', '"action": "walk"', "'walk' is not one of"),
        ('"name": "small"', '"nam": "small"', "this is not a plan of version 1"),
        ('"schema_version": 1', '"schema_version": "1"', "$.schema_version: 1 was expected"),
    ],
)  # fmt: skip
def test_saved_plan_when_it_was_edited_then_3_and_the_place(old, new, message, capsys):
    plan()
    edit("plan.json", old, new)()
    capsys.readouterr()
    assert dsjobs("apply", "plan.json") == 3
    shown = capsys.readouterr()
    assert shown.out == "" and message in shown.err


def test_saved_plan_when_it_is_edited_with_its_digest_then_its_schema_holds():
    document = plan()
    envelope = {key: document.pop(key) for key in ("schema_version", "tool_version", "digest")}
    for key in document:
        less = {name: value for name, value in document.items() if name != key}
        Path("plan.json").write_text(json.dumps({**envelope, **less, "digest": digest(less)}))
        with pytest.raises(InvalidFileError, match=f"'{key}' is a required property"):
            saved_plans.read(Path("plan.json"), None)


def test_saved_plan_when_the_fast_check_accepts_it_then_its_schema_does():
    """With each of its values replaced by others, or removed, in turn."""
    document = plan("--no-cache")
    schema = schemas.load("plan")
    accepts, validator = compile_check(schema), jsonschema.Draft202012Validator(schema)
    assert accepts(document)
    others = [None, 0, -1, True, "", "x", [], {}, [0], {"x": None}]
    for container, key in [*places(document)]:
        value = container[key]
        for other in others:
            container[key] = other
            assert validator.is_valid(document) or not accepts(document), (key, other)
        container[key] = value
        if isinstance(container, dict):
            del container[key]
            assert validator.is_valid(document) or not accepts(document), key
            container[key] = value


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place below a value: what it is in, and its key or index there; of a list the first two."""
    keys = list(value) if isinstance(value, dict) else range(min(len(value), 2)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def test_saved_plan_when_it_is_of_another_version_then_6(capsys):
    plan()
    edit("plan.json", '"schema_version": 1', '"schema_version": 2')()
    assert dsjobs("apply", "plan.json") == 6
    assert (
        "plan.json is a plan of version 2, and this dsjobs knows version 1\n  hint: make it" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--var", "alpha=1"], "--var"), (["-e", "prod"], "--env"), (["-j", "2"], "--jobs"), (["-s", "load"], "--select"),
        (["--no-cache"], "--no-cache"), (["--from", "latest"], "--from"), (["--var-file", "x.yaml"], "--var-file"),
        (["-x", "load"], "--exclude"),
    ],
)  # fmt: skip
def test_saved_plan_when_a_flag_would_make_another_plan_then_2(flags, named, capsys):
    plan()
    assert dsjobs("apply", "plan.json", *flags) == 2
    message = f"{named} cannot be given with a saved plan: plan.json says already what runs, and with which inputs"
    assert message in capsys.readouterr().err


def test_saved_plan_when_a_variable_names_another_environment_then_2(capsys, monkeypatch):
    plan()
    monkeypatch.setenv("DSJOBS_ENV", "prod")
    assert dsjobs("apply", "plan.json") == 2
    assert "plan.json is a plan for environment 'local', and DSJOBS_ENV is 'prod'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("plan.json", '{"schema_version": 1}', True),
        ("plan.json", "", True),
        ("plan.json", "[", True),
        ("missing.json", None, True),
        ("jobs.json", '{"version": 1, "jobs": []}', False),
        ("plan", '{"schema_version": 1}', True),
        ("plan.out", '\n {"schema_version": 1}', True),
        ("jobs", "version: 1", False),
        ("plan.yaml", '{"schema_version": 1}', False),
    ],
)
def test_file_when_it_may_be_a_plan_or_a_job_file_then_its_content_decides(name, content, expected):
    if content is not None:
        Path(name).write_text(content)
    assert saved_plans.is_one(Path(name)) == expected


def test_job_file_when_it_is_json_then_runs_as_one(capsys):
    Path("jobs.json").write_text('{"version": 1, "jobs": [{"name": "a", "notebook": "a.ipynb", "nedds": []}]}')
    assert dsjobs("apply", "jobs.json") == 3
    assert "unknown key 'nedds'" in capsys.readouterr().err


# --- what runs ---


@pytest.fixture(scope="module")
def applied(tmp_path_factory) -> tuple[Path, dict[str, Any], Ended]:
    """A plan that was saved in a folder of its own, and applied from there."""
    project = write_project(tmp_path_factory.mktemp("applied") / "project", LOAD + TRAIN)
    assert run("plan", "--out", "ci/plan.json", "--var", "alpha=0.5", cwd=project).code == 0
    ended = run("apply", "plan.json", cwd=project / "ci", DSJOBS_VAR_alpha="9")
    return project, json.loads((project / "ci" / "plan.json").read_bytes()), ended


def test_saved_plan_when_applied_then_what_was_printed_is_what_ran(applied):
    project, saved, ended = applied
    assert ended.code == 0, ended.err
    assert ended.err.startswith("plan plan.json: small in 'local'\n")
    records = journal.read(store.find(project / ".dsjobs").journal)
    assert records[0]["plan_digest"] == saved["digest"]
    assert [{k: v for k, v in one.items() if k != "record"} for one in records if one["record"] == "job_planned"] == (
        saved["jobs"]
    )
    manifest = manifest_of(project)
    assert [job["outputs"] for job in manifest["jobs"]] == [{"rows": 3, "greeting": "hällo eu"}, {"score": 1.5}]
    assert [job["fingerprint"] for job in manifest["jobs"]] == [job["fingerprint"] for job in saved["jobs"]]


def test_saved_plan_when_nothing_in_it_hangs_on_earlier_runs_then_may_be_applied_again(applied):
    project, saved, _ = applied
    assert "earlier" not in saved
    assert saved_plans.read(project / "ci" / "plan.json", None).plan.digest == saved["job_file"]["digest"]


def test_saved_plan_when_a_run_fails_then_it_is_retried_from_its_job_file(applied):
    project, _, _ = applied
    ended = run("retry", cwd=project)
    assert (ended.code, ended.out.startswith("what ran in run ")) == (0, True)
    write_notebook(project / "notebooks" / "train.ipynb", "score = 1 / 0")
    assert run("plan", "--out", "plan.json", cwd=project).code == 0
    assert run("apply", "plan.json", cwd=project).code == 1
    ended = run("retry", "--dry-run", cwd=project)
    assert ended.code == 0 and "1 of 2 jobs would run, 1 reused" in ended.out
