"""Chooses the kernel that runs a notebook: the one its metadata name, or else Python's own for a Python notebook."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dsjobs.diagnostics import did_you_mean
from dsjobs.notebook.errors import NotebookError
from dsjobs.notebook.reading import Notebook

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpecManager

PYTHON_KERNEL = "python3"
PACKAGES = ("ipykernel", "jupyter_client", "nbclient", "nbformat")
INSTALL_HINT = 'pip install "dsjobs[local]"'


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """The kernel that will run a notebook. `note` says why it is not the one that the notebook asks for."""

    name: str
    language: str
    note: str | None = None

    @property
    def is_python(self) -> bool:
        return _is_python(self.language)


def missing_packages() -> list[str]:
    """The packages that running notebooks needs and this interpreter does not have. Imports none of them."""
    return [name for name in PACKAGES if not _is_there(name)]


@cache
def _is_there(package: str) -> bool:
    return find_spec(package) is not None  # which looks at the disk, and is asked for each environment


def choose(notebook: Notebook) -> KernelChoice:
    """The kernel for `notebook`. Raises NotebookError when neither the one it names nor a substitute is installed.

    Jupyter itself offers `python3` wherever ipykernel is installed, so the usual notebook needs no look at the disk.
    """
    name, language = notebook.kernel_name, notebook.language
    wants_python = _is_python(language) or (name is None and language is None)
    if name == PYTHON_KERNEL or (name is None and wants_python):
        return KernelChoice(PYTHON_KERNEL, "python")
    installed = _installed()
    if name is not None and name.lower() in installed:
        return KernelChoice(name, installed[name.lower()])
    if wants_python:
        note = f"kernel '{name}' is not installed; {PYTHON_KERNEL} runs the notebook instead"
        return KernelChoice(PYTHON_KERNEL, "python", note)
    asked = f"kernel '{name}'" if name else f"a kernel for {language}"
    hint = did_you_mean(name or "", installed) or "jupyter kernelspec list shows what is installed"
    raise NotebookError(f"{asked}, which '{notebook.path.name}' asks for, is not installed", hint=hint)


def manager() -> KernelSpecManager:
    """What finds kernels where Jupyter does. It is told where that is: by itself it would import all of IPython, only to ask it
    for the folder in which kernels were before 2015."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_core.paths import jupyter_path

    earlier = Path(os.environ.get("IPYTHONDIR") or "~/.ipython").expanduser()
    return KernelSpecManager(kernel_dirs=[*jupyter_path("kernels"), str(earlier / "kernels")])


def _installed() -> dict[str, str]:
    """The language of each kernel that Jupyter finds; one that cannot be read counts as not installed."""
    specs = manager().get_all_specs()
    return {name: str(found["spec"].get("language") or "") for name, found in specs.items()}


def _is_python(language: str | None) -> bool:
    return language is not None and language.casefold() in ("python", "ipython", "python3")
