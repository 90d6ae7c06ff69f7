"""jobs.example.yaml in its DataSphere environment, over HTTP to `dsjobs serve`, against the same file on the local backend."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VARIABLES = ["--var", "region=ru", "--var", "customers=3000", "--var", "rounds=50"]
TOKEN = "a-token-of-this-test-0123456789abcdef"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A folder with the example, whose environment prod points at a server that runs."""
    shutil.copytree(
        ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("output", ".ipynb_checkpoints")
    )
    (tmp_path / "token").write_text(TOKEN)
    command = [sys.executable, "-m", "dsjobs", "serve", "--port", "0", "--token-file", "token", "-o", "json"]
    command += ["--project", "analytics=examples/notebooks"]
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        address = re.search(r"http://[0-9.:]+", server.stdout.readline())
        assert address, server.stderr.read() if server.stderr else ""
        settings = f"{{output_store: 'file://{tmp_path}/store', endpoint: '{address[0]}', poll_interval: 0.2}}"
        text = (ROOT / "jobs.example.yaml").read_text("utf-8")
        text = re.sub(r"settings:\n +output_store: [^\n]*", f"settings: {settings}", text)
        (tmp_path / "jobs.yaml").write_text(re.sub(r"analytics: bt1\w+", "analytics: analytics", text), "utf-8")
        yield tmp_path
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "YC_IAM_TOKEN": TOKEN}


def applied(folder: Path, environment: str) -> dict:
    command = [sys.executable, "-m", "dsjobs", "apply", "-q", "-o", "json", "-e", environment, *VARIABLES]
    done = subprocess.run(command, cwd=folder, env=environ(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def essence(manifest: dict) -> list[dict]:
    """What must not depend on where the jobs ran; the run's ID is part of paths."""
    kept = [
        {key: job[key] for key in ("name", "status", "reasons", "needs", "outputs", "failure")}
        | {key: job["request"][key] for key in ("notebookId", "inputVariables", "outputVariableNames")}
        for job in manifest["jobs"]
    ]
    found: list[dict] = json.loads(json.dumps(kept).replace(manifest["run"]["id"], "RUN"))
    return sorted(found, key=lambda job: job["name"])


def test_example_when_run_over_http_then_the_manifest_is_that_of_the_local_backend(served: Path) -> None:
    remote, local = applied(served, "prod"), applied(served, "local")
    assert remote["run"]["status"] == "succeeded"
    assert essence(remote) == essence(local)
    journals = "".join(path.read_text("utf-8") for path in served.glob(".dsjobs/runs/*/*.json*"))
    assert "DSJOBS_OUTPUTS_URL" not in journals
