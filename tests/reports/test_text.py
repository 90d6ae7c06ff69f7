"""A run as a table: what is said of it beyond its status, and what to type next."""

from __future__ import annotations

import pytest
from manifests import attempt, job, manifest

from dsjobs.reports.text import table

AT = "2026-11-22T15:00:00.000000Z"


def lines(*jobs, state=None, arguments="", **run):
    return table(manifest(*jobs, run=run), state=state, arguments=arguments).splitlines()


def test_table_when_a_run_simply_succeeded_then_nothing_more_is_said():
    assert lines(job("a", outputs={"rows": 3})) == [
        "small · run 20261122-141003-aaaaaa · environment 'local' (local)",
        "",
        "  a  succeeded  1.0s  rows=3",
        "",
        "1 succeeded in 12s",
    ]


@pytest.mark.parametrize(
    ("run", "state", "line"),
    [
        ({"parent_run": "20261121-1"}, None, "follows run 20261121-1"),
        ({"resumed_at": [AT]}, None, "resumed at 2026-11-22 15:00:00 UTC"),
        ({"resumed_at": [AT, AT]}, None, "resumed 2 times, last at 2026-11-22 15:00:00 UTC"),
        ({"stopped": "SIGINT", "status": "cancelled"}, None, "stopped: SIGINT"),
        ({"status": "running", "duration": None}, "running", "goes on in process 4711 on here"),
        ({"status": "running", "duration": None}, "interrupted", "interrupted: its process 4711 on here is gone"),
        (
            {"status": "running", "duration": None, "detached_at": AT},
            None,
            "detached at 2026-11-22 15:00:00 UTC: what is in flight goes on without dsjobs",
        ),
    ],
)
def test_table_when_a_run_has_a_history_then_its_head_tells_it(run, state, line):
    assert lines(job("a"), state=state, **run)[1] == line


@pytest.mark.parametrize(
    ("status", "state", "following"),
    [
        ("succeeded", None, ""),
        ("failed", None, " · next: dsjobs retry"),
        ("cancelled", None, " · next: dsjobs retry"),
        ("running", "running", ""),
        ("running", "interrupted", " · next: dsjobs resume"),
        ("running", "detached", " · next: dsjobs resume"),
    ],
)
def test_table_when_a_run_can_go_on_then_the_last_line_says_how(status, state, following):
    assert lines(job("a"), status=status, state=state, detached_at=AT)[-1] == "1 succeeded in 12s" + following


@pytest.mark.parametrize(
    ("others", "said"), [([], "1 failed (allowed) in 12s"), ([False], "2 failed (1 allowed) in 12s")]
)
def test_table_when_a_job_failed_that_may_then_it_says_so(others, said):
    failure = {"kind": "notebook", "message": "ValueError: no"}
    failed = [
        job(f"j{n}", status="failed", failure=failure, allow_failure=may) for n, may in enumerate([True, *others])
    ]
    told = lines(*failed)
    assert "j0 failed (notebook, allowed): ValueError: no" in told
    assert told[-1] == said


def test_table_when_the_run_is_not_the_latest_then_it_is_named_in_what_comes_next():
    assert lines(job("a"), status="failed", arguments="20261122-1 -f x.yaml")[-1].endswith(
        "next: dsjobs retry 20261122-1 -f x.yaml"
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"attempts": [attempt(1), attempt(2)]}, "2 attempts"),
        ({"attempts": [attempt(1), attempt(2)], "outputs": {"x": 1}}, "x=1 · 2 attempts"),
        ({"attempts": [], "reused_from": "20261121-1"}, "from run 20261121-1"),
        ({"status": "running", "attempts": [attempt(1), attempt(2)]}, "attempt 2"),
        ({"status": "running", "attempts": [attempt(1)]}, ""),
        ({"status": "running", "attempts": [attempt(1, cancelling="timeout")]}, "asked to end (timeout)"),
        (
            {"status": "pending", "attempts": [attempt(1, retry_at=AT)]},
            "attempt 1 failed, the next is due at 2026-11-22 15:00:00 UTC",
        ),
        ({"status": "skipped", "attempts": [], "reasons": ["needs 'b', which failed"]}, "needs 'b', which failed"),
    ],
)
def test_table_when_a_job_has_a_history_then_its_line_tells_it(fields, said):
    line = lines(job("a", **fields))[2]
    assert line.split("1.0s")[1].strip() == said
