"""What a loop is told: nothing is lost, nothing is late, and a wait ends when it should."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from dsjobs.inbox import Inbox

LONG = 30.0


@pytest.fixture
def inbox() -> Inbox[int]:
    return Inbox()


def test_wait_when_it_is_shorter_than_any_clock_can_tell_then_it_ends(inbox: Inbox[int]) -> None:
    """`queue.SimpleQueue` waits for ever in some of these rounds."""
    begun = time.monotonic()
    for _ in range(20_000):
        inbox.put(1)
        assert inbox.take() == [1]
        assert inbox.take(1e-6) == []
        assert inbox.take_one(1e-9) is None
        assert inbox.take(0.0) == []
    assert time.monotonic() - begun < LONG


def test_wait_when_nothing_comes_then_it_is_as_long_as_was_asked_for(inbox: Inbox[int]) -> None:
    inbox.put(1)
    assert inbox.take_one() == 1
    begun = time.monotonic()
    assert inbox.take_one(0.05) is None
    assert time.monotonic() - begun >= 0.05


def test_messages_when_they_are_taken_then_in_their_order_and_all_at_once(inbox: Inbox[int]) -> None:
    for number in range(5):
        inbox.put(number)
    assert inbox.take_one() == 0
    assert inbox.take() == [1, 2, 3, 4]


@pytest.mark.parametrize("pause", [None, 1e-5, 0.01])
def test_messages_when_many_threads_put_them_then_none_is_lost(inbox: Inbox[int], pause: float | None) -> None:
    threads, each = 4, 3_000

    def put(first: int) -> None:
        for number in range(first, threads * each, threads):
            inbox.put(number)

    putting = [threading.Thread(target=put, args=(number,)) for number in range(threads)]
    for thread in putting:
        thread.start()
    taken: list[int] = []
    begun = time.monotonic()
    while len(taken) < threads * each and time.monotonic() - begun < LONG:
        taken += inbox.take(pause)
    for thread in putting:
        thread.join()
    assert sorted(taken) == list(range(threads * each))
    for first in range(threads):
        assert [number for number in taken if number % threads == first] == list(range(first, threads * each, threads))


@pytest.fixture
def signalled(inbox: Inbox[int]) -> Iterator[Inbox[int]]:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: inbox.put(-1))
    yield inbox
    signal.signal(signal.SIGUSR1, before)


def test_messages_when_a_signal_handler_puts_them_in_the_midst_of_it_then_none_is_lost(signalled: Inbox[int]) -> None:
    sent = 300
    done: queue.SimpleQueue[int] = queue.SimpleQueue()

    def send() -> None:
        for _ in range(sent):
            os.kill(os.getpid(), signal.SIGUSR1)
            done.get()  # signals that come at once are one

    sender = threading.Thread(target=send)
    sender.start()
    begun, seen = time.monotonic(), 0
    while seen < sent and time.monotonic() - begun < LONG:
        signalled.put(1)
        for message in [*signalled.take(), signalled.take_one(1e-6)]:
            if message == -1:
                seen += 1
                done.put(1)
    assert seen == sent
    sender.join()


def test_wait_when_a_signal_handler_puts_a_message_then_it_ends(signalled: Inbox[int]) -> None:
    later = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    later.start()
    assert signalled.take(LONG) == [-1]
    later.join()
