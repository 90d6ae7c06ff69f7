"""`diff`: two runs side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from as_user import run, write_notebook, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with three runs: two of the same, and one with another variable and another notebook."""
    project = write_project(tmp_path_factory.mktemp("diff") / "project")
    for _ in range(2):
        assert run("apply", "-q", cwd=project).code == 0
    write_notebook(project / "notebooks" / "load.ipynb", "import os\nrows = 4\ngreeting = os.environ['REGION']")
    assert run("apply", "-q", "--var", "alpha=0.2", cwd=project).code == 0
    return project


def ids(project: Path) -> list[str]:
    return sorted(path.name for path in (project / ".dsjobs" / "runs").iterdir())


def test_diff_when_the_runs_did_the_same_then_0(project):
    first, second, _ = ids(project)
    ended = run("diff", first, second, cwd=project)
    assert ended.code == 0, ended.out
    assert ended.out.splitlines()[0].startswith(f"{first} (succeeded, ")
    assert ended.out.endswith("\n\nthe same in 2 jobs\n")
    assert run("diff", first, second, "-o", "json", cwd=project).json["same"] is True


def test_diff_when_the_runs_differ_then_1_and_what_is_shown(project):
    first, _, third = ids(project)
    ended = run("diff", first, cwd=project)
    assert ended.code == 1
    lines = [line.rstrip() for line in ended.out.splitlines()]
    assert "  variables.alpha  0.1 → 0.2" in lines
    assert '  outputs.greeting  "hällo eu" → "eu"' in lines
    assert '  inputs.ALPHA   "0.1" → "0.2"' in lines and "  outputs.score  0.30000000000000004 → 0.8" in lines
    assert any(line.startswith("  code              sha256:") for line in lines)
    assert lines[-1] == "7 differences in 2 jobs"
    found = run("diff", first, third, "-o", "json", cwd=project)
    assert found.code == 1 and found.json["same"] is False
    assert sum(change["counts"] for change in found.json["changes"]) == 7
    assert (found.json["before"], found.json["after"]) == (first, third)


def test_diff_when_a_manifest_lies_elsewhere_then_is_compared_all_the_same(project, tmp_path):
    first, second, _ = ids(project)
    (tmp_path / "m.json").write_bytes((project / ".dsjobs" / "runs" / first / "manifest.json").read_bytes())
    assert run("diff", tmp_path / "m.json", second, cwd=project).code == 0


def test_diff_when_a_manifest_is_something_else_then_3(project, tmp_path):
    (tmp_path / "m.json").write_text("{}")
    ended = run("diff", tmp_path / "m.json", cwd=project)
    assert (ended.code, ended.out) == (3, "") and "this is not a manifest" in ended.err
