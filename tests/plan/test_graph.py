"""The graph of the jobs: its cycles, its order, and what is wrong with needs."""

from __future__ import annotations

import graphlib
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsjobs.plan.graph import cycles, dependents, priorities, remaining_lengths, start_order

NAMES = "abcdefgh"
GRAPHS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4, unique=True)).map(
    lambda needs: {name: [need for need in needed if need in needs] for name, needed in needs.items()}
)
ORDERED = st.lists(st.lists(st.integers(0, 20), max_size=3, unique=True), max_size=12).map(
    lambda rows: {f"j{i}": [f"j{n}" for n in row if n < i] for i, row in enumerate(rows)}
)


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        ({}, []),
        ({"a": []}, []),
        ({"a": ["a"]}, [["a"]]),
        ({"a": ["b"], "b": ["a"]}, [["a", "b"]]),
        ({"b": ["a"], "a": ["c"], "c": ["b"]}, [["b", "a", "c"]]),
        ({"x": ["a"], "a": ["b"], "b": ["a"], "y": ["b"]}, [["a", "b"]]),
        ({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c", "a"]}, [["a", "b"], ["c", "d"]]),
        ({"a": ["b", "b"], "b": ["a", "a"]}, [["a", "b"]]),
    ],
)
def test_cycles_when_there_are_some_are_paths_from_the_first_job(
    needs: dict[str, list[str]], found: list[list[str]]
) -> None:
    assert cycles(needs) == found


@settings(max_examples=500)
@given(GRAPHS)
def test_cycles_when_taken_out_leave_no_cycle(needs: dict[str, list[str]]) -> None:
    found = cycles(needs)
    for cycle in found:
        for name, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert following in needs[name]
        assert cycle[0] == min(cycle, key=list(needs).index)
    members = [name for cycle in found for name in cycle]
    assert len(members) == len(set(members))
    left = {name: [n for n in needed if n not in members] for name, needed in needs.items() if name not in members}
    graphlib.TopologicalSorter(left).prepare()
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError:
        assert found
    else:
        assert not found


@given(ORDERED)
def test_order_when_jobs_start_one_after_another_has_needs_first_and_longest_paths_first(
    needs: dict[str, list[str]],
) -> None:
    order = start_order(needs)
    lengths, keys = remaining_lengths(needs), priorities(needs)
    assert sorted(order) == sorted(needs)
    for index, name in enumerate(order):
        before = set(order[:index])
        assert before.issuperset(needs[name])
        ready = [other for other in needs if other not in before and before.issuperset(needs[other])]
        assert keys[name] == min(keys[other] for other in ready)
    below = dependents(needs)
    for name in needs:
        assert lengths[name] == 1 + max((lengths[other] for other in below[name]), default=0)


def test_graph_when_it_is_large_is_read_in_linear_time() -> None:
    number = 20_000
    random_ = random.Random(1)
    chain = {str(index): [str(index - 1)] if index else [] for index in range(number)}
    pairs = {str(index): [str(index ^ 1)] for index in range(number)}
    circle = {str(index): [str((index + 1) % number)] for index in range(number)}
    wild = {str(index): [str(random_.randrange(number)) for _ in range(3)] for index in range(number)}
    start = time.process_time()
    assert start_order(chain) == list(chain)
    assert len(cycles(pairs)) == number // 2
    assert [len(cycle) for cycle in cycles(circle)] == [number]
    assert cycles(wild)
    assert time.process_time() - start < 5
