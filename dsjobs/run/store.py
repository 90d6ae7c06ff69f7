"""Where runs are kept: `.dsjobs/runs/<run id>/` with journal, manifest and executed notebooks, beside the job file."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dsjobs import schemas
from dsjobs.errors import GuardError, InvalidFileError, UsageError
from dsjobs.files import write_atomically
from dsjobs.run import journal, lock
from dsjobs.run.manifest import Fold, Manifest, sealed
from dsjobs.run.pace import earlier_durations

STATE_FOLDER = ".dsjobs"
_START = b'{"record":"run_started",'
_CHUNK = 1 << 20


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

    @property
    def lock(self) -> Path:
        """Held by whoever writes the journal."""
        return self.path / "lock"

    @property
    def request(self) -> Path:
        """Made by another process that wants the run to end."""
        return self.path / "cancel"

    @property
    def notes(self) -> Path:
        """Where a backend keeps what must survive it."""
        return self.path / "operations"

    def notebook(self, job: str) -> Path:
        """Where the executed notebook of `job` belongs."""
        return self.path.joinpath("notebooks", f"{job}.ipynb")


def prepare(state: Path) -> None:
    """Make the state folder, which git is told to ignore. Raises UsageError where it cannot be."""
    try:
        (state / "runs").mkdir(parents=True, exist_ok=True)
        ignore = state / ".gitignore"
        if not ignore.exists():
            write_atomically(ignore, b"*\n")
    except OSError as error:
        raise _not_here(error) from None


def create(state: Path, run_id: str) -> RunFolder:
    """A new run's folder below the state folder `state`."""
    prepare(state)
    path = state / "runs" / run_id
    try:
        path.mkdir()
    except FileExistsError:
        raise GuardError(f"{path} exists already: another run has this ID") from None
    except OSError as error:
        raise _not_here(error) from None
    return RunFolder(path)


def _not_here(error: OSError) -> UsageError:
    hint = "choose another folder with --state-dir"
    return UsageError(f"{error.filename}: cannot keep the run here: {error.strerror}", hint=hint)


def folders(state: Path) -> list[RunFolder]:
    """The runs below `state` that got as far as their first record, by their IDs, which is by time."""
    runs = state / "runs"
    found = [RunFolder(runs / name) for name in sorted(os.listdir(runs))] if runs.is_dir() else []
    return [folder for folder in found if _has_begun(folder)]


def find(state: Path, name: str = "latest") -> RunFolder:
    """A run by its ID, a unique start of it, or `latest`, which is none that never began. Raises UsageError where there is none,
    or more than one."""
    runs = state / "runs"
    found = folders(state)
    if name == "latest":
        begun = (one for one in reversed(found) if has_plan(one) or lock.is_held(one.lock))
        found = [*islice(begun, 1)]
    if not found:
        raise UsageError(f"there are no runs in {runs}", hint="start one with `dsjobs apply`")
    ids = [folder.path.name for folder in found]
    if name == "latest":
        name = ids[0]
    matches = [name] if name in ids else [run for run in ids if run.startswith(name)]
    if len(matches) == 1:
        return RunFolder(runs / matches[0])
    if matches:
        raise UsageError(f"'{name}' is the start of {len(matches)} runs", hint="; ".join(matches[:5]))
    raise UsageError(f"there is no run '{name}' in {runs}", hint="the latest are " + ", ".join(ids[-3:]))


def _has_begun(folder: RunFolder) -> bool:
    """Whether a run got as far as its first record: one that was killed before has done nothing."""
    try:
        return folder.journal.stat().st_size > 0
    except OSError:
        return False


def has_plan(folder: RunFolder) -> bool:
    """Whether the plan of a run is whole in its journal. Where it is not the run never began: nothing of it was started, and
    there is nothing to take up. That a journal is damaged is for others to say."""
    try:
        with open(folder.journal, "rb") as file:
            header = file.readline()
            if not header.endswith(b"\n"):
                return header[: len(_START)] != _START[: len(header)]
            left = int(json.loads(header)["jobs"])
            while left > 0 and (content := file.read(_CHUNK)):
                left -= content.count(b"\n")
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return True
    return left <= 0


def load(folder: RunFolder) -> Manifest:
    """The manifest of a run as its journal has it now, which may be ahead of the file."""
    state = Fold()
    for record in journal.read(folder.journal):
        try:
            state.apply(record)
        except InvalidFileError as error:
            message = f"{folder.journal}:{state.records}: this record does not fit what stands before it"
            raise InvalidFileError(message, hint=error.hint) from None
    return state.as_json()


def last_durations(state: Path) -> dict[str, list[float]]:
    """How long the jobs of the latest run took, by kind. Only a guess hangs on it, so what cannot be read says nothing."""
    try:
        return earlier_durations(json.loads(find(state).manifest.read_bytes()))
    except (UsageError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def read_manifest(path: Path) -> Manifest:
    """A manifest from a file. Raises InvalidFileError."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidFileError(f"{path}: the manifest cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: this is not a manifest: {error}") from None
    problem = _problem(data)
    if problem is not None:
        raise InvalidFileError(f"{path}: this is not a manifest of version 1: {problem}")
    manifest: Manifest = data
    if not _is_sealed(manifest):
        raise InvalidFileError(
            f"{path}: this manifest was changed after dsjobs wrote it: its digest is not that of the rest"
        )
    return manifest


def _is_sealed(manifest: Manifest) -> bool:
    """Whether nothing in a manifest was changed since dsjobs wrote it."""
    try:
        return bool(sealed(manifest)["digest"] == manifest["digest"])
    except (ValueError, RecursionError):  # it has a number, such as 1e999, that JSON does not have
        return False


def _problem(data: Any) -> str | None:
    """What in `data` the schema of a manifest does not allow, or nothing."""
    import jsonschema

    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schemas.load("manifest")).iter_errors(data)
    )
    return None if error is None else f"{error.json_path}: {error.message[:200]}"


def writable(path: Path, *, keep: Path) -> Path:
    """The file that `path` names, links followed, once it is sure that a manifest can be written there; folders that are
    missing are made. Raises UsageError, also where it would replace `keep`."""
    refusal = f"{path}: the manifest cannot be written there"
    try:
        target = path.resolve()
        if target == keep.resolve():
            raise UsageError(f"{path}: this is the job file, and the manifest would replace it")
        if (target.exists() and not target.is_file()) or path.absolute().parent == Path("/dev"):
            raise UsageError(f"{refusal}: it is not a regular file", hint="`-o json` prints the manifest")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            return target
    except FileExistsError:
        raise UsageError(f"{refusal}: {target.parent} is not a folder") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise UsageError(f"{refusal}: {getattr(error, 'strerror', None) or error}") from None
