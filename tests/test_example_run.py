"""jobs.example.yaml through dsjobs, held against the same notebooks through `jupyter execute`: the first three of them, and
all with DSJOBS_TEST_EXAMPLE=all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def copy_example(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(ROOT / "jobs.example.yaml", folder)
    shutil.copytree(
        ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("output", ".ipynb_checkpoints")
    )
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = copy_example(tmp_path_factory.mktemp("example") / "dsjobs")
    command = [sys.executable, "-m", "dsjobs", "apply", "jobs.example.yaml", "-o", "json", "-q"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def outputs_by_cell(path: Path) -> list[list[dict]]:
    """The outputs of each code cell; consecutive pieces of one stream are joined, as their split is a matter of timing."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [joined(cell["outputs"]) for cell in cells if cell["cell_type"] == "code"]


def joined(outputs: list[dict]) -> list[dict]:
    result: list[dict] = []
    for output in outputs:
        text = "".join(output.get("text", ""))
        if result and output["output_type"] == "stream" and result[-1].get("name") == output["name"]:
            result[-1]["text"] += text
        else:
            result.append({**output, "text": text} if text else dict(output))
    return result


def test_example_when_applied_then_manifest_says_succeeded(run: tuple[Path, dict]) -> None:
    _, manifest = run
    assert manifest["run"]["status"] == "succeeded"
    assert len(manifest["jobs"]) >= 5
    assert {job["status"] for job in manifest["jobs"]} == {"succeeded"}


def test_example_when_run_by_jupyter_execute_then_outputs_are_the_same(run: tuple[Path, dict], tmp_path: Path) -> None:
    folder, manifest = run
    plain = copy_example(tmp_path / "jupyter")
    runner = Path(sys.executable).with_name("jupyter-execute")
    for job in manifest["jobs"][: None if os.environ.get("DSJOBS_TEST_EXAMPLE") == "all" else 3]:
        request = job["request"]
        notebook = plain / request["projectId"] / request["notebookId"]
        environ = {**os.environ, **request["inputVariables"]}
        done = subprocess.run([runner, "--inplace", notebook], env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        executed = Path(job["notebook"]["path"])
        assert outputs_by_cell(executed) == outputs_by_cell(notebook), job["name"]
    made = {path.relative_to(plain): path.read_bytes() for path in plain.glob("examples/notebooks/output/**/*.csv")}
    assert made
    assert made == {path: (folder / path).read_bytes() for path in made}
