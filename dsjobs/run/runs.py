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
from dsjobs.run import journal, store
from dsjobs.run.manifest import Fold
from dsjobs.run.processes import is_alive
from dsjobs.run.store import RunFolder

STATES = ("running", "detached", "interrupted", "succeeded", "failed", "cancelled", "damaged")

_END = 1 << 16
"""Bytes of a journal's end that are looked at: a record that ends or leaves a run is much shorter."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in the list. `run` is its manifest's; `counts` is None where only the journal could be asked for them.

    Both are None for a run that is damaged.
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


def listed(folder: RunFolder) -> ListedRun:
    """How the run in `folder` stands."""
    head = _head(folder.manifest)
    if head is not None and state_of(head["run"]) != "interrupted":
        return ListedRun(folder, state_of(head["run"]), head["run"], head["counts"])
    run = _run_of_journal(folder.journal)
    if head is not None and (run is None or state_of(run) in ("running", "interrupted")):
        return ListedRun(folder, "interrupted", head["run"], head["counts"])
    return ListedRun(folder, state_of(run), run) if run is not None else ListedRun(folder, "damaged")


def state_of(run: Mapping[str, Any]) -> str:
    """The status of a manifest's `run`. One that has not ended is `running`, `detached`, or, its process gone, `interrupted`."""
    if run["status"] != Status.RUNNING:
        return str(run["status"])
    if run["detached_at"] is not None:
        return "detached"
    return "running" if may_go_on(run) else "interrupted"


def may_go_on(run: Mapping[str, Any]) -> bool:
    """Whether the process of a run that has not ended is still there; of another machine's, nothing is known."""
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
