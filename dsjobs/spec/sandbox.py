"""Jinja, closed and bounded: the expressions and the `if` and `for` of a job file, and nothing else.

Closed: a template reaches data, the methods and filters listed here, and no attribute of any Python object. Bounded: a
render may take so many steps and make so many characters, counted before they are made, so a hostile file costs neither
time nor memory. `set`, macros and includes are refused because they would allow growth that no count sees in time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dsjobs.diagnostics import did_you_mean
from dsjobs.spec.templates import Reference, TemplateError, as_text

MAX_STEPS = 100_000
"""Loop rounds and list items of one render."""

MAX_CHARACTERS = 1_000_000
"""Characters that one render may make, intermediate results included."""

MAX_BITS = 4_096
"""Bits of the largest integer."""


def compile_text(text: str) -> JinjaTemplate:
    """The template in `text`. Raises TemplateError for a syntax error, and for what is closed."""
    try:
        tree = _ENVIRONMENT.parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError("DSJ201", f"template syntax: {error.message}", hint=_syntax_hint(text, error)) from None
    except RecursionError:
        raise TemplateError("DSJ205", "a template is nested too deeply", hint="simplify it") from None
    try:
        _refuse(tree)
        references = tuple(_references(tree))
        expression = _only_expression(tree)
        return JinjaTemplate(references, *_compile(tree, expression))
    except (RecursionError, SyntaxError):
        raise TemplateError("DSJ205", "a template is nested too deeply", hint="simplify it") from None


class JinjaTemplate:
    """A template that only Jinja understands; the interface is that of `templates.Template`."""

    __slots__ = ("references", "single", "template")

    def __init__(self, references: tuple[Reference, ...], template: jinja2.Template, single: bool) -> None:
        self.references, self.template, self.single = references, template, single

    def render(self, names: Mapping[str, Any]) -> Any:
        token = _BUDGET.set(_Budget())
        try:
            return self._evaluate(names) if self.single else self._text(names)
        except TemplateError:
            raise
        except jinja2.UndefinedError as error:
            raise TemplateError("DSJ206", f"the template uses a name without a value: {error.message}") from None
        except (SecurityError, jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise TemplateError("DSJ206", f"the template cannot be evaluated: {error}") from None
        except RecursionError:
            raise TemplateError("DSJ206", "the template's value is nested too deeply") from None
        finally:
            _BUDGET.reset(token)

    def _evaluate(self, names: Mapping[str, Any]) -> Any:
        context = self.template.new_context(dict(names))
        for _ in self.template.root_render_func(context):
            pass
        return _plain(context.vars["result"])

    def _text(self, names: Mapping[str, Any]) -> str:
        parts = []
        for part in self.template.root_render_func(self.template.new_context(dict(names))):
            _spend(len(part))
            parts.append(part)
        return "".join(parts)


class _Budget:
    __slots__ = ("characters", "steps")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.characters = MAX_CHARACTERS


_BUDGET: ContextVar[_Budget] = ContextVar("budget")


def _spend(characters: int = 0, steps: int = 0) -> None:
    budget = _BUDGET.get()
    budget.characters -= characters
    budget.steps -= steps
    if budget.characters < 0:
        raise TemplateError(
            "DSJ206", f"the template makes more than {MAX_CHARACTERS} characters", hint="make less text"
        )
    if budget.steps < 0:
        raise TemplateError("DSJ206", f"the template takes more than {MAX_STEPS} steps", hint="loop over less")


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _spend(steps=1)
        yield item


def _measured(value: Any) -> Any:
    """The value itself, its size taken off the budget: every filter's result goes through here."""
    if isinstance(value, str):
        _spend(characters=len(value))
    elif isinstance(value, list | tuple | dict):
        _spend(steps=len(value))
    return value


def _plain(value: Any) -> Any:
    """A result as JSON data; generators become lists."""
    if isinstance(value, jinja2.Undefined):
        value._fail_with_undefined_error()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(_measured(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in _counted(value.items())}
    if isinstance(value, Iterable):
        return [_plain(item) for item in _counted(value)]
    raise TemplateError("DSJ206", f"a template cannot give a value of type {type(value).__name__}")


def _written(value: Any) -> str:
    """Text of a value inside a longer text; counted while it is made, because shared lists can unfold without end."""
    return str(_measured(value if isinstance(value, str) else as_text(_plain(value))))


def _range(*bounds: int) -> range:
    items = range(*bounds)
    if len(items) > MAX_STEPS:
        raise TemplateError("DSJ206", f"range has more than {MAX_STEPS} items", hint="loop over less")
    return items


def _join(value: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    items = _map_attribute(value, attribute) if attribute else value
    texts = [_written(item) for item in _counted(items)]
    _spend(characters=len(separator) * len(texts))
    return separator.join(texts)


def _map_attribute(value: Iterable[Any], attribute: str) -> Iterator[Any]:
    return (_ENVIRONMENT.getitem(item, attribute) for item in value)


def _replace(value: str, old: str, new: str, count: int | None = None) -> str:
    found = value.count(old) if count is None else min(value.count(old), count)
    _spend(characters=len(value) + found * len(new))
    return value.replace(old, new, -1 if count is None else count)


def _tojson(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _sum(value: Iterable[Any], attribute: str | None = None, start: int | float = 0) -> int | float:
    total = start
    for item in _counted(_map_attribute(value, attribute) if attribute else value):
        if not isinstance(item, int | float) or not isinstance(total, int | float):
            raise TemplateError("DSJ206", "sum adds numbers only")
        total += item
    return total


class _Environment(ImmutableSandboxedEnvironment):
    """Attributes are keys of data, or methods of the list below; operators that can grow a value are watched."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if attribute in _methods(obj):
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        try:
            if isinstance(obj, Mapping | list | tuple | str):
                return _measured(obj[argument]) if isinstance(argument, slice) else obj[argument]
        except (LookupError, TypeError):
            pass
        return self.undefined(obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:
        return obj is _range or getattr(obj, "__name__", "") in _methods(getattr(obj, "__self__", None))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _watch(operator, left, right)
        return _measured(super().call_binop(context, operator, left, right))


def _methods(obj: Any) -> frozenset[str]:
    if isinstance(obj, LoopContext):
        return _LOOP
    return next((names for kind, names in _METHODS.items() if isinstance(obj, kind)), frozenset())


def _watch(operator: str, left: Any, right: Any) -> None:
    if operator == "%" and isinstance(left, str):
        raise TemplateError(
            "DSJ205", "text is not formatted with %", hint="put the names into the text: {{ a }}-{{ b }}"
        )
    if operator == "*":
        for many, times in ((left, right), (right, left)):
            if isinstance(many, str | list | tuple) and isinstance(times, int):
                _spend(characters=len(many) * max(times, 0))
    if isinstance(left, int) and isinstance(right, int) and operator in {"*", "**"}:
        bits = left.bit_length() * (right if operator == "**" else 1) + (right.bit_length() if operator == "*" else 0)
        if bits > MAX_BITS:
            raise TemplateError("DSJ206", f"a number has more than {MAX_BITS} bits")


_METHODS: dict[type, frozenset[str]] = {
    str: frozenset(
        (
            "lower upper strip lstrip rstrip split rsplit splitlines startswith endswith title capitalize removeprefix "
            "removesuffix isdigit isalpha isalnum count find"
        ).split()
    ),
    dict: frozenset({"get", "keys", "values", "items"}),
    list: frozenset({"index", "count"}),
}
_LOOP = frozenset({"index", "index0", "revindex", "first", "last", "length"})
_CALLABLE = frozenset({"range"})
_KEPT_FILTERS = (
    "abs capitalize d default dictsort first float groupby int items last length count list lower map max min "
    "reject rejectattr reverse round select selectattr sort string title trim unique upper"
).split()
_KEPT_TESTS = (
    "boolean defined divisibleby eq equalto even false float ge gt in integer iterable le lower lt mapping ne none "
    "number odd sameas sequence string true undefined upper == != > >= < <= greaterthan lessthan"
).split()
_OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "join": _join,
    "replace": _replace,
    "tojson": _tojson,
    "sum": _sum,
    "string": _written,
}

_ALLOWED_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.BinExpr, nodes.UnaryExpr, nodes.CondExpr, nodes.Concat,
    nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Call, nodes.If, nodes.For,
)  # fmt: skip


def _make_environment() -> _Environment:
    environment = _Environment(undefined=jinja2.StrictUndefined, finalize=_finalize, optimized=False, cache_size=0)
    stock = environment.filters
    filters = {name: _measuring(stock[name]) for name in _KEPT_FILTERS} | {
        name: _measuring(function) for name, function in _OWN_FILTERS.items()
    }
    environment.filters = {**filters, "_counted": _counted, "_concat": _join}
    environment.tests = {name: environment.tests[name] for name in _KEPT_TESTS}
    environment.globals = {"range": _range}
    return environment


def _measuring(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose result is taken off the budget. Marks of Jinja (pass_environment, …) stay on it."""

    def measuring(*arguments: Any, **keywords: Any) -> Any:
        return _measured(function(*arguments, **keywords))

    measuring.__dict__.update(getattr(function, "__dict__", {}))
    return measuring


def _finalize(value: Any) -> Any:
    return value if isinstance(value, jinja2.Undefined) else _written(value)


_ENVIRONMENT = _make_environment()


def _refuse(tree: nodes.Template) -> None:
    """Raise TemplateError for the first thing in `tree` that a job file cannot use."""
    for node in _walk(tree):
        if not isinstance(node, _ALLOWED_NODES) or (isinstance(node, nodes.For) and node.recursive):
            words = _STATEMENTS.get(type(node).__name__, type(node).__name__.lower())
            raise TemplateError(
                "DSJ205", f"'{words}' cannot be used in a job file", hint="expressions, `if` and `for` can"
            )
        if isinstance(node, nodes.Getattr):
            _refuse_attribute(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            _refuse_attribute(str(node.arg.value))
        elif isinstance(node, nodes.Filter):
            _refuse_name("filter", node.name, [name for name in _ENVIRONMENT.filters if not name.startswith("_")])
        elif isinstance(node, nodes.Test):
            _refuse_name("test", node.name, list(_ENVIRONMENT.tests))
        elif isinstance(node, nodes.Call):
            _refuse_call(node)


def _refuse_attribute(name: str) -> None:
    if name.startswith("_"):
        raise TemplateError("DSJ205", f"'{name}' cannot be used in a template", hint="templates see data only", at=name)


def _refuse_name(kind: str, name: str, known: list[str]) -> None:
    if name not in known:
        hint = did_you_mean(name, known) or f"{kind}s: " + ", ".join(sorted(known))
        raise TemplateError("DSJ202", f"unknown {kind} '{name}'", hint=hint, at=name)


def _refuse_call(node: nodes.Call) -> None:
    called = node.node
    if isinstance(called, nodes.Name) and called.name in _CALLABLE:
        return
    methods = frozenset().union(*_METHODS.values())
    if isinstance(called, nodes.Getattr) and called.attr in methods:
        return
    name = (
        called.attr if isinstance(called, nodes.Getattr) else called.name if isinstance(called, nodes.Name) else "this"
    )
    hint = "use a filter, e.g. `value | replace('a', 'b')`" if name in {"replace", "format", "join"} else None
    raise TemplateError("DSJ205", f"'{name}' cannot be called in a template", hint=hint, at=name)


_STATEMENTS = {
    "Assign": "set", "AssignBlock": "set", "Macro": "macro", "CallBlock": "call", "FilterBlock": "filter", "With": "with",
    "Include": "include", "Import": "import", "FromImport": "import", "Extends": "extends", "Block": "block",
    "For": "for … recursive",
}  # fmt: skip


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    stack: list[nodes.Node] = [node]
    while stack:
        current = stack.pop()
        yield current
        stack += reversed(list(current.iter_child_nodes()))


def _references(tree: nodes.Template) -> Iterator[Reference]:
    local = {node.name for node in _walk(tree) if isinstance(node, nodes.Name) and node.ctx != "load"} | {
        "loop",
        "range",
    }
    inner: set[int] = set()
    for node in _walk(tree):
        if id(node) in inner:
            continue
        path = _constant_path(node, inner)
        if path and path[0] not in local:
            yield Reference(path)


def _constant_path(node: nodes.Node, inner: set[int]) -> tuple[str, ...]:
    """The dotted path that ends in `node`, from its root name; its inner nodes are noted, so that it counts once."""
    keys: list[str] = []
    current: nodes.Node = node
    while True:
        if isinstance(current, nodes.Getattr):
            key: Any = current.attr
        elif isinstance(current, nodes.Getitem) and isinstance(current.arg, nodes.Const):
            key = current.arg.value
        else:
            break
        keys.append(str(key))
        current = current.node
    if not isinstance(current, nodes.Name):
        return ()
    while node is not current:
        assert isinstance(node, nodes.Getattr | nodes.Getitem)
        node = node.node
        inner.add(id(node))
    return (current.name, *reversed(keys))


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    """The expression, where the whole text is exactly one."""
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) and len(tree.body[0].nodes) == 1:
        only = tree.body[0].nodes[0]
        return None if isinstance(only, nodes.TemplateData) else only
    return None


def _compile(tree: nodes.Template, expression: nodes.Expr | None) -> tuple[jinja2.Template, bool]:
    _bound(tree)
    if expression is not None:
        # Read again, because bounding may have replaced the expression's own node.
        output = tree.body[0]
        assert isinstance(output, nodes.Output)
        target = nodes.Name("result", "store", lineno=1)
        tree = nodes.Template([nodes.Assign(target, output.nodes[0], lineno=1)], lineno=1)
        tree.set_environment(_ENVIRONMENT)
    token = _BUDGET.set(_Budget())
    try:
        return _ENVIRONMENT.from_string(tree), expression is not None
    finally:
        _BUDGET.reset(token)


def _bound(node: nodes.Node) -> None:
    """Rewrite loops and `~` below `node` so that they count."""
    for name, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, name, [_bounded(item) if isinstance(item, nodes.Node) else item for item in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _bounded(value))


def _bounded(node: nodes.Node) -> nodes.Node:
    _bound(node)
    if isinstance(node, nodes.For):
        node.iter = nodes.Filter(node.iter, "_counted", [], [], None, None, lineno=node.lineno)
    if isinstance(node, nodes.Concat):
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "_concat", [], [], None, None, lineno=node.lineno)
    return node


def _syntax_hint(text: str, error: jinja2.TemplateSyntaxError) -> str:
    if re.search(r"\{\{[^}]*\}(?!\})", text) or text.count("{{") > text.count("}}"):
        return "close the expression with `}}`"
    if "{%" in text:
        return "see the Jinja syntax of `if` and `for`"
    return "an expression is e.g. `{{ vars.region }}`"
