"""Walks code and knows what surely happens when it runs: what is at the top level, outside of conditions, `try`, loops that may
be empty and the like. Knows, too, what the names of loops over written-down items stand for."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dsjobs.notebook.contract.aliases import Aliases

_HIDES_ERRORS = (
    "suppress",
    "raises",
    "ignore",
    "skip",
    "quiet",
    "safe",
    "catch_errors",
    "assertraises",
    "exitstack",
    "attempt",
)


class Flow(ast.NodeVisitor):
    """A visitor of cells with `_is_certain`: whether what is visited surely happens; and `_loops`: names of loops, with the texts
    that they run through."""

    def __init__(self, aliases: Aliases) -> None:
        self._aliases = aliases
        self._is_certain = True
        self._loops: dict[str, tuple[str, ...]] = {}

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        with self._perhaps(unless=_is_true(node.test)):
            self._visit_block(node.body)
        with self._perhaps():
            self._visit_block(node.orelse)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        with self._perhaps(unless=_is_true(node.test)):
            self._visit_block(node.body)
        with self._perhaps():
            self._visit_block(node.orelse)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        items = self._aliases.items(node.iter)
        self._visit_iterated(node.iter, items)
        is_sure = self._aliases.is_never_empty(node.iter)
        with self._through(node.target, items, node.body), self._perhaps(unless=is_sure):
            self.visit(node.target)
            self._visit_block(node.body)
        with self._perhaps():
            self._visit_block(node.orelse)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.visit_For(node)

    def visit_Try(self, node: ast.Try) -> None:
        with self._perhaps(unless=not node.handlers):
            self._visit_block([*node.body, *node.orelse])
        with self._perhaps():
            self._visit_all(node.handlers)
        self._visit_block(node.finalbody)

    def visit_TryStar(self, node: ast.TryStar) -> None:
        with self._perhaps():
            self.generic_visit(node)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item)
        with self._perhaps(unless=not any(hides_errors(item.context_expr, self._aliases) for item in node.items)):
            self._visit_block(node.body)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        self.visit_With(node)

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        with self._perhaps():
            self._visit_all(node.cases)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        with self._perhaps():
            self._visit_all([node.body, node.orelse])

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        with self._perhaps():
            self._visit_all(node.values[1:])

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit(node.test)
        with self._perhaps():
            self._visit_all([node.msg] if node.msg else [])

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        first, *others = node.generators
        items = self._aliases.items(first.iter)
        self._visit_iterated(first.iter, items)
        is_lazy = isinstance(node, ast.GeneratorExp)
        surely = self._aliases.is_never_empty(first.iter) and not others and not first.ifs and not is_lazy
        with self._through(first.target, items, [node]), self._perhaps(unless=surely):
            self._visit_all([first.target, *first.ifs])
            for generator in others:
                self.visit(generator)
            self._visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self.visit_ListComp(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self.visit_ListComp(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self.visit_ListComp(node)

    def _visit_block(self, body: Sequence[ast.stmt]) -> None:
        """The statements of a block: what follows one that may leave it, or a block around it, may not happen."""
        before = self._is_certain
        for statement in body:
            self.visit(statement)
            if leaves(statement):
                self._is_certain = False
        self._is_certain = before

    def _visit_all(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _visit_iterated(self, node: ast.expr, items: list[ast.expr] | None) -> None:
        if items is None or not isinstance(node, ast.Name):
            self.visit(node)

    @contextmanager
    def _perhaps(self, *, unless: bool = False) -> Iterator[None]:
        """What is visited inside may not happen."""
        before = self._is_certain
        self._is_certain = before and unless
        yield
        self._is_certain = before

    @contextmanager
    def _through(self, target: ast.expr, items: list[ast.expr] | None, body: Sequence[ast.AST]) -> Iterator[None]:
        """Inside, the names of a loop stand for what it runs through, where that is known and nothing in `body` changes it."""
        before = self._loops
        known = dict(self._run_through(target, items)) if items else {}
        changed = stored_in(body) if isinstance(body[0], ast.stmt) else walruses_in(body)
        own = {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
        outer = {name: texts for name, texts in before.items() if name not in own | changed}
        self._loops = {**outer, **{name: texts for name, texts in known.items() if name not in changed}}
        yield
        self._loops = before

    def _run_through(self, target: ast.expr, items: list[ast.expr] | None) -> Iterator[tuple[str, tuple[str, ...]]]:
        if isinstance(target, ast.Name):
            found = [self._aliases.keys(item, {}) for item in items or ()]
            if all(found):
                yield target.id, tuple(text for texts in found for text in texts or ())
        elif isinstance(target, ast.Tuple | ast.List):
            for index, name in enumerate(target.elts):
                column = [part for item in items or () if (part := _part(item, index)) is not None]
                if len(column) == len(items or ()):
                    yield from self._run_through(name, column)


def leaves(node: ast.AST, *, is_in_loop: bool = False) -> bool:
    """Whether a statement may end more than itself: by `return` and `raise`, also under a condition, and by `break` and
    `continue` that are not of a loop of its own."""
    if isinstance(node, ast.Return | ast.Raise):
        return True
    if isinstance(node, ast.Break | ast.Continue):
        return not is_in_loop
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
        return False
    is_in_loop = is_in_loop or isinstance(node, ast.For | ast.AsyncFor | ast.While)
    return any(leaves(child, is_in_loop=is_in_loop) for child in ast.iter_child_nodes(node))


def stored_in(body: Sequence[ast.AST]) -> set[str]:
    """The names that statements give a value to."""
    parts = (part for statement in body for part in ast.walk(statement))
    return {part.id for part in parts if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}


def walruses_in(body: Sequence[ast.AST]) -> set[str]:
    """The names that expressions give a value to."""
    parts = (part for expression in body for part in ast.walk(expression))
    return {part.target.id for part in parts if isinstance(part, ast.NamedExpr)}


def _part(item: ast.expr, index: int) -> ast.expr | None:
    return item.elts[index] if isinstance(item, ast.Tuple | ast.List) and len(item.elts) > index else None


def hides_errors(expression: ast.expr, aliases: Aliases) -> bool:
    """Whether what `with` is given may take care of errors, by its name: `suppress(KeyError)`."""
    function = expression.func if isinstance(expression, ast.Call) else expression
    name = last_name(function)
    return aliases.is_defined_here(name) or any(part in name.lower() for part in _HIDES_ERRORS)


def last_name(function: ast.expr) -> str:
    """The name of a function, without what it is a part of."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_true(test: ast.expr) -> bool:
    """`True`, and `__name__ == "__main__"`, which it is in a kernel."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    sides = [test.left, *test.comparators] if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq) else []
    return {ast.unparse(side) for side in sides if isinstance(side, ast.Name | ast.Constant)} == {
        "__name__",
        "'__main__'",
    }
