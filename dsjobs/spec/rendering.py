"""Rendering what is known at load: the names, the templates that need one which is not there, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsjobs.diagnostics import Diagnostic
from dsjobs.marks import MarkedList, MarkedMap, Position
from dsjobs.model import JobFields
from dsjobs.spec.allowance import Allowance
from dsjobs.spec.conditions import holds
from dsjobs.spec.layers import Layers, input_position, is_lost, layer_with, position_of
from dsjobs.spec.templates import (
    Template,
    TemplateError,
    compile_template,
    is_template,
    render,
    templates_in,
    texts_in,
    understood,
)
from dsjobs.spec.values import encode


class Shared:
    """What all jobs of a file share in every environment that is looked at: what rendering may still cost, and what lists and
    mappings of the file have in them, which is looked for once."""

    __slots__ = ("_constants", "_found", "_sizes", "allowance")

    def __init__(self) -> None:
        self.allowance = Allowance()
        # By the identity of a list or mapping, which is kept so that no other one gets it.
        self._constants: dict[int, tuple[Any, str | None]] = {}
        self._found: dict[int, tuple[Any, Sequence[Template] | None]] = {}
        self._sizes: dict[int, tuple[Any, int]] = {}

    def constant(self, value: Any) -> str | None:
        """The text of a list or mapping of the file without templates; None for others."""
        if not isinstance(value, MarkedMap | MarkedList):
            return None
        known = self._constants.get(id(value))
        if known is None:
            try:
                text = None if texts_in(value) else encode(value)
            except ValueError:  # which is said where it stands
                text = None
            known = self._constants[id(value)] = (value, text)
        return known[1]

    def templates(self, value: Any) -> Sequence[Template] | None:
        """The templates in a value; None where one has an error."""
        if not isinstance(value, MarkedMap | MarkedList):
            return _understood(value)
        known = self._found.get(id(value))
        if known is None:
            known = self._found[id(value)] = (value, _understood(value))
        return known[1]

    def size(self, value: Any) -> int:
        """How many values a value of the file has in it, itself included."""
        if not isinstance(value, MarkedMap | MarkedList):
            return 1
        known = self._sizes.get(id(value))
        if known is None:
            items = value.values() if isinstance(value, MarkedMap) else value
            known = self._sizes[id(value)] = (value, 1 + sum(map(self.size, items)))
        return known[1]


@dataclass(slots=True)
class Rendering:
    """Renders the values of one job, or of one cell of it, after another. `cell`: its name; what is wrong with all cells of a
    job is said of the first one. `matrix_keys`: those of all its cells. When the allowance that is `shared` is spent, nothing
    more is rendered."""

    names: Mapping[str, Any]
    shared: Shared
    cell: str | None = None
    matrix_keys: frozenset[str] = frozenset()
    problems: list[Diagnostic] = field(default_factory=list)
    _said: set[tuple[str, Position]] = field(default_factory=set)

    @property
    def allowance(self) -> Allowance:
        return self.shared.allowance

    def text(self, key: str, raw: str | None, layers: Layers) -> str | None:
        """The text of a job's key; a template stays as it is where it needs a value that is not there."""
        if raw is None or not is_template(raw):
            return raw
        position = position_of(layers, key)
        if self.allowance.is_spent:
            return raw
        if self.is_open(raw):
            self.refuse_matrix(raw, layer_with(layers, key), position, layers)
            return raw
        try:
            rendered = compile_template(raw).render(self.names, self.allowance)
            value = encode(rendered)
        except TemplateError as error:
            self.failed(error, str(error), position)
            return raw
        except ValueError as error:
            self.problem("DSJ206", f"'{key}': {error}", position)
            return raw
        self.allowance.take_value(value, is_text=isinstance(rendered, str))
        if self.allowance.is_spent:
            self.refuse_spent(position)
        if not value:
            self.problem("DSJ206", f"'{key}' renders to an empty text", position, "give the variable a value")
        return value

    def limited(self, key: str, raw: str | None, layers: Layers, limit: int) -> str | None:
        """As `text`, for a key whose text the API bounds."""
        value = self.text(key, raw, layers)
        if value is not None and len(value) > limit:
            message = f"'{key}' has {len(value)} characters, and the API takes {limit}"
            self.problem("DSJ106", message, position_of(layers, key), "shorten it")
        return value

    def input(self, name: str, value: Any, layer: JobFields) -> str | None:
        """The text of an input; None where it has none."""
        try:
            rendered = self._rendered(value)
            text = self.shared.constant(rendered)
            if text is None:
                text = encode(rendered)
                self.allowance.take_value(text, is_text=isinstance(rendered, str))
        except TemplateError as error:
            self.allowance.take_items(self.shared.size(value))
            self.failed(error, f"input '{name}': {error}", input_position(layer, name))
        except ValueError as error:
            self.problem("DSJ208", f"input '{name}': {error}", input_position(layer, name))
        else:
            if self.allowance.is_spent:
                self.refuse_spent(input_position(layer, name))
            return text
        return None

    def _rendered(self, value: Any) -> Any:
        """A value with its templates rendered; lists and mappings that have none in them stay what they are."""
        if not isinstance(value, MarkedMap | MarkedList):
            return render(value, self.names, self.allowance)
        if self.shared.templates(value) == []:
            return value
        if isinstance(value, MarkedMap):
            return {key: self._rendered(item) for key, item in value.items()}
        return [self._rendered(item) for item in value]

    def condition(self, when: str, layers: Layers) -> bool:
        """The value of a `when` that is known at load; true where it has an error."""
        position = position_of(layers, "when")
        if self.allowance.is_spent:
            return True
        if self.is_open(when):
            self.refuse_matrix(when, layer_with(layers, "when"), position, layers)
            return True
        if not compile_template(when).is_expression:
            return True
        try:
            return holds(when, self.names, self.allowance)
        except TemplateError as error:
            self.failed(error, str(error), position)
            return True

    def deferred(self, value: Any, layer: JobFields, position: Position, layers: Layers, what: str = "") -> None:
        """Of a template that waits for the submit, say what is known now not to have a value then. `what` begins the message."""
        for template in self.shared.templates(value) or ():
            if any(path[0] == "matrix" for path in template.certain):
                self.refuse_matrix(value, layer, position, layers)
            try:
                template.require(self.names, self._has_value)
            except TemplateError as error:
                self.problem(error.code, f"{what}{error}", position, error.hint)
                return

    def is_open(self, value: Any) -> bool:
        """Whether a template in `value` has an error, or needs something that has no value here."""
        templates = self.shared.templates(value)
        return templates is None or not all(
            self._has_value(reference.path) for template in templates for reference in template.references
        )

    def roots(self, value: Any) -> frozenset[str]:
        """The first parts of all names in the templates of a value."""
        return _roots(self.shared.templates(value) or ())

    def _has_value(self, path: tuple[str, ...]) -> bool:
        root, *rest = path
        if root == "vars" and rest:
            return rest[0] in self.names["vars"]
        if root == "matrix" and "matrix" in self.names:
            # A key of other cells only may still have a `default` in the template.
            return not rest or rest[0] in self.matrix_keys
        return root in self.names and not (root == "environment" and rest)

    def refuse_matrix(self, value: Any, layer: JobFields, position: Position, layers: Layers) -> None:
        """A job without a matrix cannot take a default, of `layer`, that asks for one. Of a job's own templates
        `references.py` has spoken."""
        job = layers[0]
        if layer is job or "matrix" in self.names or "matrix" not in self.roots(value):
            return
        if not is_lost(layers, "matrix") and not any("matrix" in layer.written for layer in layers):
            message = f"this default asks for a matrix, which job '{job.name}' does not have"
            self.problem("DSJ202", message, position, f"give '{job.name}' a value of its own")

    def failed(self, error: TemplateError, message: str, position: Position) -> None:
        """A template cannot be rendered; or all of them together were too much, which is said once, of the one that went over."""
        if self.allowance.is_spent:
            self.refuse_spent(position)
        else:
            self.problem(error.code, message, position, error.hint)

    def refuse_spent(self, position: Position) -> None:
        if not self.allowance.is_told:
            self.allowance.is_told = True
            message = "the templates of this file do too much work together: this one goes over the limit"
            hint = "make less in a template, or have fewer jobs and cells; a notebook has all the time that it needs"
            self.problem("DSJ206", message, position, hint)

    def problem(self, code: str, message: str, position: Position, hint: str | None = None) -> None:
        if self.cell is not None:
            if (code, position) in self._said:
                return
            self._said.add((code, position))
            message = f"{message} (in cell '{self.cell}')"
        self.problems.append(Diagnostic(code, message, position, hint))


def roots(value: Any) -> frozenset[str]:
    """The first parts of all names in the templates of a value."""
    return _roots(understood(value))


def _roots(templates: Iterable[Template]) -> frozenset[str]:
    return frozenset(reference.path[0] for template in templates for reference in template.references)


def _understood(value: Any) -> Sequence[Template] | None:
    try:
        return templates_in(value)
    except TemplateError:
        return None
