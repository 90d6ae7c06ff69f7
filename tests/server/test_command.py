"""`dsjobs serve` as a process: what it prints, how it ends, and what is left after kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import requests
from live_server import TOKEN, Client, until, write_notebook
from processes import started

from dsjobs import cli

SLOW = "import time\nopen('started', 'w').close()\ntime.sleep(600)"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "dsjobs", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "--allow-remote"),
        (["--host", "0.0.0.0", "--allow-remote"], "--token-file"),
        (["--host", "0.0.0.0", "--allow-remote", "--token-file", "token", "--metadata"], "--metadata"),
        (["--project", "p1"], "ID=FOLDER"),
        (["--project", "p1=missing"], "missing"),
        (["--project", "a/b=."], "ID=FOLDER"),
        (["--project", "p1=.", "--project", "p1=."], "twice"),
        (["--token-file", "missing"], "missing"),
        (["--fault", "rest"], "did you mean 'reset'?"),
        (["--service-account", "token"], "authorized key"),
    ],
)
def test_serve_when_it_is_called_wrongly_then_it_says_why_and_does_not_start(
    tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(TOKEN)
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", "--port", "0", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / ".dsjobs").exists()


def test_serve_when_faults_are_listed_then_each_has_a_line(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", "--fault", "list"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("reset ") for line in lines) and len(lines) > 15


def test_serve_when_it_starts_for_a_person_then_it_prints_the_address_and_how_to_use_it(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "dsjobs", "serve", "--port", "0", "--fault", "latency=0.01", "--quiet"]
    with started(
        [name for name in command if name != "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path, env=environment,
    ) as process:  # fmt: skip
        address = process.stdout.readline().strip()
        heads = requests.get(f"{address}/endpoints", timeout=60).headers
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert f'settings: {{endpoint: "{address}"}}' in said
    assert "export YC_IAM_TOKEN=y0_" in said
    assert "faults are on: latency=0.01 (seed " in said
    assert heads["x-dsjobs-faults"] == "latency=0.01"


def test_serve_when_another_has_its_state_or_port_then_it_does_not_start(command, tmp_path):
    server = command()
    port = server.answer["address"].rpartition(":")[2]
    busy = run("--port", port, "--state-dir", str(tmp_path / "other"), cwd=tmp_path)
    held = run("--port", "0", "--state-dir", str(tmp_path / "state"), cwd=tmp_path)
    assert (busy.returncode, held.returncode) == (2, 6)
    assert "in use" in busy.stderr and "another server" in held.stderr
    assert server.answer == {"address": server.answer["address"], "projects": {"p1": str(tmp_path / "p1")}}


def test_serve_when_its_log_is_on_a_full_disk_then_operations_end_all_the_same(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "dsjobs", "serve", "--port", "0", "-o", "json", "--token-file", "token"]
    with (
        open("/dev/full", "w") as full,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=full, cwd=tmp_path, env=environment) as process,
    ):
        try:
            client = Client(json.loads(process.stdout.readline())["address"])
            for _ in range(2):
                operation = client.execute({"notebookId": "none.ipynb"}, project="local").json()
                assert client.wait(operation["id"], 20)["error"]["code"] == 5
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert process.returncode == 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_serve_when_a_signal_comes_then_it_stops_in_order_and_no_kernel_is_left(command, tmp_path, number, code):
    server = command("--jobs", "2")
    write_notebook(tmp_path / "p1" / "slow.ipynb", SLOW)
    server.client.execute({"notebookId": "slow.ipynb"})
    until((tmp_path / "p1" / "started").exists)
    assert len(server.leftovers()) > 1
    assert server.end(number) == code
    assert server.leftovers() == []
    assert "Traceback" not in "".join(server.stderr)


class Load:
    """Clients that submit until the server is gone: each job has a number, which is its key. Only the first few of each
    turn really run; the others fail at once, so that the load is on the store."""

    def __init__(self) -> None:
        self.notebooks: dict[str, str] = {}
        self.acknowledged: dict[str, str] = {}
        self._lock = threading.Lock()

    def press(self, address: str, threads: int) -> list[threading.Thread]:
        first = len(self.notebooks)
        pressing = [threading.Thread(target=self._submit, args=(address, first + 3)) for _ in range(threads)]
        for thread in pressing:
            thread.start()
        return pressing

    def _submit(self, address: str, first_light: int) -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {TOKEN}"
            while True:
                with self._lock:
                    job = str(len(self.notebooks))
                    self.notebooks[job] = "mark.ipynb" if int(job) < first_light else "none.ipynb"
                body = {"notebookId": self.notebooks[job], "inputVariables": {"JOB": job}}
                headers = {"Idempotency-Key": job}
                try:
                    answer = session.post(
                        f"{address}/datasphere/v2/projects/p1:execute", json=body, headers=headers, timeout=30
                    )
                except requests.RequestException:
                    return
                self.acknowledged[job] = answer.json()["id"]
                threading.Event().wait(0.04)


def test_serve_when_it_is_killed_under_load_then_nothing_acknowledged_is_lost_and_nothing_runs_twice(command, tmp_path):
    ran = tmp_path / "p1" / "runs.txt"
    source = (
        "import os, time\nwith open('runs.txt', 'a') as file: file.write(os.environ['JOB'] + '\\n')\ntime.sleep(0.3)"
    )
    write_notebook(tmp_path / "p1" / "mark.ipynb", source)
    ran.touch()
    load = Load()
    for _ in range(3):
        server = command("--jobs", "2")
        acknowledged, runs = len(load.acknowledged), len(ran.read_text().split())
        threads = load.press(server.client.address, threads=2)
        until(lambda: len(load.acknowledged) > acknowledged + 40)  # noqa: B023
        until(lambda: len(ran.read_text().split()) > runs)  # noqa: B023
        server.end(signal.SIGKILL)
        for thread in threads:
            thread.join()
        until(lambda: server.leftovers() == [], 15)  # noqa: B023

    server = command("--jobs", "2")
    ends = {job: server.client.wait(operation_id) for job, operation_id in load.acknowledged.items()}
    runs = Counter(ran.read_text().split())

    assert len(ends) > 120
    assert all(end["metadata"]["notebookId"] == load.notebooks[job] for job, end in ends.items())
    assert max(runs.values()) == 1, "none ran twice"
    outcomes = Counter()
    for job, end in ends.items():
        outcome = end.get("response", {}).get("executionStatus") or end["error"]["code"]
        outcomes[load.notebooks[job], outcome] += 1
        assert outcome != "OK" or runs[job] == 1
    said = (outcomes, [end["error"] for end in ends.values() if end.get("error", {}).get("code") == 13])
    assert set(outcomes) <= {("mark.ipynb", "OK"), ("mark.ipynb", 14), ("none.ipynb", 5), ("none.ipynb", 14)}, said
    assert outcomes["mark.ipynb", "OK"] >= 2
    assert outcomes["none.ipynb", 14] <= 3, "at most the one that was being looked at when the server was killed"
    for job in list(load.acknowledged)[::20]:
        body = {"notebookId": load.notebooks[job], "inputVariables": {"JOB": job}}
        assert server.client.execute(body, key=job).json() == ends[job]
    assert server.end(signal.SIGTERM) == 143
    assert server.leftovers() == []
