"""Templates of the job file: which names a text uses, and its value.

Nearly every template is text around dotted names (`{{ vars.region }}`): these are read and rendered here. Anything else goes
to the sandboxed Jinja of `sandbox.py`, which is imported only then; a test holds that both give the same for dotted names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from dsjobs.spec.allowance import Allowance

LOAD_TIME = frozenset({"vars", "environment", "git", "matrix"})
"""Roots whose values are known before anything runs."""

SUBMIT_TIME = frozenset({"needs", "run"})
"""Roots whose values are known when a job is submitted."""

MAX_TEMPLATE = 65_536
"""Characters of the longest template."""

MAX_CHARACTERS = 1_000_000
"""Characters of the longest text that a template may make, intermediate ones included."""


class TemplateError(Exception):
    """A template that cannot be understood or evaluated. `code` is the diagnostic's; `at` the text that it is about."""

    def __init__(self, code: str, message: str, *, hint: str | None = None, at: str | None = None) -> None:
        super().__init__(message)
        self.code, self.hint, self.at = code, hint, at

    def again(self) -> TemplateError:
        """The same error, to be raised another time: whatever raises an error writes its traceback into it."""
        return TemplateError(self.code, str(self), hint=self.hint, at=self.at)


def too_much_text() -> TemplateError:
    """The error of a template that makes more than MAX_CHARACTERS."""
    return TemplateError("DSJ206", f"the template makes more than {MAX_CHARACTERS} characters", hint="make less text")


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that a template uses: `needs.extract.outputs.path` is `("needs", "extract", "outputs", "path")`.

    `each`: where the name is used as a list of cells, what is taken of each of them; empty where that is not known.
    """

    path: tuple[str, ...]
    each: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return ".".join(self.path)


class Template(Protocol):
    """A text with templates in it, understood."""

    @property
    def references(self) -> tuple[Reference, ...]:
        """The names it uses, each with as many parts as are constant."""
        ...

    @property
    def certain(self) -> tuple[tuple[str, ...], ...]:
        """The paths of the names that are used whatever their values are."""
        ...

    @property
    def is_expression(self) -> bool:
        """Whether the text is exactly one `{{ expression }}`."""
        ...

    def render(self, names: Mapping[str, Any], allowance: Allowance | None = None) -> Any:
        """Its value: of the expression's own type where the text is exactly one expression, else text. `allowance` pays for what
        more than names costs.

        Raises TemplateError: a name without a value, a failing operation, a bound that was hit.
        """
        ...

    def require(self, names: Mapping[str, Any], is_known: Callable[[tuple[str, ...]], bool]) -> None:
        """Raise TemplateError where one of the `certain` names, whose path `is_known`, has no value in `names`: for a template
        that cannot be rendered yet. Never raises where `render` would not."""
        ...


def is_template(value: Any) -> bool:
    """Whether a value is a text that Jinja would not leave as it is."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or "{#" in value)


def compile_template(text: str) -> Template:
    """The template in `text`. Raises TemplateError for a syntax error and for what the sandbox refuses."""
    compiled = _compiled(text)
    if isinstance(compiled, TemplateError):
        raise compiled.again()
    return compiled


@lru_cache(maxsize=65_536)
def _compiled(text: str) -> Template | TemplateError:
    """The template, or what is wrong with it: a file may say the same mistake a thousand times, and each costs milliseconds."""
    if len(text) > MAX_TEMPLATE:
        return TemplateError("DSJ205", f"a template has more than {MAX_TEMPLATE} characters", hint="shorten it")
    parts = _dotted_parts(text)
    if parts is not None:
        return _DottedTemplate(parts)
    from dsjobs.spec import sandbox

    try:
        return sandbox.compile_text(text)
    except TemplateError as error:
        return error.again()  # without the frames in its traceback


def templates_in(value: Any) -> list[Template]:
    """Every template in a value, also inside lists and mappings. Raises TemplateError."""
    return [compile_template(text) for text in texts_in(value)]


def understood(value: Any) -> list[Template]:
    """The templates in a value; none where one has an error, which `references.py` has reported."""
    try:
        return templates_in(value)
    except TemplateError:
        return []


def texts_in(value: Any) -> list[str]:
    """Every text in a value that is a template."""
    if isinstance(value, str):
        return [value] if is_template(value) else []
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in texts_in(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return []


def render(value: Any, names: Mapping[str, Any], allowance: Allowance | None = None) -> Any:
    """A value with every template in it rendered. Raises TemplateError."""
    if isinstance(value, str):
        return compile_template(value).render(names, allowance) if is_template(value) else value
    if isinstance(value, Mapping):
        return {key: render(item, names, allowance) for key, item in value.items()}
    if isinstance(value, list):
        return [render(item, names, allowance) for item in value]
    return value


_DOTTED = re.compile(r"\{\{[ \t]*([A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)[ \t]*\}\}")
# Jinja's own words are not names, and a lone opening is for Jinja to judge.
_RESERVED = frozenset(
    {"true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else", "loop", "self"}
)

Part = str | Reference


def _dotted_parts(text: str) -> tuple[Part, ...] | None:
    """The text as literal parts and references; None where it has anything else in it."""
    # Jinja reads every line end as \n, and takes the last one away.
    if "{%" in text or "{#" in text or "\r" in text or text.endswith("\n"):
        return None
    parts: list[Part] = []
    end = 0
    for match in _DOTTED.finditer(text):
        literal = text[end : match.start()]
        path = tuple(match[1].split("."))
        if "{{" in literal or literal.endswith("{") or not _RESERVED.isdisjoint(path[:1]):
            return None
        if literal:
            parts.append(literal)
        parts.append(Reference(path))
        end = match.end()
    rest = text[end:]
    if "{{" in rest:
        return None
    return (*parts, rest) if rest else tuple(parts)


class _DottedTemplate:
    """Text and dotted names."""

    __slots__ = ("parts", "references")

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts
        self.references = tuple(part for part in parts if isinstance(part, Reference))

    @property
    def certain(self) -> tuple[tuple[str, ...], ...]:
        return tuple(reference.path for reference in self.references)

    @property
    def is_expression(self) -> bool:
        return len(self.parts) == 1 and isinstance(self.parts[0], Reference)

    def require(self, names: Mapping[str, Any], is_known: Callable[[tuple[str, ...]], bool]) -> None:
        for reference in self.references:
            if is_known(reference.path):
                value = _value(reference, names)
                if not self.is_expression:
                    as_text(value)

    def render(self, names: Mapping[str, Any], allowance: Allowance | None = None) -> Any:
        if len(self.parts) == 1 and isinstance(self.parts[0], Reference):
            return _value(self.parts[0], names)
        left = MAX_CHARACTERS
        texts = []
        for part in self.parts:
            text = part if isinstance(part, str) else as_text(_value(part, names))
            left -= len(text)
            if left < 0:
                raise too_much_text()
            texts.append(text)
        return "".join(texts)


def _value(reference: Reference, names: Mapping[str, Any]) -> Any:
    value: Any = names
    for depth, key in enumerate(reference.path):
        if not isinstance(value, Mapping) or key not in value:
            known = ".".join(reference.path[:depth]) or "a template"
            raise TemplateError("DSJ206", f"{known} has no '{key}'", at=str(reference))
        value = value[key]
    return value


def as_text(value: Any) -> str:
    """A value inside a longer text, by the one rule for text of `values.py`."""
    from dsjobs.spec.values import encode

    try:
        return encode(value)
    except ValueError as error:
        raise TemplateError("DSJ206", str(error)) from None
