"""A run of thirty jobs whose dsjobs is killed, with SIGKILL, after one record of its journal or another, and then resumed.

Here for two of the records; with DSJOBS_TEST_KILLS=1 for every one of them, with 5 for each fifth. The notebooks write down
each time that they begin and end, outside of everything that dsjobs keeps.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from as_user import TIMEOUT, command, environment, run, until, write_notebook
from live_server import TOKEN, Command

from dsjobs.run import journal
from dsjobs.run.manifest import fold

STEP = """\
import os, dsjobs
def note(what):
    with open(os.environ["COUNTER"], "a") as file:
        file.write(f"{what} {os.environ['NAME']}\\n")
note("begin")
"""
TIMES = "begun = open(os.environ['COUNTER']).read().split('\\n').count('begin ' + os.environ['NAME'])\n"

JOB_FILE = """\
version: 1
variables: {{counter: {counter}}}
environments:
  local: {{backend: local, projects: {{p: p1}}}}
  served:
    backend: datasphere
    projects: {{p: p1}}
    settings: {{endpoint: "{endpoint}", output_store: "file://{store}", poll_interval: 0.1, rate_limit: 1000,
               serialize_notebooks: false}}
defaults: {{project: p, notebook: step.ipynb, retry: {{max_attempts: 6, on: [lost, aborted, backend]}}}}
pools: {{two: 2}}
max_parallel: 4
jobs:
  - {{name: load, outputs: {{value: {{type: integer}}}}, inputs: {{NAME: load, COUNTER: "{{{{ vars.counter }}}}"}}}}
  - name: part
    needs: [load]
    matrix: {{n: [1, 2, 3, 4, 5, 6, 7, 8], kind: [a, b, c]}}
    pool: two
    outputs: [value]
    inputs:
      NAME: "part{{{{ matrix.n }}}}{{{{ matrix.kind }}}}"
      COUNTER: "{{{{ vars.counter }}}}"
      ADD: "{{{{ needs.load.outputs.value }}}}"
  - name: sum
    needs: [part]
    outputs: [value]
    inputs: {{NAME: sum, COUNTER: "{{{{ vars.counter }}}}", ADD: "{{{{ needs.part | map(attribute='outputs.value') | sum }}}}"}}
  - name: flaky
    needs: [load]
    notebook: flaky.ipynb
    retry: {{max_attempts: 6}}
    inputs: {{NAME: flaky, COUNTER: "{{{{ vars.counter }}}}"}}
  - {{name: broken, needs: [load], notebook: broken.ipynb, inputs: {{NAME: broken, COUNTER: "{{{{ vars.counter }}}}"}}}}
  - {{name: below, needs: [broken], inputs: {{NAME: below, COUNTER: "{{{{ vars.counter }}}}"}}}}
  - {{name: always, needs: [broken, flaky], run_if: all_done, inputs: {{NAME: always, COUNTER: "{{{{ vars.counter }}}}"}}}}
"""
JOBS = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    serving = Command(tmp_path_factory.mktemp("served"))
    yield serving
    serving.end(signal.SIGTERM)


class Project:
    """A job file and its notebooks; each run of it has a counter of its own."""

    def __init__(self, folder: Path, server: Command) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.counter = folder / "counter"
        notebooks = [server.folder / "p1", folder / "p1"]
        for place in notebooks:
            value = "value = int(os.environ.get('ADD', '1')) + 1\ndsjobs.publish(value=value)\nnote('end')"
            write_notebook(place / "step.ipynb", STEP, value)
            write_notebook(place / "flaky.ipynb", STEP + TIMES + "assert begun > 1", "note('end')")
            write_notebook(place / "broken.ipynb", STEP + "1 / 0")
        content = JOB_FILE.format(counter=self.counter, endpoint=server.client.address, store=folder / "store")
        (folder / "jobs.yaml").write_text(content)
        (folder / "store").mkdir()

    @property
    def journal(self) -> Path | None:
        return next(iter(self.folder.glob(".dsjobs/runs/*/journal.jsonl")), None)

    @property
    def manifest(self) -> dict[str, Any]:
        assert self.journal is not None
        return fold(journal.read(self.journal))

    def records(self) -> int:
        with suppress(OSError, AttributeError):
            return self.journal.read_bytes().count(b"\n")  # type: ignore[union-attr]
        return 0

    def counted(self, what: str) -> Counter[str]:
        lines = self.counter.read_text().splitlines() if self.counter.exists() else []
        return Counter(line.removeprefix(f"{what} ") for line in lines if line.startswith(f"{what} "))

    def dsjobs(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command(*arguments), cwd=self.folder, env=environment(DSJOBS_IAM_TOKEN=TOKEN, YC_IAM_TOKEN=TOKEN),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def killed_after(self, records: int, *arguments: str) -> bool:
        """Whether dsjobs was killed, as soon as its journal had so many records, before it came to its end."""
        process = self.dsjobs(*arguments)
        while process.poll() is None and self.records() < records:
            time.sleep(0.001)
        process.kill()
        return process.wait() == -signal.SIGKILL


def outcome(manifest: dict[str, Any], *, with_attempts: bool) -> dict[str, Any]:
    """What a disturbed run must have in common with one that was not."""
    jobs = {}
    for job in manifest["jobs"]:
        kept = {key: job[key] for key in ("status", "needs", "request", "outputs", "reasons", "action")}
        kept["failure"] = job["failure"] and job["failure"]["kind"]
        kept["request"] = without_addresses(kept["request"])
        if with_attempts:
            kept["attempts"] = [(one["number"], one["status"], bool(one["failure"])) for one in job["attempts"]]
        jobs[job["name"]] = kept
    return {"jobs": jobs, "counts": manifest["counts"], "status": manifest["run"]["status"]}


def without_addresses(request: dict[str, Any]) -> dict[str, Any]:
    kept = {name: text for name, text in request.get("inputVariables", {}).items() if name != "COUNTER"}
    return {**request, "inputVariables": kept}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, server: Command) -> dict[str, dict[str, Any]]:
    """The manifests of undisturbed runs, by environment."""
    found = {}
    for name in ("local", "served"):
        project = Project(tmp_path_factory.mktemp(name), server)
        ended = run("apply", "-e", name, cwd=project.folder, DSJOBS_IAM_TOKEN=TOKEN, YC_IAM_TOKEN=TOKEN)
        assert ended.code == 1, ended.err
        found[name] = project.manifest
        assert found[name]["counts"] == {"succeeded": JOBS - 2, "failed": 1, "skipped": 1}
    return found


def moments() -> list[tuple[str, int]]:
    """In which environment, and after how many records, dsjobs is killed: the plan is whole after the first 31."""
    step = os.environ.get("DSJOBS_TEST_KILLS")
    if step is None:
        return [("local", 61), ("served", 90)]
    last = 1 + JOBS + 3 * JOBS
    return [(name, records) for name in ("local", "served") for records in range(1, last, int(step))]


@pytest.mark.parametrize(("name", "records"), moments())
def test_resume_when_dsjobs_was_killed_then_the_run_ends_as_if_it_had_not_been(tmp_path, server, whole, name, records):
    project = Project(tmp_path, server)
    if project.killed_after(records, "apply", "-e", name):
        # A second time, soon after it was taken up.
        project.killed_after(project.records() + 4, "resume")
    if project.records() <= JOBS:
        ended = run("resume", cwd=tmp_path, DSJOBS_IAM_TOKEN=TOKEN, YC_IAM_TOKEN=TOKEN)
        assert (ended.code, "never began" in ended.err or "no runs" in ended.err) == (2, True), ended.err
        return
    # It may be killed with its last record written: then there is nothing to take up.
    if project.manifest["run"]["status"] == "running":
        ended = run("resume", "-o", "json", cwd=tmp_path, DSJOBS_IAM_TOKEN=TOKEN, YC_IAM_TOKEN=TOKEN)
        assert ended.code == 1, ended.err
        assert json.loads(ended.out)["run"]["status"] == "failed"
    is_served = name == "served"
    assert outcome(project.manifest, with_attempts=is_served) == outcome(whole[name], with_attempts=is_served)
    check_counts(project, is_served)


def check_counts(project: Project, is_served: bool) -> None:
    """Each attempt ran exactly once; of those that were lost with their dsjobs, at most once."""
    begun, ended = project.counted("begin"), project.counted("end")
    for job in project.manifest["jobs"]:
        name = job["request"]["inputVariables"]["NAME"]
        lost = sum(one["failure"] is not None and one["failure"]["kind"] == "lost" for one in job["attempts"])
        ran = len(job["attempts"]) - lost
        assert ran <= begun[name] <= ran + lost, f"{name} began {begun[name]} times in {job['attempts']}"
        assert not (lost and is_served), "what the service runs outlives dsjobs"
        if job["status"] == "succeeded":
            assert 1 <= ended[name] <= 1 + lost


def test_apply_when_dsjobs_was_killed_with_jobs_in_flight_then_it_starts_none_of_them_a_second_time(tmp_path, server):
    project = Project(tmp_path, server)
    client = project.dsjobs("apply", "-e", "served")
    until(
        lambda: project.records() > JOBS + 1 and project.manifest["counts"].get("running", 0) > 1, "two jobs in flight"
    )
    client.kill()
    client.wait()
    ended = run("apply", "-e", "served", cwd=tmp_path, DSJOBS_IAM_TOKEN=TOKEN, YC_IAM_TOKEN=TOKEN)
    assert ended.code == 6 and "jobs are in flight: a new run would be beside them" in ended.err
    assert run("resume", "-q", cwd=tmp_path, DSJOBS_IAM_TOKEN=TOKEN, YC_IAM_TOKEN=TOKEN).code == 1
    check_counts(project, is_served=True)


def test_run_when_server_and_client_are_killed_then_both_go_on_where_they_were(tmp_path):
    server = Command(tmp_path / "server")
    port = server.client.address.rpartition(":")[2]
    project = Project(tmp_path / "project", server)
    try:
        client = project.dsjobs("apply", "-e", "served")
        until(lambda: project.records() > 45, "some jobs' end")
        server.end(signal.SIGKILL)
        client.kill()
        client.wait()
        client = project.dsjobs("resume")
        server = Command(tmp_path / "server", "--port", port)
        until(lambda: project.records() > 70, "more jobs' end")
        server.end(signal.SIGKILL)
        server = Command(tmp_path / "server", "--port", port)
        assert client.wait(TIMEOUT) == 1
    finally:
        client.kill()
        server.end(signal.SIGTERM)
    assert project.manifest["counts"] == {"succeeded": JOBS - 2, "failed": 1, "skipped": 1}
    begun = project.counted("begin")
    for job in project.manifest["jobs"]:
        # An attempt that ran when its server was killed has ended without an outcome.
        assert begun[job["request"]["inputVariables"]["NAME"]] <= len(job["attempts"])
