"""The jobs as a graph: what is wrong with it, and in which order its jobs go."""

from __future__ import annotations

import graphlib
import heapq
from collections.abc import Iterator, Mapping, Sequence

from dsjobs.diagnostics import Diagnostic, Suggestions
from dsjobs.marks import MarkedList
from dsjobs.model import JobFields

Needs = Mapping[str, Sequence[str]]
"""Job name to the names of the jobs that it needs, in the file's order."""


def check_graph(jobs: Sequence[JobFields], unreadable: frozenset[str] = frozenset()) -> list[Diagnostic]:
    """Unknown needs, and every cycle once. `unreadable`: names of jobs that exist but could not be read."""
    by_name = {job.name: job for job in jobs}
    hints = Suggestions(by_name)
    problems = [
        _unknown_need(job, index, hints)
        for job in jobs
        for index, need in enumerate(job.needs)
        if need not in by_name and need not in unreadable
    ]
    needs = {job.name: [need for need in job.needs if need in by_name] for job in jobs}
    return problems + [_cycle_problem(cycle, by_name) for cycle in cycles(needs)]


def cycles(needs: Needs) -> list[list[str]]:
    """Disjoint cycles, each as a path in which every job needs the next one, from the job that stands first in the file.
    Without the jobs on them `needs` has no cycle."""
    rank = {name: index for index, name in enumerate(needs)}
    found: list[list[str]] = []
    done: set[str] = set()
    for start in needs:
        if start not in done:
            found += _cycles_from(start, needs, done)
    rotated = []
    for cycle in found:
        first = cycle.index(min(cycle, key=rank.__getitem__))
        rotated.append(cycle[first:] + cycle[:first])
    return sorted(rotated, key=lambda cycle: rank[cycle[0]])


def _cycles_from(start: str, needs: Needs, done: set[str]) -> Iterator[list[str]]:
    """A walk along the needs, depth first and without recursion. A cycle that it closes is cut out of its path."""
    path = [start]
    depth = {start: 0}
    branches = [iter(needs[start])]
    while path:
        need = next((need for need in branches[-1] if need not in done), None)
        if need is not None and need not in depth:
            depth[need] = len(path)
            path.append(need)
            branches.append(iter(needs[need]))
            continue
        # The walk is back at a job of its path, or its last job has no more needs: what follows from there is done.
        cut = len(path) - 1 if need is None else depth[need]
        if need is not None:
            yield path[cut:]
        done.update(path[cut:])
        for name in path[cut:]:
            del depth[name]
        del path[cut:], branches[cut:]


def dependents(needs: Needs) -> dict[str, list[str]]:
    """Job name to the jobs that need it, in the file's order."""
    found: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in needs.items():
        for need in needed:
            found[need].append(name)
    return found


def remaining_lengths(needs: Needs) -> dict[str, int]:
    """For each job the number of jobs on the longest path that it starts, itself included. `needs` has no cycle."""
    order = list(graphlib.TopologicalSorter(needs).static_order())
    lengths = dict.fromkeys(order, 1)
    for name in reversed(order):
        below = lengths[name] + 1
        for need in needs[name]:
            if lengths[need] < below:
                lengths[need] = below
    return lengths


def priorities(needs: Needs) -> dict[str, tuple[int, int]]:
    """The key by which jobs that are ready start: the longest remaining path first, then the file's order."""
    lengths = remaining_lengths(needs)
    return {name: (-lengths[name], index) for index, name in enumerate(needs)}


def start_order(needs: Needs) -> list[str]:
    """The order in which jobs would start one after another."""
    keys = priorities(needs)
    below = dependents(needs)
    waiting = {name: len(needed) for name, needed in needs.items()}
    ready = [(keys[name], name) for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        _, name = heapq.heappop(ready)
        order.append(name)
        for next_name in below[name]:
            waiting[next_name] -= 1
            if waiting[next_name] == 0:
                heapq.heappush(ready, (keys[next_name], next_name))
    return order


def _unknown_need(job: JobFields, index: int, hints: Suggestions) -> Diagnostic:
    need, listed = job.needs[index], job.written["needs"]
    position = listed.item_position(index) if isinstance(listed, MarkedList) else job.written.position()
    base, bracket, _ = need.partition("[")
    hint = f"write '{base}': its cells are chosen by the keys that both matrices have" if bracket else hints.hint(need)
    return Diagnostic("DSJ302", f"job '{job.name}' needs '{need}', which is not a job", position, hint)


def _cycle_problem(cycle: list[str], jobs: Mapping[str, JobFields]) -> Diagnostic:
    first = jobs[cycle[0]]
    following = cycle[1 % len(cycle)]
    position = first.written["needs"].item_position(first.written["needs"].index(following))
    if len(cycle) == 1:
        return Diagnostic("DSJ303", f"job '{cycle[0]}' needs itself", position, "remove it from its own needs")
    path = " → ".join([*cycle, cycle[0]])
    return Diagnostic("DSJ303", f"jobs need each other in a circle: {path}", position, "remove one of these needs")
