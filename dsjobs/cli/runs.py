"""`dsjobs runs`: the list of the runs that a state folder has, newest first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from dsjobs.cli import earlier, options
from dsjobs.cli.console import Console
from dsjobs.reports.listing import listing
from dsjobs.run.runs import STATES, ListedRun, newest_first


@click.command("runs", short_help="List the runs, newest first.")
@options.job_file
@options.state_dir
@click.option(
    "-n", "--limit", metavar="N", type=click.IntRange(min=0), default=20, show_default=True,
    help="Show at most so many; 0 for all.",
)  # fmt: skip
@click.option(
    "--status",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="Only runs that stand like this. Repeatable.",
)
@click.option("-e", "--env", metavar="NAME", help="Only runs in this environment.")
@options.output("text", "json", "jsonl")
@options.chdir
@options.color
def command(
    file: str | None,
    state_dir: Path | None,
    limit: int,
    states: tuple[str, ...],
    env: str | None,
    output: str,
    color: str,
) -> int:
    """List the runs, newest first: ID, status, environment, when it began, how long it took, and how its jobs stand.

    A run that has not ended is `running`, `detached`, or `interrupted`: its process is gone, and `dsjobs resume` takes it up. One
    that is `unbegun` lost its process before anything ran.
    """
    console = Console(color=color)
    state = state_dir or earlier.state_folder(file)
    wanted = _wanted(newest_first(state), states, env)
    found = list(islice(wanted, limit or None))
    rows = [as_json(run) for run in found]
    if output == "json":
        console.answer_json(rows)
    elif output == "jsonl":
        for row in rows:
            console.answer_json(row, indent=None)
    elif rows:
        console.answer(listing(rows, console.status_on_stdout, now=time.time()))
        if next(wanted, None) is not None:
            console.progress(f"only the latest {limit} are shown; `-n 0` shows all")
    else:
        console.progress(f"there are no {'such ' if states or env else ''}runs in {state / 'runs'}")
    return 0


def _wanted(runs: Iterator[ListedRun], states: tuple[str, ...], env: str | None) -> Iterator[ListedRun]:
    for run in runs:
        is_there = env is None or (run.run is not None and run.run["environment"] == env)
        if is_there and (not states or run.state in states):
            yield run


def as_json(run: ListedRun) -> dict[str, Any]:
    """A run of the list for programs. What a damaged one does not say is null."""
    keys = ("name", "environment", "backend", "started_at", "finished_at", "duration", "parent_run", "host", "pid")
    known = run.run or {}
    return {
        "id": run.id,
        "status": run.state,
        **{key: known.get(key) for key in keys},
        "counts": dict(run.counts) if run.counts is not None else None,
        "path": str(run.folder.path),
    }
