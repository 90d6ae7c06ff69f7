"""jobs.example.yaml in its DataSphere environment, over HTTP to `dsjobs serve`, against the same file on the local backend; the
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


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A server of the API, in a folder with the example's notebooks."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(
        ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("output", ".ipynb_checkpoints")
    )
    server = Command(folder, "--project", f"analytics={folder}/examples/notebooks")
    yield server
    server.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def local(served: Command) -> dict[str, Any]:
    """The manifest of the local backend."""
    shutil.copy(ROOT / "jobs.example.yaml", served.folder / "jobs.yaml")
    return applied(served.folder, "local")


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
