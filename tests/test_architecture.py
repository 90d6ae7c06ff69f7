"""The layering of architecture.md, held against the imports of every file.

`cli → reports, server, run → plan → spec → model; backends → notebook, model; server → backends, model`, and `server` and
`backends/datasphere` never import each other. The root modules (marks, diagnostics, errors, model, schemas) are below all of it.

Two things are decided here. `run` talks to backends, so it may import the page that says what one is, `backends/protocol.py`, and
no backend: which one runs is the command line's business. And `reports` work on the manifest as data, so they need nothing of
`run`. An import inside a function, or for types only, counts as well: layering is about who knows whom.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "dsjobs"

LEAVES = {"marks", "diagnostics", "errors", "model"}
ROOT = {"", *LEAVES, "schemas", "files", "inbox", "secrets", "redaction"}  # "" is the package itself: its version

MAY_IMPORT: dict[str, set[str]] = {
    "marks": set(),
    "diagnostics": {"marks"},
    "errors": {"diagnostics"},
    "model": {"marks"},
    "schemas": set(),
    "files": set(),
    "inbox": set(),
    "explanations": {"diagnostics"},
    "secretforms": {"secrets"},
    "secrets": {"secretforms"},
    "redaction": {"model", "secrets"},
    "spec": LEAVES,
    "plan": LEAVES | {"spec"},
    "run": ROOT | {"plan", "spec", "backends.protocol"},
    "reports": ROOT,
    "notebook": ROOT,
    "publish": ROOT | {"notebook"},
    "backends": ROOT | {"notebook", "publish"},
    "server": ROOT | {"backends", "notebook"},
    "cli": ROOT | {"backends", "explanations", "notebook", "plan", "publish", "reports", "run", "server", "spec"},
    "": {"publish"},
    "__main__": {"cli"},
}
"""Part of the package to the parts that it may import besides itself."""

PURE = (
    "marks", "diagnostics", "errors", "model", "secrets", "secretforms", "redaction", "spec", "plan", "reports",
    "run.scheduler", "run.manifest", "run.records", "run.outcome", "run.requests", "run.events", "run.pools",
    "run.rules", "run.retries", "run.recovery",
)  # fmt: skip
IMPURE_MODULES = frozenset(
    "asyncio builtins concurrent ctypes fcntl fileinput getpass glob http importlib io locale logging mmap multiprocessing os "
    "pathlib platform pty queue random requests resource runpy secrets select selectors shutil signal site smtplib socket "
    "sqlite3 ssl subprocess sys syslog tempfile threading time tkinter urllib venv webbrowser zipfile tarfile".split()
)
IMPURE_CALLS = frozenset(
    "open print input breakpoint datetime.now datetime.utcnow datetime.today date.today uuid.uuid1 uuid.uuid4 uuid1 uuid4".split()
)

HEAVY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ["jupyter_client", "nbclient", "nbformat", "zmq", "traitlets", "tornado", "ipykernel"], ("notebook",)
    ),
    "jinja2": ("spec.sandbox", "spec.grammar", "spec.budget", "spec.certain"),
    "jsonschema": (),
    "requests": ("backends.datasphere",),
    **dict.fromkeys(["starlette", "uvicorn"], ("server",)),
    **dict.fromkeys(["jwt", "cryptography"], ("server", "backends.datasphere")),
    **dict.fromkeys(["boto3", "dask", "distributed", "numpy", "pandas", "IPython"], ()),
}
"""Package that takes long to import, to the parts that may import it when they are imported themselves. Any other module imports
it, or those parts, inside the function that needs it."""


@dataclass(frozen=True)
class Import:
    """A module that another one imports. `is_lazy`: only when a function is called, or by a type checker."""

    importer: str
    imported: str
    line: int
    is_lazy: bool

    def __str__(self) -> str:
        return f"dsjobs/{self.importer or '__init__'}:{self.line} imports {self.imported}"


def name_of(path: Path) -> str:
    """A file's module, from the package on: `run.scheduler`; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def trees() -> dict[str, ast.Module]:
    files = sorted(PACKAGE.rglob("*.py"))
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in files}


@cache
def imports() -> tuple[Import, ...]:
    return tuple(found for name, tree in trees().items() for found in imports_in(name, tree, is_lazy=False))


def imports_in(importer: str, node: ast.AST, *, is_lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inner = is_lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_for_types(child)
        if isinstance(child, ast.Import):
            yield from (Import(importer, alias.name, child.lineno, is_lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"dsjobs/{importer}:{child.lineno}: a relative import"
            yield from (
                Import(importer, target(child.module or "", a.name), child.lineno, is_lazy) for a in child.names
            )
        else:
            yield from imports_in(importer, child, is_lazy=inner)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def target(module: str, name: str) -> str:
    """What `from module import name` imports: a module of ours where there is one of that name, else `module`."""
    inner = f"{module}.{name}"
    return inner if inner.removeprefix("dsjobs.") in trees() else module


def ours(imported: str) -> str | None:
    """The module of dsjobs, from the package on; None for somebody else's."""
    first, _, rest = imported.partition(".")
    return rest if first == "dsjobs" else None


def is_in(module: str, part: str) -> bool:
    return module == part or (part != "" and module.startswith(part + "."))


def part_of(module: str) -> str:
    return module.partition(".")[0]


def test_imports_when_between_parts_then_go_one_way():
    wrong = []
    for found in imports():
        imported = ours(found.imported)
        if imported is None or part_of(imported) == part_of(found.importer):
            continue
        if not any(is_in(imported, allowed) for allowed in MAY_IMPORT[part_of(found.importer)]):
            wrong.append(str(found))
    assert wrong == []


def test_parts_when_there_is_a_new_one_then_its_place_is_written_down():
    assert {part_of(name) for name in trees()} <= set(MAY_IMPORT)


def test_server_and_client_when_they_speak_the_same_api_then_share_no_code():
    server, client = "server", "backends.datasphere"
    wrong = [
        str(found)
        for found in imports()
        for one, other in ((server, client), (client, server))
        if is_in(found.importer, one) and is_in(ours(found.imported) or "-", other)
    ]
    assert wrong == []


def test_imports_when_followed_then_come_to_no_circle():
    """Of what is imported when a module is imported."""
    import graphlib

    edges: dict[str, set[str]] = {}
    for found in imports():
        imported = ours(found.imported)
        if imported is not None and not found.is_lazy and imported != found.importer:
            edges.setdefault(found.importer, set()).add(imported)
    graphlib.TopologicalSorter(edges).prepare()


@pytest.mark.parametrize("part", PURE)
def test_pure_part_when_it_imports_then_only_what_does_no_io(part):
    wrong = []
    for found in imports():
        if not is_in(found.importer, part):
            continue
        imported = ours(found.imported)
        if imported is None:
            is_wrong = part_of(found.imported) in IMPURE_MODULES
        else:
            is_wrong = not any(is_in(imported, pure) for pure in PURE)
        if is_wrong:
            wrong.append(str(found))
    assert wrong == []


@pytest.mark.parametrize("part", PURE)
def test_pure_part_when_it_calls_then_reads_no_file_clock_or_chance(part):
    wrong = [
        f"dsjobs/{name}:{node.lineno} calls {ast.unparse(node.func)}"
        for name, tree in trees().items()
        if is_in(name, part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS
    ]
    assert wrong == []


def test_printing_when_it_is_done_then_by_the_command_line_only():
    wrong = [
        str(found) for found in imports() if part_of(found.imported) == "click" and part_of(found.importer) != "cli"
    ]
    for name, tree in trees().items():
        # A kernel's process has streams of its own.
        if part_of(name) in ("cli", "__main__") or is_in(name, "notebook.forkserver"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "input"):
                wrong.append(f"dsjobs/{name}:{node.lineno} prints")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
                wrong.append(f"dsjobs/{name}:{node.lineno} uses {ast.unparse(node)}")
    assert wrong == []


def test_console_when_commands_print_then_they_do_it_through_it():
    wrong = [
        f"dsjobs/{name}:{node.lineno} calls {ast.unparse(node.func)}"
        for name, tree in trees().items()
        if is_in(name, "cli") and name not in ("cli", "cli.console")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo", "click.secho")
    ]
    assert wrong == []


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_package_when_a_module_is_imported_then_only_its_own_part_brings_it(package):
    """Followed through our own modules: one that imports a module which imports the package, imports it as well."""
    eager = [found for found in imports() if not found.is_lazy]
    heavy = {found.importer: str(found) for found in eager if part_of(found.imported) == package}
    while True:
        more = {f.importer: str(f) for f in eager if ours(f.imported) in heavy and f.importer not in heavy}
        if not more:
            break
        heavy |= more
    wrong = [why for name, why in heavy.items() if not any(is_in(name, part) for part in HEAVY[package])]
    assert wrong == []


FILE = """\
version: 1
variables: {region: eu}
jobs:
  - name: a
    project: notebooks
    notebook: a.ipynb
    inputs: {REGION: "{{ vars.region }}"}
    outputs: {rows: {type: integer, minimum: 1}}
  - {name: b, project: notebooks, notebook: b.ipynb, needs: [a], inputs: {ROWS: "{{ needs.a.outputs.rows }} rows"}}
"""

IMPORTED = """
import sys
from dsjobs.cli import main
try:
    main(sys.argv[2:])
except SystemExit as end:
    assert end.code == 0, end.code
found = sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1].split(",")))
print(",".join(found), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "more"), [(["--help"], ["yaml", "asyncio"]), (["validate", "jobs.yaml"], ["asyncio"])]
)
def test_command_when_it_needs_none_then_no_heavy_package_is_imported(tmp_path, arguments, more):
    (tmp_path / "jobs.yaml").write_text(FILE)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, ",".join([*HEAVY, *more]), *arguments], cwd=tmp_path, capture_output=True,
        encoding="utf-8", timeout=60, env={"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "\n"), done.stdout + done.stderr


def test_apply_when_it_runs_a_notebook_then_leaves_to_the_kernel_what_only_that_needs(tmp_path):
    (tmp_path / "jobs.yaml").write_text("version: 1\njobs: [{name: a, notebook: a.ipynb}]\n")
    (tmp_path / "a.ipynb").write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}))
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, "IPython,arrow,lark", "apply", "-q"], cwd=tmp_path,
        capture_output=True, encoding="utf-8", timeout=120, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "", done.stdout + done.stderr


def test_modules_when_named_then_say_what_is_in_them():
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handlers", "handler", "base", "core"}
    assert [name for name in trees() if vague & set(name.split("."))] == []


def test_modules_when_read_then_begin_with_what_they_are_for():
    """A docstring, unless the file is empty."""
    assert [name for name, tree in trees().items() if tree.body and not ast.get_docstring(tree)] == []
