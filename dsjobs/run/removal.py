"""Removes runs. A run's folder first leaves `runs/` at once, so that no half of a run is ever listed; then it is deleted.

What a crash leaves behind lies in `removed/` beside `runs/`, and goes with the next removal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dsjobs.errors import GuardError, UsageError
from dsjobs.run.lock import Holder, acquire
from dsjobs.run.runs import ListedRun, listed
from dsjobs.run.store import RunFolder


@dataclass(frozen=True, slots=True)
class Choice:
    """Which runs a rule removes, and those that it means but that stay: because they go on, or have not ended."""

    removed: tuple[ListedRun, ...]
    going_on: tuple[ListedRun, ...]
    unfinished: tuple[ListedRun, ...]


def choose(
    runs: Sequence[ListedRun], *, keep: int, ended_before: float | None, with_unfinished: bool = False
) -> Choice:
    """Of `runs`, newest first, those to remove: all but the first `keep` that began, and of these, where `ended_before` (seconds
    since the epoch) is given, those that had ended by then."""
    kept = [run.id for run in runs if run.state != "unbegun"][:keep]
    beyond = [run for run in runs if run.id not in kept]
    meant = [run for run in beyond if ended_before is None or _last_seen(run) < ended_before]
    return Choice(
        removed=tuple(run for run in meant if run.state != "running" and (with_unfinished or not _is_unfinished(run))),
        going_on=tuple(run for run in meant if run.state == "running"),
        unfinished=tuple(run for run in meant if _is_unfinished(run) and not with_unfinished),
    )


def _is_unfinished(run: ListedRun) -> bool:
    """Whether a run may still be taken up, or, being damaged, repaired."""
    return run.state in ("detached", "interrupted", "damaged")


def _last_seen(run: ListedRun) -> float:
    """When a run ended; of one that has not, when its journal last grew."""
    if run.run is not None and run.run["finished_at"] is not None:
        return datetime.fromisoformat(run.run["finished_at"]).timestamp()
    return run.folder.journal.stat().st_mtime


def remove(state: Path, runs: Iterable[ListedRun], holder: Holder) -> list[ListedRun]:
    """Remove `runs` from the state folder `state`, and what an earlier removal has left. Returns those that were there, and
    had not been taken up meanwhile; `holder` has the locks of those that might be. Raises UsageError where it may not."""
    grave = state / "removed"
    runs = list(runs)
    if not runs and not grave.is_dir():
        return []
    try:
        grave.mkdir(exist_ok=True)
        _delete_all(grave)
        moved = [run for run in runs if _moved(run, grave, holder)]
        for folder in (state / "runs", grave):
            _sync(folder)
        _delete_all(grave)
    except OSError as error:
        raise UsageError(f"{error.filename or grave}: cannot be removed: {error.strerror}") from None
    return moved


def _moved(run: ListedRun, grave: Path, holder: Holder) -> bool:
    try:
        may_change = _is_unfinished(run) or run.state == "unbegun"
        with acquire(run.folder.lock, holder, f"run {run.id}") if may_change else nullcontext():
            if may_change and listed(run.folder, is_ours=True).run != run.run:
                return False  # it was taken up, and left again
            os.rename(run.folder.path, grave / run.id)
    except (GuardError, FileNotFoundError):
        return False
    return True


def _delete_all(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            with suppress(FileNotFoundError):  # another process deletes it, too
                shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_bytes(folder: RunFolder) -> int:
    """What the files of a run take up on the disk."""
    total = 0
    for path, _, files in os.walk(folder.path):
        for name in files:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
