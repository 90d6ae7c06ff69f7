"""The pace of looks, as a pure function of what is known."""

import random

import pytest

from dsjobs.backends.protocol import Looks
from dsjobs.model import Request
from dsjobs.run.pace import JITTER, LONGEST, LOOKS, SHARE, Durations, Pace, earlier_durations, kind


def level(low: float, high: float) -> float:
    return (low + high) / 2


def pace(earlier: dict[str, list[float]] | None = None, shortest: float = 0.01, calls: float = 1000.0) -> Pace:
    return Pace(Looks(shortest, calls), Durations(earlier), level)


def looks(subject: Pace, end: float) -> list[float]:
    """The moments at which one operation, that ends at `end`, is looked at."""
    moments = [subject.next_look("k", 0.0, 1)]
    while moments[-1] < end:
        moments.append(moments[-1] + subject.next_look("k", moments[-1], 1))
    return moments


def test_looks_when_nothing_is_known_then_wait_a_share_of_the_time_so_far() -> None:
    assert pace().next_look("k", 10.0, 1) == pytest.approx(SHARE * 10.0)


def test_looks_when_duration_is_known_then_first_comes_just_before_it() -> None:
    first = pace({"k": [2.0, 2.1, 2.05]}).next_look("k", 0.0, 1)
    assert 1.8 < first < 2.0


def test_looks_when_operation_ends_within_the_window_then_few_and_soon_after() -> None:
    subject = pace({"k": [1.8, 1.9, 2.0, 2.1, 2.2]})
    moments = looks(subject, 2.05)
    assert len(moments) <= LOOKS + 1
    assert moments[-1] - 2.05 < 0.1


def test_looks_when_operation_overruns_then_back_off_again() -> None:
    moments = looks(pace({"k": [1.0]}), 30.0)
    assert moments[-1] - moments[-2] == pytest.approx(SHARE * moments[-2])


def test_looks_when_expected_time_is_long_then_early_failure_is_seen() -> None:
    assert pace({"k": [7200.0]}).next_look("k", 0.0, 1) == LONGEST


def test_looks_when_many_are_in_flight_then_all_together_keep_the_limit() -> None:
    interval = pace(calls=100.0).next_look("k", 0.0, 5000)
    assert interval == pytest.approx(50.0)


def test_looks_when_one_of_many_overruns_then_it_need_not_wait_for_the_others() -> None:
    subject = pace({"k": [0.9, 1.0, 1.1]}, calls=100.0)
    assert subject.next_look("k", 1.5, 1000) < 5.0


def test_looks_when_all_of_many_overrun_then_all_together_keep_the_limit() -> None:
    subject = pace({"k": [0.9, 1.0, 1.1]}, calls=100.0)
    for _ in range(1000):
        subject.next_look("k", 1.5, 1000)
    assert subject.next_look("k", 1.5, 1000) == pytest.approx(10.0, rel=0.01)


def test_looks_when_server_gives_a_hint_then_never_sooner() -> None:
    assert pace().next_look("k", 0.0, 1, hint=7.0) == 7.0


def test_looks_when_interval_is_the_shortest_then_jitter_keeps_within_its_bounds() -> None:
    for end, factor in (("low", 1 - JITTER), ("high", 1 + JITTER)):
        subject = Pace(Looks(1.0, 1000.0), Durations(), lambda low, high, end=end: low if end == "low" else high)
        assert subject.next_look("k", 0.0, 1) == pytest.approx(factor)


def test_durations_when_many_then_only_the_latest_count() -> None:
    durations = Durations({"k": [100.0] * 64 + [1.0] * 64})
    expected = durations.expected("k")
    assert expected is not None
    assert expected[1] < 2.0


def test_durations_when_taken_from_a_manifest_then_only_successes_count() -> None:
    request = {"projectId": "p", "notebookId": "a.ipynb"}
    jobs = [
        {"status": "succeeded", "duration": 2.0, "request": request},
        {"status": "failed", "duration": 0.1, "request": request},
        {"status": "skipped", "duration": None, "request": request},
        {"status": "succeeded", "duration": 3.0, "request": {"projectId": "p", "cellId": "c"}},
    ]
    assert earlier_durations({"jobs": jobs}) == {"p/a.ipynb": [2.0], "p/c": [3.0]}
    assert kind(Request("p", notebook="a.ipynb")) == "p/a.ipynb"


def test_durations_when_only_looks_tell_of_them_then_they_do_not_grow_with_the_looks() -> None:
    """Each operation takes two to four seconds, and the service says nothing of its times."""
    subject = pace({"k": [3.0]})
    chance = random.Random(5)
    firsts = []
    for _ in range(1000):
        end = chance.uniform(2.0, 4.0)
        moments = looks(subject, end)
        firsts.append(moments[0])
        subject.seen_ended("k", moments[-1], moments[-2] if len(moments) > 1 else None)
    assert 1.8 < min(firsts[-100:]) <= max(firsts[-100:]) < 2.5
