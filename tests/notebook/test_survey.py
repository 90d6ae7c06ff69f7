"""How kernels start here: what `dsjobs doctor` says before a run, and the manifest after it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpec
from nbformat import v4

from dsjobs import schemas
from dsjobs.notebook.forkserver.survey import Survey, survey
from dsjobs.notebook.kernelsettings import KernelSettings

ROOT = Path(__file__).parents[2]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no fork server elsewhere")

LAUNCH = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
OTHER = "its kernel runs in another interpreter, or with other options"
STRANGER = "its kernel is not started as ipykernel installs it"


@pytest.mark.parametrize(
    ("spec", "way"),
    [
        ({"argv": ["python", "-B", *LAUNCH]}, "as a fork of one process that has imported ipykernel, numpy"),
        ({"argv": ["/other/python", *LAUNCH]}, f"the usual way, from the third on ahead of their notebooks: {OTHER}"),
        (
            {"argv": ["/other/python", *LAUNCH], "env": {"A": "b"}},
            f"the usual way, never ahead, because its kernelspec sets variables: {OTHER}",
        ),
        ({"argv": ["R", "--slave", "-e", "IRkernel::main()"]}, f"the usual way: {STRANGER}"),
        ({"argv": ["conda", "run", "python", *LAUNCH]}, f"the usual way, never ahead, because {STRANGER}: {OTHER}"),
    ],
)
def test_way_when_forks_are_served_then_it_is_that_of_the_kernelspec(spec, way):
    found = Survey(("numpy", "gone"), None, command=(sys.executable, "-B"), failed={"gone": "ImportError"})

    assert found.way(KernelSpec(**spec)) == way


def test_way_when_no_fork_is_served_then_kernels_start_ahead_for_that_reason():
    found = Survey((), "a preloaded module has started threads", command=(sys.executable,))

    assert found.way(KernelSpec(argv=["python", *LAUNCH])) == (
        "the usual way, from the third on ahead of their notebooks: a preloaded module has started threads"
    )


def test_way_when_the_usual_start_is_asked_for_then_that_is_the_reason():
    found = survey(KernelSettings(may_fork=False))

    assert found.way(KernelSpec(argv=["python", *LAUNCH])) == "the usual way: settings.kernel_start asks for it"


@on_linux
def test_survey_when_modules_are_preloaded_then_it_says_which_cannot_be():
    found = survey(KernelSettings(preload=("xml.dom", "no_such_module")))

    assert found.refusal is None
    assert found.failed == {"no_such_module": "ModuleNotFoundError: No module named 'no_such_module'"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A job file with one job, and two environments of this machine."""
    for name, node in {"a.ipynb": v4.new_notebook(cells=[v4.new_code_cell("1")])}.items():
        (tmp_path / name).write_text(v4.writes(node))
    environments = {
        name: {"backend": "local", "projects": {"here": "."}, "settings": settings}
        for name, settings in {"auto": {"preload": ["no_such_module"]}, "usual": {"kernel_start": "usual"}}.items()
    }
    jobs = [{"name": "a", "project": "here", "notebook": "a.ipynb"}]
    (tmp_path / "jobs.yaml").write_text(json.dumps({"version": 1, "environments": environments, "jobs": jobs}))
    return tmp_path


def dsjobs(folder: Path, *arguments: str) -> str:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from dsjobs.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@on_linux
@pytest.mark.parametrize(("environment", "way"), [("auto", "as a fork of one"), ("usual", "the usual way: settings.")])
def test_doctor_when_kernels_run_here_then_it_says_how_they_start(project, environment, way):
    checks = json.loads(dsjobs(project, "doctor", "--env", environment, "-o", "json"))["checks"]

    kernels = {check["name"]: check["text"] for check in checks if check["topic"] == "kernels"}
    assert f"; starts {way}" in kernels["python3"]
    assert ("preload no_such_module" in kernels) == (environment == "auto")


@on_linux
@pytest.mark.parametrize(
    ("environment", "start"),
    [
        ("auto", {"way": "fork", "reason": None}),
        ("usual", {"way": "usual", "reason": "settings.kernel_start asks for it"}),
    ],
)
def test_manifest_when_a_job_has_run_here_then_it_says_how_its_kernel_started(project, environment, start):
    dsjobs(project, "apply", "--env", environment, "--manifest", "manifest.json")

    manifest = json.loads((project / "manifest.json").read_text())
    assert manifest["jobs"][0]["kernel_start"] == start
    [journal] = project.glob(".dsjobs/runs/*/journal.jsonl")
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [record["kernel_start"] for record in records if record["record"] == "job_finished"] == [start]
    assert schemas.load("manifest")["$defs"]["kernel_start"] == schemas.load("journal")["$defs"]["kernel_start"]
