"""Calls that fail: what the backend may be running is not started again, and who may not ask leaves the run as it is."""

from __future__ import annotations

import pytest
from memory_backend import MemoryBackend, Script
from runs import Running, leaping_clock, make_plan

from dsjobs.errors import BackendError
from dsjobs.model import Request, Retry, Status
from dsjobs.run import failed_calls, journal
from dsjobs.run.failed_calls import LOOK_PATIENCE
from dsjobs.run.flights import Flight
from dsjobs.run.journal import Journal
from dsjobs.run.manifest import Fold, fold
from dsjobs.run.recovery import recover

AGAIN = BackendError("the service is busy", retryable=True)
REFUSED = BackendError("403, not for you", retryable=False, hint="ask for the role")
DENIED = BackendError("the token is not good any more", retryable=False, hint="give another", is_denied=True)
TWICE = {"a": {"retry": Retry(max_attempts=2)}}


def run(tmp_path, script: Script, **fields) -> tuple[Running, MemoryBackend]:
    backend = MemoryBackend({"a": script}, survives=True)
    plan = make_plan({"a": [], "b": ["a"]}, rules={"a": {"retry": Retry(max_attempts=2), **fields}})
    return Running(plan, backend, tmp_path, clock=leaping_clock()).start(), backend


def test_look_when_it_is_refused_for_a_while_then_the_job_is_looked_at_again_and_runs_once(tmp_path):
    running, backend = run(tmp_path, Script(looks=1, poll_errors=(REFUSED,) * 3))
    assert running.result() is Status.SUCCEEDED
    assert backend.jobs_started == ["a", "b"]


def test_look_when_it_is_refused_for_long_then_the_job_has_failed_and_is_not_started_again(tmp_path):
    running, backend = run(tmp_path, Script(looks=None, poll_errors=(REFUSED,) * 1000))
    assert running.result() is Status.FAILED
    job = fold(running.records)["jobs"][0]
    assert job["failure"] == {
        "kind": "backend",
        "message": "the job could not be watched any more: 403, not for you",
        "hint": "ask for the role; its operation op-1 may still be running",
    }
    assert backend.jobs_started == ["a"]


def test_look_when_one_is_answered_between_refusals_then_patience_begins_anew():
    flight = Flight("a", 1, Request("p"), "key", 0.0, operation_id="op-1")
    assert failed_calls.after_look(flight, REFUSED, 0.0) is None
    flight.refused_since = None  # as when a look is answered
    assert failed_calls.after_look(flight, REFUSED, LOOK_PATIENCE + 1) is None
    assert failed_calls.after_look(flight, AGAIN, 2 * LOOK_PATIENCE) is None
    assert failed_calls.after_look(flight, REFUSED, 2 * LOOK_PATIENCE + 1) is not None


def test_submit_when_an_earlier_one_may_have_arrived_then_no_attempt_follows(tmp_path):
    running, backend = run(tmp_path, Script(refusals=(AGAIN, REFUSED), looks=None, runs_before_refusing=True))
    assert running.result() is Status.FAILED
    job = fold(running.records)["jobs"][0]
    assert job["failure"]["message"] == "the job could not be submitted: 403, not for you"
    assert job["failure"]["hint"] == "ask for the role; whether the backend has started it is not known"
    assert backend.jobs_started == ["a"]


def test_submit_when_it_is_refused_at_once_then_another_attempt_follows(tmp_path):
    backend = MemoryBackend({"a#1": Script(refusals=(REFUSED,))})
    running = Running(make_plan({"a": []}, rules=TWICE), backend, tmp_path, clock=leaping_clock()).start()
    assert running.result() is Status.SUCCEEDED
    assert len({key for _, key in backend.submits}) == 2


def test_timeout_when_the_operation_does_not_end_then_no_attempt_follows(tmp_path):
    running, backend = run(tmp_path, Script(looks=None, cancel_errors=(REFUSED,) * 1000), timeout=2000)
    assert running.result() is Status.FAILED
    assert fold(running.records)["jobs"][0]["failure"]["kind"] == "timeout"
    assert backend.jobs_started == ["a"]
    assert backend.cancels.count("a") > 1


def test_cancel_when_it_is_refused_at_first_then_it_is_asked_for_again(tmp_path):
    backend = MemoryBackend({"a": Script(looks=None, cancel_errors=(REFUSED, REFUSED))})
    running = Running(make_plan({"a": []}), backend, tmp_path, clock=leaping_clock()).start()
    running.wait_until_submitted("a")
    running.executor.stop("SIGINT", cancel=True)
    assert running.result() is Status.CANCELLED
    assert backend.cancels == ["a"] * 3


@pytest.mark.parametrize(
    "script", [Script(refusals=(DENIED,)), Script(looks=1, poll_errors=(DENIED,))], ids=["submit", "look"]
)
def test_run_when_nobody_here_may_ask_any_more_then_it_is_left_and_another_process_goes_on(tmp_path, script):
    running, backend = run(tmp_path, script)
    assert running.result() is Status.RUNNING
    assert running.executor.denied is DENIED
    records = journal.read(tmp_path / "journal.jsonl")
    assert records[-1]["record"] == "run_detached"
    assert {record["record"] for record in records}.isdisjoint({"job_finished", "job_retrying", "job_skipped"})

    state = Fold()
    for record in records:
        state.apply(record)
    plan = make_plan({"a": [], "b": ["a"]})
    log = Journal(tmp_path / "journal.jsonl", existing=True)
    taken_up = Running(plan, backend, tmp_path, clock=leaping_clock(), log=log, recovered=recover(records, state))
    later = taken_up.start()
    assert later.result() is Status.SUCCEEDED
    assert backend.jobs_started == ["a", "b"]
