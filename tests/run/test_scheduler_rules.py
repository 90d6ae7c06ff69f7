"""Conditions, retries, pools, jobs that do not run, and taking up again: whatever happens, each job comes to what a naive
evaluation says."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import graphs, make_plan

from dsjobs.model import Plan, Status
from dsjobs.run.events import (
    AttemptFailed,
    Finished,
    GiveUp,
    Past,
    RetryDue,
    Rules,
    Skip,
    Started,
    StopRequested,
    Submit,
)
from dsjobs.run.rules import needs_of_run, reused_before, rules_of, skipped_before
from dsjobs.run.scheduler import Scheduler, run_status

RUN_IFS = ["all_success", "all_success", "all_done", "none_failed", "at_least_one_success", "all_failed",
           "at_least_one_failed"]  # fmt: skip
KINDS = ["run", "run", "run", "run", "reused", "left out", "when is false"]
S, F, C, K = Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.SKIPPED
DECIDED = {"reused": S, "when is false": K}


class World:
    """Plays the backend: each job fails so many times, and then comes to its outcome, if it has attempts enough. Of some it is
    decided before that they do not run: `kinds`."""

    def __init__(self, needs: dict[str, list[str]], chance: random.Random) -> None:
        self.needs = needs
        self.chance = chance
        self.kinds = {name: chance.choice(KINDS) for name in needs}
        self.run_if = {name: chance.choice(RUN_IFS) for name in needs}
        self.outcome = {name: chance.choice([S, S, S, F, C, K]) for name in needs}
        self.failures = {name: chance.choice([0, 0, 1, 2]) for name in needs}
        self.most_attempts = {name: chance.choice([1, 1, 2, 3]) for name in needs}
        self.limits = {"gpu": chance.randint(1, 2), "disk": chance.randint(1, 2)}
        self.pools = {name: tuple(p for p in self.limits if chance.random() < 0.4) for name in needs}
        self.plan = self.made_plan()
        self.rules = rules_of(self.plan, fail_fast=False)
        self.scheduler = Scheduler(needs_of_run(self.plan), self.rules)
        self.attempts: Counter[str] = Counter()
        self.in_flight: dict[str, str | None] = {}
        self.resting: set[str] = set()
        self.ended = {name: DECIDED[kind] for name, kind in self.kinds.items() if kind in DECIDED}
        self.causes = skipped_before(self.plan)
        self.stop: StopRequested | None = None

    def made_plan(self) -> Plan:
        of_kind = {kind: [name for name in self.needs if self.kinds[name] == kind] for kind in KINDS}
        rules = {name: {"run_if": self.run_if[name], "pools": self.pools[name]} for name in self.needs}
        for name in of_kind["when is false"]:
            rules[name]["skip_reason"] = "its `when` is false"
        plan = make_plan(
            self.needs,
            max_parallel=self.chance.randint(1, 4),
            rules=rules,
            reused={name: {} for name in of_kind["reused"]},
            left_out=of_kind["left out"],
        )
        return replace(plan, pools=self.limits)

    def expected(self) -> dict[str, Status]:
        """What each job comes to in a run that is not stopped: evaluated from the graph alone."""
        found: dict[str, Status] = {}

        def status(name: str) -> Status:
            if name not in found:
                known = DECIDED.get(self.kinds[name])
                found[name] = known or (self.last_outcome(name) if may_run(name) else K)
            return found[name]

        def may_run(name: str) -> bool:
            above = [status(need) for need in self.needs[name] if self.kinds[need] != "left out"]
            bad = [one in (F, C) for one in above]
            return (
                not above
                or {
                    "all_success": all(one is S for one in above),
                    "all_done": True,
                    "none_failed": not any(bad),
                    "at_least_one_success": any(one is S for one in above),
                    "all_failed": all(bad),
                    "at_least_one_failed": any(bad),
                }[self.run_if[name]]
            )

        return {name: status(name) for name, kind in self.kinds.items() if kind != "left out"}

    def last_outcome(self, name: str) -> Status:
        return F if self.failures[name] >= self.most_attempts[name] else self.outcome[name]

    def run(self, crash_chance: float = 0.0, stop_chance: float = 0.0) -> None:
        self.take(self.scheduler.start(skipped_before(self.plan), reused_before(self.plan)))
        while not self.scheduler.is_finished:
            if self.chance.random() < crash_chance:
                self.crash()
            elif self.chance.random() < stop_chance:
                self.stop = StopRequested("SIGTERM", cancel=True)
                self.take(self.scheduler.handle(self.stop))
            else:
                self.step()

    def step(self) -> None:
        name = self.chance.choice([*self.in_flight, *self.resting])
        if name in self.resting:
            self.resting.discard(name)
            self.take(self.scheduler.handle(RetryDue(name)))
        elif self.in_flight[name] is None and self.chance.random() < 0.6 and self.outcome[name] is not K:
            self.in_flight[name] = f"op-{name}"
            self.take(self.scheduler.handle(Started(name, f"op-{name}")))
        else:
            self.end(name)

    def end(self, name: str) -> None:
        del self.in_flight[name]
        if self.attempts[name] <= self.failures[name] and self.attempts[name] < self.most_attempts[name]:
            self.resting.add(name)
            self.take(self.scheduler.handle(AttemptFailed(name)))
            return
        status = F if self.attempts[name] <= self.failures[name] else self.outcome[name]
        self.ended[name] = status
        if status is K:
            self.causes[name] = "its `when` is false"
        self.take(self.scheduler.handle(Finished(name, status, self.causes.get(name, ""))))

    def take(self, actions: list) -> None:
        for action in actions:
            if isinstance(action, Submit):
                assert self.stop is None
                self.attempts[action.job] += 1
                assert action.attempt == self.attempts[action.job] and action.job not in self.in_flight
                self.in_flight[action.job] = None
            elif isinstance(action, Skip):
                assert action.job not in self.ended and not self.attempts[action.job]
                self.ended[action.job], self.causes[action.job] = K, action.cause
            elif isinstance(action, GiveUp):
                self.resting.discard(action.job)
                self.ended[action.job] = F
                self.take(self.scheduler.handle(Finished(action.job, F)))
        held = Counter(pool for name in self.in_flight for pool in self.pools[name])
        assert all(held[pool] <= limit for pool, limit in self.limits.items())
        assert len(self.in_flight) <= self.rules.max_parallel

    def crash(self) -> None:
        """Another scheduler takes the run up. Of what was decided last, some may not have been written down."""
        decided = [name for name, status in self.ended.items() if status is K and not self.attempts[name]]
        unwritten = [name for name in decided if self.kinds[name] == "run"][-1:]
        ended = {name: status for name, status in self.ended.items() if name not in unwritten}
        past = Past(ended, dict(self.causes), dict(self.in_flight), frozenset(self.waiting()), self.attempts, self.stop)
        for name in unwritten:
            del self.ended[name]
        self.resting = self.waiting()
        self.scheduler = Scheduler(needs_of_run(self.plan), self.rules)
        self.take(self.scheduler.restore(past))

    def waiting(self) -> set[str]:
        """Jobs that have failed and have neither ended nor begun again: also those that are due already."""
        return {
            name
            for name, count in self.attempts.items()
            if count and name not in self.ended and name not in self.in_flight
        }


@settings(max_examples=300, deadline=None)
@given(needs=graphs(), seed=st.integers(0, 2**32), crash_chance=st.sampled_from([0.0, 0.0, 0.2]))
def test_scheduler_when_jobs_have_conditions_retries_and_pools_then_ends_as_a_naive_evaluation(
    needs, seed, crash_chance
):
    world = World(needs, random.Random(seed))
    world.run(crash_chance)
    assert dict(world.scheduler.statuses) == world.ended == world.expected()
    for name, attempts in world.attempts.items():
        assert attempts == min(world.failures[name] + 1, world.most_attempts[name])


@settings(max_examples=200, deadline=None)
@given(needs=graphs(), seed=st.integers(0, 2**32))
def test_scheduler_when_it_is_stopped_and_taken_up_at_any_moment_then_everything_ends(needs, seed):
    world = World(needs, random.Random(seed))
    world.run(crash_chance=0.2, stop_chance=0.2)
    assert dict(world.scheduler.statuses) == world.ended
    assert all(status is not F or world.attempts[name] for name, status in world.ended.items())


def scheduler_for(run_if: str, statuses: list[Status]) -> list:
    needs = {f"n{number}": [] for number in range(len(statuses))}
    scheduler = Scheduler({**needs, "last": [*needs]}, Rules(max_parallel=9, run_if={"last": run_if}))
    scheduler.start()
    return [
        action
        for name, status in zip(needs, statuses, strict=True)
        for action in scheduler.handle(Finished(name, status))
    ]


@pytest.mark.parametrize(
    ("run_if", "statuses", "reason"),
    [
        ("all_done", [F, C], None),
        ("none_failed", [S, S], None),
        ("none_failed", [S, F], "run_if none_failed: 'n1' failed"),
        ("at_least_one_success", [F, S], None),
        ("at_least_one_success", [F, C], "run_if at_least_one_success: none of 'n0', 'n1' succeeded"),
        ("all_failed", [F, C], None),
        ("all_failed", [F, S], "run_if all_failed: 'n1' succeeded"),
        ("at_least_one_failed", [S, F], None),
        ("at_least_one_failed", [S, S], "run_if at_least_one_failed: none of 'n0', 'n1' failed"),
        ("all_success", [S, C], "needs 'n1', which was cancelled"),
    ],
)
def test_run_if_when_the_needs_have_ended_then_the_reason_names_the_condition_and_the_job(run_if, statuses, reason):
    [action] = scheduler_for(run_if, statuses)
    assert action == Submit("last", 1) if reason is None else (action.job, action.reason) == ("last", reason)


def test_scheduler_when_a_skipped_job_is_in_between_then_the_reason_names_what_caused_it():
    scheduler = Scheduler({"a": [], "b": ["a"], "c": ["b"]}, Rules(max_parallel=1))
    scheduler.start()
    skipped = scheduler.handle(Finished("a", K, "the `when` of 'a' is false"))
    assert [action.reason for action in skipped] == [
        "needs 'a', which was skipped because the `when` of 'a' is false",
        "needs 'b', which was skipped because the `when` of 'a' is false",
    ]


def test_scheduler_when_a_failure_is_allowed_then_neither_the_run_nor_fail_fast_sees_it():
    rules = Rules(max_parallel=1, fail_fast=True, allowed_failures=frozenset({"a"}))
    scheduler = Scheduler({"a": [], "b": [], "c": ["a"]}, rules)
    scheduler.start()
    assert scheduler.handle(Finished("a", F))[-1] == Submit("b", 1)
    scheduler.handle(Finished("b", S))
    assert run_status(scheduler.statuses, stopped=False, allowed_failures=rules.allowed_failures) is S


def test_scheduler_when_a_thousand_jobs_share_a_pool_then_they_go_one_after_another_in_the_files_order():
    names = [f"j{number}" for number in range(1000)]
    rules = Rules(max_parallel=50, pools=dict.fromkeys(names, ("one",)), limits={"one": 1})
    scheduler = Scheduler({name: [] for name in names}, rules)
    order, actions = [], scheduler.start()
    while actions:
        [action] = actions
        order.append(action.job)
        actions = scheduler.handle(Finished(action.job, S))
    assert order == names
