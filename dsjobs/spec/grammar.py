"""What a job file may use of Jinja's language, read from a template's tree before it is compiled: which names it uses, what is
refused, and where counting is put in."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from jinja2 import nodes

from dsjobs.diagnostics import did_you_mean
from dsjobs.spec.budget import MAX_BITS
from dsjobs.spec.templates import Reference, TemplateError
from dsjobs.spec.values import is_halved

MAX_CODE = 10_000
"""Characters between the braces of one template: Jinja takes some 10 µs to read one."""

METHODS: dict[type, frozenset[str]] = {
    str: frozenset(
        (
            "lower upper strip lstrip rstrip split rsplit splitlines startswith endswith title capitalize removeprefix "
            "removesuffix isdigit isalpha isalnum count find"
        ).split()
    ),
    dict: frozenset({"get", "keys", "values", "items"}),
    list: frozenset({"index", "count"}),
}
"""The methods of data that a template may call."""

_ALL_METHODS = frozenset().union(*METHODS.values())

_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.BinExpr, nodes.UnaryExpr, nodes.CondExpr, nodes.Concat,
    nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Call, nodes.If, nodes.For,
)  # fmt: skip

_STATEMENTS = {
    "Assign": "set", "AssignBlock": "set", "Macro": "macro", "CallBlock": "call", "FilterBlock": "filter", "With": "with",
    "Include": "include", "Import": "import", "FromImport": "import", "Extends": "extends", "Block": "block",
    "For": "for … recursive",
}  # fmt: skip


def refuse_length(text: str) -> None:
    """Raise TemplateError for a template that would take long to read."""
    if sum(map(len, _CODE.findall(text))) > MAX_CODE:
        message = f"the expressions of a template have more than {MAX_CODE} characters"
        raise TemplateError("DSJ205", message, hint="simplify it")


_CODE = re.compile(r"\{[{%].*?(?:[%}]\}|\Z)", re.DOTALL)


def refuse(tree: nodes.Template, filters: Collection[str], tests: Collection[str]) -> None:
    """Raise TemplateError for the first thing in `tree` that a job file cannot use."""
    for node in _walk(tree):
        if not isinstance(node, _ALLOWED) or (isinstance(node, nodes.For) and node.recursive):
            words = _STATEMENTS.get(type(node).__name__, type(node).__name__.lower())
            hint = "expressions, `if` and `for` can"
            raise TemplateError("DSJ205", f"'{words}' cannot be used in a job file", hint=hint)
        _refuse_node(node, filters, tests)


def _refuse_node(node: nodes.Node, filters: Collection[str], tests: Collection[str]) -> None:
    if isinstance(node, nodes.Const):
        _refuse_constant(node.value)
    elif isinstance(node, nodes.Getattr):
        _refuse_attribute(node.attr)
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        _refuse_attribute(str(node.arg.value))
    elif isinstance(node, nodes.Filter):
        _refuse_unknown("filter", node.name, filters)
        _refuse_named_in_filter(node, filters, tests)
    elif isinstance(node, nodes.Test):
        _refuse_unknown("test", node.name, tests)
    elif isinstance(node, nodes.Call):
        _refuse_call(node)


def _refuse_constant(value: Any) -> None:
    if isinstance(value, str) and is_halved(value):
        raise TemplateError(
            "DSJ205", "a text of the template has half of a surrogate pair", hint="write the character itself"
        )
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise TemplateError("DSJ205", f"a number has more than {MAX_BITS} bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise TemplateError("DSJ205", "a number is too large")


def _refuse_attribute(name: str) -> None:
    if name.startswith("__"):
        raise TemplateError("DSJ205", f"'{name}' cannot be used in a template", hint="templates see data only", at=name)


def _refuse_named_in_filter(node: nodes.Filter, filters: Collection[str], tests: Collection[str]) -> None:
    """`map` takes the name of a filter, `select` and its kin that of a test."""
    place = {"map": 0, "select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}.get(node.name)
    if place is None or len(node.args) <= place:
        return
    argument = node.args[place]
    if isinstance(argument, nodes.Const) and isinstance(argument.value, str):
        kind, known = ("filter", filters) if node.name == "map" else ("test", tests)
        _refuse_unknown(kind, argument.value, known)


def _refuse_unknown(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        hint = did_you_mean(name, known) or f"{kind}s: " + ", ".join(sorted(known))
        raise TemplateError("DSJ202", f"unknown {kind} '{name}'", hint=hint, at=name)


def _refuse_call(node: nodes.Call) -> None:
    called = node.node
    if _is_range(called) or (isinstance(called, nodes.Getattr) and called.attr in _ALL_METHODS):
        return
    name = getattr(called, "attr", None) or getattr(called, "name", None) or "this"
    hint = "a template calls `range` and methods of texts, e.g. `.upper()`"
    if name in {"replace", "join"}:
        hint = f"use the filter: `value | {name}(…)`"
    raise TemplateError("DSJ205", f"'{name}' cannot be called in a template", hint=hint, at=name)


def _is_range(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "range"


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    stack: list[nodes.Node] = [node]
    while stack:
        current = stack.pop()
        yield current
        stack += reversed(list(current.iter_child_nodes()))


_NOTHING: Mapping[str, tuple[str, ...]] = {}


def references(node: nodes.Node, bound: Mapping[str, tuple[str, ...]] = _NOTHING) -> Iterator[Reference]:
    """The names below `node` that come from outside it, each with as many parts as are constant. `bound`: the names of loops,
    each with the path of the list of cells that it goes through, empty where it is none."""
    if isinstance(node, nodes.For):
        yield from _references_of_loop(node, bound)
        return
    path = _constant_path(node)
    if path:
        yield from _reference(path, bound)
        return
    if isinstance(node, nodes.Filter) and _cells_path(node, bound):
        yield from _references_of_filters(node, bound)
        return
    for child in node.iter_child_nodes():
        if isinstance(node, nodes.Call) and child is node.node:
            # Of `vars.region.upper()` the name is `vars.region`.
            yield from () if _is_range(child) else references(getattr(child, "node", child), bound)
        else:
            yield from references(child, bound)


def _reference(path: tuple[str, ...], bound: Mapping[str, tuple[str, ...]]) -> Iterator[Reference]:
    root, *rest = path
    if root not in bound:
        yield Reference(path)
    elif bound[root] and rest:
        yield Reference(bound[root], each=tuple(rest))


def _references_of_loop(node: nodes.For, bound: Mapping[str, tuple[str, ...]]) -> Iterator[Reference]:
    inner = {**bound, "loop": (), **{name.name: () for name in _walk(node.target) if isinstance(name, nodes.Name)}}
    cells = _cells_path(node.iter, bound)
    if cells and isinstance(node.target, nodes.Name):
        inner[node.target.name] = cells
    if cells and not isinstance(node.iter, nodes.Filter):
        yield Reference(cells, each=())
    else:
        yield from references(node.iter, bound)
    for part in (node.test, *node.body):
        if part is not None:
            yield from references(part, inner)
    for part in node.else_:
        yield from references(part, bound)


_KEEP_CELLS = frozenset("select reject selectattr rejectattr sort list reverse unique".split())
_TAKE_CELLS = frozenset("map sum max min join length count first last groupby".split())


def _cells_path(node: nodes.Node | None, bound: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The name of a needed job whose cells `node` goes through: `needs.train | sort`; empty where it is no such thing."""
    while isinstance(node, nodes.Filter) and node.name in _KEEP_CELLS | _TAKE_CELLS:
        node = node.node
    path = _constant_path(node) if node is not None else ()
    return path if len(path) == 2 and path[0] == "needs" and "needs" not in bound else ()


def _references_of_filters(node: nodes.Filter, bound: Mapping[str, tuple[str, ...]]) -> Iterator[Reference]:
    """Those of a row of filters over cells: what each filter takes of a cell, until one makes something else of them."""
    row: list[nodes.Filter] = []
    inner: nodes.Node | None = node
    while isinstance(inner, nodes.Filter):
        row.append(inner)
        inner = inner.node
    cells = _cells_path(node, bound)
    are_cells = True
    for index, one in enumerate(reversed(row)):
        each = _attribute(one)
        if are_cells and (each is not None or index == 0):
            yield Reference(cells, each=each or ())
        are_cells = are_cells and one.name in _KEEP_CELLS
        for argument in (*one.args, *one.kwargs):
            yield from references(argument, bound)


def _attribute(node: nodes.Filter) -> tuple[str, ...] | None:
    """The path that a filter takes of each item: `map(attribute='outputs.auc')`, `selectattr('status', …)`."""
    named = [pair.value for pair in node.kwargs if pair.key == "attribute"]
    if node.name in {"selectattr", "rejectattr", "groupby"}:
        named += node.args[:1]
    value = named[0].value if named and isinstance(named[0], nodes.Const) else None
    return tuple(value.split(".")) if isinstance(value, str) else None


def _constant_path(node: nodes.Node) -> tuple[str, ...]:
    """The dotted path that `node` is, from its root name; empty where it is none."""
    keys: list[str] = []
    while True:
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            keys.append(str(node.arg.value))
        else:
            break
        node = node.node
    return (node.name, *reversed(keys)) if isinstance(node, nodes.Name) else ()


def put_counting_in(node: nodes.Node) -> None:
    """Rewrite what is below `node` so that loops, comparisons, slices and `~` pay for what they do."""
    for name, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, name, [_counting(item) if isinstance(item, nodes.Node) else item for item in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _counting(value))


def _counting(node: nodes.Node) -> nodes.Node:
    cost = sum(1 for _ in _walk(node)) if isinstance(node, nodes.For) else 0
    put_counting_in(node)
    if isinstance(node, nodes.For):
        node.iter = _call("_counted", node.iter, nodes.Const(cost))
    elif isinstance(node, nodes.Compare):
        node.expr = _call("_read", node.expr)
        for operand in node.ops:
            operand.expr = _call("_read", operand.expr)
    elif isinstance(node, nodes.Pair):
        node.key = _call("_key", node.key)
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        return _call("_read", node)  # a slice is a copy
    elif isinstance(node, nodes.Concat):
        return _call("_concat", nodes.List(node.nodes, lineno=node.lineno))
    return node


def _call(name: str, value: Any, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, name, list(arguments), [], None, None, lineno=value.lineno)
