"""`dsjobs diff`: what changed from one run to another, by their manifests."""

from __future__ import annotations

from pathlib import Path

import click

from dsjobs.cli import earlier, options
from dsjobs.cli.console import Console
from dsjobs.errors import ExitCode
from dsjobs.reports import diff_text
from dsjobs.reports.diff import as_json, diff


@click.command("diff", short_help="Show what changed from one run to another.")
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="[RUN]", default="latest")
@options.job_file
@options.state_dir
@options.output("text", "json")
@options.chdir
@options.color
def command(before: str, after: str, file: str | None, state_dir: Path | None, output: str, color: str) -> int:
    """Show what changed from the first RUN to the second, which defaults to the latest.

    Inputs, outputs, code, specs, connectors, projects, variables and statuses count; durations, attempts and commits are shown
    only; IDs and times are not compared. Exit code 0 when the runs are the same, 1 when they are not.
    """
    console = Console(color=color)
    one, other = (earlier.load(name, file, state_dir).manifest for name in (before, after))
    found = diff(one, other)
    if output == "json":
        console.answer_json(as_json(one, other, found))
    else:
        console.answer(diff_text.text(one, other, found))
    return ExitCode.FAILED if any(change.counts for change in found) else ExitCode.OK
