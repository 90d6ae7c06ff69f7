"""Inputs that are secrets: `{secret: NAME}`, the whole value of an input and nothing else, of a secret that the file defines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsjobs.diagnostics import Diagnostic, did_you_mean
from dsjobs.marks import MarkedList, MarkedMap, Position
from dsjobs.model import JobFields, Spec
from dsjobs.spec.templates import is_template

_KEY = "secret"


def secret_name(value: Any) -> str | None:
    """The name in `{secret: NAME}`; None for any other value."""
    if isinstance(value, MarkedMap) and len(value) == 1:
        name = value.get(_KEY)
        return name if isinstance(name, str) else None
    return None


def check_secrets(spec: Spec, data: MarkedMap) -> list[Diagnostic]:
    """Every secret that is unknown, or stands where none can. What depends on a part that `data` has lost is let be."""
    secrets = data.get("secrets")
    lost = secrets.lost if isinstance(secrets, MarkedMap) else frozenset()
    check = _Check(spec, frozenset(lost), "secrets" in data.lost)
    shared = (spec.defaults, *(environment.defaults for environment in spec.environments.values()))
    return [problem for fields in (*shared, *spec.jobs) for problem in check.problems(fields)]


class _Check:
    """`lost`: secrets whose definition was not understood; `any_name`: whether there may be more of them."""

    def __init__(self, spec: Spec, lost: frozenset[str], any_name: bool) -> None:
        self._known = frozenset(spec.secrets)
        self._lost = lost
        self._any_name = any_name

    def problems(self, fields: JobFields) -> Iterator[Diagnostic]:
        inputs = fields.inputs
        for name, value in inputs.items():
            if isinstance(value, MarkedMap) and list(value) == [_KEY]:
                yield from self._wrong_name(value[_KEY], value.value_position(_KEY))
            elif isinstance(value, MarkedMap | MarkedList):
                yield from self._inside(value, f"a secret is the whole value of an input, and '{name}' is more")
        matrix = fields.written.get("matrix")
        if isinstance(matrix, MarkedMap) and self._known:
            yield from self._inside(matrix, "a matrix has no secrets: its values are in the names of its cells")

    def _wrong_name(self, name: Any, position: Position) -> Iterator[Diagnostic]:
        if not isinstance(name, str):
            yield Diagnostic("DSJ101", "the name of a secret is text", position, "write {secret: NAME}")
        elif is_template(name):
            message = "a secret is named without a template"
            yield Diagnostic("DSJ205", message, position, "write its name: {secret: NAME}")
        elif name not in self._known and name not in self._lost and not self._any_name:
            hint = did_you_mean(name, self._known) or f"add `secrets: {{{name}: {{env: {name}}}}}` to the file"
            yield Diagnostic("DSJ209", f"there is no secret '{name}'", position, hint)

    def _inside(self, container: MarkedMap | MarkedList, message: str) -> Iterator[Diagnostic]:
        """The secrets in a larger value. What only looks like one, because no secret has that name, is JSON to be sent."""
        if isinstance(container, MarkedMap) and isinstance(container.get(_KEY), str):
            if container[_KEY] in self._known:
                hint = "write {secret: NAME} as the value of an input of its own"
                yield Diagnostic("DSJ205", message, container.value_position(_KEY), hint)
            return
        for value in container.values() if isinstance(container, MarkedMap) else container:
            if isinstance(value, MarkedMap | MarkedList):
                yield from self._inside(value, message)
