"""The manifest on disk while the run goes on: always whole and valid, at a cost that stays linear over the run.

Each job is one line of the file and is encoded only when it changed. The file is replaced after a turn unless that would take
more than a twentieth of the run's time; then it follows as soon as it may, and at the end at once. The journal is never behind,
so a file that cannot be written ends no run: it is tried again with the next changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dsjobs.files import write_atomically
from dsjobs.run.manifest import Fold, digest, encode

SHARE = 0.05
"""How much of the run's time writing the manifest may take."""

_LAST = ("run_finished", "run_detached")
"""Records after which nobody here goes on."""


class ManifestFile:
    """A listener of the executor that keeps the manifest in one file, or in several."""

    def __init__(
        self,
        paths: Sequence[Path],
        ticks: Callable[[], float],
        fold: Fold | None = None,
        *,
        remark: Callable[[str], None] | None = None,
    ) -> None:
        """`ticks` never goes back; it is asked what a write costs. `fold` has what the journal has already, and takes in the
        rest. `remark` is told once of each file that cannot be written."""
        self.fold = fold if fold is not None else Fold()
        self._paths = paths
        self._remark = remark
        self._unwritten: dict[Path, str] = {}
        self._told: set[Path] = set()
        self._ticks = ticks
        self._lines: dict[str, str] = {}
        self._changed = set(self.fold.jobs)
        self._not_before = ticks()
        self._behind = False

    def __call__(self, records: Sequence[dict[str, Any]]) -> float | None:
        """Take in the records of a turn; returns the seconds after which to be called again, if the file is behind."""
        for record in records:
            self._note(record)
        if not records and not self._behind:
            return None
        is_last = bool(records) and records[-1]["record"] in _LAST
        left = self._not_before - self._ticks()
        if left > 0 and not is_last:
            waiting, self._behind = self._behind, True
            return left if not waiting or not records else None
        self._write(sync=is_last)
        return None

    @property
    def unwritten(self) -> list[str]:
        """Of each file that is not what it should be, what hindered that."""
        return [*self._unwritten.values()]

    def _note(self, record: Mapping[str, Any]) -> None:
        self.fold.apply(record)
        name = record["name"] if record["record"] == "job_planned" else record.get("job")
        if name is not None:
            self._changed.add(name)

    def _write(self, *, sync: bool) -> None:
        start = self._ticks()
        content = self._content()
        for path in self._paths:
            self._replace(path, content, sync=sync)
        self._behind = False
        end = self._ticks()
        self._not_before = end + (end - start) / SHARE

    def _replace(self, path: Path, content: bytes, *, sync: bool) -> None:
        try:
            write_atomically(path, content, sync=sync)
        except OSError as error:
            problem = self._unwritten[path] = f"{path}: the manifest cannot be written: {error.strerror}"
            if self._remark is not None and path not in self._told:
                self._remark(f"{problem}; it is tried again when something changes")
            self._told.add(path)
        else:
            self._unwritten.pop(path, None)

    def _content(self) -> bytes:
        jobs = self.fold.jobs
        for name in self._changed:
            self._lines[name] = encode(jobs[name])
        self._changed.clear()
        return text(self.fold, self._lines).encode("utf-8", "backslashreplace")


def text(fold: Fold, lines: dict[str, str] | None = None) -> str:
    """A manifest as its file has it: one line for each part and for each job. `lines`: jobs that are encoded already."""
    known = lines or {name: encode(job) for name, job in fold.jobs.items()}
    head = fold.head()
    jobs = [known[name] for name in fold.names()]
    shown = ",\n".join(f"{encode(key)}: {encode(value)}" for key, value in head.items())
    seal = encode(digest(head.items(), jobs))
    listed = ",\n".join(jobs)
    return f'{{\n{shown},\n"jobs": [\n{listed}\n],\n"digest": {seal}\n}}\n'
