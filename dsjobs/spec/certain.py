"""Which names of a template are certain to be used when it is rendered, so that one without a value is an error, whatever the
others are. What a condition, a loop, a `default` or a test may spare is not: of these nothing is said, rather than too much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import nodes


@dataclass(frozen=True, slots=True)
class Used:
    """A name that is certain to be used. `steps`: from its first part on, each the key in brackets (true) or after a point, and
    the key. `is_text`: it becomes a part of the template's text as it is."""

    root: str
    steps: tuple[tuple[bool, str | int], ...]
    is_text: bool

    @property
    def path(self) -> tuple[str, ...]:
        """As that of a Reference."""
        return (self.root, *(str(key) for _, key in self.steps))


def certain(tree: nodes.Template) -> Iterator[Used]:
    """The names that are used whatever the values are, in the order of the template."""
    for node in tree.body:
        if isinstance(node, nodes.Output):
            for part in node.nodes:
                yield from _shown(part, is_text=True)
        elif isinstance(node, nodes.If):
            yield from _needed(node.test)
        elif isinstance(node, nodes.For):
            yield from _needed(node.iter)


# They take what has no value for nothing, or look at it only when somebody asks for what they give.
_SPARING = frozenset("default d items map select reject selectattr rejectattr unique reverse groupby".split())


def _shown(node: nodes.Node, *, is_text: bool = False) -> Iterator[Used]:
    """Those of an expression whose value is written out, down to its last part."""
    if isinstance(node, nodes.List | nodes.Tuple):
        for item in node.items:
            yield from _shown(item)
    elif isinstance(node, nodes.Dict):
        for pair in node.items:
            yield from _shown(pair.value)
    else:
        yield from _needed(node, is_text=is_text)


def _needed(node: nodes.Node, *, is_text: bool = False) -> Iterator[Used]:
    """Those of an expression that fails where its value is missing."""
    name = _name(node, is_text)
    if name is not None:
        yield name
    elif isinstance(node, nodes.Getattr | nodes.Getitem):
        yield from _needed(node.node)
        if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice):
            yield from _needed(node.arg)
    elif isinstance(node, nodes.Filter):
        if node.node is not None and node.name not in _SPARING:
            yield from _needed(node.node)
    elif isinstance(node, nodes.Compare):
        yield from _compared(node)
    elif isinstance(node, nodes.Concat):
        for part in node.nodes:
            yield from _shown(part)
    elif isinstance(node, nodes.And | nodes.Or):
        yield from _needed(node.left)
    elif isinstance(node, nodes.BinExpr):
        yield from _needed(node.left)
        yield from _needed(node.right)
    elif isinstance(node, nodes.UnaryExpr):
        yield from _needed(node.node)
    elif isinstance(node, nodes.CondExpr):
        yield from _needed(node.test)
    elif isinstance(node, nodes.Call):
        yield from _called(node)


def _compared(node: nodes.Compare) -> Iterator[Used]:
    first = node.ops[0]
    if first.op not in ("in", "notin"):  # nothing is in an empty list, not even what has no value
        yield from _needed(node.expr)
    yield from _needed(first.expr)


def _called(node: nodes.Call) -> Iterator[Used]:
    if isinstance(node.node, nodes.Getattr):
        yield from _needed(node.node.node)
    else:  # `range` is the only function
        for argument in node.args:
            yield from _needed(argument)


def _name(node: nodes.Node, is_text: bool) -> Used | None:
    """The name that an expression is, with keys that are constant; None where it is none."""
    steps: list[tuple[bool, str | int]] = []
    while True:
        if isinstance(node, nodes.Getattr):
            steps.append((False, node.attr))
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            steps.append((True, node.arg.value))
        else:
            break
        node = node.node
    return Used(node.name, tuple(reversed(steps)), is_text) if isinstance(node, nodes.Name) else None
