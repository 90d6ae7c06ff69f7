"""Random graphs, random outcomes, random moments to stop: the scheduler keeps its rules at every step."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import graphs

from dsjobs.model import Status
from dsjobs.run.events import Action, Cancel, Event, Finished, Rules, Skip, Started, StopRequested, Submit, Watch
from dsjobs.run.scheduler import Scheduler, run_status

OUTCOMES = (Status.SUCCEEDED, Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class World:
    """Plays the backend and the user for one scheduler, and checks each of its answers against rules written anew."""

    def __init__(self, needs: dict[str, list[str]], chance: random.Random, *, max_parallel: int, fail_fast: bool):
        self.needs = needs
        self.chance = chance
        self.max_parallel = max_parallel
        self.fail_fast = fail_fast
        self.outcomes = {name: chance.choice(OUTCOMES) for name in needs}
        self.in_flight: dict[str, bool] = {}  # whether the backend has accepted it
        self.ended: dict[str, Status] = {}
        self.submitted: list[str] = []
        self.reasons: dict[str, str] = {}
        self.stop: StopRequested | None = None
        self.first_stop: str | None = None
        self.scheduler = Scheduler(needs, Rules(max_parallel=max_parallel, fail_fast=fail_fast))

    def run(self, stop_chance: float) -> None:
        self.check(None, self.scheduler.start())
        while self.in_flight:
            self.step(stop_chance)

    def step(self, stop_chance: float) -> None:
        if self.chance.random() < stop_chance:
            event: Event = StopRequested("SIGINT", cancel=self.chance.random() < 0.5)
            if self.stop is None or event.cancel:
                self.stop = event
            self.first_stop = self.first_stop or event.reason
        else:
            event = self.event_of(self.chance.choice(list(self.in_flight)))
        self.check(event, self.scheduler.handle(event))
        self.check_stale_events()

    def event_of(self, job: str) -> Event:
        if not self.in_flight[job] and self.chance.random() < 0.6:
            self.in_flight[job] = True
            return Started(job, f"op-{job}")
        del self.in_flight[job]
        status = self.ended[job] = self.outcomes[job]
        if status is Status.FAILED and self.fail_fast and self.stop is None:
            self.stop = StopRequested(f"'{job}' failed (fail-fast)", cancel=False)
            self.first_stop = self.stop.reason
        return Finished(job, status)

    def check(self, event: Event | None, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Skip):
                assert action.job not in self.ended and action.job not in self.in_flight
                self.ended[action.job] = Status.SKIPPED
                self.reasons[action.job] = action.reason
        for action in actions:
            if isinstance(action, Submit):
                self.check_submit(action)
        self.check_cancels(event, [action for action in actions if isinstance(action, Cancel)])
        watched = [action for action in actions if isinstance(action, Watch)]
        assert watched == ([Watch(event.job, event.operation_id)] if isinstance(event, Started) else [])
        assert len(self.in_flight) <= self.max_parallel
        if self.stop is None and len(self.in_flight) < self.max_parallel:
            assert self.ready() == [], "a place is free and a job waits"
        assert self.scheduler.is_finished == (len(self.ended) == len(self.needs))

    def check_submit(self, action: Submit) -> None:
        assert self.stop is None, "nothing starts after a stop"
        assert all(self.ended.get(need) is Status.SUCCEEDED for need in self.needs[action.job])
        assert action.job == min(self.ready(), key=self.priority)
        assert action.attempt == 1 and action.job not in self.submitted
        self.submitted.append(action.job)
        self.in_flight[action.job] = False

    def check_cancels(self, event: Event | None, cancels: Sequence[Cancel]) -> None:
        if isinstance(event, StopRequested) and event.cancel:
            expected = [Cancel(job, f"op-{job}") for job, accepted in self.in_flight.items() if accepted]
        elif isinstance(event, Started) and self.stop is not None and self.stop.cancel:
            expected = [Cancel(event.job, event.operation_id)]
        else:
            expected = []
        assert sorted(c.job for c in cancels) == sorted(c.job for c in expected)
        assert all(cancel.operation_id == f"op-{cancel.job}" for cancel in cancels)

    def check_stale_events(self) -> None:
        for job in self.ended:
            assert self.scheduler.handle(Finished(job, Status.FAILED)) == []
            assert self.scheduler.handle(Started(job, "late")) == []

    def ready(self) -> list[str]:
        return [
            name
            for name, needed in self.needs.items()
            if name not in self.ended
            and name not in self.in_flight
            and all(self.ended.get(need) is Status.SUCCEEDED for need in needed)
        ]

    def priority(self, name: str) -> tuple[int, int]:
        return (-self.longest_path(name), list(self.needs).index(name))

    def longest_path(self, name: str) -> int:
        return 1 + max((self.longest_path(below) for below in self.needs if name in self.needs[below]), default=0)


def expected_statuses(world: World) -> dict[str, Status]:
    """What each job comes to: evaluated from the graph alone, and for a stopped run from what was submitted."""

    def status(name: str) -> Status:
        if world.stop is not None:
            return world.outcomes[name] if name in world.submitted else Status.SKIPPED
        may_run = all(status(need) is Status.SUCCEEDED for need in world.needs[name])
        return world.outcomes[name] if may_run else Status.SKIPPED

    return {name: status(name) for name in world.needs}


def check_reason(world: World, name: str) -> None:
    """The reason of a skipped job names the job that caused it, over a path that is really there; or the stop."""
    reason = world.reasons[name]
    if world.stop is not None and reason == f"the run was stopped: {world.first_stop}":
        return
    direct = re.fullmatch(r"needs '(\w+)', which (failed|was cancelled)", reason)
    through = re.fullmatch(r"needs '(\w+)', which was skipped because '(\w+)' (failed|was cancelled)", reason)
    words = {Status.FAILED: "failed", Status.CANCELLED: "was cancelled"}
    if direct:
        assert direct[1] in world.needs[name]
        assert words[world.ended[direct[1]]] == direct[2]
        return
    assert through, reason
    assert through[1] in world.needs[name] and world.ended[through[1]] is Status.SKIPPED
    assert words[world.ended[through[2]]] == through[3]
    assert through[2] in ancestors(world, through[1])


def ancestors(world: World, name: str) -> set[str]:
    return {above for need in world.needs[name] for above in (need, *ancestors(world, need))}


@settings(max_examples=300, deadline=None)
@given(
    needs=graphs(),
    seed=st.integers(0, 2**32),
    max_parallel=st.integers(1, 5),
    stop_chance=st.sampled_from([0.0, 0.0, 0.1, 0.3]),
    fail_fast=st.booleans(),
)
def test_scheduler_when_anything_happens_then_keeps_its_rules(needs, seed, max_parallel, stop_chance, fail_fast):
    world = World(needs, random.Random(seed), max_parallel=max_parallel, fail_fast=fail_fast)
    world.run(stop_chance)
    assert world.scheduler.is_finished
    assert dict(world.scheduler.statuses) == world.ended == expected_statuses(world)
    for name, status in world.ended.items():
        assert (name in world.reasons) == (status is Status.SKIPPED)
        if status is Status.SKIPPED:
            check_reason(world, name)


def test_scheduler_when_jobs_are_ready_then_longest_remaining_path_goes_first():
    needs = {"alone": [], "short": [], "long": [], "next": ["long"], "last": ["next"], "after": ["short"]}
    scheduler = Scheduler(needs, Rules(max_parallel=1))
    order = []
    actions = scheduler.start()
    while actions:
        assert len(actions) == 1 and isinstance(actions[0], Submit)
        order.append(actions[0].job)
        actions = scheduler.handle(Finished(actions[0].job, Status.SUCCEEDED))
    assert order == ["long", "short", "next", "alone", "last", "after"]


def test_scheduler_when_a_stop_becomes_a_cancel_then_the_new_reason_is_in_force():
    scheduler = Scheduler({"a": [], "b": []}, Rules(max_parallel=1))
    scheduler.start()
    scheduler.handle(Started("a", "op"))
    assert scheduler.handle(StopRequested("'x' failed (fail-fast)", cancel=False)) == [
        Skip("b", "the run was stopped: 'x' failed (fail-fast)", "the run was stopped: 'x' failed (fail-fast)")
    ]
    assert scheduler.handle(StopRequested("SIGINT", cancel=True)) == [Cancel("a", "op")]
    assert scheduler.stop == StopRequested("SIGINT", cancel=True)


def test_scheduler_when_a_graph_is_deep_then_a_skip_reaches_its_end():
    names = [f"j{number}" for number in range(5000)]
    needs = {name: names[index - 1 : index] if index else [] for index, name in enumerate(names)}
    scheduler = Scheduler(needs, Rules(max_parallel=1))
    scheduler.start()
    skips = scheduler.handle(Finished("j0", Status.FAILED))
    assert len(skips) == 4999
    assert skips[-1] == Skip("j4999", "needs 'j4998', which was skipped because 'j0' failed", "'j0' failed")
    assert scheduler.is_finished


@pytest.mark.parametrize(
    ("statuses", "stopped", "expected"),
    [
        ([Status.SUCCEEDED], False, Status.SUCCEEDED),
        ([Status.SUCCEEDED], True, Status.SUCCEEDED),
        ([Status.SUCCEEDED, Status.SKIPPED], True, Status.CANCELLED),
        ([Status.SUCCEEDED, Status.CANCELLED], False, Status.CANCELLED),
        ([Status.CANCELLED, Status.FAILED, Status.SKIPPED], True, Status.FAILED),
    ],
)
def test_run_status_when_jobs_have_ended_then_the_worst_decides(statuses, stopped, expected):
    assert run_status(dict(enumerate(statuses)), stopped=stopped) is expected
