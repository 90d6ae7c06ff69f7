"""Rendering what is known at load: the names, the templates that need one which is not there, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsjobs.diagnostics import Diagnostic
from dsjobs.marks import Position
from dsjobs.model import JobFields
from dsjobs.spec.conditions import holds
from dsjobs.spec.layers import Layers, input_position, is_lost, layer_with, position_of
from dsjobs.spec.templates import TemplateError, compile_template, is_template, render, templates_in, understood
from dsjobs.spec.values import encode


@dataclass(slots=True)
class Rendering:
    """Renders the values of one job, or of one cell of it, after another. `cell`: its name; what is wrong with all cells of a
    job is said of the first one. `matrix_keys`: those of all its cells."""

    names: Mapping[str, Any]
    cell: str | None = None
    matrix_keys: frozenset[str] = frozenset()
    problems: list[Diagnostic] = field(default_factory=list)
    _said: set[tuple[str, Position]] = field(default_factory=set)

    def text(self, key: str, raw: str | None, layers: Layers) -> str | None:
        """The text of a job's key; a template stays as it is where it needs a value that is not there."""
        if raw is None or not is_template(raw):
            return raw
        position = position_of(layers, key)
        if self.is_open(raw):
            self.refuse_matrix(raw, layer_with(layers, key), position, layers)
            return raw
        try:
            value = encode(compile_template(raw).render(self.names))
        except TemplateError as error:
            self.problem(error.code, str(error), position, error.hint)
            return raw
        except ValueError as error:
            self.problem("DSJ206", f"'{key}': {error}", position)
            return raw
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
            return encode(render(value, self.names))
        except TemplateError as error:
            self.problem(error.code, f"input '{name}': {error}", input_position(layer, name), error.hint)
        except ValueError as error:
            self.problem("DSJ208", f"input '{name}': {error}", input_position(layer, name))
        return None

    def condition(self, when: str, layers: Layers) -> bool:
        """The value of a `when` that is known at load; true where it has an error."""
        position = position_of(layers, "when")
        if self.is_open(when):
            self.refuse_matrix(when, layer_with(layers, "when"), position, layers)
            return True
        if not compile_template(when).is_expression:
            return True
        try:
            return holds(when, self.names)
        except TemplateError as error:
            self.problem(error.code, str(error), position, error.hint)
            return True

    def is_open(self, value: Any) -> bool:
        """Whether a template in `value` has an error, or needs something that has no value here."""
        try:
            templates = templates_in(value)
        except TemplateError:
            return True
        return not all(self._has_value(reference.path) for template in templates for reference in template.references)

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
        if layer is job or "matrix" in self.names or "matrix" not in roots(value):
            return
        if not is_lost(layers, "matrix") and not any("matrix" in layer.written for layer in layers):
            message = f"this default asks for a matrix, which job '{job.name}' does not have"
            self.problem("DSJ202", message, position, f"give '{job.name}' a value of its own")

    def problem(self, code: str, message: str, position: Position, hint: str | None = None) -> None:
        if self.cell is not None:
            if (code, position) in self._said:
                return
            self._said.add((code, position))
            message = f"{message} (in cell '{self.cell}')"
        self.problems.append(Diagnostic(code, message, position, hint))


def roots(value: Any) -> frozenset[str]:
    """The first parts of all names in the templates of a value."""
    return frozenset(reference.path[0] for template in understood(value) for reference in template.references)
