"""The names that a template uses, each with its value and where that comes from, down to its place in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from dsjobs.marks import MarkedList, MarkedMap, Position
from dsjobs.model import Cell, Environment, Spec, VariableValue
from dsjobs.spec.combinations import identity
from dsjobs.spec.layers import Layers, layers_of
from dsjobs.spec.origins import Layer, layers_of_key
from dsjobs.spec.secret_inputs import secret_name
from dsjobs.spec.templates import Reference, understood
from dsjobs.spec.values import not_json
from dsjobs.spec.variables import ENVIRON_PREFIX, flaw, given_value

Known = Literal["at load", "at submit", "by cell"]
"""When the value of a name is known; by cell: there is one for each cell of the matrix."""


@dataclass(frozen=True, slots=True)
class Use:
    """A name in a template. `value` is None where it is not known at load."""

    name: str
    value: Any
    known: Known
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of a file in an environment: the final variables, what was given from outside, the repository, and how the
    environment was chosen."""

    spec: Spec
    environment: Environment
    variables: Mapping[str, VariableValue]
    environ: Mapping[str, str]
    flags: tuple[tuple[str, str], ...]
    files: tuple[MarkedMap, ...]
    git: Mapping[str, Any]
    chosen_by: str


def layers_of_variable(given: Given, name: str) -> list[Layer]:
    """What each layer says of a variable, strongest first."""
    found = list(_weakest_first(given, name))[::-1]
    used = next((layer for layer in found if layer.state != "refused"), None)
    return [
        layer if layer is used or layer.state == "refused" else replace(layer, state="overruled") for layer in found
    ]


def _weakest_first(given: Given, name: str) -> Iterator[Layer]:
    variable = given.spec.variables[name]
    if variable.has_default:
        yield Layer("default", variable.default, variable.default_position)
    written = given.environment.variables
    if isinstance(written, MarkedMap) and name in written:
        yield Layer(f"environment '{given.environment.name}'", written[name], written.value_position(name))
    for data in given.files:
        if name in data:
            value, problem = data[name], flaw(data[name], variable.schema)
            shown = value if not_json(value) is None else str(value)
            yield Layer("--var-file", shown, data.value_position(name), "refused" if problem else "used", problem)
    key = ENVIRON_PREFIX + name
    outside = [("process environment", key, given.environ[key])] if key in given.environ else []
    outside += [("command line", "--var", text) for flag, text in given.flags if flag == name]
    for layer, place, text in outside:
        value, problem = given_value(text, variable.schema)
        yield Layer(layer, text if problem else value, place, "refused" if problem else "used", problem)


def uses_in(value: Any, given: Given, layers: Layers, cell: Cell | None) -> list[Use]:
    """The names in the templates of a value, each once, or the secret that it is. `layers`: of the job; `cell`: the one that is
    meant, where it has a matrix."""
    secret = secret_name(value)
    if secret is not None:
        return list(_secret_use(secret, given))
    references = (reference for template in understood(value) for reference in template.references)
    return [_use(reference, given, layers, cell) for reference in dict.fromkeys(references)]


def _use(reference: Reference, given: Given, layers: Layers, cell: Cell | None) -> Use:
    root, *rest = reference.path
    if root == "vars" and rest and rest[0] in given.spec.variables:
        final = given.variables.get(rest[0])
        below = tuple(layers_of_variable(given, rest[0]))
        return Use(f"vars.{rest[0]}", final.value if final else None, "at load", below)
    if root == "environment":
        name = given.environment.name
        return Use(root, name, "at load", (Layer("environment", name, given.chosen_by),))
    if root == "matrix":
        return _matrix_use(str(reference), rest, layers, cell)
    if root == "git":
        value = given.git.get(rest[0]) if rest else dict(given.git)
        return Use(str(reference), value, "at load", (Layer("the repository", value, "git"),))
    if root == "needs" and rest:
        return Use(str(reference), None, "at submit", tuple(_declared(reference, given)))
    return Use(str(reference), None, "at submit")


def _secret_use(name: str, given: Given) -> Iterator[Use]:
    """Where the secret that is an input is defined. Its value is asked for when a run starts, and never shown."""
    source = given.spec.secrets.get(name)
    if source is not None:
        yield Use(f"secrets.{name}", None, "at submit", (Layer("secrets", source.as_json(), source.position),))


def _declared(reference: Reference, given: Given) -> Iterator[Layer]:
    """Where the output that is used is declared."""
    parts = [part for part in reference.path[1:] if not part.isdecimal()]
    if reference.each is not None:
        parts = [parts[0], *reference.each]
    fields = next((job for job in given.spec.jobs if job.name == parts[0]), None)
    if fields is not None and parts[1:2] == ["outputs"] and len(parts) > 2:
        layers = layers_of(given.spec, given.environment, fields)
        found = layers_of_key(layers, given.environment, ("outputs", parts[2]))
        yield from (Layer(f"output of '{fields.name}'", one.value, one.place, one.state) for one in found)


def _matrix_use(name: str, rest: list[str], layers: Layers, cell: Cell | None) -> Use:
    if cell is None:
        return Use(name, None, "by cell")
    if not rest:
        return Use(name, dict(cell.values), "at load")
    value = cell.values.get(rest[0])
    written = next((layer.written["matrix"] for layer in layers if "matrix" in layer.written), None)
    place = matrix_place(written, rest[0], cell) if isinstance(written, MarkedMap) else None
    return Use(name, value, "at load", (Layer("matrix", value, place),) if place else ())


def matrix_place(written: MarkedMap, key: str, cell: Cell) -> Position | None:
    """Where the value that a cell has of a key was written: in one of the lists, or in an entry of `include`."""
    if key not in cell.values:
        return None
    wanted = identity(cell.values[key])
    values = written.get(key)
    for value, place in values.positioned() if isinstance(values, MarkedList) else ():
        if identity(value) == wanted:
            return place
    for entry in reversed(written.get("include", ())):  # a later entry changes what an earlier one added
        if key in entry and all(_agrees(entry, one, cell) for one in entry):
            found: Position = entry.value_position(key)
            return found
    return None


def _agrees(entry: Mapping[str, Any], key: str, cell: Cell) -> bool:
    return key in cell.values and identity(entry[key]) == identity(cell.values[key])
