"""Where runs are kept: `.dsjobs/runs/<run id>/` with journal, manifest and executed notebooks, beside the job file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from dsjobs.errors import GuardError, InvalidFileError, UsageError
from dsjobs.run import journal
from dsjobs.run.manifest import Manifest, fold

STATE_FOLDER = ".dsjobs"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    def notebook(self, job: str) -> Path:
        """Where the executed notebook of `job` belongs."""
        return self.path / "notebooks" / f"{job}.ipynb"


def create(state: Path, run_id: str) -> RunFolder:
    """A new run's folder below the state folder `state`, which git is told to ignore."""
    runs = state / "runs"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        ignore = state / ".gitignore"
        if not ignore.exists():
            write_atomically(ignore, b"*\n")
        path = runs / run_id
        path.mkdir()
    except FileExistsError:
        raise GuardError(f"{runs / run_id} exists already: another run has this ID") from None
    except OSError as error:
        hint = "choose another folder with --state-dir"
        raise UsageError(f"{error.filename}: cannot keep the run here: {error.strerror}", hint=hint) from None
    return RunFolder(path)


def find(state: Path, name: str = "latest") -> RunFolder:
    """A run by its ID, a unique start of it, or `latest`. Raises UsageError where there is none, or more than one."""
    runs = state / "runs"
    ids = sorted(entry.name for entry in os.scandir(runs) if entry.is_dir()) if runs.is_dir() else []
    if not ids:
        raise UsageError(f"there are no runs in {runs}", hint="start one with `dsjobs apply`")
    if name == "latest":
        return RunFolder(runs / ids[-1])
    matches = [name] if name in ids else [run for run in ids if run.startswith(name)]
    if len(matches) == 1:
        return RunFolder(runs / matches[0])
    if matches:
        raise UsageError(f"'{name}' is the start of {len(matches)} runs", hint="; ".join(matches[:5]))
    raise UsageError(f"there is no run '{name}' in {runs}", hint="the latest are " + ", ".join(ids[-3:]))


def load(folder: RunFolder) -> Manifest:
    """The manifest of a run as its journal has it now, which may be ahead of the file."""
    return fold(journal.read(folder.journal))


def read_manifest(path: Path) -> Manifest:
    """A manifest from a file. Raises InvalidFileError."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidFileError(f"{path}: the manifest cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidFileError(f"{path}: this is not a manifest: {error}") from None
    if not isinstance(data, dict) or data.get("schema_version") != 1 or "run" not in data:
        raise InvalidFileError(f"{path}: this is not a manifest of version 1")
    return data


def write_atomically(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace `path` by `content` at once: a reader sees the old file or the new one, and never a part.

    Without `sync` this holds for a process that dies, but not for a machine that loses power.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
