"""jobs.example.yaml: on the local backend, held against the same notebooks through `jupyter execute` (the first three, and all
with DSJOBS_TEST_EXAMPLE=all); and in its DataSphere environment, over HTTP to `dsjobs serve`, held against the local run: the
outputs come back once through a folder, once through a bucket."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from live_server import TOKEN, Command
from s3_server import BUCKET, KEYS, s3_server

ROOT = Path(__file__).parents[1]
VARIABLES = ["--var", "region=ru", "--var", "customers=3000", "--var", "rounds=50"]

TIMES = {"started_at", "finished_at", "submitted_at", "duration"}
IDENTITIES = {"id", "pid", "digest", "plan_digest", "idempotency_key", "operation_id"}
ENVIRONMENT = {"environment", "backend", "projectId", "spec", "fingerprint"}
"""What the file's two environments say differently, and what is made of it."""
NOT_RETURNED = {"notebook", "kernel_start"}
"""What the API cannot return: the executed notebook, and how its kernel was started."""


def copy_example(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(ROOT / "jobs.example.yaml", folder / "jobs.yaml")
    shutil.copytree(
        ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("output", ".ipynb_checkpoints")
    )
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with the example, and the manifest of its run on the local backend."""
    folder = copy_example(tmp_path_factory.mktemp("example") / "dsjobs")
    return folder, applied(folder, "local")


@pytest.fixture(scope="module")
def local(run: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    return run[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A server of the API, in a folder with the example's notebooks."""
    folder = copy_example(tmp_path_factory.mktemp("served") / "dsjobs")
    server = Command(folder, "--project", f"analytics={folder}/examples/notebooks")
    yield server
    server.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


def write_job_file(served: Command, **settings: Any) -> None:
    """The example, its environment prod with the server's project and these settings."""
    settings |= {"endpoint": served.answer["address"], "poll_interval": 0.2}
    text = (ROOT / "jobs.example.yaml").read_text("utf-8")
    text, replaced = re.subn(r"settings:\n +output_store: [^\n]*", f"settings: {json.dumps(settings)}", text)
    assert replaced == 1
    (served.folder / "jobs.yaml").write_text(re.sub(r"analytics: bt1\w+", "analytics: analytics", text), "utf-8")


def applied(folder: Path, environment: str, **variables: str) -> dict[str, Any]:
    """The manifest of a run, as the command prints it."""
    command = [sys.executable, "-m", "dsjobs", "apply", "-q", "-o", "json", "-e", environment, *VARIABLES]
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_A", "AWS_S", "YC_", "DSJOBS_"))
    }
    environ = {**kept, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    manifest: dict[str, Any] = json.loads(done.stdout)
    return manifest


def essence(manifest: dict[str, Any]) -> Any:
    """What must not depend on where the jobs ran; the run's ID is part of paths."""
    text = json.dumps(without(manifest, TIMES | IDENTITIES | ENVIRONMENT | NOT_RETURNED))
    return json.loads(text.replace(manifest["run"]["id"], "RUN"))


def without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: without(inner, names) for name, inner in value.items() if name not in names}
    return [without(inner, names) for inner in value] if isinstance(value, list) else value


def check(remote: dict[str, Any], local: dict[str, Any], folder: Path) -> None:
    assert remote["run"]["status"] == "succeeded"
    assert essence(remote) == essence(local)
    assert all(job["outputs"] for job in remote["jobs"])
    assert {name for job in remote["jobs"] for name in NOT_RETURNED if job.get(name)} == set()
    kept = "".join(path.read_text("utf-8") for path in folder.glob(".dsjobs/runs/*/*.json*"))
    secrets = ("DSJOBS_OUTPUTS_URL", "X-Amz-Signature", KEYS["AWS_SECRET_ACCESS_KEY"], TOKEN)
    assert [secret for secret in secrets if secret in kept] == []


def outputs_by_cell(path: Path) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell; consecutive pieces of one stream are joined, as their split is a matter of timing."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [joined(cell["outputs"]) for cell in cells if cell["cell_type"] == "code"]


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for output in outputs:
        text = "".join(output.get("text", ""))
        if result and output["output_type"] == "stream" and result[-1].get("name") == output["name"]:
            result[-1]["text"] += text
        else:
            result.append({**output, "text": text} if text else dict(output))
    return result


def test_example_when_applied_then_manifest_says_succeeded(run: tuple[Path, dict[str, Any]]) -> None:
    _, manifest = run
    assert manifest["run"]["status"] == "succeeded"
    assert len(manifest["jobs"]) >= 5
    assert {job["status"] for job in manifest["jobs"]} == {"succeeded"}


def test_example_when_run_by_jupyter_execute_then_outputs_are_the_same(
    run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
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


def test_example_when_outputs_come_through_a_folder_then_the_manifest_is_that_of_the_local_backend(served, local):
    write_job_file(served, output_store=f"file://{served.folder}/store")

    remote = applied(served.folder, "prod", YC_IAM_TOKEN=TOKEN)

    check(remote, local, served.folder)
    assert len(list((served.folder / "store").glob("*.json"))) == len(remote["jobs"])


def test_example_when_outputs_come_through_a_bucket_then_the_manifest_is_that_of_the_local_backend(served, local, s3):
    """The keys of the bucket are dsjobs's alone: the server, and so the notebooks, have only the addresses that it signs."""
    write_job_file(served, output_store=f"s3://{BUCKET}/runs", output_store_endpoint=s3)

    remote = applied(served.folder, "prod", YC_IAM_TOKEN=TOKEN, **KEYS)

    check(remote, local, served.folder)
    client = boto3.client("s3", endpoint_url=s3, aws_access_key_id="a", aws_secret_access_key="b")
    names = {found["Key"] for found in client.list_objects_v2(Bucket=BUCKET)["Contents"]}
    keys = {attempt["idempotency_key"] for job in remote["jobs"] for attempt in job["attempts"]}
    assert {f"runs/{key}.json" for key in keys} <= names
