"""Notebooks as plain text, each with a job for it: `# inputs:`, `# outputs:`, then cells after lines `# %%`, which may have tags;
`# %% file NAME` is a file beside the notebook."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from dsjobs.cli import loading
from dsjobs.cli.contracts import Contracts
from dsjobs.diagnostics import Diagnostic, in_order, text
from dsjobs.notebook import reading
from dsjobs.notebook.cells import Target
from dsjobs.notebook.contract.files import contract_at
from dsjobs.notebook.contract.libraries import KNOWN_MODULES
from dsjobs.notebook.contract.value import Contract

HERE = Path(__file__).parent
GOOD = sorted((HERE / "good").glob("*.cells"))
BAD = sorted((HERE / "bad").glob("*.cells"))

LOCAL = "environments: {local: {backend: local, projects: {here: .}}}"
PROD = "environments: {prod: {backend: datasphere, projects: {here: bt1abcdefghijklmnopq}, settings: {output_store: 's3://b/p'}}}"


@dataclass(frozen=True)
class Cell:
    """A code cell of a case."""

    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A notebook and the job that runs it."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    cells: tuple[Cell, ...]
    files: tuple[tuple[str, str], ...] = ()
    version: str | None = None
    has_store: bool = False

    @property
    def job_file(self) -> str:
        inputs = "".join(f"      {name}: x\n" for name in self.inputs)
        outputs = "".join(f"      {name}: {{}}\n" for name in self.outputs)
        return (
            f"version: 1\n{PROD if self.has_store else LOCAL}\njobs:\n  - name: job\n    project: here\n"
            "    notebook: notebook.ipynb\n"
            + (f"    inputs:\n{inputs}" if inputs else "")
            + (f"    outputs:\n{outputs}" if outputs else "")
        )

    @property
    def notebook(self) -> str:
        cells = [
            {"cell_type": "code", "id": f"c{number}", "metadata": {"tags": list(cell.tags)}, "execution_count": None,
             "outputs": [], "source": cell.source.splitlines(keepends=True)}
            for number, cell in enumerate(self.cells)
        ]  # fmt: skip
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        if self.version:
            metadata["language_info"] = {"name": "python", "version": self.version}
        return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})

    def with_cell(self, index: int, source: str) -> Case:
        cells = list(self.cells)
        cells[index] = replace(cells[index], source=source)
        return replace(self, cells=tuple(cells))


def read_case(path: Path) -> Case:
    head, *parts = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    header = dict(re.findall(r"^# (\w+):(.*)$", head, re.MULTILINE))
    cells, files = [], []
    for part in parts:
        options, _, source = part.partition("\n")
        if options.strip().startswith("file "):
            files.append((options.split()[1], source))
        elif "[markdown]" not in options:
            tags = re.search(r"tags=(\[.*\])", options)
            cells.append(Cell(source.rstrip("\n"), tuple(json.loads(tags[1])) if tags else ()))
    return Case(
        tuple(header["inputs"].split()),
        tuple(header["outputs"].split()),
        tuple(cells),
        tuple(files),
        header.get("version", "").strip() or None,
        "store" in header,
    )


def write(case: Case, folder: Path) -> None:
    (folder / "notebook.ipynb").write_text(case.notebook, encoding="utf-8")
    (folder / "jobs.yaml").write_text(case.job_file, encoding="utf-8")
    for name, source in case.files:
        (folder / name).write_text(source, encoding="utf-8")


def contract(folder: Path) -> Contract | None:
    notebook = reading.read(folder / "notebook.ipynb")
    return contract_at(Target(notebook, notebook.code_cells))


def found(folder: Path) -> tuple[list[Diagnostic], str]:
    """What is said of the job in a folder, which is the working folder: as values, and as text."""
    loaded = loading.load(Path("jobs.yaml"))
    assert loaded.spec is not None
    contracts = Contracts(folder, is_here=True)
    environments = list(loaded.spec.environments.values())
    said = in_order([*loaded.diagnostics, *loading.check_everywhere(loaded.spec, environments, contracts)])
    sources = (*loaded.sources, *contracts.sources)
    return said, "".join(text(one, sources) + "\n" for one in said)


def shown(made: Contract) -> str:
    """A contract for people to read."""
    reads = [f"{read.name} {read.need} {read.cell}:{read.line}:{read.column}" for read in made.reads.values()]
    dynamic = [
        what
        for what, is_dynamic in (
            ("reads", made.is_dynamic_reads),
            ("sets", made.is_dynamic_sets),
            ("assignments", made.is_dynamic_assignments),
            ("publishing", made.is_dynamic_publishing),
        )
        if is_dynamic
    ]
    lines = {
        "reads": reads,
        "mentions": sorted(made.mentions - made.reads.keys()),
        "sets": sorted(made.sets),
        "assigned": sorted(made.assigned),
        "published": sorted(made.published),
        "unknown modules": sorted(made.modules - KNOWN_MODULES),
        "cannot tell": dynamic,
    }
    return "".join(f"{name}: {', '.join(values)}\n" for name, values in lines.items() if values)


def forget(case: Case) -> list[str]:
    """The variables of this process that a case speaks of."""
    code = " ".join(cell.source for cell in case.cells)
    return [name for name in os.environ if re.search(rf"\b{re.escape(name)}\b", code) or name in case.inputs]
