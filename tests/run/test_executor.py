"""The executor against a backend in memory: the same rules as the scheduler's, through threads, journal and manifest."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_backend import MemoryBackend, Script
from runs import DIGEST, Running, frozen_clock, graphs, leaping_clock, make_plan

from dsjobs.errors import BackendError
from dsjobs.model import Failure, Status
from dsjobs.run import journal
from dsjobs.run.flights import Clock
from dsjobs.run.manifest import fold
from dsjobs.run.pace import SHARE
from dsjobs.run.requests import KEY_NAMESPACE

BROKEN = Failure("notebook", "cell 1 raised ValueError: no", cell_number=1)
AGAIN = BackendError("the service is busy", retryable=True)
NEVER = BackendError("the project does not exist", retryable=False, hint="look at `projects`")

BUSY = f"the job could not be submitted: {AGAIN}"

SCRIPTS = {
    "at once": Script(outputs={"x": 1}),
    "second look": Script(looks=2, outputs={"x": 1}),
    "notified early": Script(notify="early", looks=None),
    "notified": Script(notify="thread", looks=None),
    "without outputs": Script(outputs=None, looks=1),
    "failing": Script(failure=BROKEN),
    "failing later": Script(failure=BROKEN, looks=3),
    "failing, notified": Script(failure=BROKEN, looks=None, notify="thread"),
    "cancelled by others": Script(is_cancelled=True, outputs=None, looks=1),
    "busy": Script(refusals=(AGAIN, AGAIN)),
    "busy, and started": Script(refusals=(AGAIN,), runs_before_refusing=True, looks=1),
    "refused": Script(refusals=(NEVER,)),
    "lost": Script(looks=2, poll_errors=(AGAIN, *[NEVER] * 1000)),
    "out of sight for a while": Script(looks=2, poll_errors=(NEVER, AGAIN)),
    "seen at the third look": Script(looks=1, poll_errors=(AGAIN, AGAIN)),
}
OUTCOMES = {
    "cancelled by others": Status.CANCELLED,
    **dict.fromkeys(["failing", "failing later", "failing, notified", "refused", "lost"], Status.FAILED),
}


def rebuilt(running: Running) -> dict:
    """The manifest that the journal alone gives; the file on disk must be the same."""
    manifest = fold(journal.read(running.folder.journal))
    assert json.loads(running.folder.manifest.read_text()) == manifest
    return manifest


def statuses(manifest: dict) -> dict[str, str]:
    return {job["name"]: job["status"] for job in manifest["jobs"]}


def expected_statuses(needs: dict[str, list[str]], chosen: dict[str, str]) -> dict[str, str]:
    def status(name: str) -> Status:
        if any(status(need) is not Status.SUCCEEDED for need in needs[name]):
            return Status.SKIPPED
        return OUTCOMES.get(chosen[name], Status.SUCCEEDED)

    return {name: status(name).value for name in needs}


def check_order(needs: dict[str, list[str]], records: Iterable[dict], max_parallel: int) -> None:
    """Nothing is submitted before its needs succeeded, after a stop, or beyond the limit."""
    in_flight: set[str] = set()
    ended: dict[str, str] = {}
    stopped = False
    for record in records:
        if record["record"] == "job_submitting":
            assert not stopped
            assert all(ended.get(need) == "succeeded" for need in needs[record["job"]])
            in_flight.add(record["job"])
            assert len(in_flight) <= max_parallel
        elif record["record"] == "job_finished":
            in_flight.discard(record["job"])
            ended[record["job"]] = record["status"]
        elif record["record"] == "stop_requested":
            stopped = True


@settings(max_examples=40, deadline=None)
@given(
    needs=graphs(8),
    data=st.data(),
    max_parallel=st.integers(1, 4),
    stop_after=st.one_of(st.none(), st.integers(0, 12)),
    cancel=st.booleans(),
    fail_fast=st.booleans(),
)
def test_run_when_anything_happens_then_the_journal_tells_what_came_of_it(
    needs, data, max_parallel, stop_after, cancel, fail_fast
):
    chosen = {name: data.draw(st.sampled_from(sorted(SCRIPTS))) for name in needs}
    with tempfile.TemporaryDirectory() as folder:
        backend = MemoryBackend(
            {name: SCRIPTS[choice] for name, choice in chosen.items()}, journal=Path(folder) / "journal.jsonl"
        )
        running = Running(
            make_plan(needs, max_parallel=max_parallel), backend, Path(folder), clock=leaping_clock(),
            fail_fast=fail_fast, listeners=[StopsAfter(stop_after, cancel)],
        )  # fmt: skip
        outcome = running.start().result()
        manifest = rebuilt(running)
        records = journal.read(running.folder.journal)
    assert records == running.records
    check_order(needs, records, max_parallel)
    if "lost" not in chosen.values():  # one that cannot be watched any more may still run
        assert backend.most_in_flight <= max_parallel
    found = statuses(manifest)
    assert found == {name: status.value for name, status in running.executor._scheduler.statuses.items()}
    assert all(Status(status).is_terminal for status in found.values())
    assert manifest["run"]["status"] == outcome.value
    submitted = {record["job"] for record in records if record["record"] == "job_submitting"}
    assert {name for name, status in found.items() if status == "skipped"} == set(needs) - submitted
    if stop_after is None and not fail_fast:
        # The clock leaps with each reading, so that of many jobs one that is busy may have been so for longer than is borne.
        busy = [job["name"] for job in manifest["jobs"] if (job["failure"] or {}).get("message") == BUSY]
        assert all(chosen[name].startswith("busy") for name in busy)
        assert found == expected_statuses(needs, {**chosen, **dict.fromkeys(busy, "refused")})
    keys = [record["idempotency_key"] for record in records if record["record"] == "job_submitting"]
    assert len(set(keys)) == len(keys)
    assert {key for _, key in backend.submits} == set(keys)


class StopsAfter:
    """A listener that stops the run after so many records; None for never."""

    def __init__(self, count: int | None, cancel: bool) -> None:
        self.left = count
        self.cancel = cancel
        self.executor = None

    def __call__(self, records) -> None:
        if self.left is not None and self.executor is not None:
            self.left -= len(records)
            if self.left <= 0:
                self.left = None
                self.executor.stop("SIGINT", cancel=self.cancel)


def test_submit_when_it_leaves_then_its_intent_is_on_disk(tmp_path):
    needs = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    backend = MemoryBackend(journal=tmp_path / "journal.jsonl")
    running = Running(make_plan(needs), backend, tmp_path).start()
    assert running.result() is Status.SUCCEEDED
    assert sorted(job for job, _ in backend.submits) == ["a", "b", "c", "d"]


def test_idempotency_key_when_a_job_is_submitted_then_is_made_of_run_job_and_attempt(tmp_path):
    backend = MemoryBackend()
    Running(make_plan({"a": [], "b": []}), backend, tmp_path).start().result()
    assert dict(backend.submits) == {job: str(uuid.uuid5(KEY_NAMESPACE, f"run-1/{job}/1")) for job in ("a", "b")}


def test_submit_when_refused_for_now_then_is_repeated_with_the_same_key(tmp_path):
    backend = MemoryBackend({"a": Script(refusals=(AGAIN, AGAIN, AGAIN))})
    running = Running(make_plan({"a": []}), backend, tmp_path, clock=leaping_clock()).start()
    assert running.result() is Status.SUCCEEDED
    assert len(backend.submits) == 4 and len(set(backend.submits)) == 1
    assert running.kinds("a").count("job_submitting") == 1


def test_submit_when_an_answer_is_lost_then_the_job_runs_once(tmp_path):
    backend = MemoryBackend({"a": Script(refusals=(AGAIN,), runs_before_refusing=True, looks=1)})
    running = Running(make_plan({"a": []}), backend, tmp_path, clock=leaping_clock()).start()
    assert running.result() is Status.SUCCEEDED
    assert backend.jobs_started == ["a"]


def test_submit_when_refused_for_long_then_the_job_has_failed(tmp_path):
    backend = MemoryBackend({"a": Script(refusals=(AGAIN,) * 1000)})
    running = Running(make_plan({"a": [], "b": ["a"]}), backend, tmp_path, clock=leaping_clock()).start()
    assert running.result() is Status.FAILED
    job = rebuilt(running)["jobs"][0]
    assert job["failure"] == {
        "kind": "backend",
        "message": "the job could not be submitted: the service is busy",
        "hint": "whether the backend has started it is not known",
    }
    assert 5 <= len(backend.submits) <= 100


def test_submit_when_the_wall_clock_jumps_then_patience_is_as_long(tmp_path):
    backend = MemoryBackend({"a": Script(refusals=(AGAIN, AGAIN))})
    times = iter(range(2_000_000_000, 3_000_000_000, 1_000_000))
    clock = Clock(lambda: float(next(times)), leaping_clock().ticks)
    running = Running(make_plan({"a": []}), backend, tmp_path, clock=clock).start()
    assert running.result() is Status.SUCCEEDED


def test_submit_when_refused_for_good_then_failure_says_why(tmp_path):
    backend = MemoryBackend({"a": Script(refusals=(NEVER,))})
    running = Running(make_plan({"a": [], "b": ["a"]}), backend, tmp_path).start()
    assert running.result() is Status.FAILED
    a, b = rebuilt(running)["jobs"]
    assert a["failure"] == {
        "kind": "backend",
        "message": "the job could not be submitted: the project does not exist",
        "hint": "look at `projects`",
    }
    assert a["attempts"][0]["status"] == "failed"
    assert b["reasons"] == ["needs 'a', which failed"]


def test_request_when_inputs_need_outputs_then_is_rendered_before_its_submit(tmp_path):
    inputs = {
        "b": {
            "ROWS": "{{ needs.a.outputs.rows }}",
            "RUN": "{{ run.id }} in {{ vars.region }}",
            "HOW": "{{ needs.a.status }}",
            "LIST": "{{ needs.a.outputs.parts | length + 1 }}",
        }
    }
    backend = MemoryBackend({"a": Script(outputs={"rows": 7, "parts": ["x", "y"]})}, journal=tmp_path / "journal.jsonl")
    running = Running(make_plan({"a": [], "b": ["a"]}, inputs=inputs), backend, tmp_path).start()
    assert running.result() is Status.SUCCEEDED
    rendered = {"NAME": "b", "ROWS": "7", "RUN": "run-1 in eu", "HOW": "succeeded", "LIST": "3"}
    assert backend.submissions["b"].request.input_variables == rendered
    assert rebuilt(running)["jobs"][1]["request"]["inputVariables"] == rendered


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ needs.a.outputs.missing }}", "missing"),
        ("{{ needs.a.outputs.nothing }}", "null has no text"),
        ("{{ needs.a.outputs.text + 1 }}", "str"),
        ("{{ needs.a.outputs.rows / 0 }}", "zero"),
    ],
)
def test_template_when_it_fails_at_submit_then_the_job_has_failed_and_nothing_is_sent(tmp_path, template, message):
    backend = MemoryBackend({"a": Script(outputs={"nothing": None, "text": "x", "rows": 1})})
    plan = make_plan({"a": [], "b": ["a"], "c": ["b"]}, inputs={"b": {"X": template}})
    running = Running(plan, backend, tmp_path).start()
    assert running.result() is Status.FAILED
    _, b, c = rebuilt(running)["jobs"]
    assert b["status"] == "failed" and b["attempts"] == [] and b["failure"]["kind"] == "template"
    assert "input 'X'" in b["failure"]["message"] and message in b["failure"]["message"]
    assert c["reasons"] == ["needs 'b', which failed"]
    assert [job for job, _ in backend.submits] == ["a"]


def test_template_when_it_fails_in_thousands_of_jobs_then_each_of_them_has_failed(tmp_path):
    needs = {f"j{number}": [] for number in range(1200)}
    inputs = {name: {"X": "{{ run.nothing }}"} for name in needs}
    running = Running(make_plan(needs, inputs=inputs, max_parallel=1), MemoryBackend(), tmp_path).start()
    assert running.result() is Status.FAILED
    assert rebuilt(running)["counts"] == {"failed": 1200}


def test_template_when_it_fails_with_fail_fast_then_nothing_is_submitted_after_the_stop(tmp_path):
    needs = {"a": [], "b": [], "c": []}
    plan = make_plan(needs, inputs={"a": {"X": "{{ run.nothing }}"}}, max_parallel=2)
    running = Running(plan, MemoryBackend(), tmp_path, fail_fast=True).start()
    assert running.result() is Status.FAILED
    check_order(needs, running.records, 2)


@pytest.mark.parametrize(
    ("contract", "outputs", "message"),
    [
        ({"type": "integer", "minimum": 10}, {"rows": 7}, "output 'rows': 7 is less than the minimum 10"),
        ({"type": "integer"}, {"rows": True}, "output 'rows': true is not of type integer"),
        ({}, {}, "output 'rows' was not assigned"),
        ({"items": {"type": "string"}}, {"rows": ["x", 1]}, "output 'rows' at $[1]: 1 is not of type string"),
    ],
)
def test_contract_when_an_output_breaks_it_then_the_job_has_failed(tmp_path, contract, outputs, message):
    backend = MemoryBackend({"a": Script(outputs=outputs)})
    running = Running(make_plan({"a": []}, outputs={"a": {"rows": contract}}), backend, tmp_path).start()
    assert running.result() is Status.FAILED
    job = rebuilt(running)["jobs"][0]
    assert (job["failure"]["kind"], job["failure"]["message"]) == ("contract", message)
    assert job["outputs"] == outputs


def test_contract_when_it_cannot_be_evaluated_then_the_job_has_failed_and_the_run_goes_on(tmp_path):
    backend = MemoryBackend({"a": Script(outputs={"rows": 1})})
    plan = make_plan({"a": [], "b": []}, outputs={"a": {"rows": {"$ref": "#/$defs/nowhere"}}})
    running = Running(plan, backend, tmp_path).start()
    assert running.result() is Status.FAILED
    manifest = rebuilt(running)
    assert statuses(manifest) == {"a": "failed", "b": "succeeded"}
    failure = next(job["failure"] for job in manifest["jobs"] if job["name"] == "a")
    assert failure["kind"] == "contract" and "output 'rows': its contract cannot be checked" in failure["message"]


def test_contract_when_the_notebook_failed_then_is_not_judged(tmp_path):
    backend = MemoryBackend({"a": Script(failure=BROKEN, outputs={})})
    running = Running(make_plan({"a": []}, outputs={"a": {"rows": {}}}), backend, tmp_path).start()
    running.result()
    assert rebuilt(running)["jobs"][0]["failure"]["kind"] == "notebook"


def test_notify_when_it_comes_before_the_answer_then_no_look_is_waited_for(tmp_path):
    backend = MemoryBackend(default=Script(looks=None, notify="early"))
    running = Running(make_plan({"a": [], "b": ["a"]}), backend, tmp_path, clock=frozen_clock()).start()
    assert running.result() is Status.SUCCEEDED
    assert backend.polls == {"a": 1, "b": 1}


def test_notify_when_many_of_them_were_late_then_an_early_one_still_counts(tmp_path):
    """Notices of what has ended already must not take the place of one that comes before its answer."""
    names = [f"j{number}" for number in range(40)]
    needs = {name: names[index - 1 : index] if index else [] for index, name in enumerate(names)}
    backend = MemoryBackend({names[-1]: Script(looks=None, notify="early")})

    def late(records) -> None:
        for record in records:
            if record["record"] == "job_finished" and record["job"] != names[-1]:
                backend.nudge(record["job"])

    plan = make_plan(needs, max_parallel=2)
    running = Running(plan, backend, tmp_path, clock=frozen_clock(), listeners=[late]).start()
    assert running.result() is Status.SUCCEEDED


def test_notify_when_it_comes_often_for_nothing_then_looks_do_not_multiply(tmp_path):
    """A notice after each of the first looks; afterwards there is still one series of looks."""
    backend = MemoryBackend(default=Script(looks=None))
    clock = FastTime(backend, notices=60)
    running = Running(make_plan({"a": []}), backend, tmp_path, clock=Clock(lambda: 0.0, clock)).start()
    assert running.result() is Status.SUCCEEDED
    # One series, of which each look comes a twentieth of the time so far after the last one.
    assert 1 <= clock.looks_in_quiet <= 3 + math.log1p(100 / clock.before_quiet) / math.log(1 + SHARE)


class FastTime:
    """A hundred times as fast as time, and never waited for: each reading posts a notice for nobody. First every look of `a` is
    followed by a notice; then come 100 s without any, whose looks are counted; then `a` ends."""

    def __init__(self, backend: MemoryBackend, notices: int) -> None:
        self.backend = backend
        self.notices = notices
        self.began: float | None = None
        self.quiet_since: float | None = None
        self.looks_before = 0
        self.looks_in_quiet = 0
        self.is_over = False

    @property
    def before_quiet(self) -> float:
        """For how long `a` had been running when the notices ended."""
        assert self.began is not None and self.quiet_since is not None
        return self.quiet_since - self.began

    def __call__(self) -> float:
        now, backend, looks = time.monotonic() * 100, self.backend, self.backend.polls["a"]
        if self.is_over or not backend.jobs_started:
            return now
        backend.notify_of("a")("nobody")
        self.began = self.began or now
        if looks < self.notices:
            if looks >= self.looks_before:
                self.looks_before = looks + 1
                backend.nudge("a")
        elif self.quiet_since is None:
            self.quiet_since, self.looks_before = now, looks
        elif now > self.quiet_since + 100:
            self.is_over = True
            self.looks_in_quiet = looks - self.looks_before
            backend.end("a")
        return now


def test_stop_when_it_cancels_then_what_is_in_flight_is_cancelled_and_the_rest_skipped(tmp_path):
    backend = MemoryBackend(default=Script(looks=None))
    plan = make_plan({"a": [], "b": [], "c": ["a"], "d": []}, max_parallel=2)
    running = Running(plan, backend, tmp_path).start()
    running.wait_until_submitted("a")
    running.executor.stop("SIGTERM", cancel=True)
    assert running.result() is Status.CANCELLED
    manifest = rebuilt(running)
    assert manifest["counts"] == {"cancelled": 2, "skipped": 2}
    assert manifest["run"]["stopped"] == "SIGTERM"
    skipped = [job for job in manifest["jobs"] if job["status"] == "skipped"]
    assert all(job["reasons"] == ["the run was stopped: SIGTERM"] for job in skipped)


def test_stop_when_it_does_not_cancel_then_what_is_in_flight_ends_by_itself(tmp_path):
    backend = MemoryBackend(default=Script(looks=None))
    running = Running(make_plan({"a": [], "b": ["a"]}), backend, tmp_path).start()
    running.wait_until_submitted("a")
    running.executor.stop("enough", cancel=False)
    running.wait_for(lambda record: record["record"] == "job_skipped")
    assert backend.cancels == []
    backend.end("a")
    assert running.result() is Status.CANCELLED
    assert statuses(rebuilt(running)) == {"a": "succeeded", "b": "skipped"}


def test_stop_when_a_submit_is_on_its_way_then_its_job_is_cancelled_once_accepted(tmp_path):
    entered, go_on = threading.Event(), threading.Event()

    def slow(job: str) -> None:
        entered.set()
        assert go_on.wait(30)

    backend = MemoryBackend(default=Script(looks=None), on_submit=slow)
    running = Running(make_plan({"a": [], "b": ["a"]}), backend, tmp_path).start()
    assert entered.wait(30)
    running.executor.stop("SIGINT", cancel=True)
    running.wait_for(lambda record: record["record"] == "job_skipped")
    go_on.set()
    assert running.result() is Status.CANCELLED
    assert statuses(rebuilt(running)) == {"a": "cancelled", "b": "skipped"}


def test_stop_when_a_submit_waits_to_be_repeated_then_it_is_given_up(tmp_path):
    refused = threading.Event()
    backend = MemoryBackend({"a": Script(refusals=(AGAIN,) * 1000)})
    running = Running(
        make_plan({"a": []}), backend, tmp_path, clock=Clock(lambda: 0.0, Tells(refused, backend))
    ).start()
    assert refused.wait(30)
    running.executor.stop("SIGINT", cancel=True)
    running.result()
    assert len(backend.submits) == 1
    failure = rebuilt(running)["jobs"][0]["failure"]
    assert failure["kind"] == "backend"
    assert "the service is busy" in failure["message"] and "stopped" in failure["message"]


class Tells:
    """A clock that stands still and tells when it is first asked after a submit: then a repetition has been put off."""

    def __init__(self, event: threading.Event, backend: MemoryBackend) -> None:
        self.event = event
        self.backend = backend

    def __call__(self) -> float:
        if self.backend.submits:
            self.event.set()
        return 0.0


def test_stop_when_the_request_to_cancel_fails_then_it_is_repeated(tmp_path):
    backend = MemoryBackend({"a": Script(looks=None, cancel_errors=(AGAIN, AGAIN))})
    running = Running(make_plan({"a": []}), backend, tmp_path, clock=leaping_clock()).start()
    running.wait_until_submitted("a")
    running.executor.stop("SIGINT", cancel=True)
    assert running.result() is Status.CANCELLED
    assert backend.cancels == ["a", "a", "a"]


def test_stop_when_the_request_to_cancel_is_refused_then_the_end_is_waited_for(tmp_path):
    backend = MemoryBackend({"a": Script(looks=3, outputs={}, cancel_errors=(NEVER,) * 100)})
    running = Running(make_plan({"a": []}), backend, tmp_path, clock=leaping_clock()).start()
    running.executor.stop("SIGINT", cancel=True)
    assert running.result() is Status.SUCCEEDED


def test_fail_fast_when_a_job_fails_then_others_end_and_nothing_starts(tmp_path):
    backend = MemoryBackend({"a": Script(failure=BROKEN, looks=None), "b": Script(looks=None)})
    running = Running(make_plan({"a": [], "b": [], "c": []}, max_parallel=2), backend, tmp_path, fail_fast=True).start()
    running.wait_until_submitted("a")
    running.wait_until_submitted("b")
    backend.end("a")
    running.wait_for(lambda record: record["record"] == "job_skipped")
    backend.end("b")
    assert running.result() is Status.FAILED
    manifest = rebuilt(running)
    assert statuses(manifest) == {"a": "failed", "b": "succeeded", "c": "skipped"}
    assert manifest["jobs"][2]["reasons"] == ["the run was stopped: 'a' failed (fail-fast)"]


@pytest.mark.parametrize("script", [Script(bug=RuntimeError("oops")), Script(looks=1, poll_bug=RuntimeError("oops"))])
def test_bug_when_a_backend_has_one_then_it_surfaces(tmp_path, script):
    backend = MemoryBackend({"b": script})
    running = Running(make_plan({"a": [], "b": [], "c": ["b"]}), backend, tmp_path, clock=leaping_clock()).start()
    with pytest.raises(RuntimeError, match="oops"):
        running.result()
    assert "run_finished" not in running.kinds()


class FullAfter:
    """A log on a disk that is full after so many appends."""

    def __init__(self, appends: int) -> None:
        self.left = appends
        self.lost = 0

    def append(self, records) -> None:
        if self.left == 0:
            self.lost += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "journal.jsonl")
        self.left -= 1


@pytest.mark.parametrize("appends", range(5))
def test_journal_when_the_disk_is_full_then_nothing_is_submitted_any_more(tmp_path, appends):
    log, backend = FullAfter(appends), MemoryBackend()
    needs = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"], "e": ["d"]}
    running = Running(make_plan(needs), backend, tmp_path, log=log).start()
    with pytest.raises(OSError, match="No space left"):
        running.result()
    assert len(backend.submits) == appends and log.lost == 1


FULL_DISK = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from memory_backend import MemoryBackend
from runs import Running, make_plan
names = [f"j{n}" for n in range(200)]
needs = {name: names[i - 1 : i] if i else [] for i, name in enumerate(names)}
backend = MemoryBackend()
running = Running(make_plan(needs), backend, Path(sys.argv[1]))
try:
    running.start().result()
except OSError as error:
    print(error.strerror, len(backend.submits))
"""


def test_journal_when_its_file_may_not_grow_then_what_it_has_is_whole(tmp_path):
    limit = 120_000
    program = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), *sys.path[:1], str(Path(__file__).parent), os.getcwd()],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # half a module would stay for whoever imports it next
    )  # fmt: skip
    assert program.stdout.startswith("File too large"), program.stderr
    submits = int(program.stdout.split()[-1])
    manifest = fold(journal.read(tmp_path / "journal.jsonl"))
    assert 0 < submits < 200
    # An intent may be the last thing that the file had room for: then it was not acted on.
    assert manifest["counts"]["succeeded"] + manifest["counts"].get("running", 0) - submits in (0, 1)
    assert manifest["run"]["status"] == "running"


def test_outputs_when_text_has_half_a_surrogate_pair_then_files_are_utf_8(tmp_path):
    outputs = {"name": "caf\udce9 é \U0001f600"}
    running = Running(make_plan({"a": []}), MemoryBackend({"a": Script(outputs=outputs)}), tmp_path).start()
    assert running.result() is Status.SUCCEEDED
    assert rebuilt(running)["jobs"][0]["outputs"] == outputs
    for path in (running.folder.journal, running.folder.manifest):
        text = path.read_text(encoding="utf-8")
        assert "é \U0001f600" in text or "\\u00e9" in text


def test_run_when_there_are_no_jobs_then_succeeds(tmp_path):
    running = Running(make_plan({}), MemoryBackend(), tmp_path).start()
    assert running.result() is Status.SUCCEEDED
    assert rebuilt(running)["jobs"] == []


def test_run_when_it_ends_then_its_journal_has_one_digest_and_one_end(tmp_path):
    running = Running(make_plan({"a": []}), MemoryBackend(), tmp_path).start()
    running.result()
    assert running.records[0]["plan_digest"] == DIGEST
    assert running.kinds() == [
        "run_started", "job_planned", "job_submitting", "job_submitted", "job_finished", "run_finished"
    ]  # fmt: skip
