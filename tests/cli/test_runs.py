"""`runs` and `status`: what a user sees of runs that ended, go on, or were left in the middle."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from as_user import HEAD, LOAD, SLEEP, Ended, command, environment, manifest_of, run, until, write_project
from processes import started

RUN = r"\d{8}-\d{6}-[0-9a-f]{6}"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with two runs: of the first all succeeded, of the second, in `other`, a job failed."""
    project = write_project(tmp_path_factory.mktemp("runs") / "project", LOAD)
    assert run("apply", cwd=project).code == 0
    (project / "jobs.yaml").write_text(
        HEAD.replace("  prod:", "  other: {backend: local, projects: {here: notebooks}}\n  prod:")
        + LOAD
        + "  - {name: broken, notebook: broken.ipynb}\n"
    )
    assert run("apply", "-e", "other", cwd=project).code == 1
    return project


def test_runs_when_there_are_some_then_the_newest_comes_first(project):
    ended = run("runs", cwd=project)
    assert (ended.code, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    assert re.fullmatch(rf"  {RUN}  ✗ failed     other  \d+[sm] ago +\S+s  1 failed, 1 succeeded", first)
    assert re.fullmatch(rf"  {RUN}  ✓ succeeded  local  \d+[sm] ago +\S+s  1 succeeded", second)


def test_runs_when_json_is_asked_for_then_says_the_same_as_the_manifests(project):
    found = run("runs", "-o", "json", cwd=project).json
    assert found == run("runs", "-o", "jsonl", cwd=project).lines
    for listed in found:
        manifest = json.loads((Path(listed["path"]) / "manifest.json").read_bytes())
        assert listed["counts"] == manifest["counts"]
        assert all(listed[key] == value for key, value in manifest["run"].items() if key in listed)
    assert set(found[0]) == {
        "id", "status", "name", "environment", "backend", "started_at", "finished_at", "duration", "parent_run",
        "host", "pid", "counts", "path",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["-n", "1"], 1),
        (["-n", "0"], 2),
        (["--status", "failed"], 1),
        (["--status", "failed", "--status", "succeeded"], 2),
        (["-e", "local"], 1),
        (["-e", "local", "--status", "failed"], 0),
        (["--status", "running"], 0),
    ],
)
def test_runs_when_filtered_then_only_such(project, arguments, number):
    assert len(run("runs", "-o", "json", *arguments, cwd=project).json) == number


def test_runs_when_there_are_more_than_shown_then_says_so(project):
    ended = run("runs", cwd=project, DSJOBS_LIMIT="1")
    assert len(ended.out.splitlines()) == 1
    assert ended.err == "only the latest 1 are shown; `-n 0` shows all\n"


def test_runs_when_there_are_none_then_says_so(tmp_path):
    project = write_project(tmp_path / "project")
    ended = run("runs", cwd=project)
    assert (ended.code, ended.out) == (0, "") and ended.err.startswith("there are no runs in ")
    assert run("runs", "-o", "json", cwd=project).json == []
    nowhere = run("runs", cwd=tmp_path)
    assert nowhere.code == 2 and "there are no runs here\n  hint: " in nowhere.err


def test_runs_when_one_is_damaged_then_the_others_are_listed(project, tmp_path, damaged):
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    latest = max((copy / ".dsjobs" / "runs").iterdir())
    for name in ("journal.jsonl", "manifest.json"):
        (latest / name).write_text("no longer this")
        damaged.add(latest / name)
    lines = run("runs", cwd=copy).out.splitlines()
    assert re.fullmatch(rf"  {latest.name}  ✗ damaged +neither its manifest nor its journal can be read", lines[0])
    assert "✓ succeeded" in lines[1]
    ended = run("status", cwd=copy)
    assert ended.code == 3 and "journal.jsonl" in ended.err and "hint: its manifest may be whole" in ended.err


def test_status_when_a_run_is_named_by_its_folder_then_is_that_one(project):
    folder = min((project / ".dsjobs" / "runs").iterdir())
    for name in (folder.name, f".dsjobs/runs/{folder.name}", f".dsjobs/runs/{folder.name}/", str(folder)):
        assert run("status", name, "-o", "json", cwd=project).json["run"]["id"] == folder.name


def test_status_when_a_manifest_was_changed_then_says_what_still_has_it(project, tmp_path, damaged):
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    latest = max((copy / ".dsjobs" / "runs").iterdir())
    damaged.add(latest / "manifest.json")
    content = (latest / "manifest.json").read_text()
    (latest / "manifest.json").write_text(content.replace('"failed": 1', '"failed": 2'))
    ended = run("status", f".dsjobs/runs/{latest.name}/manifest.json", cwd=copy)
    assert ended.code == 3 and "was changed after dsjobs wrote it" in ended.err
    assert f"hint: its run's journal has it all: name the run by its folder, .dsjobs/runs/{latest.name}\n" in ended.err
    assert run("status", f".dsjobs/runs/{latest.name}", cwd=copy).code == 0


def test_status_when_a_run_failed_then_the_last_line_names_what_comes_next(project):
    assert run("status", cwd=project).out.endswith(" · next: dsjobs retry\n")
    latest = max((project / ".dsjobs" / "runs").iterdir()).name
    assert run("status", latest, cwd=project).out.endswith(f" · next: dsjobs retry {latest}\n")
    elsewhere = run("status", latest[:20], "-f", "project/jobs.yaml", cwd=project.parent).out
    assert elsewhere.endswith(f" · next: dsjobs retry {latest} -f project/jobs.yaml\n")


def test_status_when_the_process_was_killed_then_the_run_was_interrupted(tmp_path):
    project = write_project(tmp_path / "project", SLEEP % "sleep")
    with started(
        command("apply", "-q"), cwd=project, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until((project / "notebooks" / "started").exists, "the notebook's start")
        assert "\ngoes on in process " in run("status", cwd=project).out
        assert re.search(r"▶ running +local .* 1 running, 1 pending · on ", run("runs", cwd=project).out)
        spared = run("clean", "--keep", "0", "--unfinished", "-y", cwd=project)
        assert spared.code == 0 and "kept, because they go on: " in spared.err
        process.kill()
    assert manifest_of(project)["run"]["status"] == "running"
    status = run("status", cwd=project).out
    assert "\ninterrupted: its process " in status and status.endswith(" · next: dsjobs resume\n")
    assert "↯ interrupted" in run("runs", cwd=project).out
    assert len(run("runs", "--status", "interrupted", "-o", "json", cwd=project).json) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs", "-n", "-1"], "Invalid value for '-n'"),
        (["runs", "--status", "fine"], "Invalid value for '--status'"),
        (["runs", "-f", "other.yaml", "--state-dir", "jobs.yaml"], "Invalid value for '--state-dir'"),
        (["logs", "load", "--run", "jobs.yaml"], "name the job file with -f: `dsjobs logs -f jobs.yaml`"),
        (["diff", "nothing"], "there is no run 'nothing' in "),
        (["diff", "2"], "'2' is the start of 2 runs"),
    ],
)
def test_usage_when_it_is_wrong_then_2_and_what_is_right(project, arguments, message):
    ended = run(*arguments, cwd=project)
    assert (ended.code, ended.out) == (2, "") and message in ended.err


def test_text_when_the_terminal_is_ascii_then_is_readable(failed_run: tuple[Path, Ended]):
    for arguments in (["runs"], ["status"]):
        ended = run(*arguments, cwd=failed_run[0], PYTHONIOENCODING="ascii")
        assert ended.code == 0 and ended.out.isascii() and "x failed" in ended.out
