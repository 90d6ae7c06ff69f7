"""Runs on the disk as any process may have left them: their journal, and a manifest that may be behind."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from runs import DIGEST, HEADER, STARTED_AT, make_plan

from dsjobs.model import Request, Status
from dsjobs.run import manifest_file, records
from dsjobs.run.journal import Journal
from dsjobs.run.manifest import Fold
from dsjobs.run.outcome import Outcome
from dsjobs.run.store import RunFolder

ID = "20270115-080000-aaaaaa"
HOST = socket.gethostname()
LATER = STARTED_AT + 1e9
"""After every process of this machine was started: by then one with the same number is the same one."""
PLANNED = 3
"""Records of a run of two jobs before it does anything."""


def all_records(run_id=ID, *, at=LATER, host=HOST, pid=None, parent_run=None):
    """Those of a run of two jobs, of which the second fails."""
    plan = make_plan({"a": [], "b": []})
    header = {**HEADER, "run_id": run_id, "host": host, "pid": pid or os.getpid(), "parent_run": parent_run}
    found = [records.run_started(at, header, plan, DIGEST), *records.jobs_planned(plan)]
    for name, status in (("a", Status.SUCCEEDED), ("b", Status.FAILED)):
        found.append(records.job_submitting(at + 1, name, 1, f"key-{name}", Request("project", f"{name}.ipynb")))
        found.append(records.job_submitted(at + 2, name, 1, f"op-{name}"))
        found.append(records.job_finished(at + 3, name, 1, Outcome(status)))
    return [*found, records.run_finished(at + 4, Status.FAILED)]


def write(state: Path, journal_has, manifest_has=None) -> RunFolder:
    """A run whose journal has these records, and whose manifest, if any, has those."""
    folder = RunFolder(state / "runs" / journal_has[0]["run_id"])
    folder.path.mkdir(parents=True)
    with Journal(folder.journal) as journal:
        journal.append(journal_has)
    if manifest_has is not None:
        write_manifest(folder, manifest_has)
    return folder


def write_manifest(folder: RunFolder, manifest_has) -> None:
    state = Fold()
    for record in manifest_has:
        state.apply(record)
    folder.manifest.write_bytes(manifest_file.text(state).encode())


def gone() -> int:
    """The number of a process that is there no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid
