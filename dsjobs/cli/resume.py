"""`dsjobs resume`: takes up a run whose process died or left it, exactly where it was."""

from __future__ import annotations

from pathlib import Path

import click

from dsjobs.backends.access import Access
from dsjobs.cli import earlier, guards, options
from dsjobs.cli.console import Console


@click.command("resume", short_help="Take up a run that was interrupted.")
@options.earlier_run
@options.job_file
@options.copy
@options.on_interrupt
@options.timeout
@options.lock_timeout
@options.access
@options.yes
@options.state_dir
@options.output("text", "json", "jsonl")
@options.chdir
@options.color
@options.quiet
def command(
    run: str,
    file: str | None,
    copy: Path | None,
    on_interrupt: str | None,
    timeout: float | None,
    lock_timeout: float,
    access: Access,
    yes: bool,
    state_dir: Path | None,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Take up RUN, the latest by default, where its process died or left it. It runs what was planned then, and as it was begun:
    with --fail-fast or without. A --timeout counts from now on.

    What the backend still knows is looked at; what may or may not have been submitted is sent again with the same key, which
    starts nothing twice. A notebook that ran on this machine when dsjobs died is lost, and tried again if its `retry` says so.
    """
    from dsjobs.cli.running import Wishes, take_up

    console = Console(color=color, quiet=quiet)
    wishes = Wishes(copy, output, False, on_interrupt, lock_timeout, timeout, access)
    folder = earlier.folder(run, file, state_dir)
    guards.require_consent_for_run(console, folder, yes=yes)
    return take_up(console, folder, wishes=wishes).code
