"""What becomes of `os.getenv("X")` where X is not set: whether what is done with its None surely raises, takes it for a value, or
looks at it first.

To show a value says nothing either way: `print(x)` does not look at None, and what follows it may still raise. Where the value is
only shown where it is read, nothing is lost with it.
"""

from __future__ import annotations

import ast

from dsjobs.notebook.contract.aliases import Aliases
from dsjobs.notebook.contract.flow import hides_errors, last_name
from dsjobs.notebook.contract.value import Need

_REFUSE_NONE = frozenset(
    "int float len bytes bytearray open Path PurePath PosixPath Decimal Fraction sorted loads literal_eval fromisoformat "
    "strptime join read_csv read_parquet read_excel read_json read_feather read_pickle makedirs mkdir".split()
)
_PERHAPS = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef,
    ast.IfExp, ast.BoolOp, ast.Compare, ast.Assert, ast.comprehension, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip
_SHOW = frozenset("print pprint display info debug warning error exception critical".split())
_AS_TEXT = frozenset({"str", "repr", "format"})
_MAX_NAMES = 20
_MAX_LOADS = 200


def without_value(call: ast.Call, aliases: Aliases) -> Need:
    """The need of a read that gives None where there is no such variable."""
    if _is_only_shown(call, aliases):
        return "optional"
    return _need(call, aliases, frozenset()) or "none"


def _need(node: ast.expr, aliases: Aliases, seen: frozenset[str]) -> Need | None:
    """By where an expression stands; None where that does not tell. `seen`: the names that it was assigned to on its way."""
    parent = aliases.parents.get(node)
    if isinstance(parent, ast.Attribute) or (isinstance(parent, ast.Subscript) and parent.value is node):
        return "raises"
    if isinstance(parent, ast.Call) and node in parent.args:
        return _need_of_argument(node, parent, aliases, seen)
    if isinstance(parent, ast.BinOp | ast.AugAssign):
        return "raises" if isinstance(parent.op, ast.Add | ast.Div) else None
    if isinstance(parent, ast.For) and parent.iter is node:
        return "raises"
    if isinstance(parent, ast.Compare):
        return "raises" if node in parent.comparators and isinstance(parent.ops[0], ast.In | ast.NotIn) else "optional"
    if isinstance(parent, ast.Assign | ast.AnnAssign) and isinstance(aliases.parents.get(parent), ast.ClassDef):
        return "optional"  # an attribute of a class: whoever uses it is not looked for
    if isinstance(parent, ast.Assign):
        return _need_of_names(parent.targets, aliases, seen)
    if isinstance(parent, ast.AnnAssign):
        return _need_of_names([parent.target], aliases, seen)
    if isinstance(parent, ast.FormattedValue | ast.Expr):
        return None
    # A condition, a keyword argument, an item, a return value: whatever gets it may know what to do with None.
    return "optional"


def _need_of_argument(node: ast.expr, call: ast.Call, aliases: Aliases, seen: frozenset[str]) -> Need | None:
    name = last_name(call.func)
    if aliases.is_defined_here(name):
        return "optional"
    if name in _REFUSE_NONE and (call.args[0] is node or name == "join"):
        return "raises"
    if name in _AS_TEXT:
        return "optional" if _need(_made_of_text(call, aliases), aliases, seen) == "optional" else None
    return None if name in _SHOW else "optional"


def _made_of_text(call: ast.Call, aliases: Aliases) -> ast.expr:
    """What methods make of it: `str(x).lower()`."""
    made: ast.expr = call
    while isinstance(parent := aliases.parents.get(made), ast.Attribute):
        outer = aliases.parents.get(parent)
        if not isinstance(outer, ast.Call) or outer.func is not parent:
            break
        made = outer
    return made


def _need_of_names(targets: list[ast.expr], aliases: Aliases, seen: frozenset[str]) -> Need | None:
    """By what is done with the names that a value is assigned to: all that is done with them has to be known."""
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    if len(names) < len(targets) or len(seen) >= _MAX_NAMES:
        return "optional"
    if any(name in seen or name in aliases.in_commands or not aliases.is_once(name) for name in names):
        return "optional"
    loads = [(load, seen | {name}) for name in names for load in aliases.loads.get(name, ())]
    if len(loads) > _MAX_LOADS:
        return "optional"
    needs = {_need_of_load(load, aliases, before) for load, before in loads}
    return "optional" if "optional" in needs else "raises" if "raises" in needs else None


def _need_of_load(load: ast.Name, aliases: Aliases, seen: frozenset[str]) -> Need | None:
    if _is_tried(load, aliases):
        return "optional"
    need = _need(load, aliases, seen)
    # Under a condition: that may be one that only holds where there is a value.
    return "optional" if need == "raises" and not _surely_happens(load, aliases) else need


def _is_only_shown(node: ast.expr, aliases: Aliases) -> bool:
    """`print(os.getenv("X"))`, `print(f"X is {os.getenv('X')}")`, and the read alone."""
    parent = aliases.parents.get(node)
    if isinstance(parent, ast.Call) and node in parent.args and not aliases.is_defined_here(last_name(parent.func)):
        name = last_name(parent.func)
        return name in _SHOW or (name in _AS_TEXT and _is_only_shown(parent, aliases))
    if isinstance(parent, ast.FormattedValue | ast.JoinedStr | ast.Tuple):
        return _is_only_shown(parent, aliases)
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mod):
        return _is_only_shown(parent, aliases)
    return isinstance(parent, ast.Expr)


def _is_tried(node: ast.AST, aliases: Aliases) -> bool:
    """Whether something around it takes care of errors."""
    parent = aliases.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.Try | ast.TryStar):
            return True
        if isinstance(parent, ast.With | ast.AsyncWith) and any(
            hides_errors(item.context_expr, aliases) for item in parent.items
        ):
            return True
        parent = aliases.parents.get(parent)
    return False


def _surely_happens(node: ast.AST, aliases: Aliases) -> bool:
    parent = aliases.parents.get(node)
    while parent is not None and (node in _evaluated_first(parent) or not isinstance(parent, _PERHAPS)):
        node, parent = parent, aliases.parents.get(parent)
    return parent is None and node not in aliases.may_raise


def _evaluated_first(statement: ast.AST) -> list[ast.expr]:
    """The part of a condition or a loop that is looked at whatever comes of it."""
    if isinstance(statement, ast.If | ast.While | ast.IfExp | ast.Assert):
        return [statement.test]
    if isinstance(statement, ast.Compare):
        return [statement.left, statement.comparators[0]]
    if isinstance(statement, ast.For):
        return [statement.iter]
    return statement.values[:1] if isinstance(statement, ast.BoolOp) else []
