"""The runs of a state folder as a list: how each stands, read from the heads of their manifests, so that thousands cost little.

A manifest's file has a line for each part of its head and for each job, and its seal is made of these lines: no job is parsed to
know that the head is whole. Where there is no such file, or it may be behind, the first and last line of the journal say more.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsjobs.errors import InvalidFileError
from dsjobs.model import Status
from dsjobs.run import journal, lock, store
from dsjobs.run.manifest import Fold
from dsjobs.run.processes import is_alive
from dsjobs.run.store import RunFolder

STATES = ("running", "detached", "interrupted", "succeeded", "failed", "cancelled", "unbegun", "damaged")

LOOK_BACK = 20
"""Runs of an environment that are looked through for one that has not ended."""
_MOST = 1000
"""Runs of any environment that are looked through for that; each takes less than half a millisecond."""
_END = 1 << 16
"""Bytes of a journal's end that are looked at: a record that ends or leaves a run is much shorter."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in the list. `run` is its manifest's; `counts` is None where only the journal could be asked for them.

    Both are None for a run that is damaged, and for one whose process died in the first line of its journal.
    """

    folder: RunFolder
    state: str
    run: Mapping[str, Any] | None = None
    counts: Mapping[str, int] | None = None

    @property
    def id(self) -> str:
        return self.folder.path.name


def newest_first(state: Path) -> Iterator[ListedRun]:
    """The runs below the state folder `state`, each read when it is asked for."""
    for folder in reversed(store.folders(state)):
        yield listed(folder)


def unfinished(state: Path, name: str, environment: str) -> Iterator[ListedRun]:
    """Of the latest runs of `name` in an environment those that have not ended, newest first: by their journals alone."""
    left = LOOK_BACK
    for folder in reversed(store.folders(state)[-_MOST:]):
        run = _run_of_journal(folder.journal)
        if run is None or (run["name"], run["environment"]) != (name, environment):
            continue
        found = ListedRun(folder, state_of(run, folder), run)
        if run["status"] == Status.RUNNING and found.state != "unbegun":
            yield found
        left -= 1
        if not left:
            return


def listed(folder: RunFolder, *, is_ours: bool = False) -> ListedRun:
    """How the run in `folder` stands. `is_ours`: its lock is the caller's, who does not go on with it."""

    def standing(run: Mapping[str, Any]) -> str:
        return (_said(run) or _left(folder)) if is_ours else state_of(run, folder)

    head = _head(folder.manifest)
    state = standing(head["run"]) if head is not None else None
    if head is not None and state is not None and state != "interrupted":
        return ListedRun(folder, state, head["run"], head["counts"])
    run = _run_of_journal(folder.journal)
    if head is not None and (run is None or _said(run) is None):
        return ListedRun(folder, "interrupted", head["run"], head["counts"])
    if run is None:
        return ListedRun(folder, "damaged" if store.has_plan(folder) else "unbegun")
    return ListedRun(folder, standing(run), run)


def state_of(run: Mapping[str, Any], folder: RunFolder | None) -> str:
    """The status of a manifest's `run`. One that has not ended is `running`, `detached`, or, where nobody goes on with it,
    `interrupted`, or `unbegun` if its plan is not whole. `folder`: the run's, None for a manifest alone."""
    return _said(run) or ("running" if _goes_on(run, folder) else _left(folder))


def _left(folder: RunFolder | None) -> str:
    """How a run stands that has not ended, and that nobody goes on with."""
    return "interrupted" if folder is None or store.has_plan(folder) else "unbegun"


def _said(run: Mapping[str, Any]) -> str | None:
    """How a run stands that has ended or was left; None for another."""
    if run["status"] != Status.RUNNING:
        return str(run["status"])
    return "detached" if run["detached_at"] is not None else None


def _goes_on(run: Mapping[str, Any], folder: RunFolder | None) -> bool:
    """Whether somebody has the lock of a run. Where that cannot be asked, whether its process is there; of one of another machine
    nothing is known, and so it may be."""
    is_held = lock.is_held(folder.lock) if folder is not None else None
    if is_held is not None:
        return is_held
    since = [run["started_at"], *run["resumed_at"]][-1]
    return bool(run["host"] != socket.gethostname()) or is_alive(run["pid"], since)


def _head(path: Path) -> dict[str, Any] | None:
    """A manifest but its jobs, from a file as `manifest_file.text` writes it; None where there is none, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head, _, rest = content.partition(b',\n"jobs": [\n')
    jobs, _, seal = rest.rpartition(b'\n],\n"digest": ')
    # A line break inside a value is written as an escape: each of these ends a line.
    lines = b"".join(part.replace(b",\n", b"\n") + b"\n" for part in (head[2:], jobs) if part)
    if head[:2] != b"{\n" or seal != b'"sha256:%b"\n}\n' % hashlib.sha256(lines).hexdigest().encode():
        return None
    data: dict[str, Any] = json.loads(head + b"}")
    return data


def _run_of_journal(path: Path) -> Mapping[str, Any] | None:
    """A manifest's `run`, as far as the first and the last record of a journal say; None where the journal is damaged."""
    try:
        first, last = _ends(path)
        state = Fold()
        for record in journal.parse(first + last, str(path)):
            if record["record"] in ("run_started", "run_detached", "run_resumed", "run_finished"):
                state.apply(record)
    except (InvalidFileError, OSError):
        return None
    run: Mapping[str, Any] = state.head()["run"]
    return run


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The first line of a file, and its last whole line unless that is long or the same; a torn one is left out."""
    with open(path, "rb") as file:
        first = file.readline()
        start = max(file.tell(), path.stat().st_size - _END)
        file.seek(start)
        lines = file.read().split(b"\n")[:-1]
    is_whole = len(lines) > 1 or start == len(first)
    return first, lines[-1] + b"\n" if lines and is_whole else b""
