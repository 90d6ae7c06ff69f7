"""`dsjobs clean`: removes the folders of runs that are old, or more than are to be kept."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dsjobs.cli import earlier, options
from dsjobs.cli.console import Console
from dsjobs.cli.runs import as_json
from dsjobs.errors import GuardError
from dsjobs.reports.listing import listing
from dsjobs.run import removal
from dsjobs.run.lock import Holder
from dsjobs.run.records import moment
from dsjobs.run.removal import Choice
from dsjobs.run.runs import ListedRun, newest_first

_LISTED = 20
"""How many of the runs to be removed are shown."""


@click.command("clean", short_help="Remove the folders of old runs.")
@click.option(
    "--older-than", "age", metavar="AGE", callback=options.duration,
    help="Remove runs that ended longer ago, e.g. 30d or 12h.",
)  # fmt: skip
@click.option("--keep", metavar="N", type=click.IntRange(min=0), help="Keep the latest N runs, however old.")
@click.option("--unfinished", is_flag=True, help="Remove detached, interrupted and damaged runs as well.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@options.yes
@options.job_file
@options.state_dir
@options.output("text", "json")
@options.chdir
@options.color
@options.quiet
def command(
    age: float | None,
    keep: int | None,
    unfinished: bool,
    dry_run: bool,
    yes: bool,
    file: str | None,
    state_dir: Path | None,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Remove runs: those older than AGE, all but the latest N, or, with both, what is older and not among the latest N.

    A run that goes on is never removed; one that was detached or interrupted only with --unfinished. Asks before it removes
    anything; where there is no terminal, it needs --yes.
    """
    if age is None and keep is None:
        raise click.UsageError("Say which runs to remove: --older-than 30d, --keep 20, or both.")
    console = Console(color=color, quiet=quiet)
    state = state_dir or earlier.state_folder(file)
    now = time.time()
    choice = removal.choose(
        list(newest_first(state)),
        keep=keep or 0,
        ended_before=None if age is None else now - age,
        with_unfinished=unfinished,
    )
    sizes = {run.id: removal.size_bytes(run.folder) for run in choice.removed}
    if output == "text" and choice.removed:
        _list(console, choice.removed, now)
    removed = _removed(console, state, choice, sum(sizes.values()), is_sure=yes, is_dry=dry_run)
    _show(console, removed, choice, sizes, output=output, is_dry=dry_run)
    return 0


def _list(console: Console, runs: Sequence[ListedRun], now: float) -> None:
    console.progress(listing([as_json(run) for run in runs[:_LISTED]], console.status, now=now))
    if len(runs) > _LISTED:
        console.progress(f"  … and {len(runs) - _LISTED} more")


def _removed(
    console: Console, state: Path, choice: Choice, size: int, *, is_sure: bool, is_dry: bool
) -> Sequence[ListedRun]:
    """The runs that are removed, once the user has agreed; all that would be, where that is all that is asked."""
    if is_dry:
        return choice.removed
    number = _runs(len(choice.removed))
    answer = True if is_sure or not choice.removed else console.confirms(f"remove {number} ({_size(size)})?")
    if answer is None:
        hint = "add --yes to remove them, or --dry-run to see them only"
        raise GuardError(f"there is no terminal to ask at whether {number} may go", hint=hint)
    if not answer:
        return []
    holder = Holder(socket.gethostname(), os.getpid(), moment(time.time()), "clean")
    return removal.remove(state, choice.removed, holder)


def _show(
    console: Console, removed: Sequence[ListedRun], choice: Choice, sizes: dict[str, int], *, output: str, is_dry: bool
) -> None:
    freed = sum(sizes[run.id] for run in removed)
    if output == "json":
        answer: dict[str, Any] = {"dry_run": is_dry, "freed_bytes": freed}
        groups = {"removed": removed, "going_on": choice.going_on, "unfinished": choice.unfinished}
        console.answer_json({**answer, **{name: [run.id for run in runs] for name, runs in groups.items()}})
        return
    verb = "would remove" if is_dry else "removed"
    console.answer(f"{verb} {_runs(len(removed))}, {_size(freed)} {'to be freed' if is_dry else 'freed'}")
    if choice.going_on:
        console.progress(f"kept, because they go on: {_ids(choice.going_on)}")
    if choice.unfinished:
        console.progress(f"kept, because they have not ended: {_ids(choice.unfinished)}; --unfinished removes them")


def _ids(runs: Sequence[ListedRun]) -> str:
    return ", ".join(run.id for run in runs[:5]) + (f" and {len(runs) - 5} more" if len(runs) > 5 else "")


def _runs(number: int) -> str:
    return f"{number or 'no'} run{'' if number == 1 else 's'}"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
