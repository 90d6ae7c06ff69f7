"""Looks at what jobs need on this machine before any of them runs, and reports what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dsjobs.diagnostics import Diagnostic, in_order
from dsjobs.model import Job, Request
from dsjobs.notebook import cells, kernelspecs, paths
from dsjobs.notebook.errors import NotebookError
from dsjobs.notebook.kernelspecs import KernelChoice

T = TypeVar("T")


def check(base: Path, jobs: Sequence[Job]) -> list[Diagnostic]:
    """The diagnostics of these jobs, in order. Each folder and each notebook is looked at once, however many jobs use it."""
    look = _Look(base)
    found = _missing_packages() if jobs else []
    for job in jobs:
        found += look.at(job)
    return in_order(found)


def _missing_packages() -> list[Diagnostic]:
    missing = kernelspecs.missing_packages()
    if not missing:
        return []
    message = f"running notebooks on this machine needs packages that are not installed: {', '.join(missing)}"
    return [Diagnostic("DSJ404", message, hint=kernelspecs.INSTALL_HINT)]


class _Look:
    """What was found out so far: by project its folder, by project and target the kernel; or why there is none."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._can_run = not kernelspecs.missing_packages()
        self._folders: dict[str, Path | NotebookError] = {}
        self._kernels: dict[tuple[str, str | None, str | None], KernelChoice | NotebookError] = {}

    def at(self, job: Job) -> list[Diagnostic]:
        request = job.request
        found = _ignored(job)
        folder = self._folders.get(request.project)
        if folder is None:
            folder = _outcome(lambda: paths.project_folder(self._base, request.project))
            self._folders[request.project] = folder
        if isinstance(folder, NotebookError):
            return [*found, _error(job, "project", folder)]
        key = (request.project, request.notebook, request.cell)
        kernel = self._kernels.get(key)
        if kernel is None:
            kernel = self._kernels[key] = _outcome(lambda: self._kernel(folder, request))
        return [*found, *_about_kernel(job, kernel)]

    def _kernel(self, folder: Path, request: Request) -> KernelChoice:
        notebook = cells.find(folder, request).notebook
        # Which kernels there are is a question for jupyter_client; that it is missing has been said already.
        return kernelspecs.choose(notebook) if self._can_run else KernelChoice(kernelspecs.PYTHON_KERNEL, "python")


def _outcome(look: Callable[[], T]) -> T | NotebookError:
    try:
        return look()
    except NotebookError as error:
        return error


def _ignored(job: Job) -> list[Diagnostic]:
    if job.request.spark_connector is None:
        return []
    message = f"job '{job.name}': the local backend has no Spark connectors; spark_connector is ignored"
    hint = "give it in the environment that runs on DataSphere"
    return [Diagnostic("DSJ404", message, job.position("spark_connector"), hint, "warning")]


def _about_kernel(job: Job, kernel: KernelChoice | NotebookError) -> list[Diagnostic]:
    place = "notebook" if job.request.notebook is not None else "cell"
    if isinstance(kernel, NotebookError):
        return [_error(job, place, kernel)]
    if job.request.output_variable_names and not kernel.is_python:
        message = f"job '{job.name}': outputs cannot be read from kernel '{kernel.name}', which is not a Python kernel"
        return [Diagnostic("DSJ404", message, job.position("outputs"), "leave out `outputs`, or write it in Python")]
    if kernel.note:
        return [Diagnostic("DSJ402", f"job '{job.name}': {kernel.note}", job.position(place), None, "warning")]
    return []


def _error(job: Job, place: str, error: NotebookError) -> Diagnostic:
    return Diagnostic(error.code, f"job '{job.name}': {error}", job.position(place), error.hint)
