"""`reproduce`: the same again, and whether the outputs are the same."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from as_user import HEAD, by_name, environment, run, write_notebook, write_project

from dsjobs.run import store

JOBS = """\
  - name: load
    notebook: load.ipynb
    inputs: {REGION: "{{ vars.region }}", RUN: "{{ run.id }}"}
    outputs: [rows, greeting]
  - name: train
    needs: [load]
    notebook: train.ipynb
    inputs: {ROWS: "{{ needs.load.outputs.rows }}", ALPHA: "{{ vars.alpha }}"}
    outputs: [score]
"""
OTHERS = """\
  other: {backend: local, projects: {here: elsewhere}}
  without: {backend: local, projects: {there: elsewhere}}
  guarded: {backend: local, projects: {here: elsewhere}, protected: true}
  bare: {backend: datasphere, projects: {here: bt1abcdefghijklmnopq}}
  prod:"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project in a git repository with a run; each execution of `train` comes to a little more."""
    project = write_project(tmp_path_factory.mktemp("reproduce") / "project")
    (project / "jobs.yaml").write_text(HEAD.replace("  prod:", OTHERS) + JOBS)
    write_notebook(
        project / "notebooks" / "train.ipynb",
        "import os, pathlib\ncount = pathlib.Path('count')",
        "runs = int(count.read_text()) + 1 if count.exists() else 1\ncount.write_text(str(runs))",
        "score = float(os.environ['ALPHA']) * int(os.environ['ROWS']) + runs / 1e7",
    )
    shutil.copytree(project / "notebooks", project / "elsewhere")
    (project / ".gitignore").write_text("count\n.dsjobs\n")
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "x")
    assert run("apply", "-q", cwd=project).code == 0
    return project


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment(), check=True)


@pytest.fixture
def project(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / "project")
    return tmp_path / "project"


def first(project: Path) -> str:
    return min(os.listdir(project / ".dsjobs" / "runs"))


def number_of_runs(project: Path) -> int:
    return len(os.listdir(project / ".dsjobs" / "runs"))


def test_reproduce_when_an_output_differs_then_1_and_where(project):
    ended = run("reproduce", "latest", cwd=project)
    assert ended.code == 1, ended.err
    start = ended.out.index(f"compared with run {first(project)}\n\n")
    lines = ended.out[start:].splitlines()
    assert lines[2] == "  load   rows      ✓ same       3"
    assert lines[4].startswith("  train  score     ✗ different  0.3000001") and " → 0.3000002" in lines[4]
    assert lines[-1] == "2 of 3 outputs the same"
    again = store.load(store.find(project / ".dsjobs"))
    before = store.load(store.find(project / ".dsjobs", first(project)))
    assert again["run"]["parent_run"] == first(project)
    inputs = [by_name(manifest)["load"]["request"]["inputVariables"] for manifest in (before, again)]
    assert inputs[0]["REGION"] == inputs[1]["REGION"] and inputs[1]["RUN"] == again["run"]["id"]


@pytest.mark.parametrize("tolerance", ["score=1e-6", "train.score=0.001"])
def test_reproduce_when_it_differs_by_less_than_is_allowed_then_0(project, tolerance):
    found = run("reproduce", "latest", "--tolerance", tolerance, "-o", "json", "--manifest", "m.json", cwd=project)
    assert found.code == 0, found.err
    assert found.json["same"] is True and found.json["reproduces"] == first(project)
    assert [(one["output"], one["verdict"]) for one in found.json["compared"]] == [
        ("rows", "same"), ("greeting", "same"), ("score", "close"),
    ]  # fmt: skip
    assert store.read_manifest(project / "m.json")["run"]["id"] == found.json["run"]


def test_reproduce_when_in_another_environment_then_its_folder_is_meant(project):
    found = run("reproduce", "latest", "-e", "other", "--tolerance", "score=1", "-o", "json", cwd=project)
    assert found.code == 0, found.err
    again = store.load(store.find(project / ".dsjobs"))
    assert again["run"]["environment"] == found.json["environment"] == "other"
    assert {job["request"]["projectId"] for job in again["jobs"]} == {"elsewhere"}


def test_reproduce_when_there_is_a_manifest_only_then_its_inputs_are_sent(project):
    shutil.move(project / ".dsjobs" / "runs" / first(project) / "manifest.json", project / "m.json")
    shutil.rmtree(project / ".dsjobs")
    before = store.read_manifest(project / "m.json")
    ended = run("reproduce", "./m.json", "--tolerance", "score=1", cwd=project)
    assert ended.code == 0, ended.err
    again = store.load(store.find(project / ".dsjobs"))
    for name, job in by_name(again).items():
        assert job["request"] == by_name(before)[name]["request"]
    assert again["run"]["parent_run"] == before["run"]["id"]
    from_elsewhere = run("reproduce", "project/m.json", cwd=project.parent)
    assert from_elsewhere.code == 2 and "there is no jobs.yaml" in from_elsewhere.err


def test_reproduce_when_the_code_has_changed_then_6_and_nothing_runs(project):
    write_notebook(project / "notebooks" / "train.ipynb", "score = 7")
    ended = run("reproduce", "latest", cwd=project)
    assert (ended.code, ended.out, number_of_runs(project)) == (6, "", 1)
    assert (
        f"error: this is not what run {first(project)} ran: the code of train.ipynb has changed (job 'train')"
        in ended.err
    )
    assert "--force" in ended.err
    (project / "notebooks" / "train.ipynb").unlink()
    assert "job 'train': notebook 'train.ipynb' does not exist" in run("reproduce", "latest", cwd=project).err


def test_reproduce_when_the_code_has_changed_and_it_is_forced_then_warns(project):
    write_notebook(project / "notebooks" / "train.ipynb", "score = 7")
    ended = run("reproduce", "latest", "--force", cwd=project)
    assert ended.code == 1 and number_of_runs(project) == 2
    assert "warning: not what run " in ended.err and "the code of train.ipynb has changed" in ended.err


def test_reproduce_when_the_commit_is_another_then_6(project):
    git(project, "commit", "-q", "--allow-empty", "-m", "y")
    ended = run("reproduce", "latest", cwd=project)
    assert (ended.code, number_of_runs(project)) == (6, 1)
    assert "it was of commit " in ended.err and ", and here is " in ended.err
    shutil.rmtree(project / ".git")
    assert ", and here is no git repository" in run("reproduce", "latest", cwd=project).err


def test_reproduce_when_there_are_changes_now_and_were_none_then_it_warns(project):
    changes = "here are changes that are not committed, and run "
    clean = run("reproduce", "latest", "--tolerance", "score=1", cwd=project)
    assert (clean.code, changes in clean.err) == (0, False)
    (project / "notebooks" / "library.py").write_text("alpha = 2")
    dirty = run("reproduce", first(project), "--tolerance", "score=1", cwd=project)
    assert dirty.code == 0
    assert f"warning: {changes}{first(project)} had none\n" in dirty.err


def test_reproduce_when_the_environment_is_protected_then_it_wants_yes(project):
    arguments = ("reproduce", "latest", "-e", "guarded", "--tolerance", "score=1")
    ended = run(*arguments, cwd=project)
    assert (ended.code, ended.out, number_of_runs(project)) == (6, "", 1)
    assert "environment 'guarded' is protected" in ended.err and "--yes" in ended.err
    assert run(*arguments, "--yes", cwd=project).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tolerance", "scor=1"], "--tolerance scor: no job has such an output\n  hint: did you mean 'score'?"),
        (["--tolerance", "score"], "'score' is not NAME=VALUE"),
        (["--tolerance", "score=-1"], "'score=-1' is not NAME=VALUE with a number that is not negative"),
        (["--tolerance", "score=nan"], "'score=nan' is not NAME=VALUE"),
        (["-e", "othr"], "the job file has no environment 'othr'\n  hint: did you mean 'other'?"),
        (["-e", "without"], "project 'notebooks' of environment 'local' has no counterpart in environment 'without'"),
        (["-e", "bare"], "environment 'bare' has no output store"),
    ],
)
def test_reproduce_when_it_cannot_be_then_2_and_nothing_runs(project, arguments, message):
    ended = run("reproduce", "latest", *arguments, cwd=project)
    assert (ended.code, ended.out, number_of_runs(project)) == (2, "", 1)
    assert message in ended.err


def test_reproduce_when_the_run_has_not_ended_then_2(project, damaged):
    folder = store.find(project / ".dsjobs")
    folder.manifest.unlink()
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[:-1]))
    ended = run("reproduce", "latest", cwd=project)
    assert ended.code == 2 and "has not ended: there is nothing to compare with" in ended.err
    assert "`dsjobs resume " in ended.err
