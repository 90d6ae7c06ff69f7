"""How the executor's loop gathers what happens while calls are under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dsjobs.inbox import Inbox
from dsjobs.run import news
from dsjobs.run.calls import Workers
from dsjobs.run.flights import Timers

LONG = 30.0


class Loop:
    """A loop's inbox, timers and workers, and a call that takes until the gate is opened."""

    def __init__(self) -> None:
        self.inbox: Inbox[Any] = Inbox()
        self.timers = Timers(time.monotonic)
        self.workers = Workers(4, self.inbox.put)
        self.news = news.News(self.inbox, self.timers, self.workers)
        self.gate = threading.Event()

    def hang(self) -> str:
        assert self.gate.wait(LONG)
        return "hung"


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.gate.set()
    made.workers.close()


def test_take_when_calls_are_under_way_then_what_comes_soon_after_is_taken_as_well(loop, monkeypatch):
    monkeypatch.setattr(news, "GATHER", LONG)
    loop.workers.run(loop.hang)
    loop.inbox.put("first")
    assert loop.news.take() == ["first"]  # the first turn waits for nothing
    loop.inbox.put("second")
    threading.Timer(0.05, lambda: (loop.inbox.put("third"), loop.gate.set())).start()
    assert loop.news.take()[:2] == ["second", "third"]


def test_take_when_no_call_is_under_way_then_at_once(loop, monkeypatch):
    monkeypatch.setattr(news, "GATHER", LONG)
    began = time.monotonic()
    for message in range(100):
        loop.inbox.put(message)
        assert loop.news.take() == [message]
    assert time.monotonic() - began < LONG / 2


def test_take_when_a_call_goes_on_then_no_longer_than_it_gathers(loop):
    loop.workers.run(loop.hang)
    loop.inbox.put("first")
    loop.news.take()
    loop.inbox.put("second")
    assert loop.news.take() == ["second"]


def test_take_when_a_timer_is_due_then_it_is_done_though_nothing_happens(loop):
    loop.timers.add(0.01, lambda: loop.inbox.put("due"))
    assert loop.news.take() == ["due"]
