"""Attempts that are followed by others, and attempts that take too long."""

from __future__ import annotations

from typing import Any

import pytest
from memory_backend import MemoryBackend, Script
from runs import Running, leaping_clock, make_plan

from dsjobs.model import Failure, Retry, Status
from dsjobs.run.failed_calls import CANCEL_PATIENCE
from dsjobs.run.manifest import fold
from dsjobs.run.retries import JITTER, next_delay
from dsjobs.spec.durations import written

NO = Failure("notebook", "no")


def job_of(running: Running, name: str) -> dict[str, Any]:
    return next(job for job in fold(running.records)["jobs"] if job["name"] == name)


def run(tmp_path, scripts: dict[str, Script], **fields: Any) -> Running:
    """A job `a` with these fields, and `b` that needs it."""
    plan = make_plan({"a": [], "b": ["a"]}, rules={"a": fields})
    running = Running(plan, MemoryBackend(scripts), tmp_path, clock=leaping_clock()).start()
    running.result()
    return running


def test_retry_when_an_attempt_succeeds_then_the_job_has_and_what_needs_it_runs(tmp_path):
    scripts = {"a#1": Script(failure=NO), "a#2": Script(failure=NO, looks=2), "a#3": Script(outputs={"x": 1})}
    running = run(tmp_path, scripts, retry=Retry(max_attempts=5))
    job = job_of(running, "a")
    assert (job["status"], job["outputs"], job["failure"]) == ("succeeded", {"x": 1}, None)
    assert [attempt["status"] for attempt in job["attempts"]] == ["failed", "failed", "succeeded"]
    assert len({attempt["idempotency_key"] for attempt in job["attempts"]}) == 3
    assert job_of(running, "b")["status"] == "succeeded"


def test_retry_when_no_attempt_succeeds_then_the_job_has_failed_as_the_last(tmp_path):
    scripts = {"a#1": Script(failure=NO), "a#2": Script(failure=Failure("aborted", "gone"))}
    job = job_of(running := run(tmp_path, scripts, retry=Retry(max_attempts=2)), "a")
    assert (job["status"], job["failure"]["message"]) == ("failed", "gone")
    assert job_of(running, "b")["reasons"] == ["needs 'a', which failed"]


def test_retry_when_the_kind_of_failure_is_not_named_then_there_is_one_attempt(tmp_path):
    job = job_of(run(tmp_path, {"a": Script(failure=NO)}, retry=Retry(max_attempts=3, on=frozenset({"lost"}))), "a")
    assert (job["status"], len(job["attempts"])) == ("failed", 1)


def test_retry_when_the_run_is_stopped_while_a_job_waits_then_it_ends_as_it_failed(tmp_path):
    plan = make_plan({"a": [], "b": ["a"]}, rules={"a": {"retry": Retry(max_attempts=2, delay=60)}})
    running = Running(plan, MemoryBackend({"a": Script(failure=NO)}), tmp_path).start()
    running.wait_for(lambda record: record["record"] == "job_retrying")
    running.executor.stop("SIGTERM", cancel=True)
    assert running.result() is Status.FAILED
    job = job_of(running, "a")
    assert (job["status"], job["failure"]["message"], len(job["attempts"])) == ("failed", "no", 1)


@pytest.mark.parametrize(
    ("attempt", "delay", "expected"), [(1, 10, 10), (2, 10, 20), (3, 10, 40), (4, 10, 45), (99, 10, 45), (2, 0, 0)]
)
def test_delay_when_attempts_go_on_then_it_grows_up_to_its_limit(attempt, delay, expected):
    retry = Retry(max_attempts=1000, delay=delay, max_delay=45)
    assert next_delay(retry, attempt, NO, lambda low, high: low) == expected
    assert next_delay(retry, attempt, NO, lambda low, high: high) == pytest.approx(min(45, expected * (1 + JITTER)))


def test_timeout_when_an_attempt_takes_too_long_then_it_is_cancelled_and_has_failed(tmp_path):
    running = run(tmp_path, {"a": Script(looks=None)}, timeout=90)
    job = job_of(running, "a")
    assert (job["status"], job["failure"]["kind"]) == ("failed", "timeout")
    assert job["failure"]["message"] == "it took longer than 1m30s, and was cancelled"
    assert job["attempts"][0]["cancelling"] == "timeout"
    assert job_of(running, "b")["status"] == "skipped"


def test_timeout_when_it_is_retried_then_each_attempt_has_the_whole_time(tmp_path):
    retry = Retry(max_attempts=2, on=frozenset({"timeout"}))
    job = job_of(run(tmp_path, {"a#1": Script(looks=None), "a#2": Script(looks=2)}, timeout=2000, retry=retry), "a")
    assert (job["status"], [attempt["cancelling"] for attempt in job["attempts"]]) == ("succeeded", ["timeout", None])


class Deaf(MemoryBackend):
    """Takes note of a cancel, and goes on."""

    def cancel(self, operation_id: str) -> None:
        self.cancels.append(operation_id)


def test_timeout_when_the_operation_does_not_end_though_it_was_asked_to_then_says_that_it_may_still_run(tmp_path):
    plan = make_plan({"a": []}, rules={"a": {"timeout": 60.0}})
    running = Running(plan, Deaf({"a": Script(looks=None)}), tmp_path, clock=leaping_clock()).start()
    assert running.result() is Status.FAILED
    failure = job_of(running, "a")["failure"]
    assert (
        failure["message"]
        == f"it took longer than 1m, was asked to end, and has not in {written(CANCEL_PATIENCE)} more"
    )
    assert failure["hint"] == "its operation op-1 may still be running"


def test_timeout_when_the_operation_ends_before_the_request_arrives_then_it_is_what_it_is(tmp_path):
    class Late(MemoryBackend):
        def cancel(self, operation_id: str) -> None:
            self.end("a")

    plan = make_plan({"a": []}, rules={"a": {"timeout": 60.0}})
    running = Running(plan, Late({"a": Script(looks=None)}), tmp_path, clock=leaping_clock()).start()
    assert running.result() is Status.SUCCEEDED
