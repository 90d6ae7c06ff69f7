"""`dsjobs resume` of runs that were left in the middle: what the first command was told still holds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from as_user import LOAD, TIMEOUT, command, environment, run, statuses, until, write_project

from dsjobs.run import journal, lock
from dsjobs.run.journal import Journal
from dsjobs.run.lock import Holder
from dsjobs.run.manifest import fold

TWO = """\
  - {name: broken, notebook: broken.ipynb}
  - {name: other, notebook: load.ipynb, inputs: {REGION: x}}
"""


def cut(project: Path, *, after: str) -> Path:
    """The journal of the only run, as one that died right after the first record of this kind leaves it."""
    (path,) = project.glob(".dsjobs/runs/*/journal.jsonl")
    kinds = [record["record"] for record in journal.read(path)]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: kinds.index(after) + 1]))
    (path.parent / "manifest.json").unlink()
    return path


def moved(path: Path, **header: Any) -> None:
    """The same run, with something else in its header."""
    first, *rest = journal.read(path)
    path.unlink()
    with Journal(path) as log:
        log.append([{**first, **header}, *rest])


def manifest_of(path: Path) -> dict[str, Any]:
    return fold(journal.read(path))


def test_resume_when_the_run_was_to_fail_fast_then_it_does(tmp_path):
    project = write_project(tmp_path / "project", TWO)
    assert run("apply", "-j", "1", "--fail-fast", cwd=project).code == 1
    for moment in ("job_submitted", "job_finished"):
        path = cut(project, after=moment)
        assert run("resume", cwd=project).code == 1
        manifest = manifest_of(path)
        assert statuses(manifest) == {"broken": "failed", "other": "skipped"}
        assert manifest["run"]["stopped"] == "'broken' failed (fail-fast)"


def test_cancel_when_the_run_is_taken_up_and_waits_for_another_then_nothing_of_it_starts(tmp_path):
    project = write_project(tmp_path / "project", LOAD)
    assert run("apply", "-q", cwd=project).code == 0
    path = cut(project, after="job_planned")
    (path.parent / "cancel").touch()  # was meant for the process that is gone
    locks = project / ".dsjobs" / "locks" / "jobs.yaml.local.lock"
    with lock.acquire(locks, Holder("here", os.getpid(), "2026-11-22T14:10:03Z", "another"), "it"):
        process = subprocess.Popen(
            command("resume", "--lock-timeout", "60s"), cwd=project, env=environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        until(lambda: lock.is_held(path.parent / "lock"), "its start")
        asked = run("cancel", cwd=project)
        assert (asked.code, f"process {process.pid}" in asked.out) == (0, True)
    out, _ = process.communicate(timeout=TIMEOUT)
    manifest = manifest_of(path)
    assert (process.returncode, manifest["run"]["stopped"]) == (1, "dsjobs cancel"), out
    assert statuses(manifest) == {"load": "skipped"}


def test_resume_when_the_process_was_asked_to_end_and_died_before_then_the_run_goes_on(tmp_path):
    project = write_project(tmp_path / "project", LOAD)
    assert run("apply", "-q", cwd=project).code == 0
    path = cut(project, after="job_planned")
    (path.parent / "cancel").touch()
    assert run("resume", "-q", cwd=project).code == 0
    assert statuses(manifest_of(path)) == {"load": "succeeded"}


def test_run_when_its_process_died_while_it_wrote_the_plan_then_never_began_and_is_in_nobodys_way(tmp_path):
    project = write_project(tmp_path / "project", TWO)
    assert run("apply", "-q", cwd=project).code == 1
    path = cut(project, after="job_planned")
    first = path.parent.name

    status = run("status", first, cwd=project)
    assert status.code == 0
    assert "\nnever began: its process " in status.out and status.out.endswith(" · next: dsjobs apply\n")
    for name in ("resume", "retry", "reproduce"):
        ended = run(name, first, cwd=project)
        assert ended.code == 2 and f"error: run {first} never began: " in ended.err, name
        assert "hint: `dsjobs apply`" in ended.err
    cancelled = run("cancel", first, cwd=project)
    assert cancelled.code == 0 and f"run {first} never began: nothing of it is in flight" in cancelled.out
    assert "no runs" in run("status", cwd=project).err

    write_project(project, LOAD)
    ended = run("apply", cwd=project)
    assert ended.code == 0 and first not in ended.err
    assert re.search(
        rf"\n  {first} +· unbegun +local .* its process ended before its plan", run("runs", cwd=project).out
    )
    assert "1 succeeded in " in run("status", cwd=project).out
    assert run("clean", "--keep", "1", "-y", cwd=project).code == 0
    assert [one.name == first for one in path.parent.parent.iterdir()] == [False]


NOBODY = {"endpoint": "http://127.0.0.1:9"}
"""Settings with an address at which nobody answers."""


@pytest.fixture
def in_flight(tmp_path) -> Path:
    """A project with a run on DataSphere whose process died: one job had ended, and two had been submitted or might have been."""
    project = write_project(
        tmp_path / "project", TWO + "  - {name: third, notebook: load.ipynb, inputs: {REGION: x}}\n"
    )
    assert run("apply", "-q", "-j", "1", cwd=project).code == 1
    path = cut(project, after="run_finished")
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"job_finished"' not in line or b'"broken"' in line]
    path.write_bytes(b"".join(line for line in kept[:-1] if b'"job_submitted"' not in line or b'"third"' not in line))
    moved(path, environment="prod", backend="datasphere", settings=NOBODY)
    text = (project / "jobs.yaml").read_text()
    (project / "jobs.yaml").write_text(text.replace('{output_store: "s3://bucket/runs"}', json.dumps(NOBODY)))
    assert statuses(manifest_of(path)) == {"broken": "failed", "other": "running", "third": "running"}
    return project


@pytest.mark.parametrize("words", [["apply", "-e", "prod"], ["retry", "first"], ["reproduce", "first", "--force"]])
def test_new_run_when_jobs_of_an_earlier_one_are_in_flight_then_6_and_what_to_do(in_flight, words):
    (left,) = ids(in_flight)
    ended_in_prod(in_flight, "first")
    ended = run(*words, cwd=in_flight, YC_IAM_TOKEN="t1.x")
    assert ended.code == 6, ended.err
    assert (
        f"error: run {left} has not ended (interrupted), and 2 of its jobs are in flight: a new run would be beside them\n"
        f"  hint: `dsjobs resume {left}` goes on with it, `dsjobs cancel {left}` ends it; "
        "--new-run starts another one all the same\n"
    ) in ended.err
    assert ids(in_flight) == [left, "first"]


def test_apply_when_it_is_to_start_a_new_run_then_it_does(in_flight):
    (left,) = ids(in_flight)
    ended = run("apply", "-e", "prod", "--new-run", "--timeout", "0s", cwd=in_flight, YC_IAM_TOKEN="t1.x")
    assert len(ids(in_flight)) == 2
    assert f"run {left} has not ended (interrupted): `dsjobs resume {left}` takes it up" in ended.err


def test_apply_when_an_earlier_run_ended_with_its_process_then_only_says_so(in_flight):
    (left,) = ids(in_flight)
    path = in_flight / ".dsjobs" / "runs" / left / "journal.jsonl"
    moved(path, environment="local", backend="local")
    ended = run("apply", "-s", "other", cwd=in_flight)
    assert ended.code == 0
    assert f"run {left} has not ended (interrupted): `dsjobs resume {left}` takes it up" in ended.err


def ids(project: Path) -> list[str]:
    return sorted(path.name for path in (project / ".dsjobs" / "runs").iterdir())


def ended_in_prod(project: Path, name: str) -> None:
    """Another run of the same environment, which ended."""
    (left,) = ids(project)
    shutil.copytree(project / ".dsjobs" / "runs" / left, project / ".dsjobs" / "runs" / name)
    path = project / ".dsjobs" / "runs" / name / "journal.jsonl"
    records = [record for record in journal.read(path) if record.get("job") in (None, "broken")]
    skipped = [
        {"record": "job_skipped", "at": records[0]["at"], "job": job, "reason": "x", "cause": "x"}
        for job in ("other", "third")
    ]
    path.unlink()
    with Journal(path) as log:
        ended = {"record": "run_finished", "at": records[0]["at"], "status": "failed"}
        log.append([{**records[0], "run_id": name}, *records[1:], *skipped, ended])
