"""Pools: how many jobs may hold a place in each at once. A job holds all of its pools, from its submit to its end."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

Entry = tuple[tuple[int, int], str]
"""A job that is ready, behind what orders it."""


class Pools:
    """The places that are free, and the jobs that wait for one."""

    def __init__(self, pools: Mapping[str, Sequence[str]], limits: Mapping[str, int]) -> None:
        """`pools`: of each job, those that it holds; `limits`: how many places each pool has."""
        self._pools = pools
        self._free = dict(limits)
        self._waiting: dict[str, list[Entry]] = {name: [] for name in limits}

    def take(self, job: str) -> bool:
        """Take a place in each pool of `job`, or none where one is full."""
        pools = self._pools.get(job, ())
        if any(self._free[pool] <= 0 for pool in pools):
            return False
        for pool in pools:
            self._free[pool] -= 1
        return True

    def wait(self, entry: Entry) -> list[Entry]:
        """Have a job wait for a pool that is full. Returns others that may try instead: a place that was free for it is
        still free for the next."""
        pools = self._pools[entry[1]]
        full = next(pool for pool in pools if self._free[pool] <= 0)
        heapq.heappush(self._waiting[full], entry)
        return self._woken(pool for pool in pools if self._free[pool] > 0)

    def give_back(self, job: str) -> list[Entry]:
        """Free the places of `job`. Returns the jobs that may try now."""
        pools = self._pools.get(job, ())
        for pool in pools:
            self._free[pool] += 1
        return self._woken(pools)

    def clear(self) -> None:
        """Nobody waits any more."""
        for entries in self._waiting.values():
            entries.clear()

    def _woken(self, pools: Iterable[str]) -> list[Entry]:
        return [heapq.heappop(self._waiting[pool]) for pool in pools if self._waiting[pool]]
