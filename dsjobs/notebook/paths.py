"""Finds the notebook that a request names inside its project's folder, and nothing outside that folder."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from dsjobs.diagnostics import did_you_mean
from dsjobs.notebook.errors import NotebookError

# Where DataSphere mounts a project's storage; a path copied from a notebook there begins with it.
PROJECT_PREFIX = "/home/jupyter/datasphere/project/"

_ENTRIES_LOOKED_AT = 20_000
_NAMES_COMPARED = 1_000


def project_folder(base: Path, project: str) -> Path:
    """The folder of a local project: absolute, or relative to `base`. Raises NotebookError when it is not a folder."""
    hint = "a local environment's `projects` give the folder of each project, relative to the job file"
    try:
        folder = base / project
        if folder.is_dir():
            return folder
        what = "is not a folder" if folder.exists() else "does not exist"
    except (OSError, ValueError) as error:
        what = f"cannot be looked at ({error})"
    raise NotebookError(f"the project's folder {project!r} {what}", code="DSJ401", hint=hint)


def notebook_path(project: Path, written: str) -> Path:
    """The path of the notebook that a job calls `written`, below the folder `project`.

    A relative path with `/`, or one below `/home/jupyter/datasphere/project/`. Raises NotebookError for anything that is
    not a regular file there with the suffix .ipynb; links may point to places inside the project only.
    """
    relative = _relative(written)
    path = project / relative
    try:
        real = Path(os.path.realpath(path, strict=True))
        root = Path(os.path.realpath(project, strict=True))
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        raise _missing(project, path, written) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NotebookError(f"notebook '{written}' cannot be reached: {reason}", code="DSJ401") from error
    if not real.is_relative_to(root):
        raise NotebookError(
            f"notebook '{written}' is a link that leaves the project's folder",
            code="DSJ401",
            hint="put the notebook itself into the project's folder",
        )
    _check_mode(mode, written)
    # The folder of the link, not of what it points to, is where Jupyter would run it.
    return Path(os.path.realpath(path.parent)) / path.name


def notebooks_in(project: Path) -> Iterator[str]:
    """The notebooks below `project` as relative paths, in order. Hidden folders (`.ipynb_checkpoints`, `.dsjobs`) and
    linked ones are left out, and what comes after the first 20,000 entries."""
    seen = 0
    for folder, folders, files in os.walk(project):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        seen += len(folders) + len(files)
        for name in sorted(files):
            if name.endswith(".ipynb") and not name.startswith("."):
                yield PurePosixPath(Path(folder, name).relative_to(project)).as_posix()
        if seen > _ENTRIES_LOOKED_AT:
            return


def _relative(written: str) -> PurePosixPath:
    """The path below the project. Refuses what could leave it or means different things on different systems."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in written):
        raise NotebookError(f"notebook {written!r} has a control character in its path", code="DSJ401")
    if "\\" in written:
        hint = f"write '{written.replace(chr(92), '/')}'"
        raise NotebookError(f"notebook '{written}' has a backslash in its path", code="DSJ401", hint=hint)
    path = PurePosixPath(written.removeprefix(PROJECT_PREFIX))
    if path.is_absolute():
        raise NotebookError(
            f"notebook '{written}' is an absolute path",
            code="DSJ401",
            hint=f"write it relative to the project's folder; only {PROJECT_PREFIX}… may come before",
        )
    if ".." in path.parts:
        raise NotebookError(
            f"notebook '{written}' has '..' in its path",
            code="DSJ401",
            hint="a notebook lies inside the project's folder; write its path from there",
        )
    if path.suffix.casefold() != ".ipynb":
        hint = f"did you mean '{path.with_suffix('.ipynb')}'?" if path.name else "write the path of an .ipynb file"
        raise NotebookError(f"'{written}' is not a notebook: its name does not end in .ipynb", hint=hint)
    return path


def _missing(project: Path, path: Path, written: str) -> NotebookError:
    if path.is_symlink():
        return NotebookError(f"notebook '{written}' is a link that points nowhere", code="DSJ401")
    near = did_you_mean(written.removeprefix(PROJECT_PREFIX), islice(notebooks_in(project), _NAMES_COMPARED))
    hint = near or f"looked in {project}"
    return NotebookError(f"notebook '{written}' does not exist in the project's folder", code="DSJ401", hint=hint)


def _check_mode(mode: int, written: str) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    raise NotebookError(f"notebook '{written}' is {kind}, not a file", code="DSJ401")
