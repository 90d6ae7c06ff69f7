"""Whole processes, measured from outside, one after another in turn, so that a drift of the machine meets all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.settings import environ

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """One run: seconds from start to end, seconds of processor, and the peak of its memory.

    The system counts the memory from before the process became another program, so no peak is below that of the benchmark
    itself.
    """

    wall: float
    cpu: float
    peak_bytes: int


def run(command: list[str], folder: Path) -> Sample:
    """Run a command in `folder` to its end; what it prints is thrown away. Raises ChildProcessError when it fails."""
    null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    before = Path.cwd()
    os.chdir(folder)
    try:
        start = time.perf_counter()
        process = os.posix_spawnp(command[0], command, environ(), file_actions=null)
        _, status, usage = os.wait4(process, 0)
        wall = time.perf_counter() - start
    finally:
        os.chdir(before)
    if status != 0:
        raise ChildProcessError(f"exit status {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def in_turn(measures: Mapping[K, Callable[[], T]], rounds: int) -> dict[K, list[T]]:
    """Take each measure once a round, all of them in every round, after a round that does not count."""
    for measure in measures.values() if rounds > 1 else ():
        measure()
    taken: dict[K, list[T]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    return taken


def median(values: Sequence[float]) -> float:
    """The middle one (the module `statistics` would make this process, and so every peak, larger)."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return median([one / other for one, other in zip(values, others, strict=True)])
