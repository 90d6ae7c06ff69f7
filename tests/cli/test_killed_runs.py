"""A run of thirty jobs whose dsjobs is killed, with SIGKILL, after one record of its journal or another, or at any moment, and
then resumed.

Here for two of the records and at moments of one run; with DSJOBS_TEST_KILLS=1 for every record, and at moments of as many runs,
with 5 for each fifth. The notebooks write down each time that they begin and end, outside of everything that dsjobs keeps.
The server answers late, so that many a kill meets a request that is under way.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from as_user import TIMEOUT, command, environment, run, until
from live_server import TOKEN, Command, write_notebook
from undisturbed import comparable

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
PLANNED = 1 + JOBS
"""Records until the plan is whole: before, there is nothing to take up."""
RECORDS = PLANNED + 3 * (JOBS - 1) + 3 + 1 + 1
"""Of an undisturbed run: three for each job that runs, three more for one that is tried again, one for one that is skipped."""

LATENCY = 0.1
"""Seconds by which the server's answers may be late."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    serving = Command(tmp_path_factory.mktemp("served"), "--fault", f"latency={LATENCY}", "--fault-seed", "1")
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
    def err(self) -> str:
        return (self.folder / "stderr").read_text()[-8000:]

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
        with open(self.folder / "stderr", "wb") as err:
            return subprocess.Popen(
                command(*arguments), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=err,
                env=environment(DSJOBS_IAM_TOKEN=TOKEN, YC_IAM_TOKEN=TOKEN, PYTHONFAULTHANDLER="1"),
            )  # fmt: skip

    def wait(
        self, process: subprocess.Popen[bytes], what: str, is_so: Callable[[], bool] = lambda: False
    ) -> int | None:
        """Until it is so, or the process has ended: then its exit code. Where neither happens, says what it was doing."""
        end = time.monotonic() + TIMEOUT
        while process.poll() is None and not is_so():
            if time.monotonic() > end:
                process.send_signal(signal.SIGABRT)  # upon which Python says where each of its threads is
                process.wait()
                last = [record["record"] for record in journal.read(self.journal)[-5:]] if self.journal else []
                pytest.fail(f"in {TIMEOUT} s no {what}; the journal ends with {last}\n{self.err}")
            time.sleep(0.002)
        return process.poll()

    def killed_after(self, records: int, *arguments: str, later: float = 0.0) -> bool:
        """Whether dsjobs was killed, as soon as its journal had so many records and some seconds later, before its end."""
        process = self.dsjobs(*arguments)
        self.wait(process, f"{records} records", lambda: self.records() >= records)
        with suppress(subprocess.TimeoutExpired):
            process.wait(later)
        process.kill()
        return process.wait() == -signal.SIGKILL

    def tear(self) -> None:
        """Half a line at the journal's end, as a crash may leave it."""
        assert self.journal is not None
        last = self.journal.read_bytes().splitlines()[-1]
        with open(self.journal, "ab") as file:
            file.write(last[: len(last) // 2])

    def bring_to_its_end(self) -> None:
        """Resume the run. Was it killed when its last record was written, there is nothing to take up, but its manifest may
        not have been written: `resume` does that."""
        is_left = self.manifest["run"]["status"] == "running"
        assert self.wait(self.dsjobs("resume"), "end of the run") == (1 if is_left else 2), self.err
        assert self.journal is not None
        assert json.loads(self.journal.with_name("manifest.json").read_bytes()) == self.manifest


def check_same(disturbed: Project, undisturbed: Project) -> None:
    """Their manifests are the same but for what differs between any two runs, and for the attempts at jobs of which one was lost
    with its dsjobs: how many there are is chance."""
    own, whole = (comparable(project.manifest, project.folder) for project in (disturbed, undisturbed))
    for one, other in zip(own["jobs"], whole["jobs"], strict=True):
        if any(attempt["failure"] and attempt["failure"]["kind"] == "lost" for attempt in one["attempts"]):
            del one["attempts"], other["attempts"]
        assert one == other
    assert own == whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, server: Command) -> dict[str, Project]:
    """Undisturbed runs, by environment."""
    found = {}
    for name in ("local", "served"):
        project = found[name] = Project(tmp_path_factory.mktemp(name), server)
        assert project.wait(project.dsjobs("apply", "-e", name), "end of the run") == 1, project.err
        assert project.manifest["counts"] == {"succeeded": JOBS - 2, "failed": 1, "skipped": 1}
        assert project.records() == RECORDS
    return found


def moments() -> list[tuple[str, int]]:
    """In which environment, and after how many records, dsjobs is killed."""
    step = os.environ.get("DSJOBS_TEST_KILLS")
    if step is None:
        return [("local", 61), ("served", 90)]
    return [(name, records) for name in ("local", "served") for records in range(1, RECORDS + 1, int(step))]


@pytest.mark.parametrize(("name", "records"), moments())
def test_resume_when_dsjobs_was_killed_then_the_run_ends_as_if_it_had_not_been(tmp_path, server, whole, name, records):
    project = Project(tmp_path, server)
    if project.killed_after(records, "apply", "-e", name):
        # A second time, soon after it was taken up.
        project.killed_after(project.records() + 4, "resume")
    if project.records() < PLANNED:
        ended = run("resume", cwd=tmp_path, DSJOBS_IAM_TOKEN=TOKEN, YC_IAM_TOKEN=TOKEN)
        assert (ended.code, "never began" in ended.err or "no runs" in ended.err) == (2, True), ended.err
        return
    project.bring_to_its_end()
    check_same(project, whole[name])
    check_counts(project, is_served=name == "served")


def chances() -> list[tuple[str, int]]:
    """In which environment, and with which seed, dsjobs is killed at random moments."""
    step = os.environ.get("DSJOBS_TEST_KILLS")
    if step is None:
        return [("served", 0)]
    return [(name, seed) for name in ("local", "served") for seed in range(0, RECORDS, int(step))]


@pytest.mark.parametrize(("name", "seed"), chances())
def test_resume_when_dsjobs_was_killed_at_any_moment_and_its_last_line_is_torn_then_the_same(
    tmp_path, server, whole, name, seed
):
    chance = random.Random(f"kill {seed}")
    project = Project(tmp_path, server)
    arguments, least = ["apply", "-e", name], PLANNED
    for _ in range(3):
        later = chance.uniform(0, 2 * LATENCY)
        if not project.killed_after(least + chance.randrange(30), *arguments, later=later):
            break
        project.tear()
        arguments, least = ["resume"], project.records()
    project.bring_to_its_end()
    check_same(project, whole[name])
    check_counts(project, is_served=name == "served")


def check_counts(project: Project, *, is_served: bool) -> None:
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
        project.wait(client, "some jobs' end", lambda: project.records() > 45)
        server.end(signal.SIGKILL)
        client.kill()
        client.wait()
        client = project.dsjobs("resume")
        server = Command(tmp_path / "server", "--port", port)
        project.wait(client, "more jobs' end", lambda: project.records() > 70)
        server.end(signal.SIGKILL)
        server = Command(tmp_path / "server", "--port", port)
        assert project.wait(client, "end of the run") == 1, project.err
    finally:
        client.kill()
        server.end(signal.SIGTERM)
    assert project.manifest["counts"] == {"succeeded": JOBS - 2, "failed": 1, "skipped": 1}
    begun = project.counted("begin")
    for job in project.manifest["jobs"]:
        # An attempt that ran when its server was killed has ended without an outcome.
        assert begun[job["request"]["inputVariables"]["NAME"]] <= len(job["attempts"])
