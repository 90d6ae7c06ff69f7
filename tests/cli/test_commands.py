"""The commands as a user types them: what they print, where, and their exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from as_user import (
    HEAD,
    LOAD,
    Ended,
    by_name,
    command,
    environment,
    kinds,
    manifest_of,
    run,
    statuses,
    write_notebook,
    write_project,
)
from held_schemas import problems_in, problems_of
from processes import started

from dsjobs import __version__, schemas
from dsjobs.cli import COMMANDS
from dsjobs.run import journal, store
from dsjobs.run.manifest import fold


@pytest.fixture(scope="module")
def applied(tmp_path_factory) -> tuple[Path, Ended]:
    """A project whose run has succeeded, and what `apply` printed."""
    project = write_project(tmp_path_factory.mktemp("applied") / "project")
    return project, run("apply", cwd=project)


@pytest.fixture
def failed(failed_run) -> tuple[Path, Ended]:
    return failed_run


# --- apply ---


def test_apply_when_all_succeeds_then_the_table_is_the_answer(applied):
    _, ended = applied
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert re.fullmatch(r"small · run \d{8}-\d{6}-[0-9a-f]{6} · environment 'local' \(local\)", lines[0])
    assert re.fullmatch(r'  load   ✓ succeeded  \d+\.\ds  rows=3, greeting="hällo eu"', lines[2])
    assert re.fullmatch(r"  train  ✓ succeeded  \d+\.\ds  score=0\.30+4?", lines[3])
    assert re.fullmatch(r"2 succeeded in \S+", lines[-1])


def test_apply_when_all_succeeds_then_progress_goes_to_stderr(applied):
    _, ended = applied
    lines = ended.err.splitlines()
    assert re.fullmatch(r"run \S+ · small in 'local' · 2 jobs", lines[0])
    clock = r"\d\d:\d\d:\d\d  "
    assert [re.sub(clock, "", re.sub(r" in \d.*", "", line)) for line in lines[1:-2]] == [
        "▶ running    load", "✓ succeeded  load", "▶ running    train", "✓ succeeded  train",
    ]  # fmt: skip
    assert lines[-2] == "" and lines[-1].startswith("manifest: .dsjobs/runs/")


def test_apply_when_it_has_run_then_manifest_and_journal_agree(applied):
    project, _ = applied
    manifest = manifest_of(project)
    folder = store.find(project / ".dsjobs")
    assert manifest == fold(journal.read(folder.journal))
    jobs = by_name(manifest)
    assert jobs["load"]["outputs"] == {"rows": 3, "greeting": "hällo eu"}
    assert jobs["load"]["request"]["inputVariables"] == {"REGION": "eu", "RUN": manifest["run"]["id"]}
    assert jobs["train"]["request"]["inputVariables"] == {"ROWS": "3", "ALPHA": "0.1"}
    assert Path(jobs["train"]["notebook"]["path"]) == folder.notebook("train").absolute()
    assert folder.notebook("train").is_file()


def test_apply_when_it_has_run_then_it_ran_what_plan_showed(applied):
    project, _ = applied
    plan = run("plan", "-o", "json", cwd=project).json
    records = journal.read(store.find(project / ".dsjobs").journal)
    assert records[0]["plan_digest"] == plan["digest"]
    planned = [
        {k: v for k, v in record.items() if k != "record"} for record in records if record["record"] == "job_planned"
    ]
    assert planned == plan["jobs"]
    for record in records:
        if record["record"] == "job_submitting":
            shown = next(job for job in plan["jobs"] if job["name"] == record["job"])
            sent = record["request"]
            rest = {k: v for k, v in sent["inputVariables"].items() if k not in shown["deferred_inputs"]}
            assert {**sent, "inputVariables": rest} == {"inputVariables": {}, **shown["request"]}


def test_apply_when_jobs_fail_then_json_is_the_manifest(failed):
    project, ended = failed
    assert ended.code == 1
    assert problems_of("manifest", ended.out.encode()) == []
    assert ended.json == manifest_of(project)
    assert statuses(ended.json) == {
        "load": "succeeded", "broken": "failed", "promise": "failed", "after": "skipped", "last": "skipped",
    }  # fmt: skip


def test_apply_when_a_copy_is_asked_for_then_it_is_the_manifest(failed):
    project, ended = failed
    assert json.loads((project / "out" / "latest.json").read_bytes()) == ended.json


def test_apply_when_a_notebook_raises_then_the_place_is_shown(failed):
    project, ended = failed
    text = run("status", cwd=project).out
    executed = by_name(ended.json)["broken"]["notebook"]["path"]
    start = text.index("broken failed (notebook): cell 3 raised ZeroDivisionError: division by zero")
    block = text[start:].split("\n\n")[0].splitlines()
    assert block[1] == "  broken.ipynb, code cell 3, line 3"
    assert block[2] == "    > f(0)"
    assert block[-2] == "    ZeroDivisionError: division by zero"
    assert any("return 1 / x" in line for line in block)
    assert block[-1] == f"  executed notebook: {executed}"
    assert Path(executed).is_file()


def test_apply_when_an_output_breaks_its_contract_then_says_how(failed):
    project, _ = failed
    text = run("status", cwd=project).out
    assert "promise failed (contract): output 'rows': 3 is less than the minimum 10\n" in text
    assert re.search(r"\n  after    ↷ skipped +needs 'broken', which failed\n", text)
    assert re.search(r"\n  last     ↷ skipped +needs 'after', which was skipped because 'broken' failed\n", text)
    assert re.search(r"\n2 failed, 2 skipped, 1 succeeded in \S+ · next: dsjobs retry\n$", text)


def test_apply_when_jsonl_is_asked_for_then_stdout_is_the_journal(tmp_path):
    project = write_project(tmp_path / "project", LOAD)
    ended = run("apply", "-q", "-o", "jsonl", cwd=project)
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines == journal.read(store.find(project / ".dsjobs").journal)
    assert kinds(ended.lines)[-1] == "run_finished"


def test_apply_when_the_reader_of_jsonl_leaves_then_the_run_goes_on(tmp_path):
    project = write_project(tmp_path / "project", LOAD)
    with started(
        command("apply", "-q", "-o", "jsonl"), cwd=project, env=environment(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
    assert manifest_of(project)["run"]["status"] == "succeeded"


def test_apply_when_a_backend_cannot_run_yet_then_4_and_nothing_is_written(project):
    ended = run("apply", "-e", "cluster", cwd=project)
    assert ended.code == 4 and ended.out == ""
    assert ended.err.startswith("error: ")
    assert not (project / ".dsjobs").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("jobs.yaml", "this is the job file"),
        ("jobs.yaml/m.json", "is not a folder"),
        ("notebooks", "is a directory"),
        ("/dev/stdout", "not a regular file"),
        ("loop.json", "the manifest cannot be written there"),
        ("/proc/m.json", "the manifest cannot be written there"),
    ],
)
def test_apply_when_the_copy_cannot_be_written_then_nothing_runs(project, path, message):
    (project / "loop.json").symlink_to("loop.json")
    before = (project / "jobs.yaml").read_bytes()
    ended = run("apply", "--manifest", path, cwd=project)
    assert ended.code == 2 and message in ended.err
    assert not (project / ".dsjobs").exists()
    assert (project / "jobs.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("train", "code"), [("score = 1", 4), ("score = 1 / 0", 1), ("import os; os.mkdir('../out'); score = 1", 0)]
)
def test_apply_when_the_folder_of_the_copy_vanishes_then_the_run_goes_on_and_it_is_said(project, train, code):
    gone = "import shutil; shutil.rmtree('../out'); rows, greeting = 3, 'hello'"
    write_notebook(project / "notebooks" / "load.ipynb", gone)
    write_notebook(project / "notebooks" / "train.ipynb", train)
    copy = project / "out" / "manifest.json"
    ended = run("apply", "--manifest", copy, cwd=project)
    assert ended.code == code, ended.err
    message = f"{copy}: the manifest cannot be written: No such file or directory"
    assert ended.err.count(f"{message}; it is tried again when something changes\n") == 1
    manifest = manifest_of(project)
    assert statuses(manifest)["load"] == "succeeded" and manifest["run"]["status"] != "running"
    if code == 0:
        assert json.loads(copy.read_bytes()) == manifest
    assert (f"error: {message}\n  hint: the journal has everything: `dsjobs status " in ended.err) == (code != 0)


def test_apply_when_state_cannot_be_kept_then_says_what_to_do(project):
    (project / ".dsjobs").write_text("in the way")
    ended = run("apply", cwd=project)
    assert ended.code == 2
    assert "cannot keep the run here" in ended.err and "--state-dir" in ended.err


def test_apply_when_state_may_not_be_written_then_says_what_to_do(project):
    ended = run("apply", "--state-dir", "/sys/dsjobs", cwd=project)
    assert ended.code == 2
    assert "/sys/dsjobs: cannot keep the run here: " in ended.err and "--state-dir" in ended.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_apply_when_the_folder_is_read_only_then_says_what_to_do(project):
    project.chmod(0o555)
    try:
        ended = run("apply", cwd=project)
    finally:
        project.chmod(0o755)
    assert ended.code == 2
    assert "Permission denied" in ended.err and "--state-dir" in ended.err


def test_apply_when_the_file_lies_elsewhere_then_everything_is_beside_it(tmp_path):
    project = write_project(tmp_path / "deep" / "project", LOAD)
    (tmp_path / "link.json").symlink_to(tmp_path / "target.json")
    ended = run("apply", "deep/project/jobs.yaml", "--manifest", "link.json", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert (tmp_path / "link.json").is_symlink()
    assert problems_of("manifest", (tmp_path / "target.json").read_bytes()) == []
    assert (project / ".dsjobs" / "runs").is_dir() and not (tmp_path / ".dsjobs").exists()
    assert "manifest: deep/project/.dsjobs/runs/" in ended.err
    assert run("status", "-f", "deep/project/jobs.yaml", cwd=tmp_path).code == 0


def test_apply_when_a_notebook_is_missing_then_3_before_anything_runs(project):
    (project / "notebooks" / "train.ipynb").unlink()
    ended = run("apply", cwd=project)
    assert ended.code == 3 and "train.ipynb" in ended.err and "jobs.yaml:" in ended.err
    assert not (project / ".dsjobs").exists()


def test_apply_when_flags_exclude_each_other_then_2(project):
    ended = run("apply", "--fail-fast", "-k", cwd=project)
    assert ended.code == 2 and "exclude each other" in ended.err


# --- plan, validate, status ---


def test_plan_when_it_is_text_then_shows_each_request(project):
    ended = run("plan", cwd=project)
    assert ended.code == 0 and ended.err == ""
    assert ended.out == (
        "small in environment 'local' (local)\n"
        "\n"
        "variables\n"
        "  alpha = 0.1   (jobs.yaml:3:44)\n"
        '  region = "eu"   (jobs.yaml:3:21)\n'
        "\n"
        "  1. run load: load.ipynb (project notebooks)\n"
        "     why: selected; needs no other job\n"
        "     REGION = eu\n"
        "     RUN = {{ run.id }}   (known when it starts)\n"
        "     outputs: rows (integer), greeting (string)\n"
        "  2. run train: train.ipynb (project notebooks)\n"
        "     why: selected; after load\n"
        "     ALPHA = 0.1\n"
        "     ROWS = {{ needs.load.outputs.rows }}   (known when it starts)\n"
        "     outputs: score\n"
        "\n"
        "2 of 2 jobs would run, at most 4 at once\n"
    ).replace("jobs.yaml:3:44", re.search(r"alpha = 0.1   \((.*)\)", ended.out)[1])


@pytest.mark.parametrize("environment_name", ["local", "prod"])
def test_plan_when_json_is_asked_for_then_holds_its_schema(project, environment_name):
    ended = run("plan", "-o", "json", "-e", environment_name, cwd=project)
    assert ended.code == 0
    assert problems_of("plan", ended.out.encode()) == []


def test_plan_when_nothing_changed_then_is_the_same(project):
    assert run("plan", "-o", "json", cwd=project).json == run("plan", "-o", "json", cwd=project).json


def test_validate_when_the_file_is_valid_then_says_so(project):
    ended = run("validate", cwd=project)
    assert (ended.code, ended.out, ended.err) == (0, "jobs.yaml: valid, 2 jobs\n", "")
    assert run("validate", "-o", "json", cwd=project).json == {"ok": True, "diagnostics": []}


def test_validate_when_the_file_has_errors_then_3_and_their_places(project):
    (project / "jobs.yaml").write_text(HEAD + LOAD.replace("notebook:", "notebok:"))
    ended = run("validate", cwd=project)
    assert ended.code == 3 and ended.out.startswith("jobs.yaml: ")
    assert "jobs.yaml:12:5: error: " in ended.err and "did you mean 'notebook'?" in ended.err
    found = run("validate", "-o", "json", cwd=project)
    assert found.code == 3 and found.err == ""
    assert found.json["ok"] is False and found.json["diagnostics"][0]["line"] == 12


@pytest.mark.parametrize("name", ["plan", "apply"])
def test_command_when_the_file_is_invalid_then_3_and_nothing_on_stdout(project, name):
    (project / "jobs.yaml").write_text("version: 1\njobs: 7\n")
    ended = run(name, "-o", "json", cwd=project)
    assert ended.code == 3 and ended.out == ""
    assert ended.err.startswith("jobs.yaml:2:7: error: ") and ended.err.endswith("\n1 error\n")


def test_status_when_json_is_asked_for_then_is_the_manifest(applied):
    project, _ = applied
    manifest = manifest_of(project)
    run_id = manifest["run"]["id"]
    path = f".dsjobs/runs/{run_id}/manifest.json"
    for arguments in ([], [run_id], [run_id[:10]], ["latest"], [path]):
        ended = run("status", *arguments, "-o", "json", cwd=project)
        assert (ended.code, ended.err) == (0, "") and ended.json == manifest


def test_status_when_started_below_the_job_file_then_finds_its_runs(applied):
    project, _ = applied
    assert run("status", cwd=project / "notebooks").code == 0


def test_status_when_there_is_no_run_then_2(project):
    ended = run("status", cwd=project)
    assert ended.code == 2
    assert "error: there are no runs" in ended.err and "dsjobs apply" in ended.err


def test_status_when_the_manifest_is_something_else_then_3(project):
    (project / "m.json").write_text('{"schema_version": 1, "run": {}}')
    ended = run("status", "m.json", cwd=project)
    assert ended.code == 3 and "m.json: this is not a manifest of version 1" in ended.err


# --- init, schema ---


def test_init_when_there_are_notebooks_then_the_draft_is_valid(tmp_path):
    write_notebook(tmp_path / "a b" / "one.ipynb", "import os", "x = os.environ['REGION']")
    ended = run("init", "a b", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "wrote a b/jobs.yaml\n")
    assert ended.err.endswith("next: dsjobs validate -C 'a b'\n")
    again = run("init", "a b", cwd=tmp_path)
    assert again.code == 2 and "exists already" in again.err


def test_init_when_json_is_asked_for_then_lists_the_files(tmp_path):
    ended = run("init", "--demo", "demo", "-o", "json", cwd=tmp_path)
    assert ended.code == 0
    assert all((tmp_path / "demo" / name).is_file() for name in ended.json["files"])
    assert run("plan", "-C", "demo", cwd=tmp_path).code == 0


def test_init_when_a_file_is_in_the_way_then_2(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "notebooks").write_text("")
    ended = run("init", "--demo", "demo", cwd=tmp_path)
    assert ended.code == 2 and "error: demo/notebooks" in ended.err


@pytest.mark.parametrize("name", schemas.NAMES)
def test_schema_when_named_then_is_the_published_one(tmp_path, name):
    assert run("schema", name, cwd=tmp_path).json == schemas.load(name)
    assert run("schema", name, "-o", "json", cwd=tmp_path).json == {"name": name, "schema": schemas.load(name)}


# --- finding the file, flags by variables ---


def test_file_when_not_named_then_is_searched_up_to_the_repository(project):
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    assert run("validate", cwd=deep).out == "../../jobs.yaml: valid, 2 jobs\n"
    (project / "a" / ".git").mkdir()
    ended = run("validate", cwd=deep)
    assert ended.code == 2
    assert f"in {deep} and its parents up to {project / 'a'}" in ended.err


def test_file_when_named_by_argument_then_it_wins_over_the_variable(project, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text((HEAD + LOAD).replace("name: small", "name: other"))
    assert run("plan", cwd=project, DSJOBS_FILE=str(other)).code == 3  # its notebooks are not there
    assert run("plan", "-o", "json", "jobs.yaml", cwd=project, DSJOBS_FILE=str(other)).json["name"] == "small"


def test_file_when_missing_then_the_nearest_name_is_shown(project):
    ended = run("validate", "job.yaml", cwd=project)
    assert ended.code == 3
    assert "error: job.yaml: the job file cannot be read: No such file or directory" in ended.err
    assert "  hint: did you mean 'jobs.yaml'?\n" in ended.err


def test_flags_when_set_by_variables_then_count(project):
    plan = run(
        "plan", cwd=project.parent, DSJOBS_CHDIR=str(project), DSJOBS_ENV="prod", DSJOBS_JOBS="2", DSJOBS_OUTPUT="json",
        DSJOBS_VAR_region="ru",
    ).json  # fmt: skip
    assert (plan["environment"], plan["max_parallel"]) == ("prod", 2)
    assert plan["variables"]["region"] == {"value": "ru", "layer": "DSJOBS_VAR_region"}
    given = run("plan", "-o", "json", "--var", "region=us", cwd=project, DSJOBS_VAR_region="ru").json
    assert given["variables"]["region"] == {"value": "us", "layer": "--var"}


def test_apply_when_its_flags_are_set_by_variables_then_they_count(tmp_path):
    project = write_project(tmp_path / "project", LOAD)
    ended = run(
        "apply", cwd=project, DSJOBS_STATE_DIR=str(tmp_path / "state"), DSJOBS_MANIFEST="m.json", DSJOBS_QUIET="1",
        DSJOBS_FAIL_FAST="1",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    assert (tmp_path / "state" / "runs").is_dir() and not (project / ".dsjobs").exists()
    assert problems_of("manifest", (project / "m.json").read_bytes()) == []
    assert problems_in(next(tmp_path.glob("state/runs/*/manifest.json"))) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aply"], "there is no command 'aply'\n  hint: did you mean 'apply'?"),
        (["apply", "--manifst", "x"], "No such option '--manifst'"),
        (["plan", "-j", "0"], "0 is not in the range"),
        (["plan", "--var", "region"], "'region' is not NAME=VALUE"),
        (["plan", "-e", "prd"], "there is no environment 'prd'\n  hint: did you mean 'prod'?"),
        (["plan", "-C", "nowhere"], "nowhere: cannot change to this folder: No such file or directory"),
        (["schema", "job"], "'job' is not one of"),
        (["status", "jobs.yaml"], "hint: name the job file with -f: `dsjobs status -f jobs.yaml`"),
    ],
)
def test_usage_when_it_is_wrong_then_2_and_what_is_right(project, arguments, message):
    ended = run(*arguments, cwd=project)
    assert ended.code == 2 and ended.out == ""
    assert ended.err.startswith("error: ") and message in ended.err


# --- help ---


def test_help_when_asked_then_names_every_command(tmp_path):
    for flag in ("-h", "--help"):
        ended = run(flag, cwd=tmp_path)
        assert ended.code == 0
        words = " ".join(ended.out.split())
        assert all(f" {name} {short_help}" in words for name, short_help in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_when_of_a_command_then_is_the_same_as_in_the_list(tmp_path, name):
    import importlib

    found = importlib.import_module(f"dsjobs.cli.{name}").command
    assert found.short_help == COMMANDS[name] and found.name == name
    ended = run(name, "--help", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert ended.code == 0 and ended.out.startswith(f"Usage: dsjobs {name} ")
    for option in found.params:
        is_explained = option.param_type_name == "argument" or option.help
        assert is_explained, f"{option.name} has no help"


def test_version_when_asked_then_is_that_of_the_package(tmp_path):
    assert run("--version", cwd=tmp_path).out == f"dsjobs {__version__}\n"


def test_dsjobs_when_called_without_a_command_then_shows_help(tmp_path):
    ended = run(cwd=tmp_path)
    assert ended.code == 2 and "Commands:" in ended.err
