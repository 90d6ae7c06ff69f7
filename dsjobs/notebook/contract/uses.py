"""What becomes of `os.getenv("X")` where X is not set: whether what is done with its None surely raises, takes it for a value, or
looks at it first."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dsjobs.notebook.contract.aliases import Aliases
from dsjobs.notebook.contract.value import Need

_REFUSE_NONE = frozenset(
    "int float len bytes bytearray open Path PurePath PosixPath Decimal Fraction sorted loads literal_eval fromisoformat "
    "strptime join read_csv read_parquet read_excel read_json read_feather read_pickle makedirs mkdir".split()
)
_PERHAPS = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.With, ast.AsyncWith, ast.Match, ast.FunctionDef, ast.AsyncFunctionDef,
    ast.Lambda, ast.ClassDef, ast.IfExp, ast.BoolOp, ast.comprehension, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip
_SHOW = frozenset(
    {"print", "str", "repr", "bool", "type", "display", "format", "info", "debug", "warning", "isinstance"}
)


def without_value(call: ast.Call, aliases: Aliases) -> Need:
    """The need of a read that gives None where there is no such variable."""
    need = _need(call, aliases)
    if need is not None:
        return need
    name = _assigned_name(call, aliases)
    if name is None:
        return "none"
    loads = aliases.loads.get(name, [])
    needs = [_need(load, aliases) for load in loads]
    if not loads or "optional" in needs or not aliases.is_once(name):
        return "optional"
    if any(_is_tried(load, aliases) for load in loads):
        return "optional"
    surely = any(need == "raises" and _surely_happens(load, aliases) for load, need in zip(loads, needs, strict=True))
    return "raises" if surely else "none"


def _is_tried(node: ast.AST, aliases: Aliases) -> bool:
    parent = aliases.parents.get(node)
    while parent is not None and not isinstance(parent, ast.Try | ast.With):
        parent = aliases.parents.get(parent)
    return isinstance(parent, ast.Try)


def _surely_happens(node: ast.AST, aliases: Aliases) -> bool:
    parent = aliases.parents.get(node)
    while parent is not None and not isinstance(parent, _PERHAPS):
        parent = aliases.parents.get(parent)
    return parent is None


def _need(node: ast.expr, aliases: Aliases) -> Need | None:
    """By where an expression stands; None where that does not tell."""
    parent = aliases.parents.get(node)
    if isinstance(parent, ast.Attribute) or (isinstance(parent, ast.Subscript) and parent.value is node):
        return "raises"
    if isinstance(parent, ast.Call) and node in parent.args:
        return _need_of_argument(node, parent, aliases)
    if isinstance(parent, ast.BinOp):
        return "raises" if isinstance(parent.op, ast.Add | ast.Div) else None
    if isinstance(parent, ast.Compare):
        return "raises" if node in parent.comparators and isinstance(parent.ops[0], ast.In | ast.NotIn) else "optional"
    if isinstance(parent, ast.Assign | ast.AnnAssign | ast.FormattedValue):
        return None
    # A condition, a keyword argument, an item, a return value: whatever gets it may know what to do with None.
    return "optional"


def _need_of_argument(node: ast.expr, call: ast.Call, aliases: Aliases) -> Need | None:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if isinstance(call.func, ast.Attribute):
        name = call.func.attr
    elif aliases.is_defined_here(name):
        return None
    if name in _REFUSE_NONE and (call.args[0] is node or name == "join"):
        return "raises"
    return "optional" if name in _SHOW else None


def _assigned_name(call: ast.Call, aliases: Aliases) -> str | None:
    parent = aliases.parents.get(call)
    targets: Iterator[ast.expr] = iter(())
    if isinstance(parent, ast.Assign):
        targets = iter(parent.targets)
    elif isinstance(parent, ast.AnnAssign):
        targets = iter([parent.target])
    first = next(targets, None)
    return first.id if isinstance(first, ast.Name) else None
