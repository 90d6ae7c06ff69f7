"""Selectors that ask an earlier run, the latest one here where none is named; and selections of nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from as_user import by_name, run

from dsjobs.cli import main, saved_plans
from dsjobs.errors import GuardError
from dsjobs.run import journal
from dsjobs.run.journal import Journal


@pytest.fixture
def project(failed_run, tmp_path, monkeypatch) -> Path:
    """A copy of a project after a run in which jobs failed, which is the working folder."""
    shutil.copytree(failed_run[0], tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def planned(project, capsys):
    """Plans with these flags: the exit code, the plan where there is one, and what was printed to stderr."""

    def make(*arguments: str) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["plan", "-o", "json", *arguments])
        printed = capsys.readouterr()
        return int(stop.value.code or 0), json.loads(printed.out or "{}"), printed.err

    return make


def running(document: dict[str, Any]) -> set[str]:
    return {job["name"] for job in document["jobs"] if job["action"] == "run"}


def latest(project: Path) -> Path:
    return max((project / ".dsjobs" / "runs").iterdir())


def of_status(project: Path, status: str) -> set[str]:
    manifest = json.loads((latest(project) / "manifest.json").read_bytes())
    return {name for name, job in by_name(manifest).items() if job["status"] == status}


def test_result_when_no_run_is_named_then_the_latest_here_is_asked(project, planned):
    code, document, _ = planned("-s", "result:failed")
    assert code == 0
    assert running(document) == of_status(project, "failed") != set()
    assert document["earlier"] == {
        "run": latest(project).name,
        "digest": json.loads((latest(project) / "manifest.json").read_bytes())["digest"],
        "path": None,
    }
    assert planned("-s", "result:failed", "--from", latest(project).name)[1]["jobs"] == document["jobs"]


def test_result_when_it_is_excluded_or_one_of_several_then_the_latest_run_is_asked(project, planned):
    failed = of_status(project, "failed")
    everything = running(planned()[1])
    assert running(planned("-x", "result:failed+")[1]) < everything - failed
    assert running(planned("-s", "load", "-s", "+result:failed,*")[1]) == failed | {"load"}


def test_state_when_a_notebook_has_changed_then_what_has_is_selected(project, planned):
    assert "nothing is selected" in planned("-s", "state:changed")[2]
    notebook = project / "notebooks" / "load.ipynb"
    notebook.write_text(notebook.read_text().replace("rows = 3", "rows = 4"))
    assert "load" in running(planned("-s", "state:changed")[1])


def test_state_when_jobs_have_changed_then_the_plan_says_what(project, planned):
    notebook = project / "notebooks" / "load.ipynb"
    notebook.write_text(notebook.read_text().replace("rows = 3", "rows = 4"))
    jobs = by_name(planned("-s", "state:changed", "-s", "+after")[1])
    assert jobs["load"]["reasons"] == ["selected; needs no other job", "load.ipynb cell 1 changed"]
    assert jobs["after"]["reasons"] == ["selected; after broken"]


def test_state_when_the_notebooks_lie_on_datasphere_then_all_count_as_changed_and_the_plan_says_why(project, planned):
    document = planned("-e", "prod")[1]
    path = latest(project) / "journal.jsonl"
    header, *rest = [record for record in journal.read(path) if record["record"] != "job_planned"]
    jobs = [{"record": "job_planned", **job} for job in document["jobs"]]
    path.unlink()
    (latest(project) / "manifest.json").unlink()
    with Journal(path) as log:
        log.append([{**header, "environment": "prod", "backend": "datasphere"}, *jobs, *rest])
    code, again, _ = planned("-e", "prod", "-s", "state:changed")
    assert (code, running(again)) == (0, {job["name"] for job in document["jobs"]})
    unknown = "its code cannot be read here: nobody can say whether it has changed"
    assert [job["reasons"][1:] for job in again["jobs"]] == [[unknown]] * len(jobs)


def test_result_when_the_latest_run_is_of_another_environment_then_there_is_none(project, planned):
    code, _, printed = planned("-e", "prod", "-s", "result:failed")
    assert code == 2
    assert "'result:failed' compares with an earlier run, and there is none" in printed
    assert "name one with --from" in printed


def test_result_when_the_latest_run_is_damaged_then_the_one_before_is_asked(project, planned, damaged):
    first = latest(project)
    later = first.with_name("29990101-000000-ffffff")
    shutil.copytree(first, later)
    for name in ("journal.jsonl", "manifest.json"):
        (later / name).write_bytes((later / name).read_bytes().replace(b"failed", b"faild"))
        damaged.add(later / name)
    assert planned("-s", "result:failed")[1]["earlier"]["run"] == first.name


def test_plan_when_it_was_selected_by_the_latest_run_and_there_is_a_newer_one_then_is_refused(project, planned):
    planned("-s", "result:failed", "--out", "plan.json")
    saved_plans.read(Path("plan.json"), None)
    run("apply", "-q", "-s", "load", cwd=project)
    with pytest.raises(GuardError, match="is newer than run"):
        saved_plans.read(Path("plan.json"), None)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (["-s", ""], "--select is empty: it names no job"),
        (["-s", " "], "--select is empty: it names no job"),
        (["--select="], "--select is empty: it names no job"),
        (["-s", "", "-s", " "], "--select is empty: it names no job"),
        (["-x", ""], "--exclude is empty: it names no job"),
        (["-s", "load", "--exclude="], "--exclude is empty: it names no job"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "apply"])
def test_selection_when_it_is_empty_then_nothing_runs(project, capsys, command, flag, message):
    before = latest(project)
    with pytest.raises(SystemExit) as stop:
        main([command, *flag])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert latest(project) == before


def test_selection_when_one_of_several_is_empty_then_the_others_count(planned):
    assert running(planned("-s", "", "-s", "load")[1]) == {"load"}
