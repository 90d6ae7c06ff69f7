"""Secrets in a run: handed to the backend, in no record, and a job that cannot have its own fails before anything is sent."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from disguises import leaks, leaks_below
from memory_backend import MemoryBackend, Script
from runs import Running, leaping_clock, make_plan
from test_resume import DiedError, DyingLog, manifest_of, recovered

from dsjobs.errors import BackendError
from dsjobs.model import Failure, Plan, Retry, SecretSource, Status
from dsjobs.plan.fingerprint import fingerprinted
from dsjobs.run.secret_values import SecretValues

VALUE = 'one "secret" value/é'
SOURCES = {"DB": SecretSource("DB", "DB", None), "KEY": SecretSource("KEY", None, "key.pem")}


def plan(needs=None, **fields) -> Plan:
    """Jobs whose input PASSWORD is the secret DB."""
    made = make_plan(needs or {"a": []}, **fields)
    jobs = [
        replace(one, job=replace(one.job, request=replace(one.job.request, secrets={"PASSWORD": "DB"})))
        for one in made.jobs
    ]
    return replace(made, jobs=tuple(jobs), secrets=SOURCES)


def values(value: str = VALUE) -> SecretValues:
    secrets = SecretValues(SOURCES, lambda source: value)
    secrets.value("DB")
    return secrets


def run(folder: Path, made: Plan, backend: MemoryBackend, secrets: SecretValues | None) -> Running:
    running = Running(made, backend, folder, clock=leaping_clock(), secrets=secrets).start()
    running.result()
    return running


def test_submit_when_an_input_is_a_secret_then_the_backend_gets_it_and_the_journal_its_name(tmp_path):
    backend = MemoryBackend(journal=tmp_path / "journal.jsonl")
    running = run(tmp_path, plan(), backend, values())
    submission = backend.submissions["a"]
    assert submission.variables() == {"NAME": "a", "PASSWORD": VALUE}
    assert leaks(repr(submission), VALUE) == []
    assert leaks_below(tmp_path, VALUE) == {}
    intent = next(record for record in running.records if record["record"] == "job_submitting")
    assert intent["request"]["inputVariables"] == {"NAME": "a", "PASSWORD": {"secret": "DB"}}
    assert running.records[0]["secrets"] == {"DB": {"env": "DB"}, "KEY": {"file": "key.pem"}}


def test_output_when_it_holds_a_secret_then_the_job_has_failed_and_nobody_gets_it(tmp_path):
    made = plan(
        {"a": [], "b": ["a"]},
        inputs={"b": {"DSN": "{{ needs.a.outputs.dsn }}"}},
        outputs={"a": {"dsn": {"type": "integer"}, "rows": {}}},
        rules={"b": {"run_if": "all_done"}},
    )
    backend = MemoryBackend({"a": Script(outputs={"dsn": {"url": [f"db://u:{VALUE}@host"]}, "rows": 3})})
    run(tmp_path, made, backend, values())
    first = manifest_of(tmp_path)["jobs"][0]
    assert (first["status"], first["outputs"]) == ("failed", {"dsn": "***", "rows": 3})
    assert first["failure"]["kind"] == "contract"
    assert (
        first["failure"]["message"] == "output 'dsn' holds the value of the secret 'DB', which must not be written down"
    )
    assert backend.submissions["b"].variables()["DSN"] == "***"
    assert leaks_below(tmp_path, VALUE) == {}


FAILURE = Failure(
    "notebook", f"raised {VALUE}", f"not {VALUE}", 1, "c1", 1, f"f('{VALUE}')", VALUE, (VALUE[:5], VALUE[5:])
)


@pytest.mark.parametrize(
    "script",
    [
        Script(failure=FAILURE),
        Script(refusals=(BackendError(f"400 for {VALUE!r}", retryable=False, hint=VALUE),)),
        Script(looks=1, poll_errors=(BackendError(f"404 for {VALUE!r}", retryable=False),)),
        Script(outputs={}, failure=None),
        Script(outputs={"rows": VALUE}),
    ],
)
def test_failure_when_it_quotes_a_secret_then_it_is_masked_in_every_record(tmp_path, script):
    made = plan(outputs={"a": {"rows": {"type": "integer"}}}, rules={"a": {"retry": Retry(max_attempts=2, delay=1.0)}})
    running = run(tmp_path, made, MemoryBackend({"a": script}), values())
    assert leaks(repr(running.records), VALUE) == []
    assert leaks_below(tmp_path, VALUE) == {}
    assert manifest_of(tmp_path)["jobs"][0]["status"] == "failed"


def test_rendered_input_when_it_comes_to_hold_a_secret_then_it_is_not_sent(tmp_path):
    made = plan({"a": [], "b": ["a"]}, inputs={"b": {"X": "{{ needs.a.outputs.one }}/é"}}, outputs={"a": {"one": {}}})
    backend = MemoryBackend({"a": Script(outputs={"one": VALUE[:-2]})})
    run(tmp_path, made, backend, values())
    failure = manifest_of(tmp_path)["jobs"][1]["failure"]
    assert (failure["kind"], failure["message"]) == (
        "template", "input 'X' holds the value of the secret 'DB', which must not be written down",
    )  # fmt: skip
    assert list(backend.submissions) == ["a"]
    assert leaks_below(tmp_path, VALUE) == {}


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        (None, "the job could not be submitted: the secret 'DB' is not defined in the job file"),
        (SecretValues(SOURCES), "the job could not be submitted: the secret 'DB' cannot be read here"),
    ],
)
def test_submit_when_the_secret_cannot_be_had_then_the_job_fails_and_nothing_is_sent(tmp_path, secrets, message):
    backend = MemoryBackend()
    run(tmp_path, plan(), backend, secrets)
    failure = manifest_of(tmp_path)["jobs"][0]["failure"]
    assert (failure["kind"], failure["message"]) == ("backend", message)
    assert backend.submissions == {}


def test_submit_when_it_is_repeated_then_with_the_same_value_and_another_attempt_reads_anew(tmp_path):
    told = iter(["the first value", "the second value", "the third value"])
    learned = []
    secrets = SecretValues(SOURCES, lambda source: next(told), learned=lambda secret: learned.append(secret.reveal()))
    seen = []

    class Watched(MemoryBackend):
        def submit(self, submission, **options):
            seen.append(submission.variables()["PASSWORD"])
            return super().submit(submission, **options)

    busy = BackendError("busy", retryable=True)
    backend = Watched({"a#1": Script(refusals=(busy,), failure=Failure("notebook", "no"))})
    run(tmp_path, plan(rules={"a": {"retry": Retry(max_attempts=2, delay=1.0)}}), backend, secrets)
    assert seen == ["the first value", "the first value", "the second value"]
    assert learned == ["the first value", "the second value"]


@pytest.mark.parametrize("survives", [True, False])
def test_resume_when_the_run_died_after_any_record_then_no_file_has_the_secret(tmp_path, survives):
    """What was lost is sent again with the value of now; what comes back is masked."""
    leaking = {"a": Script(outputs={"x": VALUE}, looks=1), "b": Script(failure=FAILURE, looks=1)}
    for after in range(3, 9):
        folder = tmp_path / str(after)
        folder.mkdir()
        backend = MemoryBackend(leaking, survives=survives)
        log = DyingLog(folder / "journal.jsonl", after=after)
        made = plan({"a": [], "b": []}, outputs={"a": {"x": {}}})
        with suppress(DiedError):
            Running(made, backend, folder, clock=leaping_clock(), log=log, secrets=values()).start().result()
        again = recovered(folder)
        assert again.plan.secrets == SOURCES
        assert [one.job.request.secrets for one in again.plan.jobs] == [{"PASSWORD": "DB"}] * 2
        if manifest_of(folder)["run"]["status"] == Status.RUNNING:
            log = DyingLog(folder / "journal.jsonl", after=99, existing=True)
            running = Running(
                again.plan, backend, folder, clock=leaping_clock(), log=log, recovered=again, secrets=values()
            )
            assert running.start().result() is Status.FAILED
        assert backend.submissions["a"].variables()["PASSWORD"] == VALUE
    assert leaks_below(tmp_path, VALUE) == {}


def no_value(source: SecretSource) -> str:
    raise BackendError("has no value: it is not set", retryable=False, hint="set it")


def cancelled_without_its_secret(folder: Path, backend: MemoryBackend, *, after: int) -> dict[str, Any]:
    """The only job of a run whose process died after so many records, and that is brought to its end where DB has no value."""
    twice = {"a": {"retry": Retry(max_attempts=2)}}
    made = plan(outputs={"a": {"x": {}}}, rules=twice)
    log = DyingLog(folder / "journal.jsonl", after=after)
    with pytest.raises(DiedError):
        Running(made, backend, folder, clock=leaping_clock(), log=log, secrets=values()).start().result()
    again = recovered(folder).stopped("dsjobs cancel")
    log = DyingLog(folder / "journal.jsonl", after=99, existing=True)
    unset = SecretValues(SOURCES, no_value)
    Running(
        again.plan, backend, folder, clock=leaping_clock(), log=log, recovered=again, secrets=unset
    ).start().result()
    (job,) = manifest_of(folder)["jobs"]
    return job


def test_cancel_when_what_may_have_been_submitted_cannot_be_sent_again_then_its_fate_is_not_known(tmp_path):
    job = cancelled_without_its_secret(tmp_path, MemoryBackend(survives=True), after=3)
    assert (job["status"], len(job["attempts"])) == ("failed", 1)
    assert job["failure"]["message"] == "the job could not be submitted: the secret 'DB' has no value: it is not set"
    assert job["failure"]["hint"] == "set it; whether the backend has started it is not known"


@pytest.mark.parametrize("script", [Script(outputs={"x": [VALUE]}), Script(failure=FAILURE, outputs=None)])
def test_cancel_when_a_secret_has_no_value_then_what_a_job_that_has_it_says_is_not_kept(tmp_path, script):
    backend = MemoryBackend({"a": replace(script, looks=1)}, survives=True)
    job = cancelled_without_its_secret(tmp_path, backend, after=4)
    assert leaks_below(tmp_path, VALUE) == {}
    assert job["status"] == "failed" and "the secret 'DB'" in job["failure"]["message"]
    assert job["failure"]["kind"] == ("notebook" if script.failure else "contract")
    assert not job["outputs"]


def test_fingerprint_when_the_value_changes_then_it_stays_and_when_the_name_does_then_it_does_not():
    made = plan()
    first = fingerprinted(made).jobs[0].fingerprint
    elsewhere = replace(made, secrets={"DB": SecretSource("DB", None, "elsewhere.txt")})
    assert fingerprinted(elsewhere).jobs[0].fingerprint == first
    job = made.jobs[0]
    renamed = replace(job, job=replace(job.job, request=replace(job.job.request, secrets={"PASSWORD": "KEY"})))
    assert fingerprinted(replace(made, jobs=(renamed,))).jobs[0].fingerprint.digest != first.digest
