"""What is said of calls that are made again: at once, then now and then, whatever the number of jobs."""

from __future__ import annotations

from dsjobs.errors import BackendError
from dsjobs.run.remarks import EVERY, MISSED_LOOKS, Remarks

AWAY = BackendError("no connection", retryable=True, hint="check the endpoint")


def test_submits_when_all_fail_then_one_is_told_and_later_another():
    told, now = [], [100.0]
    remarks = Remarks(told.append, lambda: now[0])
    for number in range(50):
        remarks.submit_failed(f"j{number}", AWAY)
    now[0] += EVERY
    remarks.submit_failed("j7", AWAY)
    assert told == [
        "j0 is not submitted yet, trying again: no connection (check the endpoint)",
        "j7 is not submitted yet, trying again: no connection (check the endpoint)",
    ]


def test_looks_when_some_fail_then_only_several_in_a_row_are_told():
    told = []
    remarks = Remarks(told.append, lambda: 0.0)
    for _ in range(10):
        for _ in range(MISSED_LOOKS - 1):
            remarks.look_failed("a", AWAY)
        remarks.looked("a")
    assert told == []
    for _ in range(MISSED_LOOKS):
        remarks.look_failed("a", AWAY)
    assert told == ["no news of a, looking again: no connection (check the endpoint)"]


def test_remarks_when_nobody_listens_then_nothing_happens():
    Remarks(None, lambda: 0.0).submit_failed("a", AWAY)
