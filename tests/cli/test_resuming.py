"""`dsjobs resume` of runs that were left in the middle: what the first command was told still holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from as_user import run, statuses, write_project

from dsjobs.run import journal
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
    return path


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
