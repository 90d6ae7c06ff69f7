"""Jinja, closed and bounded: the expressions and the `if` and `for` of a job file, and nothing else.

Closed: a template reaches data, the methods and filters listed here and in `grammar.py`, and no attribute of any Python
object. Bounded: all that could take time or memory is paid for from a budget (`budget.py`), so a hostile file costs neither.
`set`, macros and includes are refused because they would allow growth that no count sees in time.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dsjobs.spec.allowance import Allowance
from dsjobs.spec.budget import MAX_BITS, counted, made, new_budget, plain, read, spend, written
from dsjobs.spec.certain import Used, certain
from dsjobs.spec.grammar import METHODS, put_counting_in, references, refuse, refuse_length
from dsjobs.spec.templates import Reference, TemplateError


def compile_text(text: str) -> JinjaTemplate:
    """The template in `text`. Raises TemplateError for a syntax error, and for what is closed."""
    refuse_length(text)
    try:
        tree = _ENVIRONMENT.parse(text)
        refuse(tree, _FILTER_NAMES, _TEST_NAMES)
        found, used = tuple(references(tree)), tuple(certain(tree))
        return JinjaTemplate(found, used, *_compile(tree))
    except jinja2.TemplateSyntaxError as error:
        raise _syntax_error(text, error) from None
    except ValueError:
        # Python does not read numbers of more than 4,300 digits.
        raise TemplateError("DSJ205", "a number has too many digits") from None
    except (RecursionError, SyntaxError, MemoryError):
        # From the parser of Jinja, or from Python's own, which reads what Jinja wrote.
        raise TemplateError("DSJ205", "a template is nested too deeply", hint="simplify it") from None


class JinjaTemplate:
    """A template that only Jinja understands; the interface is that of `templates.Template`."""

    __slots__ = ("is_expression", "references", "template", "used")

    def __init__(
        self, references: tuple[Reference, ...], used: tuple[Used, ...], template: jinja2.Template, is_expression: bool
    ) -> None:
        self.references, self.used, self.template, self.is_expression = references, used, template, is_expression

    def render(self, names: Mapping[str, Any], allowance: Allowance | None = None) -> Any:
        with _failing(), new_budget(allowance):
            return self._evaluate(names) if self.is_expression else self._text(names)

    @property
    def certain(self) -> tuple[tuple[str, ...], ...]:
        return tuple(name.path for name in self.used)

    def require(self, names: Mapping[str, Any], is_known: Callable[[tuple[str, ...]], bool]) -> None:
        for name in self.used:
            if is_known(name.path):
                with _failing(), new_budget():
                    value = _at(name, names)
                    if isinstance(value, jinja2.Undefined):
                        value._fail_with_undefined_error()
                    if name.is_text and not self.is_expression:
                        written(value)

    def _evaluate(self, names: Mapping[str, Any]) -> Any:
        context = self.template.new_context(dict(names))
        for _ in self.template.root_render_func(context):
            pass
        return plain(context.vars["result"])

    def _text(self, names: Mapping[str, Any]) -> str:
        parts = []
        for part in self.template.root_render_func(self.template.new_context(dict(names))):
            spend(made=len(part))
            parts.append(part)
        return "".join(parts)


@contextmanager
def _failing() -> Iterator[None]:
    """Whatever goes wrong with a template inside is a TemplateError."""
    try:
        yield
    except TemplateError:
        raise
    except jinja2.UndefinedError as error:
        raise TemplateError("DSJ206", f"the template uses a name without a value: {error.message}") from None
    except RecursionError:
        raise TemplateError("DSJ206", "the template's value is nested too deeply") from None
    except _FAILURES as error:
        raise TemplateError("DSJ206", f"the template cannot be evaluated: {error}") from None


def _at(name: Used, names: Mapping[str, Any]) -> Any:
    value = names[name.root]
    for is_item, key in name.steps:
        value = _ENVIRONMENT.getitem(value, key) if is_item else _ENVIRONMENT.getattr(value, str(key))
    return value


# What operations on data raise when the data is not what they take.
_FAILURES = (
    SecurityError, jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


_KINDS: tuple[tuple[Any, str], ...] = (
    (Mapping, "the mapping"), (list | tuple, "the list"), (str, "the text"), (bool, "the boolean"), (int | float, "the number"),
)  # fmt: skip


class _Environment(ImmutableSandboxedEnvironment):
    """Attributes are keys of data, or methods of the list; operators that can grow a value are watched."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if attribute in _methods(obj):
            return getattr(obj, attribute)
        return self._nothing(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if not isinstance(argument, str | int):
            raise TemplateError("DSJ206", f"a {type(argument).__name__} cannot stand in brackets after a value")
        try:
            if isinstance(obj, Mapping | list | tuple | str):
                return obj[argument]  # type: ignore[index]  # a key that does not fit raises TypeError
        except (LookupError, TypeError):
            pass
        return self._nothing(obj, argument)

    def _nothing(self, obj: Any, key: str | int) -> jinja2.Undefined:
        """What stands for a part that a value does not have; `obj` may itself stand for one."""
        if isinstance(obj, jinja2.Undefined):
            return self.undefined(obj=obj, name=str(key))
        what = next((kind for types, kind in _KINDS if isinstance(obj, types)), "the value")
        return self.undefined(hint=f"{what} has no {key!r}", obj=obj, name=str(key))

    def is_safe_callable(self, obj: Any) -> bool:
        return obj is _range or getattr(obj, "__name__", "") in _methods(getattr(obj, "__self__", None))

    def call(*arguments: Any, **keywords: Any) -> Any:
        # As in the sandbox: without names, so that a template may use any keyword.
        self, context, called, *rest = arguments
        read(getattr(called, "__self__", None))
        rest = [read(argument) for argument in rest]
        read(keywords)
        return made(ImmutableSandboxedEnvironment.call(self, context, called, *rest, **keywords))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _watch(operator, left, right)
        return made(super().call_binop(context, operator, left, right))


def _methods(obj: Any) -> frozenset[str]:
    if isinstance(obj, LoopContext):
        return _LOOP
    return next((names for kind, names in METHODS.items() if isinstance(obj, kind)), frozenset())


_LOOP = frozenset({"index", "index0", "revindex", "first", "last", "length"})


def _watch(operator: str, left: Any, right: Any) -> None:
    """Pay for what an operator is about to make, where its result can be much larger than what it is made of."""
    if operator == "%" and isinstance(left, str):
        hint = "put the names into the text: {{ a }}-{{ b }}"
        raise TemplateError("DSJ205", "text is not formatted with %", hint=hint)
    if operator == "*":
        for many, times in ((left, right), (right, left)):
            if isinstance(many, str) and isinstance(times, int):
                spend(made=len(many) * max(times, 0))
            elif isinstance(many, list | tuple) and isinstance(times, int):
                spend(steps=len(many) * max(times, 0))
    if isinstance(left, int) and isinstance(right, int) and operator in {"*", "**"}:
        bits = left.bit_length() * (right if operator == "**" else 1) + (right.bit_length() if operator == "*" else 0)
        if bits > MAX_BITS:
            raise TemplateError("DSJ206", f"a number has more than {MAX_BITS} bits")


def _range(*bounds: int) -> range:
    return range(*bounds)


def _join(value: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    items = _map_attribute(value, attribute) if attribute else value
    between = written(separator)
    texts = []
    for item in counted(items):
        text = written(item)
        spend(made=len(text) + len(between))
        texts.append(text)
    return between.join(texts)


def _map_attribute(value: Iterable[Any], attribute: str) -> Iterator[Any]:
    return (_ENVIRONMENT.getitem(item, attribute) for item in value)


def _replace(value: Any, old: str, new: str, count: int | None = None) -> str:
    text, old, new = written(value), written(old), written(new)
    found = text.count(old) if count is None else min(text.count(old), count)
    spend(made=len(text) + found * len(new))
    return text.replace(old, new, -1 if count is None else count)


def _tojson(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _sum(value: Iterable[Any], attribute: str | None = None, start: int | float = 0) -> int | float:
    total = start
    for item in counted(_map_attribute(value, attribute) if attribute else value):
        if not isinstance(item, int | float) or not isinstance(total, int | float):
            raise TemplateError("DSJ206", "sum adds numbers only")
        total += item
    return total


def _round(value: Any, precision: int = 0, method: str = "common") -> Any:
    if not isinstance(precision, int) or abs(precision) > 300:
        raise TemplateError("DSJ206", "round takes a precision of -300 to 300 digits")
    return _ROUND(value, precision, method)


def _key(value: Any) -> Any:
    """A key of a mapping that a template writes: hashing anything larger could take for ever."""
    if isinstance(value, str | int | float):
        return value
    raise TemplateError("DSJ206", f"a {type(value).__name__} cannot be a key of a mapping")


def _paying(function: Any) -> Callable[..., Any]:
    """A filter or test that pays for what it looks at and for what it makes. Marks of Jinja (pass_environment, …) stay."""

    def paying(*arguments: Any, **keywords: Any) -> Any:
        result = function(*[read(argument) for argument in arguments], **{k: read(v) for k, v in keywords.items()})
        return made(result)

    paying.__dict__.update(getattr(function, "__dict__", {}))
    return paying


_PAYING_FILTERS = (
    "abs capitalize dictsort float groupby int items list lower map max min reject rejectattr reverse select selectattr "
    "sort title trim unique upper"
).split()
_OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "join": _join, "replace": _replace, "tojson": _tojson, "sum": _sum, "string": written, "round": _round,
}  # fmt: skip
# They look at one item, however large the value.
_FREE_FILTERS = "d default first last length count".split()
_INNER_FILTERS: dict[str, Callable[..., Any]] = {"_counted": counted, "_read": read, "_concat": _join, "_key": _key}
_PAYING_TESTS = (
    "divisibleby eq equalto even ge gt in le lower lt ne odd upper == != > >= < <= greaterthan lessthan"
).split()
_FREE_TESTS = (
    "boolean defined false float integer iterable mapping none number sameas sequence string true undefined".split()
)

_FILTER_NAMES = frozenset({*_PAYING_FILTERS, *_FREE_FILTERS, *_OWN_FILTERS})
_TEST_NAMES = frozenset({*_PAYING_TESTS, *_FREE_TESTS})


def _make_environment() -> _Environment:
    environment = _Environment(undefined=jinja2.StrictUndefined, finalize=_finalize, optimized=False, cache_size=0)
    filters, tests = environment.filters, environment.tests
    environment.filters = {
        **{name: _paying(filters[name]) for name in _PAYING_FILTERS},
        **{name: _paying(function) for name, function in _OWN_FILTERS.items()},
        **{name: filters[name] for name in _FREE_FILTERS},
        **_INNER_FILTERS,
    }
    environment.tests = {
        **{name: _paying(tests[name]) for name in _PAYING_TESTS},
        **{name: tests[name] for name in _FREE_TESTS},
    }
    environment.globals = {"range": _range}
    return environment


def _finalize(value: Any) -> Any:
    return value if isinstance(value, jinja2.Undefined) else written(value)


_ENVIRONMENT = _make_environment()
_ROUND: Callable[..., Any] = jinja2.filters.FILTERS["round"]


def _compile(tree: nodes.Template) -> tuple[jinja2.Template, bool]:
    """The compiled template, and whether the whole text is one expression: then it puts its value into `result`."""
    put_counting_in(tree)
    expression = _only_expression(tree)
    if expression is not None:
        target = nodes.Name("result", "store", lineno=1)
        tree = nodes.Template([nodes.Assign(target, expression, lineno=1)], lineno=1)
        tree.set_environment(_ENVIRONMENT)
    with new_budget(), warnings.catch_warnings():  # Jinja evaluates what is constant while it compiles
        warnings.simplefilter("ignore", SyntaxWarning)  # Python's own, of the code that Jinja wrote: `{{ true[0] }}`
        return _ENVIRONMENT.from_string(tree), expression is not None


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) and len(tree.body[0].nodes) == 1:
        only = tree.body[0].nodes[0]
        return None if isinstance(only, nodes.TemplateData) else only
    return None


_JINJA_WORDS = {"'end of print statement'": "`}}`", "'end of statement block'": "`%}`"}


def _syntax_error(text: str, error: jinja2.TemplateSyntaxError) -> TemplateError:
    message = (error.message or "this is not a template").rstrip(".")
    for word, plainer in _JINJA_WORDS.items():
        message = message.replace(word, plainer)
    unclosed = re.search(r"The innermost block that needs to be closed is '(\w+)'", message)
    if unclosed:
        hint = f"close it with `{{% end{unclosed[1]} %}}`"
        return TemplateError("DSJ201", f"template syntax: `{unclosed[1]}` is not closed", hint=hint)
    message = message[:1].lower() + message[1:]
    return TemplateError("DSJ201", f"template syntax: {message}", hint=_syntax_hint(text, message))


def _syntax_hint(text: str, message: str) -> str:
    if "comment" in message:
        return "close the comment with `#}`"
    if "unexpected char '\"'" in message or 'unexpected char "\'"' in message:
        return "close the quote"
    if text.count("{{") > text.count("}}"):
        return "close the expression with `}}`"
    if re.search(r", expected '[)\]}]'", message):
        return "close the bracket"
    if "unknown tag" in message:
        return "a template has `if`, `elif`, `else`, `endif`, `for` and `endfor`, each where it belongs"
    return "an expression is e.g. `{{ vars.region }}`"
