"""Many jobs through `dsjobs apply` and a `dsjobs serve` that has every fault on at once: each job runs exactly once, each
outcome is right, and nothing hangs. What is right, `test_faults_end_to_end.py` says.

`DSJOBS_TEST_JOBS` says how many; 500 take about two minutes.
"""

from __future__ import annotations

import os
import random

from faulty_runs import SEED, apply, check, fault_options, stop_when_only_struck_are_left, struck
from live_server import TOKEN
from made_jobs import due_ends, make_jobs

from dsjobs.server import faults
from dsjobs.server.faults import FAULTS

JOBS, FEW, AT_ONCE = int(os.environ.get("DSJOBS_TEST_JOBS", "80")), 20, 100
PATIENCE = 900
"""Seconds after which the run is taken to hang: ten times what it takes."""


def all_faults() -> list[str]:
    """All but `no-result`, which leaves nothing to find out; how likely each is, the seed says."""
    chance = random.Random(SEED)
    likely = {
        name: chance.uniform(0.02, 0.1)
        for name, kind in FAULTS.items()
        if kind.unit == "probability" and not name.startswith("429-")
    }
    # The first two quieten every call for a while, so a few of them make a run slow; the third must strike some job.
    likely |= {"429-retry-after": 0.003, "429-retry-info": 0.01, "never-ends": 0.1}
    others = {
        "latency": 0.1, "not-found": 2, "early-error": 2, "expiring-tokens": 3, "poll-interval": 1,
        "fraction-digits": chance.randrange(10), "bare": "", "status": "number", "no-route": "get-cancel",
    }  # fmt: skip
    words = [f"{name}={value:.3g}" for name, value in likely.items()]
    words += [f"{name}={value}".rstrip("=") for name, value in others.items()]
    chance.shuffle(words)
    return words


def check_run(command, words, count, *, unreadable=False):
    """So many jobs, stopped when only operations that never end are left; there is one, so the run does not end before."""
    server, jobs = command(*fault_options(*words)), make_jobs(count)

    def due(struck):
        return due_ends(jobs, cancelled=struck, unreadable=unreadable)

    def stop(run):
        stop_when_only_struck_are_left(run, words, due, PATIENCE)

    run, code = apply(server, jobs, at_once=AT_ONCE, patience=PATIENCE, stop=stop, YC_TOKEN=TOKEN)

    assert struck(run, words)
    assert code == 143, run.stderr
    check(run, server, due(struck(run, words)))


def test_apply_when_all_faults_come_together_then_each_of_many_jobs_runs_once_and_ends_as_it_should(command):
    check_run(command, all_faults(), JOBS)


def test_apply_when_there_is_also_never_a_result_then_each_job_runs_once_and_none_succeeds(command):
    check_run(command, [*all_faults(), "no-result", "never-ends=0.4"], FEW, unreadable=True)


def test_all_faults_when_there_is_a_fault_then_it_is_among_them():
    assert set(faults.parse(all_faults(), SEED).values) == set(FAULTS) - {"no-result"}
