"""Runs of `dsjobs apply` against a `dsjobs serve` that misbehaves, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from live_server import TOKEN, Client, Command, until, write_notebook
from made_jobs import NOTEBOOK, End, Made

from dsjobs.server import faults

SEED = 7
"""Of the faults' chances."""


class Apply:
    """`dsjobs apply` in the folder of a server, with the server's token unless there are other `credentials`; its records can
    be read while it runs. `defaults`: of the jobs."""

    def __init__(
        self, folder: Path, address: str, jobs: Iterable[Made], *, at_once: int, defaults: Mapping[str, Any],
        **credentials: str,
    ) -> None:  # fmt: skip
        self.folder = folder
        write_notebook(folder / "p1" / "job.ipynb", NOTEBOOK)
        (folder / "jobs.yaml").write_text(json.dumps(_job_file(address, folder / "store", jobs, defaults)))
        self.records: list[dict[str, Any]] = []
        self._errors = (folder / "stderr").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dsjobs", "apply", "-o", "jsonl", "-j", str(at_once)],
            stdout=subprocess.PIPE, stderr=self._errors, text=True, cwd=folder,
            env=_environment(**(credentials or {"YC_IAM_TOKEN": TOKEN})),
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.records.extend(map(json.loads, self._process.stdout))

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def stop(self) -> None:
        self._process.terminate()

    def wait(self, seconds: float) -> int:
        """The exit code. A run that has not ended after so many seconds hangs."""
        return self._process.wait(seconds)

    def close(self) -> None:
        """Kills what has not ended."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def ended(self) -> set[str]:
        """The jobs whose end has been reported so far."""
        return {record["job"] for record in list(self.records) if record["record"] in ("job_finished", "job_skipped")}

    def operations(self) -> dict[str, str]:
        """The operation of each job that the service has accepted so far."""
        accepted = [record for record in list(self.records) if record["record"] == "job_submitted"]
        return {record["job"]: record["operation_id"] for record in accepted}

    def runs(self) -> Counter[str]:
        """How often the notebook of each job has run so far."""
        path = self.folder / "p1" / "runs.txt"
        return Counter(path.read_text().split()) if path.exists() else Counter()

    def ends(self) -> dict[str, End]:
        """What each job came to, by the manifest and by what the notebooks themselves wrote."""
        (path,) = self.folder.glob(".dsjobs/runs/*/manifest.json")
        runs = self.runs()
        return {
            job["name"]: End(job["status"], (job["failure"] or {}).get("kind"), job["outputs"], runs[job["name"]])
            for job in json.loads(path.read_bytes())["jobs"]
        }


def _job_file(address: str, store: Path, jobs: Iterable[Made], defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON is YAML."""
    settings = {
        "endpoint": address,
        "output_store": f"file://{store}",
        "poll_interval": 0.1,
        "serialize_notebooks": False,
    }
    environment = {"backend": "datasphere", "projects": {"p1": "p1"}, "settings": settings}
    return {
        "version": 1,
        "environments": {"served": environment},
        "defaults": {"project": "p1", **defaults},
        "jobs": [job.as_json() for job in jobs],
    }


def fault_options(*words: str) -> list[str]:
    """What `dsjobs serve` is started with."""
    return [option for word in words for option in ("--fault", word)] + ["--fault-seed", str(SEED)]


def apply(
    server: Command, jobs: Sequence[Made], *, patience: float, stop: Callable[[Apply], None] | None = None,
    at_once: int | None = None, defaults: Mapping[str, Any] | None = None, **credentials: str,
) -> tuple[Apply, int]:  # fmt: skip
    """A run that has ended, and its exit code. `stop` gets the run and stops it; `patience`: seconds, then it hangs."""
    at_once, defaults = at_once or len(jobs), defaults or {}
    run = Apply(server.folder, server.client.address, jobs, at_once=at_once, defaults=defaults, **credentials)
    try:
        if stop is not None:
            stop(run)
        code = run.wait(patience)
    finally:
        run.close()
    assert "Traceback" not in run.stderr + "".join(server.stderr)
    return run, code


def resume(run: Apply, **credentials: str) -> int:
    """Goes on with a run that was left; the exit code."""
    command = [sys.executable, "-m", "dsjobs", "resume", "-q"]
    done = subprocess.run(
        command, cwd=run.folder, env=_environment(**credentials), capture_output=True, text=True, timeout=300
    )
    assert "Traceback" not in done.stderr
    return done.returncode


def _environment(**credentials: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YC_", "DSJOBS_"))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **credentials}


def struck(run: Apply, words: Sequence[str]) -> set[str]:
    """The jobs whose operations never end by themselves: an operation keeps its fate, which its ID decides."""
    parsed = faults.parse(words, SEED)
    return {job for job, identifier in run.operations().items() if parsed.strikes_operation("never-ends", identifier)}


def stop_when_only_struck_are_left(
    run: Apply, words: Sequence[str], due: Callable[[set[str]], Mapping[str, End]], patience: float
) -> None:
    """Stop a run with SIGTERM when each notebook that should run did, and what goes on is struck, or needs such a job and
    waits. `due`: what the jobs must come to where these are struck."""

    def is_time() -> bool:
        left = struck(run, words)
        ends = due(left)
        ran = {name for name, end in ends.items() if end.runs}
        # One whose notebook is missing ends by itself, struck or not.
        ended = {name for name, end in ends.items() if end.status != "skipped"} - (left & ran)
        return run.has_ended or (set(run.runs()) >= ran and run.ended() >= ended)

    until(is_time, patience)
    run.stop()


def check(run: Apply, server: Command, due: Mapping[str, End]) -> None:
    """Each job came to what is due; the server accepted one operation for each, and no other, and all of them are done."""
    wrong = {name: (end, due[name]) for name, end in run.ends().items() if end != due[name]}
    assert wrong == {}
    submitted = sorted(name for name, end in due.items() if end.status != "skipped")
    operations = operations_of(server.client)
    assert sorted(run.operations()) == submitted
    assert sorted(run.operations().values()) == sorted(operation["id"] for operation in operations)
    assert {operation["state"] for operation in operations} == {"done"}


def operations_of(client: Client) -> list[dict[str, Any]]:
    """Every operation that the server has accepted."""
    found: list[dict[str, Any]] = []
    query = ""
    while True:
        page = client.get(f"/_dsjobs/operations{query}").json()
        found += page["operations"]
        if page["next"] is None:
            return found
        query = f"?before={page['next']}"
