"""The list of runs as lines."""

from __future__ import annotations

from datetime import datetime

from dsjobs.reports.listing import age, listing

AT = "2026-11-22T14:10:03.000000Z"
NOW = datetime.fromisoformat(AT).timestamp() + 7384.0


def row(**fields):
    written = {
        "id": "20261122-141003-9f3c2a", "status": "succeeded", "name": "churn", "environment": "local",
        "started_at": AT, "duration": 252.0, "counts": {"succeeded": 7}, "parent_run": None, "host": "build-7",
    }  # fmt: skip
    return {**written, **fields}


def test_listing_when_runs_stand_differently_then_each_line_says_how():
    rows = [
        row(status="running", duration=None, counts={"running": 1, "succeeded": 2}),
        row(status="failed", counts={"succeeded": 7, "failed": 1}, parent_run="20261121-1"),
        row(status="succeeded", counts=None),
        row(status="damaged", name=None, environment=None, started_at=None, duration=None, counts=None),
        row(status="unbegun", duration=None, counts=None),
        row(status="unbegun", name=None, environment=None, started_at=None, duration=None, counts=None),
    ]
    assert listing(rows, now=NOW).splitlines() == [
        "  20261122-141003-9f3c2a  running    local  2h ago  2h03m  1 running, 2 succeeded · on build-7",
        "  20261122-141003-9f3c2a  failed     local  2h ago  4m12s  1 failed, 7 succeeded · follows 20261121-1",
        "  20261122-141003-9f3c2a  succeeded  local  2h ago  4m12s  see dsjobs status",
        "  20261122-141003-9f3c2a  damaged                          neither its manifest nor its journal can be read",
        "  20261122-141003-9f3c2a  unbegun    local  2h ago         its process ended before its plan was written",
        "  20261122-141003-9f3c2a  unbegun                          its process ended before its plan was written",
    ]


def test_listing_when_runs_are_of_several_pipelines_then_names_them():
    assert "churn" not in listing([row(), row()], now=NOW)
    assert "  churn  local" in listing([row(), row(name="other")], now=NOW)


def test_listing_when_the_clock_went_back_then_the_run_began_just_now():
    assert "  0s ago  " in listing([row()], now=NOW - 90000)


def test_age_when_told_then_is_in_the_largest_unit():
    assert [age(seconds) for seconds in (0.5, 59, 60, 3599, 7200, 86400 * 40)] == [
        "0s", "59s", "1m", "59m", "2h", "40d",
    ]  # fmt: skip
