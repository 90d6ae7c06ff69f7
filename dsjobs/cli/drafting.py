"""What `dsjobs init` writes: a first job file, drafted from the notebooks of a folder, or the demo.

A draft names only what can be read from the notebooks: one job for each, with the environment variables that its code reads as
inputs. What depends on what cannot be read, so `needs` stay comments.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dsjobs.notebook import paths, reading
from dsjobs.notebook.contract.analysis import contract_of
from dsjobs.notebook.contract.libraries import SECRET, SET_BY_THE_SYSTEM
from dsjobs.notebook.contract.value import CodeSource, Read
from dsjobs.notebook.errors import NotebookError

_MAX_NAME = 63
_MAX_NOTEBOOK_PATH = 200
_MAX_COMMENT = 60

_INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Texts that YAML reads as text without quotes. Words such as `on` stay quoted: other readers of YAML take them for booleans.
_PLAIN = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z_][A-Za-z0-9_./-]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NotebookFile:
    """A notebook found in a folder: its path there, with `/`, and the sources of its code cells."""

    path: str
    code: tuple[str, ...]


def find_notebooks(folder: Path) -> tuple[list[NotebookFile], list[str]]:
    """The notebooks below `folder`, sorted by path, and a note on each one that no job could run.

    Hidden folders and virtual environments are left out.
    """
    found: list[NotebookFile] = []
    notes: list[str] = []
    for name in sorted(paths.notebooks_in(folder)):
        if _in_virtual_environment(folder, name):
            continue
        try:
            notebook = reading.read(paths.notebook_path(folder, name))
        except NotebookError as error:
            notes.append(f"{_one_line(name)} is left out: {error}")
            continue
        if len(name) > _MAX_NOTEBOOK_PATH:
            notes.append(f"{name} is left out: its path is longer than {_MAX_NOTEBOOK_PATH} characters")
            continue
        found.append(NotebookFile(name, tuple(cell.source for cell in notebook.code_cells)))
    return found, notes


def draft(name: str, notebooks: Sequence[NotebookFile]) -> str:
    """The text of a job file named `name` with one job for each notebook; with an invented one where there are none."""
    head = _HEAD.replace("NAME", _scalar(_one_line(name)[:100] or "pipeline"))
    if not notebooks:
        return head + _FIRST_JOB
    jobs = []
    previous = ""
    for job, notebook in zip(job_names([notebook.path for notebook in notebooks]), notebooks, strict=True):
        jobs.append("\n".join(_job_lines(job, notebook, previous)))
        previous = job
    return head + _JOBS + "\n\n".join(jobs) + "\n"


def job_names(notebook_paths: Sequence[str]) -> list[str]:
    """A job name for each path, all different: of the file's name, or of the whole path where two files are called the same.

    A number in front is left out, so `01_load.ipynb` gives `load`.
    """
    short = [_slug(PurePosixPath(path).stem) for path in notebook_paths]
    keys = [name.casefold() for name in short]
    taken: set[str] = set()
    names = []
    for name, path in zip(short, notebook_paths, strict=True):
        wanted = name if keys.count(name.casefold()) == 1 else _slug(path.removesuffix(".ipynb"))
        names.append(_untaken(wanted, taken))
        taken.add(names[-1].casefold())
    return names


def inputs_read(code: Sequence[str]) -> list[Read]:
    """The environment variables that code cells read before they set them, in the order in which they do.

    Cells may have IPython's magics and shell lines; one that is no Python even so is passed over.
    """
    contract = contract_of([CodeSource(number, source) for number, source in enumerate(code, start=1)])
    return [
        read
        for name, read in contract.reads.items()
        if _INPUT_NAME.fullmatch(name) and not SET_BY_THE_SYSTEM.fullmatch(name)
    ]


def demo_files() -> dict[str, bytes]:
    """The demo, as relative path → content: `jobs.yaml`, and under `notebooks/` what it runs."""
    job_file, notebooks = _demo_sources()
    files = {"jobs.yaml": _as_demo(job_file.read_text(encoding="utf-8")).encode()}
    for path in sorted(notebooks.iterdir()):
        if path.suffix in (".ipynb", ".py") or path.name == ".gitignore":
            files[f"notebooks/{path.name}"] = path.read_bytes()
    return files


def _demo_sources() -> tuple[Path, Path]:
    """The example's job file and its notebooks: in an installed package, or, for an editable install, in the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_examples"
    if installed.is_dir():
        return installed / "jobs.example.yaml", installed / "notebooks"
    return package.parent / "jobs.example.yaml", package.parent / "examples" / "notebooks"


def _as_demo(text: str) -> str:
    # A schema beside the file and the file's own name are true in the repository only.
    text = re.sub(r"\A# yaml-language-server:.*\n#\n", "", text)
    return text.replace(" jobs.example.yaml", "").replace("examples/notebooks", "notebooks".ljust(18))


def _in_virtual_environment(folder: Path, name: str) -> bool:
    return any((folder / parent / "pyvenv.cfg").exists() for parent in PurePosixPath(name).parents)


def _slug(text: str) -> str:
    """`text` as a job name: `[A-Za-z_][A-Za-z0-9_-]*`, at most 63 characters."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9_-]+", "_", ascii_text).strip("_-")
    name = re.sub(r"^[0-9]+[_-]*(?=[A-Za-z])", "", words)
    if not name or not name[0].isalpha():
        name = f"job_{name}".rstrip("_")
    return name[:_MAX_NAME]


def _untaken(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name.casefold() in taken:
        number += 1
        name = f"{wanted[: _MAX_NAME - len(str(number)) - 1]}_{number}"
    return name


def _job_lines(job: str, notebook: NotebookFile, previous: str) -> Iterator[str]:
    yield f"  - name: {_scalar(job)}"
    if previous:
        yield f"    # needs: [{_scalar(previous)}]"
    yield f"    notebook: {_scalar(notebook.path)}"
    inputs = inputs_read(notebook.code)
    if not inputs:
        return
    yield "    inputs:" if any(_is_asked(found) for found in inputs) else "    # inputs:"
    for found in inputs:
        yield _input_line(found)


def _is_asked(found: Read) -> bool:
    return not found.is_optional and not SECRET.search(found.name)


def _input_line(found: Read) -> str:
    if SECRET.search(found.name):
        return f'    #   {found.name}: ""  # looks like a secret: do not write it into this file'
    if not found.is_optional:
        return f'      {found.name}: ""  # the notebook needs it'
    if isinstance(found.default, ast.Constant) and found.default.value is not None:
        return f"    #   {found.name}: {_quoted(str(found.default.value))}  # optional; this is the notebook's default"
    if found.default is None or isinstance(found.default, ast.Constant):
        return f'    #   {found.name}: ""  # optional'
    code = _one_line(ast.unparse(found.default))
    shown = code if len(code) <= _MAX_COMMENT else code[: _MAX_COMMENT - 1] + "…"
    return f'    #   {found.name}: ""  # optional; the notebook\'s default: {shown}'


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    """`text` in YAML's double quotes, and such that a template engine leaves it as it is."""
    if re.search(r"\{[{%#]", text):
        text = "{{ '" + text.replace("\\", r"\\").replace("'", r"\'") + "' }}"
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


_HEAD = """\
# What runs, where and in what order.
#
#     dsjobs validate    every problem of this file
#     dsjobs plan        what would run, with which inputs
#     dsjobs apply       run it

version: 1
name: NAME

environments:
  local:
    backend: local
    projects: {main: .}  # project name -> folder, relative to this file
  # prod:
  #   backend: datasphere
  #   projects: {main: bt1abcdefghijklmnopq}  # the ID of a DataSphere project

default_environment: local

defaults:
  project: main
"""

_JOBS = """
# One job for each notebook. Inputs are environment variables of the notebook. A job can also have
#     needs: [other_job]                                   run after it
#     outputs: {row_count: {type: integer, minimum: 1}}    variables of the notebook, checked when it ends
# and hand on what another has put out: TABLE: "{{ needs.other_job.outputs.table_path }}"
jobs:
"""

_FIRST_JOB = """
variables:
  region: eu  # dsjobs apply --var region=us

jobs:
  - name: first
    notebook: first.ipynb  # path of the notebook in the project's folder
    inputs:
      REGION: "{{ vars.region }}"  # the notebook reads os.environ["REGION"]
    # outputs:  # variables that the notebook assigns, checked when it ends
    #   row_count: {type: integer, minimum: 1}

  # - name: second
  #   needs: [first]  # runs when first has succeeded
  #   notebook: second.ipynb
  #   inputs:
  #     ROW_COUNT: "{{ needs.first.outputs.row_count }}"
"""
