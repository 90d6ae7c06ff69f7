"""Graphs of jobs that do nothing, for dsjobs, GNU make and ninja alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Graph = dict[str, list[str]]
"""Job name to the names of the jobs that it needs."""

LAYERS = 10


def wide(jobs: int) -> Graph:
    """No job needs another."""
    return {f"j{number}": [] for number in range(jobs)}


def chain(jobs: int) -> Graph:
    """Each needs the one before it."""
    return {f"j{number}": [f"j{number - 1}"] if number else [] for number in range(jobs)}


def layered(jobs: int) -> Graph:
    """Ten layers; each job needs three jobs of the layer before its own."""
    width = max(1, jobs // LAYERS)
    graph: Graph = {}
    for number in range(jobs):
        layer, place = divmod(number, width)
        above = {(layer - 1) * width + (place + step) % width for step in (0, 1, 7)} if layer else set()
        graph[f"j{number}"] = [f"j{one}" for one in sorted(above)]
    return graph


GRAPHS: dict[str, Callable[[int], Graph]] = {"wide": wide, "chain": chain, "layered": layered}


def write_makefile(graph: Graph, folder: Path) -> None:
    """`true` for each job: make starts it without a shell."""
    rules = [f"{name}: {' '.join(needed)}\n\t@true\n" for name, needed in graph.items()]
    names = " ".join(graph)
    (folder / "Makefile").write_text(f"all: {names}\n.PHONY: all {names}\n{''.join(rules)}", encoding="utf-8")


def write_ninja(graph: Graph, folder: Path) -> None:
    """`true` for each job, whose output is never made, so each run does all of them."""
    builds = [f"build {name}: nothing {' '.join(needed)}\n" for name, needed in graph.items()]
    (folder / "build.ninja").write_text("rule nothing\n  command = true\n" + "".join(builds), encoding="utf-8")
