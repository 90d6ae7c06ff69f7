"""The contract of code cells: parses each as IPython would run it, and gathers what it reads, sets and assigns. Runs nothing."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from dsjobs.notebook.contract.aliases import Aliases, add_texts
from dsjobs.notebook.contract.gathering import Gathered
from dsjobs.notebook.contract.libraries import MAY_DO_ANYTHING
from dsjobs.notebook.contract.magics import Code, python_of
from dsjobs.notebook.contract.names import Names
from dsjobs.notebook.contract.reads import Reads
from dsjobs.notebook.contract.value import CodeSource, Contract, Finding

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_OUTPUTS_VARIABLE = "DSJOBS_OUTPUTS_URL"
_NOT_PYTHON = (SyntaxError, ValueError)
_TOO_MUCH = (RecursionError, MemoryError, OverflowError)
# Lines that a newer Python may understand: generics and `type` of 3.12, `except A, B` and t-strings of 3.14.
_NEWER = re.compile(r"\s*type\s+\w|\s*(?:async\s+)?(?:def|class)\s+\w+\s*\[|\s*except\b[^(]*,|.*\b[tT][rR]?['\"]")

_WORD = re.compile(r"[A-Za-z_]\w*")
_PROMPTS = re.compile(r"^\s*>>>", re.MULTILINE)
"""Doctest's prompts, of which each version of IPython takes away others."""


@dataclass(frozen=True, slots=True)
class _Parsed:
    cell: CodeSource
    code: Code
    tree: ast.Module


def contract_of(
    cells: Sequence[CodeSource], version: tuple[int, int] | None = None, *, is_module: bool = False
) -> Contract:
    """The contract of these cells, which run in their order. `version`: of the Python that runs them, where that is known;
    `is_module`: they are one, which others import.

    Never raises, whatever the cells contain.
    """
    try:
        return _contract_of(cells, version, is_module=is_module)
    except _TOO_MUCH:
        gathered = Gathered()
        gathered.cannot_tell()
        return gathered.contract()


def _contract_of(cells: Sequence[CodeSource], version: tuple[int, int] | None, *, is_module: bool) -> Contract:
    gathered = Gathered()
    parsed = [one for cell in cells if (one := _parsed(cell, version, gathered)) is not None]
    trees = [one.tree for one in parsed]
    may_raise = {one.tree for one in parsed if one.cell.may_raise}
    words = {
        word for one in parsed for magic in one.code.magics for word in _WORD.findall(f"{magic.text}\n{magic.body}")
    }
    aliases = Aliases(trees, may_raise=may_raise, in_commands=words)
    add_texts(aliases, gathered)
    if aliases.is_os_unclear:
        gathered.is_dynamic_reads = gathered.is_dynamic_sets = True
    reads, scratch = Reads(aliases, gathered), Gathered()
    names, scratch_names = Names(gathered, trees), Names(scratch, trees)
    for one in parsed:
        try:
            for magic in one.code.magics:
                gathered.magic(magic)
            visitor = scratch_names if one.code.is_scratch else names  # first: it knows of `%env` as a call
            visitor.visit_cell(one.tree, is_certain=not one.cell.may_raise)
            reads.visit_cell(one.tree, one.cell.number, is_certain=not one.cell.may_raise)
        except _TOO_MUCH:  # a sum of a thousand terms is a tree of a thousand levels
            gathered.cannot_tell()
    reads.finish(is_module=is_module)
    if any("input_transformer" in cell.source for cell in cells):  # the notebook has a syntax of its own
        gathered.findings = [finding for finding in gathered.findings if finding.code != "DSJ405"]
    return _finished(gathered, scratch)


def _finished(gathered: Gathered, scratch: Gathered) -> Contract:
    gathered.modules = {
        name for name in gathered.modules | scratch.modules if name not in sys.stdlib_module_names - MAY_DO_ANYTHING
    }
    gathered.published |= scratch.published
    gathered.is_dynamic_reads |= scratch.is_dynamic_reads
    gathered.is_dynamic_sets |= scratch.is_dynamic_sets
    gathered.is_dynamic_publishing |= scratch.is_dynamic_publishing
    if _OUTPUTS_VARIABLE in gathered.mentions:  # published by hand
        gathered.is_dynamic_publishing = True
    if gathered.is_dynamic_assignments:  # `input` may be another one
        gathered.findings = [finding for finding in gathered.findings if finding.code != "DSJ409"]
    gathered.reads = dict(sorted(gathered.reads.items(), key=lambda item: (item[1].cell, item[1].line, item[1].column)))
    return gathered.contract()


def _parsed(cell: CodeSource, version: tuple[int, int] | None, gathered: Gathered) -> _Parsed | None:
    """The cell as a tree; None, with what is wrong noted, where it is not Python as this interpreter knows it."""
    code = python_of(cell.source)
    try:
        return _Parsed(cell, code, _tree(code.text))
    except _TOO_MUCH:
        gathered.cannot_tell()
    except _NOT_PYTHON as error:
        gathered.cannot_tell()
        if not (cell.may_raise or _PROMPTS.search(cell.source) or _may_be_newer(error, code.text, version)):
            gathered.findings.append(_finding(error, cell, code))
    for magic in code.magics:
        gathered.magic(magic)
    return None


def _tree(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of "\d" in the notebook's code
        tree = compile(text, "<cell>", "exec", ast.PyCF_ONLY_AST | _FLAGS, dont_inherit=True)
        assert isinstance(tree, ast.Module)
        try:
            compile(tree, "<cell>", "exec", _FLAGS, dont_inherit=True)
        except SyntaxError:
            for statement in tree.body:  # IPython compiles them one by one: `from __future__` may stand anywhere
                compile(ast.Module([statement], []), "<cell>", "exec", _FLAGS, dont_inherit=True)
    return tree


def _may_be_newer(error: Exception, text: str, version: tuple[int, int] | None) -> bool:
    """Whether the Python that will run the cell may know syntax that this one does not, or did when it was written."""
    ours = sys.version_info[:2]
    if version is not None and (version > ours or version < (3, 8)):
        return True
    line = getattr(error, "lineno", None) or 1
    lines = text.split("\n")
    near = lines[max(0, line - 2) : line]
    is_new = str(error).startswith("f-string") or any(_NEWER.match(one) for one in near)  # of 3.12 are new f-strings
    return version is None and is_new


def _finding(error: Exception, cell: CodeSource, code: Code) -> Finding:
    message = re.sub(r" \(<cell>, line \d+\)$", "", error.msg if isinstance(error, SyntaxError) else str(error))
    lines = code.text.split("\n")
    line = min(max(getattr(error, "lineno", None) or 1, 1), len(lines))
    column = max(getattr(error, "offset", None) or 1, 1) + code.margin
    return Finding("DSJ405", f"this is not Python: {message}", cell.number, line, column)
