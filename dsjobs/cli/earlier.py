"""A run that a user names: by its ID, a unique start of one, `latest`, or the path of a manifest or of a run's folder."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dsjobs.errors import InvalidFileError, UsageError
from dsjobs.run import store
from dsjobs.run.store import RunFolder


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run and what is known of where it lies. `folder` is None for a manifest from elsewhere, which lies in `beside`.

    `arguments` name it on another command's line; empty for the latest.
    """

    manifest: dict[str, Any]
    folder: RunFolder | None
    beside: Path
    arguments: str

    @property
    def id(self) -> str:
        return str(self.manifest["run"]["id"])

    def require_begun(self) -> None:
        """Raises UsageError for a run whose process ended while its plan was written."""
        if self.folder is not None and not store.has_plan(self.folder):
            from dsjobs.run.recovery import never_began

            raise never_began(self.id)

    def executed_notebook(self, job: str, written: str) -> Path:
        """The executed notebook that the manifest calls `written`; where there is none, its place beside the manifest, to
        which it was copied if the run's folder was."""
        path = Path(written)
        copied = RunFolder(self.beside).notebook(job)
        return copied if copied.is_file() and not path.is_file() else path


def load(name: str, file: str | None, state_dir: Path | None) -> EarlierRun:
    """The run that a user calls `name`. Raises UsageError for one that is not there, InvalidFileError for a damaged one."""
    if name.endswith((".yaml", ".yml")):
        raise UsageError(
            f"'{name}' is not a run", hint=f"name the job file with -f: `{_command()} -f {shlex.quote(name)}`"
        )
    if name.endswith(".json") or "/" in name:
        return _at(Path(name), shlex.quote(name))
    folder = store.find(state_dir or state_folder(file), name)
    given = [] if name == "latest" else [folder.path.name]
    given += ["-f", file] if file is not None and not os.environ.get("DSJOBS_FILE") else []
    given += ["--state-dir", str(state_dir)] if state_dir and not os.environ.get("DSJOBS_STATE_DIR") else []
    return EarlierRun(_loaded(folder), folder, folder.path, shlex.join(given))


def _loaded(folder: RunFolder) -> dict[str, Any]:
    """The manifest of a run by its journal."""
    try:
        return store.load(folder)
    except InvalidFileError as error:
        hint = f"its manifest may be whole: name the run by {folder.manifest}"
        raise InvalidFileError(str(error), hint=error.hint or hint) from None


def folder(name: str, file: str | None, state_dir: Path | None) -> RunFolder:
    """The folder of the run that a user calls `name`. Raises UsageError for one that is not there."""
    if name.endswith(".json") or "/" in name:
        found = RunFolder(Path(name).parent if name.endswith(".json") else Path(name))
        if not found.journal.is_file():
            raise UsageError(f"{name}: there is no journal beside it, so there is no run to go on with")
        return RunFolder(found.path.absolute())
    return RunFolder(store.find(state_dir or state_folder(file), name).path.absolute())


def _at(path: Path, arguments: str) -> EarlierRun:
    """A run by the path of its manifest, or of its folder."""
    if RunFolder(path).journal.is_file():
        return EarlierRun(_loaded(RunFolder(path)), RunFolder(path), path, arguments)
    try:
        manifest = store.read_manifest(path)
    except InvalidFileError as error:
        if error.hint is None and RunFolder(path.parent).journal.is_file():
            hint = f"its run's journal has it all: name the run by its folder, {path.parent}"
            raise InvalidFileError(str(error), hint=hint) from None
        raise
    folder = RunFolder(path.parent)
    is_there = folder.path.absolute().name == manifest["run"]["id"] and folder.journal.is_file()
    return EarlierRun(manifest, folder if is_there else None, path.parent, arguments)


def state_folder(file: str | None) -> Path:
    """The state folder: beside the job file, else the nearest one here or in a parent folder."""
    if file is None:
        for folder in (Path.cwd(), *Path.cwd().parents):
            if (folder / store.STATE_FOLDER / "runs").is_dir():
                return folder / store.STATE_FOLDER
    from dsjobs.cli import loading  # what reads job files takes longer to import than all of this

    try:
        return loading.find_file(file).absolute().parent / store.STATE_FOLDER
    except UsageError:
        raise UsageError("there are no runs here", hint="start one with `dsjobs apply`, or name --state-dir") from None


def _command() -> str:
    """The command that was typed: `dsjobs status`."""
    return click.get_current_context().command_path
