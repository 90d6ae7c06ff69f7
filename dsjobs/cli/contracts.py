"""What `validate` and `plan` find in notebooks without running them: each notebook is read once, however many jobs run it.

On this machine a notebook lies in its project's folder. What DataSphere runs lies in a project's storage; what lies here is
taken for the same where there is one file that can be meant: in the folder that another environment gives to the project of the
same name, else below the job file's folder. Where there is none, or where two differ, nothing is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsjobs.diagnostics import Diagnostic
from dsjobs.marks import Source, in_cell
from dsjobs.model import Environment, Job, Request, Spec

if TYPE_CHECKING:
    from dsjobs.notebook.contract.comparison import Known, Surroundings


class Contracts:
    """The notebooks of a job file, as far as they were looked at. `base`: the job file's folder. `is_here`: they would run on
    this machine, in the environment of this process; else the file is only looked at, and may be run elsewhere. `sources`: cells
    that diagnostics point at."""

    def __init__(self, base: Path, *, is_here: bool) -> None:
        self._base = base
        self._is_here = is_here
        self._known: dict[Path, Known | None] = {}
        self.sources: list[Source] = []

    def check(
        self, spec: Spec, environment: Environment, jobs: Sequence[Job], *, running: frozenset[str] | None = None
    ) -> list[Diagnostic]:
        """What is wrong with `jobs`, all those of `environment`, and with the notebooks of those that are `running`."""
        folders = _Folders(spec, environment, self._base)
        firsts: dict[tuple[str, str | None], Job] = {}
        for job in jobs:
            if running is None or job.name in running:
                firsts.setdefault(_key(job), job)
        files = {key: path for key, job in firsts.items() if (path := folders.file(job.request)) is not None}
        if not files:
            return []
        known = {key: self._contract(path) for key, path in files.items()}
        diagnostics = self._compared(environment, jobs, known, running)
        for path in dict.fromkeys(files.values()):
            diagnostics += self._findings(path)
        if environment.backend == "local" and not self._is_here:  # where it is here, the backend itself is asked
            diagnostics += _unusable(self._base, [firsts[key] for key in files])
        return diagnostics

    def _compared(
        self,
        environment: Environment,
        jobs: Sequence[Job],
        known: Mapping[tuple[str, str | None], Known | None],
        running: frozenset[str] | None,
    ) -> list[Diagnostic]:
        from dsjobs.notebook.contract.comparison import Comparison

        comparison = Comparison(self._surroundings(environment))
        for job in jobs:
            comparison.add(job, known.get(_key(job)), counts=running is None or job.name in running)
        return comparison.diagnostics()

    def _contract(self, path: Path) -> Known | None:
        if path not in self._known:
            self._known[path] = _read(path)
        return self._known[path]

    def _findings(self, path: Path) -> Iterator[Diagnostic]:
        from dsjobs.notebook import reading
        from dsjobs.notebook.contract.comparison import findings

        known = self._known[path]
        if known is None:
            return
        found = list(findings(known))
        cells = {cell.number: cell for cell in reading.read(path).code_cells} if found else {}
        for diagnostic, number in found:
            name = in_cell(known.notebook, number)
            if all(source.name != name for source in self.sources):
                self.sources.append(Source(name, cells[number].source))
            yield diagnostic

    def _surroundings(self, environment: Environment) -> Surroundings:
        from dsjobs.notebook.contract.comparison import Surroundings

        if environment.backend == "datasphere":
            has_store = "output_store" in environment.settings
            return Surroundings(is_certain=False, has_secrets=True, outputs="published" if has_store else None)
        is_local = environment.backend == "local"
        variables = frozenset(os.environ) if is_local else frozenset[str]()
        return Surroundings(variables, is_certain=is_local and self._is_here)


class _Folders:
    """Where the notebooks of an environment may lie on this machine."""

    def __init__(self, spec: Spec, environment: Environment, base: Path) -> None:
        self._base = base
        self._is_here = environment.backend != "datasphere"
        self._by_project: dict[str, list[Path]] = {}
        if not self._is_here:
            others = [other for other in spec.environments.values() if other.backend != "datasphere"]
            for name, project in environment.projects.items():
                folders = [base / other.projects[name] for other in others if name in other.projects]
                self._by_project.setdefault(project, []).extend(folders)

    def file(self, request: Request) -> Path | None:
        """The file of the notebook that `request` runs, where there is one that must be it."""
        if request.notebook is None:
            return None
        here = [self._base / request.project]
        folders = here if self._is_here else self._by_project.get(request.project) or [self._base]
        found = {path for folder in folders if (path := _file(folder, request.notebook)) is not None}
        return found.pop() if len(found) == 1 else None


def _file(folder: Path, notebook: str) -> Path | None:
    """A notebook in a folder, where it is. A cheap look first: the real one says what is wrong, and searches for names."""
    from dsjobs.notebook import paths
    from dsjobs.notebook.errors import NotebookError

    written = notebook.removeprefix(paths.PROJECT_PREFIX)
    try:
        if not os.path.isfile(os.path.join(folder, written)):
            return None
        return paths.notebook_path(folder, notebook)
    except (NotebookError, OSError, ValueError):
        return None


def _unusable(base: Path, jobs: Sequence[Job]) -> list[Diagnostic]:
    """Which of these notebooks cannot be run as they are: files that are none, kernels that are not installed."""
    from dsjobs.backends import local_check

    return [found for found in local_check.check(base, jobs) if found.code == "DSJ402"]


def different(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, and of each matrix one cell for each target: what is wrong with one is wrong with all that run the same."""
    found = {(job.base or job.name, job.request.project, job.request.target): job for job in reversed(jobs)}
    return list(reversed(found.values()))


def _key(job: Job) -> tuple[str, str | None]:
    """What names the notebook of a job."""
    return job.request.project, job.request.notebook


def _read(path: Path) -> Known | None:
    from dsjobs.notebook import reading
    from dsjobs.notebook.cells import Target
    from dsjobs.notebook.contract.comparison import Known
    from dsjobs.notebook.contract.files import contract_at
    from dsjobs.notebook.errors import NotebookError

    try:
        notebook = reading.read(path)
    except NotebookError:
        return None  # which the backend's check says
    contract = contract_at(Target(notebook, notebook.code_cells))
    return Known(contract, _shown(path)) if contract is not None else None


def _shown(path: Path) -> str:
    """`path` as it is called from the working folder, where it lies below that."""
    relative = os.path.relpath(path, os.path.realpath(os.getcwd()))
    return str(path) if relative.startswith("..") else Path(relative).as_posix()
