"""`input()` and `getpass()`: the kernels that run jobs refuse them at once."""

from __future__ import annotations

import ast

from dsjobs.notebook.contract.aliases import Aliases
from dsjobs.notebook.contract.flow import last_name
from dsjobs.notebook.contract.value import Finding


def question(node: ast.Call, cell: int, aliases: Aliases) -> Finding | None:
    """What is wrong with a call, where it asks for an answer."""
    name = last_name(node.func)
    if "builtins.input" in aliases.texts:  # `mock.patch("builtins.input")`
        return None
    if not _asks(node, name, aliases):
        return None
    message = f"{name}() asks for an answer, and nobody can give one to a job"
    hint = "read the value from the job's inputs: os.environ"
    return Finding("DSJ409", message, cell, node.lineno, node.col_offset + 1, hint)


def _asks(node: ast.Call, name: str, aliases: Aliases) -> bool:
    if name == "input":
        return isinstance(node.func, ast.Name) and not aliases.is_bound("input")
    return name == "getpass" and aliases.is_bound("getpass") and not aliases.is_defined_here("getpass")
