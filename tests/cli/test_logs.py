"""`logs`: what the notebook of a job printed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from as_user import LOAD, Ended, by_name, run, write_notebook, write_project

from dsjobs.run.manifest import sealed


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with a run of a notebook that prints in every way."""
    project = write_project(tmp_path_factory.mktemp("logs") / "project", LOAD)
    write_notebook(
        project / "notebooks" / "load.ipynb",
        "import sys\nrows, greeting = 3, 'hi'",
        "for i in range(3):\n    print(f'\\r{i}', end='', flush=True)\nprint('\\nhällo')\n{'a': 1}",
        "print('\\x1b[31mred\\x1b[0m\\x1b]0;title\\x07')",
    )
    assert run("apply", cwd=project).code == 0
    return project


def test_logs_when_a_notebook_printed_then_it_is_there_cell_by_cell(project):
    ended = run("logs", "load", cwd=project)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "cell 2: for i in range(3):", "  2", "  hällo", "  {'a': 1}", "",
        "cell 3: print('\\x1b[31mred\\x1b[0m\\x1b]0;title\\x07')", "  red",
    ]  # fmt: skip


def test_logs_when_colours_are_wanted_then_only_they_are_kept(project):
    assert run("logs", "load", "--cell", "3", "--color", "always", cwd=project).out.endswith("\n  \x1b[31mred\x1b[0m\n")


def test_logs_when_only_the_end_is_wanted_then_is_that(project):
    assert run("logs", "load", "--tail", "2", cwd=project).out.splitlines()[0] == "cell 2: for i in range(3):"
    assert run("logs", "load", "--tail", "2", "--cell", "2", cwd=project).out.splitlines()[1:] == [
        "  hällo",
        "  {'a': 1}",
    ]


def test_logs_when_json_is_asked_for_then_each_cell_is_there(project):
    found = run("logs", "load", "-o", "json", cwd=project).json
    assert (found["job"], [cell["number"] for cell in found["cells"]]) == ("load", [1, 2, 3])
    assert found["cells"][1]["lines"] == ["2", "hällo", "{'a': 1}"] and found["cells"][2]["lines"] == ["red"]
    assert Path(found["notebook"]).is_file()


def test_logs_when_a_cell_printed_nothing_then_says_so(project):
    ended = run("logs", "load", "--cell", "1", cwd=project)
    assert (ended.code, ended.out, ended.err) == (0, "", "this cell printed nothing\n")


def test_logs_when_a_notebook_raised_then_the_traceback_is_there(failed_run: tuple[Path, Ended]):
    lines = run("logs", "broken", cwd=failed_run[0]).out.splitlines()
    assert lines[0] == "cell 3: # starts" and lines[-1] == "  ZeroDivisionError: division by zero"
    assert "\x1b" not in "".join(lines)
    assert "\x1b[" in run("logs", "broken", "--color", "always", cwd=failed_run[0]).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logs", "loda"], "has no job 'loda'\n  hint: did you mean 'load'?"),
        (["logs", "zzz"], "has no job 'zzz'\n  hint: "),
        (["logs", "after"], "'after' was skipped: needs 'broken', which failed"),
        (["logs", "broken", "--cell", "4"], "there is no code cell 4\n  hint: the notebook has 3"),
        (["logs", "broken", "--cell", "0"], "0 is not in the range"),
        (["logs", "broken", "--run", "nothing"], "there is no run 'nothing'"),
    ],
)
def test_logs_when_there_is_nothing_to_show_then_2_and_why(failed_run: tuple[Path, Ended], arguments, message):
    ended = run(*arguments, cwd=failed_run[0])
    assert (ended.code, ended.out) == (2, "") and message in ended.err


def test_logs_when_the_run_was_copied_then_the_notebook_beside_the_manifest_is_read(project, tmp_path):
    folder = next((project / ".dsjobs" / "runs").iterdir())
    shutil.copytree(folder, tmp_path / "artefact")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["jobs"][0]["notebook"]["path"] = "/home/ci/.dsjobs/runs/x/notebooks/load.ipynb"
    (tmp_path / "artefact" / "manifest.json").write_text(json.dumps(sealed(manifest)))
    ended = run("logs", "load", "--run", "artefact/manifest.json", cwd=tmp_path)
    assert ended.code == 0 and "hällo" in ended.out
    shutil.rmtree(tmp_path / "artefact" / "notebooks")
    ended = run("logs", "load", "--run", "artefact/manifest.json", cwd=tmp_path)
    assert (
        ended.code == 2 and "/home/ci/.dsjobs/runs/x/notebooks/load.ipynb: the executed notebook of 'load'" in ended.err
    )


def test_logs_when_the_job_ran_on_datasphere_then_says_where_to_look(project, tmp_path):
    folder = next((project / ".dsjobs" / "runs").iterdir())
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["run"]["backend"] = "datasphere"
    by_name(manifest)["load"].update(notebook=None)  # type: ignore[attr-defined]
    by_name(manifest)["load"]["request"]["projectId"] = "bt1abcdefghijklmnopq"
    (tmp_path / "m.json").write_text(json.dumps(sealed(manifest)))
    ended = run("logs", "load", "--run", "./m.json", cwd=tmp_path)
    assert ended.code == 2
    assert "'load' ran on DataSphere, which gives back neither logs nor the executed notebook" in ended.err
    assert "hint: look into the project: `dsjobs open bt1abcdefghijklmnopq`\n" in ended.err
