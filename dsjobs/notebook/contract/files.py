"""The contract of what a request runs, as it lies on disk: its cells, and the modules that lie beside the notebook.

A module that is neither beside the notebook nor widely known may read, set and publish whatever it likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from dsjobs.notebook.cells import Target
from dsjobs.notebook.contract.analysis import contract_of
from dsjobs.notebook.contract.libraries import KNOWN_MODULES
from dsjobs.notebook.contract.value import CodeSource, Contract, Read
from dsjobs.notebook.reading import Cell, Notebook

_UNKNOWN = Contract(is_dynamic_reads=True, is_dynamic_sets=True, is_dynamic_publishing=True)
_MAX_FILES = 50
_MAX_BYTES = 1_000_000
# Kernels that call their language Python and run it elsewhere, or another language.
_NOT_PLAIN_PYTHON = re.compile(
    r"sagemath|spark|xonsh|coconut|circuitpython|micropython|jython|ironpython|calysto", re.IGNORECASE
)


def contract_at(target: Target) -> Contract | None:
    """The contract of what will run; None where that is not Python that is known here."""
    if not is_python(target.notebook):
        return None
    made = contract_of(list(_sources(target)), _version(target.notebook))
    if target.notebook.kernel_name not in (None, "python3"):  # a kernelspec of one's own may set variables
        made = replace(made, is_dynamic_sets=True)
    return _with_modules(made, target.notebook.path.parent)


def is_python(notebook: Notebook) -> bool:
    """Whether an ordinary Python kernel runs the notebook."""
    name, language = notebook.kernel_name, notebook.language
    if name is not None and _NOT_PLAIN_PYTHON.search(name):
        return False
    if language is None:
        return name is None or name.lower().startswith("python3")
    return language.casefold() in ("python", "ipython", "python3")


def _sources(target: Target) -> Iterator[CodeSource]:
    """The cells as they are run: as nbclient does, without those that are tagged to be skipped."""
    for cell in target.cells:
        tags = _tags(target.notebook, cell)
        if "skip-execution" not in tags:
            yield CodeSource(cell.number, cell.source, may_raise="raises-exception" in tags)


def _tags(notebook: Notebook, cell: Cell) -> list[object]:
    metadata = notebook.content["cells"][cell.index].get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return tags if isinstance(tags, list) else []


def _version(notebook: Notebook) -> tuple[int, int] | None:
    """The version of the Python that the notebook was last saved with."""
    metadata = notebook.content.get("metadata")
    info = metadata.get("language_info") if isinstance(metadata, dict) else None
    written = info.get("version") if isinstance(info, dict) else None
    match = re.match(r"(\d{1,3})\.(\d{1,3})", written) if isinstance(written, str) else None
    return (int(match[1]), int(match[2])) if match else None


def _with_modules(contract: Contract, folder: Path) -> Contract:
    """`contract` with what the modules beside the notebook read, set and publish."""
    wanted, known, files = set(contract.modules), set[str](), 0
    while wanted - known:
        name = min(wanted - known)
        known.add(name)
        texts = list(islice(_texts(folder, name), _MAX_FILES - files + 1))
        files += len(texts)
        if not texts and name in KNOWN_MODULES:
            continue
        if not texts or files > _MAX_FILES:
            return replace(contract, is_dynamic_reads=True, is_dynamic_sets=True, is_dynamic_publishing=True)
        for text in texts:
            module = _module(text) if text is not None else _UNKNOWN
            contract = _together(contract, module)
            wanted |= {inner for inner in module.modules if not inner.startswith(".")}
    return contract


@lru_cache(maxsize=256)
def _module(text: str) -> Contract:
    """The contract of a module, which many notebooks may import."""
    return contract_of([CodeSource(0, text)], is_module=True)


def _texts(folder: Path, name: str) -> Iterator[str | None]:
    """The sources of a module or package in `folder`; None for one that cannot be read."""
    if not name.isidentifier():
        return
    try:
        if (folder / f"{name}.py").is_file():
            yield _text(folder / f"{name}.py")
        elif (folder / name / "__init__.py").is_file():
            for path in sorted((folder / name).rglob("*.py")):
                yield _text(path)
    except OSError:
        yield None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= _MAX_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _together(contract: Contract, module: Contract) -> Contract:
    is_broken = bool(module.findings)
    reads: dict[str, Read] = {
        name: replace(read, need="optional", is_optional=True) for name, read in module.reads.items()
    }
    own = {
        name: replace(read, need="optional") if name in module.sets else read for name, read in contract.reads.items()
    }
    return replace(
        contract,
        reads={**reads, **own},
        mentions=contract.mentions | module.mentions,
        sets=contract.sets | module.sets,
        published=contract.published | module.published,
        is_dynamic_reads=contract.is_dynamic_reads or module.is_dynamic_reads,
        is_dynamic_sets=contract.is_dynamic_sets or module.is_dynamic_sets or is_broken,
        is_dynamic_assignments=contract.is_dynamic_assignments or module.is_dynamic_assignments,
        is_dynamic_publishing=contract.is_dynamic_publishing or module.is_dynamic_publishing,
    )
