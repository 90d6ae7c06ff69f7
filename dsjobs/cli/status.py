"""`dsjobs status`: one run as a table, read from its journal, so that it is current also while the run goes on."""

from __future__ import annotations

from pathlib import Path

import click

from dsjobs.cli import earlier, options
from dsjobs.cli.console import Console
from dsjobs.reports import text
from dsjobs.run import runs


@click.command("status", short_help="Show how a run stands or ended.")
@options.earlier_run
@options.job_file
@options.state_dir
@options.output("text", "json")
@options.chdir
@options.color
def command(run: str, file: str | None, state_dir: Path | None, output: str, color: str) -> int:
    """Show RUN: a run's ID, a unique start of one, `latest` (the default), or the path of a manifest.

    A run that has not ended is running, detached, or interrupted: its process is gone. The last line says what to type next.
    """
    console = Console(color=color)
    found = earlier.load(run, file, state_dir)
    if output == "json":
        console.answer_json(found.manifest)
        return 0
    state = runs.state_of(found.manifest["run"], found.folder)
    console.answer(text.table(found.manifest, console.status_on_stdout, state=state, arguments=found.arguments))
    return 0
