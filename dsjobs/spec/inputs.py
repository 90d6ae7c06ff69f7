"""The inputs of a job: its own and those of its defaults, put together and understood once for all cells of its matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dsjobs.model import JobFields
from dsjobs.spec.layers import Layers, input_position
from dsjobs.spec.rendering import Rendering
from dsjobs.spec.secret_inputs import secret_name
from dsjobs.spec.templates import SUBMIT_TIME, is_template

Kind = Literal["known", "secret", "deferred", "open", "rendered"]


@dataclass(frozen=True, slots=True)
class Input:
    """An input as `layer` says it. `value`: its text where it is `known`; the name of a `secret`; else what is to be rendered,
    at submit where it is `deferred`, and not at all where it is `open`: it asks for what has no value here."""

    name: str
    value: Any
    layer: JobFields
    kind: Kind


def inputs_of(layers: Layers, rendering: Rendering) -> list[Input]:
    """The inputs of a job, those of the strongest layer last. What a stronger layer overrules is not looked at."""
    said: dict[str, tuple[Any, JobFields]] = {}
    for layer in reversed(layers):
        for name, value in layer.inputs.items():
            said.pop(name, None)
            said[name] = (value, layer)
    return [_understood(name, value, layer, rendering) for name, (value, layer) in said.items()]


def _understood(name: str, value: Any, layer: JobFields, rendering: Rendering) -> Input:
    if isinstance(value, str) and not is_template(value):
        if "\0" in value:
            message = f"input '{name}': a NUL character cannot be in an environment variable"
            rendering.problem("DSJ208", message, input_position(layer, name))
        return Input(name, value, layer, "known")
    secret = secret_name(value)
    if secret is not None:
        return Input(name, secret, layer, "secret")
    constant = rendering.shared.constant(value)
    if constant is not None:
        return Input(name, constant, layer, "known")
    kind: Kind = "open" if rendering.is_open(value) else "rendered"
    return Input(name, value, layer, "deferred" if not rendering.roots(value).isdisjoint(SUBMIT_TIME) else kind)


Rendered = tuple[dict[str, str], dict[str, Any], dict[str, str]]


def rendered(inputs: Sequence[Input], layers: Layers, rendering: Rendering) -> Rendered:
    """The texts that are known, the values that wait for the submit, and the names of the secrets, by the names of the inputs:
    of a job, or of the cell that `rendering` is about."""
    known: dict[str, str] = {}
    deferred: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    if rendering.allowance.is_spent:
        return known, deferred, secrets
    for one in inputs:
        if one.kind == "known":
            known[one.name] = one.value
        elif one.kind == "secret":
            secrets[one.name] = one.value
        elif one.kind == "rendered":
            text = rendering.input(one.name, one.value, one.layer)
            if text is not None:
                known[one.name] = text
        elif one.kind == "deferred":
            deferred[one.name] = one.value
            position = input_position(one.layer, one.name)
            rendering.deferred(one.value, one.layer, position, layers, f"input '{one.name}': ")
        else:
            rendering.refuse_matrix(one.value, one.layer, input_position(one.layer, one.name), layers)
    return known, deferred, secrets
