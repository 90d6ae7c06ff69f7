"""Whole runs of `dsjobs apply` over HTTP to a `dsjobs serve` with one fault: each job runs exactly once, each outcome is right,
and nothing hangs. `test_faults_together.py` has all of them at once.

What is right: faults on the way (refused, late, cut off, reset or odd answers, hidden polls, tokens that expire and can be
renewed) change nothing. An operation that never ends goes on until its time limit or a stop of the run, and is cancelled
then, by the service's own word. An operation of which the service never says whether it succeeded is a failure of the backend,
never a success.

Here for some of the faults, together for all of them in the other file; with DSJOBS_TEST_FAULTS=all for each of them alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faulty_runs import (
    SEED,
    apply,
    check,
    fault_options,
    operations_of,
    resume,
    stop_when_only_struck_are_left,
    struck,
)  # fmt: skip
from live_server import TOKEN, Client
from made_jobs import due_ends, make_jobs

from dsjobs.server import faults
from dsjobs.server.faults import FAULTS

JOBS = 16
"""The fewest that have every fate among them."""
PATIENCE = 240
"""Seconds after which a run is taken to hang: many times what it takes."""

# With the two words in one, tokens that were good when a request left have expired when it is looked at.
HARMLESS = [
    "latency=0.3", "429", "429-retry-after=0.05", "429-retry-info", "503", "503-retry-after", "503-retry-info", "text-body",
    "html-body", "reset", "truncate", "cut", "not-found", "early-error", "expiring-tokens=1", "expiring-tokens=3 latency=1.5",
    "poll-interval=1", "fraction-digits=0", "fraction-digits=9", "bare", "status=number",
]  # fmt: skip
UNREADABLE = ["no-result", "status=missing", "status=PAUSED"]
ENDLESS = ["never-ends=0.5", "no-route=get-cancel", "no-route=post-cancel"]
OPENING = ["no-route=colon-open", "no-route=slash-open"]

EVERY = os.environ.get("DSJOBS_TEST_FAULTS") == "all"


def some(words: list[str], *first: str) -> list[str]:
    """`first` of `words`, which differ in what the client does; with DSJOBS_TEST_FAULTS=all every one."""
    assert set(first) <= set(words)
    return words if EVERY else list(first)


@pytest.mark.parametrize(
    "fault",
    some(HARMLESS, "429-retry-after=0.05", "reset", "truncate", "early-error", "expiring-tokens=1"),
)
def test_apply_when_a_fault_is_on_the_way_then_each_job_runs_once_and_ends_as_it_would_without(command, fault):
    server, jobs = command(*fault_options(*fault.split())), make_jobs(JOBS)
    credentials = {"YC_TOKEN": TOKEN} if "token" in fault else {}

    run, code = apply(server, jobs, patience=PATIENCE, **credentials)

    assert code == 1, run.stderr
    check(run, server, due_ends(jobs))


@pytest.mark.parametrize("fault", some(UNREADABLE, "no-result"))
def test_apply_when_the_service_never_says_ok_then_nothing_has_succeeded_and_each_job_ran_once(command, fault):
    server, jobs = command(*fault_options(fault)), make_jobs(JOBS)

    run, code = apply(server, jobs, patience=PATIENCE)

    assert code == 1, run.stderr
    check(run, server, due_ends(jobs, unreadable=True))


@pytest.mark.parametrize("fault", some(ENDLESS, "no-route=get-cancel"))
def test_apply_when_operations_never_end_then_a_stop_cancels_them_and_the_others_ended_as_they_should(command, fault):
    words = list(dict.fromkeys(["never-ends=0.5", fault]))
    server, jobs = command(*fault_options(*words)), make_jobs(JOBS)

    def due(struck):
        return due_ends(jobs, cancelled=struck)

    def stop(run):
        stop_when_only_struck_are_left(run, words, due, PATIENCE)

    run, code = apply(server, jobs, patience=PATIENCE, stop=stop)

    assert struck(run, words)
    assert code == 143, run.stderr
    check(run, server, due(struck(run, words)))


def test_apply_when_no_operation_ever_ends_then_time_limits_cancel_each_and_no_job_ran_twice(command):
    """How far a notebook comes within its time is not said: it may not even have begun."""
    server = command(*fault_options("never-ends=1"))
    jobs = [job for job in make_jobs(JOBS) if job.fate == "ok" and (job.need is None or job.number % 20 != 4)]

    run, code = apply(server, jobs, patience=PATIENCE, defaults={"timeout": "2s"})

    assert code == 1, run.stderr
    ends = run.ends()
    needy = {job.name for job in jobs if job.need}
    assert {ends[name].status for name in needy} == {"skipped"}
    assert {(end.status, end.failure) for name, end in ends.items() if name not in needy} == {("failed", "timeout")}
    assert {operation["state"] for operation in operations_of(server.client)} == {"done"}
    assert set(run.runs().values()) <= {1}


def test_apply_when_a_given_token_expires_then_the_run_is_left_and_another_token_goes_on_with_it(command):
    """Such a token cannot be renewed, so nothing can be learned any more, and nothing is decided about any job."""
    server, jobs = command("--jobs", "2", *fault_options("expiring-tokens=3")), make_jobs(100)
    anyone = Client(server.client.address, None)
    token = anyone.post("/iam/v1/tokens", json={"yandexPassportOauthToken": TOKEN}).json()["iamToken"]
    anyone.session.close()

    run, code = apply(server, jobs, at_once=JOBS, patience=PATIENCE, YC_IAM_TOKEN=token)

    assert code == 4, run.stderr
    assert run.records[-1]["record"] == "run_detached", "the token lived longer than the run"
    assert "cannot be renewed" in run.stderr and "dsjobs resume" in run.stderr
    due, ended = due_ends(jobs), run.ended()
    assert ended != set(due)
    known = {name: end for name, end in run.ends().items() if name in ended}
    assert known == {name: due[name] for name in ended}

    assert resume(run, YC_TOKEN=TOKEN) == 1
    assert run.ends() == due
    assert {operation["state"] for operation in operations_of(server.client)} == {"done"}


@pytest.mark.parametrize("fault", some(OPENING, "no-route=colon-open"))
def test_open_when_one_of_its_paths_is_unknown_then_the_other_one_opens_the_project(command, fault):
    server = command(*fault_options(fault))
    arguments = ["open", "p1", "--endpoint", server.client.address, "-o", "json"]

    opened = subprocess.run(
        [sys.executable, "-m", "dsjobs", *arguments], cwd=server.folder, capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "YC_IAM_TOKEN": TOKEN},
    )  # fmt: skip

    assert opened.returncode == 0, opened.stderr
    assert json.loads(opened.stdout)["project_url"].startswith(f"{server.client.address}/open/")
    assert server.end(signal.SIGTERM) == 143


def test_these_tests_when_there_is_a_fault_then_it_is_among_theirs():
    assert set(faults.parse(" ".join([*HARMLESS, *UNREADABLE, *ENDLESS, *OPENING]).split(), SEED).values) == set(FAULTS)
