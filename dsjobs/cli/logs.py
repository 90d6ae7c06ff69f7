"""`dsjobs logs`: what a job's executed notebook printed, returned and raised, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dsjobs.cli import earlier, options
from dsjobs.cli.console import Console
from dsjobs.cli.earlier import EarlierRun
from dsjobs.diagnostics import did_you_mean
from dsjobs.errors import UsageError
from dsjobs.notebook import reading
from dsjobs.reports import logs
from dsjobs.reports.logs import CellText


@click.command("logs", short_help="Show what a job's notebook printed, cell by cell.")
@click.argument("job")
@click.option(
    "-r", "--run", "run", metavar="RUN", default="latest", show_default=True,
    help="A run's ID, a unique start of one, or the path of a manifest.",
)  # fmt: skip
@click.option("--cell", "number", metavar="N", type=click.IntRange(min=1), help="Only this code cell, counted from 1.")
@click.option("--tail", metavar="N", type=click.IntRange(min=1), help="Only the last N lines.")
@options.job_file
@options.state_dir
@options.output("text", "json")
@options.chdir
@options.color
def command(
    job: str,
    run: str,
    number: int | None,
    tail: int | None,
    file: str | None,
    state_dir: Path | None,
    output: str,
    color: str,
) -> int:
    """Show what the notebook of JOB printed, returned and raised, cell by cell.

    Of a job that was tried several times, the last attempt. Nothing is there before the job has ended.
    """
    console = Console(color=color)
    found = earlier.load(run, file, state_dir)
    path = _notebook(found, _job(found, job))
    cells = _chosen(logs.texts(reading.read(path).content["cells"]), number)
    if tail is not None:
        cells = logs.tail(cells, tail)
    if output == "json":
        console.answer_json({"job": job, "run": found.id, "notebook": str(path), "cells": logs.as_json(cells)})
    elif any(cell.lines for cell in cells):
        console.answer("\n".join(logs.lines_of(cells)))
    else:
        console.progress(f"{'this cell' if number is not None else 'the notebook'} printed nothing")
    return 0


def _job(run: EarlierRun, name: str) -> Mapping[str, Any]:
    jobs: dict[str, Mapping[str, Any]] = {job["name"]: job for job in run.manifest["jobs"]}
    if name not in jobs:
        raise UsageError(f"run {run.id} has no job '{name}'", hint=did_you_mean(name, jobs) or _names(list(jobs)))
    return jobs[name]


def _names(jobs: list[str]) -> str:
    return f"its jobs are {', '.join(jobs[:5])}{', …' if len(jobs) > 5 else ''}"


def _notebook(run: EarlierRun, job: Mapping[str, Any]) -> Path:
    """The job's executed notebook. Raises UsageError where there is none, and says why."""
    written = (job["notebook"] or {}).get("path")
    if written is None:
        why, hint = _why_none(run, job)
        raise UsageError(why, hint=hint)
    path = run.executed_notebook(job["name"], written)
    if not path.is_file():
        hint = (
            f"it ran in run {job['reused_from']}, which was removed or lies elsewhere" if job["reused_from"] else None
        )
        raise UsageError(f"{path}: the executed notebook of '{job['name']}' is not there any more", hint=hint)
    return path


def _why_none(run: EarlierRun, job: Mapping[str, Any]) -> tuple[str, str | None]:
    """Why there is no executed notebook, and what to do."""
    name, status, backend = job["name"], job["status"], run.manifest["run"]["backend"]
    if status in ("pending", "running"):
        return f"'{name}' has not ended: what it printed is there when it has", None
    if status == "skipped":
        return f"'{name}' was skipped: {'; '.join(job['reasons'])}", None
    if backend == "datasphere":
        hint = f"look into the project: `dsjobs open {job['request']['projectId']}`"
        return f"'{name}' ran on DataSphere, which gives back neither logs nor the executed notebook", hint
    why = f": {job['failure']['message']}" if job["failure"] else ""
    return f"no executed notebook of '{name}' was kept{why}", job["failure"].get("hint") if job["failure"] else None


def _chosen(cells: list[CellText], number: int | None) -> list[CellText]:
    if number is None:
        return cells
    if number > len(cells):
        raise UsageError(f"there is no code cell {number}", hint=f"the notebook has {len(cells)}")
    return [cells[number - 1]]
