"""`dsjobs cancel`: asks for the end of a run, whether or not a process still looks after it."""

from __future__ import annotations

from pathlib import Path

import click

from dsjobs.backends.access import Access
from dsjobs.cli import earlier, guards, options
from dsjobs.cli.console import Console
from dsjobs.errors import UsageError
from dsjobs.model import Status
from dsjobs.run import lock, store
from dsjobs.run.store import RunFolder


@click.command("cancel", short_help="Ask for the end of a run, and of what it has in flight.")
@options.earlier_run
@options.job_file
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
    access: Access,
    yes: bool,
    state_dir: Path | None,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Ask for the end of RUN, the latest by default: nothing new starts, and what is in flight is cancelled.

    Where a process looks after the run, that is asked; else this one takes the run up and brings it to its end. A job counts as
    cancelled when its backend says so.
    """
    console = Console(color=color, quiet=quiet)
    folder = earlier.folder(run, file, state_dir)
    holder = lock.held_by(folder.lock)
    if holder is not None:
        guards.require_consent_for_run(console, folder, yes=yes)
        _ask(folder)
        console.answer(f"asked for its end: {holder}")
        console.progress(f"see what becomes of it: `dsjobs status {folder.path.name}`")
        return 0
    if not store.has_plan(folder):
        console.answer(f"run {folder.path.name} never began: nothing of it is in flight")
        return 0
    status = store.load(folder)["run"]["status"]
    if status != Status.RUNNING:
        console.answer(f"run {folder.path.name} has ended already ({status})")
        return 0
    guards.require_consent_for_run(console, folder, yes=yes)
    from dsjobs.cli.interrupts import CANCELLED
    from dsjobs.cli.running import Wishes, take_up

    ended = take_up(console, folder, wishes=Wishes(output=output, access=access), stop=CANCELLED)
    return 0 if ended.manifest["run"]["status"] == Status.CANCELLED else ended.code


def _ask(folder: RunFolder) -> None:
    try:
        folder.request.touch()
    except OSError as error:
        raise UsageError(f"{folder.request}: the run cannot be asked: {error.strerror}") from None
