"""`dsjobs retry`: what did not succeed runs again, what succeeded keeps what it gave; and the three bugs that dbt had with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from as_user import HEAD, by_name, run, write_notebook, write_project

from dsjobs.run import journal
from dsjobs.run.manifest import fold

JOBS = """\
  - name: load
    notebook: count.ipynb
    outputs: [total]
    inputs: {NAME: load, ALPHA: "{{ vars.alpha }}", REGION: "{{ vars.region }}", NOTE: "{{ vars.note }}", ON: "{{ vars.on }}"}
  - {name: train, needs: [load], notebook: fails.ipynb, inputs: {NAME: train, TOTAL: "{{ needs.load.outputs.total }}"}}
  - {name: report, needs: [train], notebook: count.ipynb, inputs: {NAME: report}}
  - {name: last, needs: [report], notebook: count.ipynb, inputs: {NAME: last}}
  - {name: apart, notebook: count.ipynb, inputs: {NAME: apart}}
"""
COUNT = "import os\nwith open('ran', 'a') as file: file.write(os.environ['NAME'] + '\\n')\ntotal = 41"


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> Path:
    """A project whose job `train` has failed, so that two were skipped. Its variables came from every place outside."""
    project = write_project(tmp_path_factory.mktemp("failed") / "project")
    (project / "jobs.yaml").write_text(
        HEAD.replace("region: eu", "region: eu, note: {default: ''}, on: {default: no}") + JOBS
    )
    (project / "asia.yaml").write_text("region: asia\n")
    write_notebook(project / "notebooks" / "count.ipynb", COUNT)
    write_notebook(project / "notebooks" / "fails.ipynb", COUNT, "assert os.path.exists('repaired')")
    given = ("--var", "alpha=0.5", "--var-file", "asia.yaml", "--var", 'note="a: b"')
    assert run("apply", *given, cwd=project, DSJOBS_VAR_on="'true'").code == 1
    return project


@pytest.fixture
def project(failed, tmp_path) -> Path:
    shutil.copytree(failed, tmp_path / "project")
    return tmp_path / "project"


def ran(project: Path) -> list[str]:
    """The jobs whose notebook began, since the last time this was asked."""
    path = project / "notebooks" / "ran"
    names = sorted(path.read_text().split()) if path.exists() else []
    path.unlink(missing_ok=True)
    return names


def latest(project: Path) -> dict[str, Any]:
    return fold(journal.read(max(project.glob(".dsjobs/runs/*")) / "journal.jsonl"))


def test_retry_when_a_job_failed_then_it_and_what_was_skipped_run_and_the_rest_does_not(project):
    first = latest(project)["run"]["id"]
    assert ran(project) == ["apart", "load", "train"]
    (project / "notebooks" / "repaired").touch()

    assert run("retry", cwd=project).code == 0

    assert ran(project) == ["last", "report", "train"]
    manifest = latest(project)
    assert manifest["run"]["parent_run"] == first
    jobs = by_name(manifest)
    assert [jobs[name]["reused_from"] for name in ("load", "apart", "train")] == [first, first, None]
    assert jobs["load"]["outputs"] == {"total": 41}
    assert jobs["train"]["request"]["inputVariables"]["TOTAL"] == "41"


def test_retry_when_a_retry_failed_then_the_next_one_knows_the_first_run(project):
    first = latest(project)["run"]["id"]
    assert run("retry", cwd=project).code == 1
    second = latest(project)["run"]["id"]
    ran(project)
    (project / "notebooks" / "repaired").touch()

    assert run("retry", cwd=project).code == 0

    assert ran(project) == ["last", "report", "train"]
    assert latest(project)["run"]["parent_run"] == second
    assert by_name(latest(project))["load"]["reused_from"] == first


def test_retry_when_everything_succeeded_then_nothing_runs(project):
    (project / "notebooks" / "repaired").touch()
    assert run("retry", cwd=project).code == 0
    ran(project)
    number = len(list(project.glob(".dsjobs/runs/*")))

    ended = run("retry", cwd=project)

    assert (ended.code, ran(project)) == (0, [])
    assert "there is nothing to run again" in ended.out
    assert len(list(project.glob(".dsjobs/runs/*"))) == number


def test_retry_when_it_is_dry_then_it_says_why_and_what_is_different(project):
    ended = run("retry", "-n", "--var", "alpha=0.25", cwd=project)

    assert ended.code == 0
    assert "train: failed (notebook) in run " in ended.err
    assert "report: was skipped in run " in ended.err
    assert "though inputs.ALPHA 0.5 → 0.25" in ended.out
    assert len(list(project.glob(".dsjobs/runs/*"))) == 1


def test_retry_when_a_file_of_variables_is_given_then_it_wins_over_those_of_the_first_run(project):
    (project / "other.yaml").write_text("alpha: 0.125\n")

    ended = run("retry", "-n", "--var-file", "other.yaml", cwd=project)

    assert ended.code == 0, ended.err
    assert "though inputs.ALPHA 0.5 → 0.125" in ended.out


def test_retry_when_variables_were_given_then_they_are_those_of_the_first_run_and_of_the_retry_after_it(project):
    first = latest(project)["variables"]
    assert {name: one["value"] for name, one in first.items()} == {
        "region": "asia", "alpha": 0.5, "note": "a: b", "on": "true",
    }  # fmt: skip
    (project / "asia.yaml").unlink()
    dry = run("retry", "-n", cwd=project)
    assert dry.code == 0 and "though" not in dry.out, dry.out
    for _ in range(2):
        assert run("retry", cwd=project).code == 1
        assert latest(project)["variables"] == first


def test_retry_when_a_manifest_is_named_by_from_then_is_that_run(project):
    first = latest(project)["run"]["id"]
    (project / "out").mkdir()
    shutil.move(project / ".dsjobs" / "runs" / first / "manifest.json", project / "out" / "m.json")
    shutil.rmtree(project / ".dsjobs")
    named = "out/m.json"
    for words, variable in ((["--from", named], ""), ([], named), ([named], "x")):
        ended = run("retry", "-n", *words, cwd=project, DSJOBS_FROM=variable)
        assert ended.code == 0 and f"train: failed (notebook) in run {first}" in ended.err, (words, ended.err)
    both = run("retry", "latest", "--from", named, cwd=project)
    assert both.code == 2 and "RUN and --from both name the run" in both.err


def test_retry_when_a_variable_that_was_given_is_gone_then_says_so(project):
    text = (project / "jobs.yaml").read_text()
    (project / "jobs.yaml").write_text(text.replace(", on: {default: no}", "").replace(', ON: "{{ vars.on }}"', ""))
    ended = run("retry", "-n", cwd=project)
    assert ended.code == 0, ended.err
    assert (
        "warning: the earlier run was given the variable 'on' (DSJOBS_VAR_on), which the file does not declare"
        in ended.err
    )


def test_retry_when_the_run_has_not_ended_then_says_how_to_go_on(project):
    path = max(project.glob(".dsjobs/runs/*")) / "journal.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\n", 0, -1) + 1])
    ended = run("retry", cwd=project)
    assert ended.code == 2
    assert "has not ended" in ended.err and "dsjobs resume" in ended.err


def test_resume_when_the_run_has_ended_without_its_manifest_then_writes_that(project):
    path = max(project.glob(".dsjobs/runs/*")) / "manifest.json"
    whole = path.read_bytes()
    path.unlink()

    ended = run("resume", cwd=project)

    assert ended.code == 2 and "has ended (failed): there is nothing to take up" in ended.err
    assert path.read_bytes() == whole
