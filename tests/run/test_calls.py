"""How many threads make calls: as many as the service keeps waiting, and no more."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import pytest

from dsjobs.run.calls import FEW, WORTH, Workers

LIMIT = 16
LONG = 30.0


class Answers:
    """Workers, and what they posted."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.posted: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.workers = Workers(limit, self.posted.put)
        self.gate = threading.Event()
        self.inside = threading.Semaphore(0)

    def hang(self) -> str:
        """A call that takes until the gate is opened."""
        self.inside.release()
        assert self.gate.wait(LONG)
        return "hung"

    def wait_until_inside(self, calls: int) -> None:
        for _ in range(calls):
            assert self.inside.acquire(timeout=LONG)

    def take(self, number: int) -> list[object]:
        return [self.posted.get(timeout=LONG) for _ in range(number)]

    @property
    def threads(self) -> int:
        return len(self.workers._threads)


@pytest.fixture
def answers() -> Iterator[Answers]:
    made = Answers()
    yield made
    made.gate.set()
    made.workers.close()


def test_calls_when_they_are_quick_then_few_threads_make_them(answers: Answers) -> None:
    for _ in range(2000):
        answers.workers.run(lambda: None)
    answers.take(2000)
    assert answers.workers.review() is False
    assert answers.threads == FEW


def test_calls_when_all_threads_hang_then_a_review_doubles_them_up_to_the_limit(answers: Answers) -> None:
    waits = [answers.workers.run(answers.hang) for _ in range(LIMIT + 1)]
    assert waits == [False] * FEW + [True] * (LIMIT + 1 - FEW)
    answers.wait_until_inside(FEW)
    reviews = []
    while not reviews or reviews[-1][0]:
        reviews.append((answers.workers.review(), answers.threads))
    assert reviews == [(True, 2 * FEW), (True, 4 * FEW), (True, 8 * FEW), (False, LIMIT)]
    answers.wait_until_inside(LIMIT - FEW)
    answers.gate.set()
    assert answers.take(LIMIT + 1) == ["hung"] * (LIMIT + 1)


def test_call_when_others_hang_for_ever_then_it_is_made_all_the_same(answers: Answers) -> None:
    for _ in range(FEW):
        answers.workers.run(answers.hang)
    answers.wait_until_inside(FEW)
    assert answers.workers.run(lambda: "made") is True
    assert answers.workers.review() is False
    assert answers.take(1) == ["made"]


def test_review_when_calls_end_meanwhile_then_no_thread_is_started(answers: Answers) -> None:
    for _ in range(FEW + 1):
        answers.workers.run(answers.hang)
    answers.wait_until_inside(FEW)
    answers.workers.run(lambda: None)
    answers.gate.set()
    answers.take(FEW + 2)
    answers.gate.clear()
    for _ in range(FEW + 1):
        answers.workers.run(answers.hang)
    answers.wait_until_inside(FEW)
    assert answers.workers.review() is True  # those that ended since the last review
    assert answers.threads == FEW
    assert answers.workers.review() is False
    assert answers.threads == FEW + 1


def test_calls_when_the_service_is_slow_then_threads_are_started_as_calls_come(answers: Answers) -> None:
    def slow() -> None:
        time.sleep(10 * WORTH)

    for _ in range(60):
        answers.workers.run(slow)
        answers.take(1)
    for _ in range(LIMIT):
        answers.workers.run(answers.hang)
    assert answers.threads > FEW


def test_workers_when_only_one_may_be_then_one_is() -> None:
    one = Answers(limit=1)
    assert [one.workers.run(one.hang) for _ in range(3)] == [False] * 3
    assert one.workers.review() is False
    one.gate.set()
    assert one.take(3) == ["hung"] * 3
    assert one.threads == 1
    one.workers.close()


def test_looks_when_several_wait_then_after_all_else_and_by_their_rank() -> None:
    one = Answers(limit=1)
    one.workers.run(one.hang)
    one.wait_until_inside(1)
    for rank in (3.0, 1.0, 2.0):
        one.workers.run(lambda rank=rank: rank, rank=rank)
    one.workers.run(lambda: "submit")
    one.gate.set()
    assert one.take(5) == ["hung", "submit", 1.0, 2.0, 3.0]
    one.workers.close()


def test_wait_when_a_call_is_under_way_then_until_it_has_ended_or_the_time_is_over(answers: Answers) -> None:
    answers.workers.wait(LONG)  # nothing is under way
    answers.workers.run(answers.hang)
    answers.workers.wait(0.01)
    assert answers.posted.empty()
    threading.Timer(0.05, answers.gate.set).start()
    began = time.monotonic()
    answers.workers.wait(LONG)
    assert time.monotonic() - began < LONG / 2
    assert answers.take(1) == ["hung"]
