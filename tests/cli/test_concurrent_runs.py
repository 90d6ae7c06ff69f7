"""Two runs of one environment, a run that another process cancels, and state that cannot be written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from as_user import (
    GATE,
    LOAD,
    SLEEP,
    TIMEOUT,
    TRAIN,
    command,
    environment,
    kinds,
    manifest_of,
    run,
    statuses,
    until,
    write_notebook,
    write_project,
)
from undisturbed import comparable

from dsjobs.run import journal
from dsjobs.run.manifest import fold


@pytest.fixture
def sleeping(tmp_path):
    """An `apply` whose job sleeps."""
    project = write_project(tmp_path / "project", SLEEP % "sleep")
    process = subprocess.Popen(
        command("apply", "-q"),
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until((project / "notebooks" / "started").exists, "the notebook's start")
    yield project, process
    process.kill()
    process.communicate()


def test_apply_when_another_run_of_the_environment_goes_on_then_6_and_its_name(sleeping):
    project, process = sleeping
    ended = run("apply", cwd=project)
    assert ended.code == 6
    assert (
        f"environment 'local' of jobs.yaml is locked by run {run_id(project)} (process {process.pid} on " in ended.err
    )
    assert len(list((project / ".dsjobs" / "runs").iterdir())) == 1


def test_resume_when_the_run_goes_on_then_6_and_its_name(sleeping):
    project, process = sleeping
    ended = run("resume", cwd=project)
    assert ended.code == 6
    assert f"run {run_id(project)} is locked by run" in ended.err and f"process {process.pid}" in ended.err


def test_cancel_when_the_run_goes_on_then_its_process_brings_it_to_its_end(sleeping):
    project, process = sleeping
    asked = run("cancel", cwd=project)
    assert (asked.code, f"process {process.pid}" in asked.out) == (0, True)
    assert process.wait(TIMEOUT) == 1
    manifest = manifest_of(project)
    assert statuses(manifest) == {"sleep": "cancelled", "never": "skipped"}
    assert manifest["run"]["stopped"] == "dsjobs cancel"


def test_cancel_when_the_process_of_the_run_is_gone_then_it_is_brought_to_its_end(sleeping):
    project, process = sleeping
    process.kill()
    process.wait()
    ended = run("cancel", "-q", cwd=project)
    assert ended.code == 1, ended.err
    assert statuses(manifest_of(project)) == {"sleep": "failed", "never": "skipped"}  # lost with its process
    again = run("cancel", cwd=project)
    assert (again.code, "has ended already" in again.out) == (0, True)


def test_apply_when_an_earlier_run_was_interrupted_then_says_so(sleeping):
    project, process = sleeping
    process.kill()
    process.wait()
    interrupted = run_id(project)
    shutil.copy(project / "notebooks" / "load.ipynb", project / "notebooks" / "sleep.ipynb")
    write_project(project)
    ended = run("apply", cwd=project)
    assert ended.code == 0
    assert f"run {interrupted} has not ended (interrupted): `dsjobs resume {interrupted}` takes it up" in ended.err


def test_timeout_when_the_run_takes_too_long_then_124_and_its_jobs_are_cancelled(tmp_path):
    project = write_project(tmp_path / "project", SLEEP % "sleep")
    ended = run("apply", "--timeout", "3s", cwd=project)
    assert ended.code == 124, ended.err
    manifest = manifest_of(project)
    assert statuses(manifest) == {"sleep": "cancelled", "never": "skipped"}
    assert manifest["run"]["stopped"] == "--timeout 3s"


def test_on_interrupt_when_it_is_detach_then_the_run_can_be_taken_up(sleeping):
    project, _ = sleeping
    run("cancel", cwd=project)  # the one of the fixture
    until(lambda: manifest_of(project)["run"]["status"] != "running", "its end")
    shutil.rmtree(project / ".dsjobs")
    (project / "notebooks" / "started").unlink()
    process = subprocess.Popen(
        command("apply", "--on-interrupt", "detach"), cwd=project, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until((project / "notebooks" / "started").exists, "the notebook's start")
    process.terminate()
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 143, err
    assert out.endswith("not finished · next: dsjobs resume\n")
    (path,) = project.glob(".dsjobs/runs/*/journal.jsonl")
    assert kinds(journal.read(path))[-1] == "run_detached"


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory) -> Path:
    """A project whose earlier run was killed, so that its name still stands in the locks. Not to be changed."""
    project = write_project(tmp_path_factory.mktemp("left") / "project", SLEEP % "gate")
    write_notebook(project / "notebooks" / "gate.ipynb", GATE)
    started = project / "notebooks" / "started"
    with subprocess.Popen(command("apply", "-q"), cwd=project, env=environment()) as process:
        until(started.exists, "the notebook's start")
        process.kill()
    started.unlink()
    return project


@pytest.mark.parametrize("number", range(int(os.environ.get("DSJOBS_TEST_PAIRS", "3"))))
def test_apply_when_two_start_at_once_then_one_runs_and_the_other_names_it(tmp_path, left_behind, number):
    project = tmp_path / "project"
    shutil.copytree(left_behind, project)
    earlier = run_id(project)
    pair = [
        subprocess.Popen(
            command("apply", "-q"), cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        until(lambda: any(process.poll() is not None for process in pair), "the end of one of them", deadline=TIMEOUT)
        (project / "notebooks" / "open").touch()
        ended = [(process.communicate(timeout=TIMEOUT)[1], process.wait(), process.pid) for process in pair]
    finally:
        for process in pair:
            process.kill()
    (winner, *_), (loser, *_) = sorted(ended, key=lambda one: one[1]), sorted(ended, key=lambda one: -one[1])
    assert (winner[1], loser[1]) == (0, 6), ended
    (folder,) = [folder for folder in (project / ".dsjobs" / "runs").iterdir() if folder.name != earlier]
    assert f"jobs.yaml is locked by run {folder.name} (process {winner[2]} on " in loser[0]
    manifest = fold(journal.read(folder / "journal.jsonl"))
    assert statuses(manifest) == {"sleep": "succeeded", "never": "succeeded"}
    assert manifest == json.loads((folder / "manifest.json").read_bytes())


def run_id(project: Path) -> str:
    (folder,) = (project / ".dsjobs" / "runs").iterdir()
    return folder.name


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, mounted with these options where there is none yet, or mounted again."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True, text=True)
        if mounted.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=True)


LONG = """\
  - {name: load, notebook: load.ipynb, outputs: [rows]}
  - name: train
    needs: [load]
    notebook: train.ipynb
    inputs: {ROWS: "{{ needs.load.outputs.rows }}", ALPHA: "1", LONG: "{{ 'x' * 100000 }}{{ needs.load.outputs.rows }}"}
    outputs: [score]
"""
"""The second job's request is longer than what is left of the disk, and is known only when the first has ended."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_apply_when_the_disk_is_full_then_it_ends_with_a_clear_error_and_can_be_taken_up(tmp_path, disk):
    plain, project = (write_project(tmp_path / name, LONG) for name in ("plain", "project"))
    for folder in (plain, project):
        note = "open('../counter', 'a').write('{} ')"
        write_notebook(folder / "notebooks" / "load.ipynb", note.format("load"), "rows = 3")
        write_notebook(
            folder / "notebooks" / "train.ipynb", note.format("train"), "import os; score = os.environ['LONG'][-2:]"
        )
    assert run("apply", cwd=plain).code == 0
    state = disk("size=1m")
    filler = state / "filler"
    filler.write_bytes(b"x" * (1024 * 1024 - 15 * 4096))
    ended = run("apply", "--state-dir", str(state), cwd=project)
    assert ended.code == 4, ended.err
    assert "the run cannot be written down: No space left on device" in ended.err and "dsjobs resume" in ended.err
    assert (project / "counter").read_text() == "load "

    filler.unlink()
    ended = run("resume", "-o", "json", "--state-dir", str(state), cwd=project)
    assert ended.code == 0, ended.err
    assert (project / "counter").read_text() == "load train "
    (path,) = state.glob("runs/*/manifest.json")
    assert ended.json == json.loads(path.read_bytes()) == fold(journal.read(path.with_name("journal.jsonl")))
    assert comparable(ended.json, state, project) == comparable(manifest_of(plain), plain / ".dsjobs", plain)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_commands_when_the_state_is_read_only_then_readers_read_and_writers_say_so(tmp_path, disk):
    project = write_project(tmp_path / "project", LOAD + TRAIN)
    state = disk("size=10m")
    assert run("apply", "--state-dir", str(state), cwd=project).code == 0
    unfinished = state / "runs" / "20200101-000000-aaaaaa"
    shutil.copytree(next((state / "runs").iterdir()), unfinished)
    lines = (unfinished / "journal.jsonl").read_text().splitlines(keepends=True)
    (unfinished / "journal.jsonl").write_text("".join(lines[:-1]))
    before = sorted(state.rglob("*"))
    disk("remount,ro")

    for words in (["status"], ["runs"], ["logs", "load"], ["diff", "latest", "latest"]):
        ended = run(*words, "--state-dir", str(state), cwd=project)
        assert ended.code == 0, (words, ended.err)
    for words in (["apply"], ["resume", unfinished.name], ["reproduce", "latest"], ["clean", "--keep", "0", "--yes"]):
        ended = run(*words, "--state-dir", str(state), cwd=project)
        assert ended.code in (2, 4), (words, ended.code, ended.err)
        assert "Read-only file system" in ended.err and "Traceback" not in ended.err, (words, ended.err)
    assert sorted(state.rglob("*")) == before
