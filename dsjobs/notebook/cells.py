"""Finds what a request runs: a whole notebook, or the one cell that the deprecated `cell` names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsjobs.diagnostics import did_you_mean
from dsjobs.model import Request
from dsjobs.notebook import paths, reading
from dsjobs.notebook.errors import NotebookError
from dsjobs.notebook.reading import Cell, Notebook

_SEPARATOR = "/cell/"


@dataclass(frozen=True, slots=True)
class Target:
    """What will run: these code cells of the notebook, all of them unless the request names one."""

    notebook: Notebook
    cells: tuple[Cell, ...]


def find(project: Path, request: Request) -> Target:
    """What `request` runs, read from the folder `project`. Raises NotebookError when it is not there or not unique."""
    if request.notebook is not None:
        notebook = reading.read(paths.notebook_path(project, request.notebook))
        return Target(notebook, notebook.code_cells)
    written = request.cell or ""
    path, separator, cell_id = written.rpartition(_SEPARATOR)
    if not separator:
        return _search(project, written)
    notebook = reading.read(paths.notebook_path(project, path))
    cell = notebook.code_cell(cell_id)
    if cell is None:
        known = [cell.id for cell in notebook.code_cells if cell.id]
        message = f"notebook '{path}' has no code cell with the ID '{cell_id}'"
        raise NotebookError(message, code="DSJ401", hint=did_you_mean(cell_id, known))
    return Target(notebook, (cell,))


def _search(project: Path, cell_id: str) -> Target:
    """The only code cell of the project with this ID."""
    found: dict[str, Target] = {}
    known: list[str] = []
    for name in paths.notebooks_in(project):
        try:
            notebook = reading.read(paths.notebook_path(project, name))
        except NotebookError:
            continue  # A broken notebook elsewhere in the project is not this job's concern.
        known += [cell.id for cell in notebook.code_cells if cell.id]
        cell = notebook.code_cell(cell_id)
        if cell is not None:
            found[name] = Target(notebook, (cell,))
    if not found:
        message = f"no notebook in the project's folder has a code cell with the ID '{cell_id}'"
        raise NotebookError(message, code="DSJ401", hint=did_you_mean(cell_id, known))
    if len(found) > 1:
        raise NotebookError(
            f"cell '{cell_id}' is in more than one notebook: {', '.join(found)}",
            code="DSJ401",
            hint=f"say which: '{next(iter(found))}{_SEPARATOR}{cell_id}'",
        )
    return next(iter(found.values()))
