"""Jobs with a cache: reused while nothing that they depend on changes, with the reason where they run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from as_user import LOAD, TRAIN, UPLOAD, by_name, run, statuses, write_notebook, write_project
from held_schemas import problems_below

from dsjobs.cli import main, saved_plans
from dsjobs.errors import GuardError

TRAINING = "score = float(os.environ['ALPHA']) * int(os.environ['ROWS'])"


@pytest.fixture(scope="module")
def applied(tmp_path_factory) -> Path:
    """A project whose jobs have a cache, after one run. Not to be changed."""
    project = write_project(tmp_path_factory.mktemp("applied") / "project", LOAD + TRAIN)
    path = project / "jobs.yaml"
    path.write_text(path.read_text().replace("defaults: {", "defaults: {cache: true, "))
    assert run("apply", "-q", cwd=project).code == 0
    return project


@pytest.fixture
def project(applied, tmp_path, monkeypatch) -> Path:
    """A copy of it, which is the working folder."""
    shutil.copytree(applied, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def run_ids(project: Path) -> list[str]:
    return sorted(os.listdir(project / ".dsjobs" / "runs"))


@pytest.fixture
def plan(project, capsys):
    """Plans, and gives the plan as JSON."""

    def make(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["plan", "-o", "json", *arguments])
        printed = capsys.readouterr()
        assert stop.value.code == 0, printed.err
        document: dict[str, Any] = json.loads(printed.out)
        return document

    return make


def why(document: dict[str, Any]) -> dict[str, str]:
    return {job["name"]: f"{job['action']}: {'; '.join(job['reasons'])}" for job in document["jobs"]}


def train(*cells: str) -> None:
    write_notebook(Path("notebooks/train.ipynb"), *cells[:-1], cells[-1] + UPLOAD)


def test_plan_when_nothing_has_changed_then_reuses_what_the_last_run_gave(project, plan):
    (first,) = run_ids(project)
    document = plan()
    assert why(document) == dict.fromkeys(("load", "train"), f"reuse: unchanged since run {first}")
    assert document["jobs"][0]["reused"]["outputs"] == {"rows": 3, "greeting": "hällo eu"}
    assert document["earlier"]["run"] == first
    assert run("plan", "--detailed-exitcode", cwd=project).code == 0


def test_plan_when_a_notebook_was_run_and_tidied_then_is_unchanged(project, plan):
    train("import os  \n\n", "", TRAINING + "\n")
    assert why(plan())["train"].startswith("reuse")


def test_plan_when_a_cell_changed_then_names_it_and_counts_its_lines(project, plan):
    (first,) = run_ids(project)
    train("import os", "import sys\nalpha = float(os.environ['ALPHA'])\nscore = alpha * int(os.environ['ROWS'])")
    assert why(plan())["train"] == f"run: since run {first}: train.ipynb cell 2 changed (+3 −1)"


def test_plan_when_a_variable_changed_then_says_where_its_value_came_from(project, plan):
    (first,) = run_ids(project)
    assert why(plan("--var", "alpha=0.05")) == {
        "load": f"reuse: unchanged since run {first}",
        "train": f"run: since run {first}: inputs.ALPHA 0.1 → 0.05 (--var)",
    }
    assert why(plan("--var", "region=us")) == {
        "load": f"run: since run {first}: inputs.REGION eu → us (--var)",
        "train": "run: load runs",
    }


def test_plan_when_spec_and_variable_changed_in_the_file_then_says_both(project, plan):
    text = Path("jobs.yaml").read_text()
    text = text.replace("default: 0.1", "default: 0.2").replace("outputs: [score]", "outputs: [score]\n    spec: g1.1")
    Path("jobs.yaml").write_text(text)
    (first,) = run_ids(project)
    expected = f"run: since run {first}: spec (none) → g1.1; inputs.ALPHA 0.1 → 0.2 (jobs.yaml:3:56)"
    assert why(plan())["train"] == expected


def test_plan_when_the_cache_is_not_wanted_then_all_runs(project, plan):
    assert set(why(plan("--no-cache")).values()) == {"run: selected; needs no other job", "run: selected; after load"}


def test_plan_when_the_environment_is_another_one_then_its_own_runs_count(project, plan):
    jobs = Path("jobs.yaml").read_text()
    Path("jobs.yaml").write_text(
        jobs.replace(
            "{here: notebooks}}\n", "{here: notebooks}}\n  copy: {backend: local, projects: {here: notebooks}}\n", 1
        )
    )
    assert set(why(plan("-e", "copy")).values()) == {"run: no earlier success is known"}


def test_plan_when_the_notebooks_lie_on_datasphere_then_says_that_nobody_can_know(project, plan):
    (first,) = run_ids(project)
    manifest = f".dsjobs/runs/{first}/manifest.json"
    document = plan("-e", "prod", "--from", manifest)
    assert why(document)["load"].startswith(f"run: since run {first}: environment local → prod; backend local")
    assert all("cells" not in job["fingerprint"] for job in document["jobs"])


def test_plan_when_the_last_run_is_damaged_then_the_one_before_counts(project, plan, damaged):
    (first,) = run_ids(project)
    later = project / ".dsjobs" / "runs" / "29990101-000000-ffffff"
    shutil.copytree(project / ".dsjobs" / "runs" / first, later)
    for name in ("journal.jsonl", "manifest.json"):
        (later / name).write_bytes((later / name).read_bytes().replace(b"succeeded", b"sukceeded"))
        damaged.add(later / name)
    assert set(why(plan()).values()) == {f"reuse: unchanged since run {first}"}


def test_plan_when_the_last_run_was_killed_then_what_succeeded_in_it_counts(project, plan):
    (first,) = run_ids(project)
    folder = project / ".dsjobs" / "runs" / first
    (folder / "manifest.json").unlink()
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    ended = next(number for number, line in enumerate(lines) if b'"job_finished"' in line)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[: ended + 1]))
    assert why(plan()) == {
        "load": f"reuse: unchanged since run {first}",
        "train": "run: no earlier success is known",
    }


def test_plan_when_a_manifest_comes_from_elsewhere_then_is_as_if_it_were_here(project, plan):
    (first,) = run_ids(project)
    shutil.move(".dsjobs/runs/" + first, "before")
    assert set(why(plan()).values()) == {"run: no earlier success is known"}
    document = plan("--from", "before/manifest.json")
    assert set(why(document).values()) == {f"reuse: unchanged since run {first}"}
    assert document["earlier"]["path"] == "before/manifest.json"
    train("import os", TRAINING + "\nscore += 1")
    assert why(plan("--from", "before/manifest.json"))["train"].endswith("cell 2 changed (+1 −0)")


def test_apply_when_nothing_has_changed_then_its_manifest_has_what_was_reused(project):
    (first,) = run_ids(project)
    shutil.move(".dsjobs/runs/" + first, "before")
    ended = run("apply", "-o", "json", "--from", "before/manifest.json", cwd=project)
    assert ended.code == 0, ended.err
    jobs = by_name(ended.json)
    assert [(job["action"], job["reused_from"], job["attempts"]) for job in jobs.values()] == [("reuse", first, [])] * 2
    before = by_name(json.loads(Path("before/manifest.json").read_bytes()))
    for name in jobs:
        for key in ("outputs", "notebook", "fingerprint"):
            assert jobs[name][key] == before[name][key]
    assert problems_below(project) == []
    ended = run("apply", cwd=project)  # what it reused, a run after it reuses
    assert f'rows=3, greeting="hällo eu" · from run {first}' in ended.out


def test_apply_when_a_job_above_is_reused_then_the_one_below_gets_its_outputs(project):
    ended = run("apply", "-o", "json", "--var", "alpha=2", cwd=project)
    assert ended.code == 0, ended.err
    jobs = by_name(ended.json)
    assert (jobs["load"]["action"], jobs["train"]["action"]) == ("reuse", "run")
    assert jobs["train"]["outputs"] == {"score": 6.0}
    ended = run("plan", "--var", "alpha=2", cwd=project)
    assert "0 of 2 jobs would run, 2 reused, at most 4 at once" in ended.out


def test_apply_when_the_cache_is_not_wanted_then_runs_and_what_needs_it_runs_next(project, plan):
    assert run("apply", "--no-cache", "-s", "load", cwd=project).code == 0
    second = run_ids(project)[-1]
    assert why(plan()) == {"load": f"reuse: unchanged since run {second}", "train": "run: load has run since"}


# --- plans that were made against a run ---


def refusal() -> str | None:
    try:
        saved_plans.read(Path("plan.json"), None)
    except GuardError as error:
        return str(error).removeprefix("plan.json is out of date: ")
    return None


def test_saved_plan_when_another_run_came_then_is_refused(project, plan):
    (first,) = run_ids(project)
    plan("--out", "plan.json")
    assert refusal() is None
    assert run("apply", "plan.json", cwd=project).code == 0
    second = run_ids(project)[-1]
    assert refusal() == f"run {second} is newer than run {first}, against which it was made"


def test_saved_plan_when_there_was_no_run_and_now_is_then_is_refused(project, plan):
    (first,) = run_ids(project)
    shutil.move(".dsjobs", "before")
    plan("--out", "plan.json")
    assert refusal() is None
    shutil.move("before", ".dsjobs")
    assert refusal() == f"run {first} is newer than it, which was made before there were any"


def test_saved_plan_when_the_runs_are_not_here_then_holds_what_it_reuses(project, plan):
    plan("--out", "plan.json")
    shutil.rmtree(".dsjobs")
    ended = run("apply", "plan.json", cwd=project)
    assert ended.code == 0 and 'greeting="hällo eu" · from run ' in ended.out


def test_saved_plan_when_the_manifest_from_elsewhere_is_another_one_then_is_refused(project, plan):
    (first,) = run_ids(project)
    shutil.copytree(".dsjobs/runs/" + first, "before")
    plan("--out", "plan.json", "--from", "before/manifest.json")
    assert refusal() is None
    assert run("apply", "-q", "--no-cache", "--manifest", "before/manifest.json", cwd=project).code == 0
    second = run_ids(project)[-1]
    assert refusal() == f"run {second} is newer than run {first}, against which it was made"


def test_saved_plan_when_a_notebook_of_a_reused_job_changed_then_is_refused(project, plan):
    plan("--out", "plan.json")
    train("import os", TRAINING + " + 1")
    assert refusal() == "train.ipynb cell 2 changed"


def test_apply_when_a_need_is_reused_then_run_if_takes_it_for_a_success(tmp_path):
    jobs = """\
  - {name: a, notebook: load.ipynb, cache: true, inputs: {REGION: eu}}
  - {name: on_failure, needs: [a], run_if: at_least_one_failed, notebook: load.ipynb, inputs: {REGION: eu}}
  - {name: on_success, needs: [a], run_if: at_least_one_success, notebook: load.ipynb, inputs: {REGION: eu}}
"""
    project = write_project(tmp_path / "conditions", jobs)
    expected = {"a": "succeeded", "on_failure": "skipped", "on_success": "succeeded"}
    for action in ("run", "reuse"):
        ended = run("apply", "-q", "-o", "json", cwd=project)
        assert (ended.code, by_name(ended.json)["a"]["action"], statuses(ended.json)) == (0, action, expected)
