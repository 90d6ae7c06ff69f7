"""Where the value of a job's key comes from: everything that a layer says of it, strongest first, and which of it counts.

The rules are those of `layers.py` and `expand.py`: inputs and outputs are merged name by name, `retry` and `matrix` are taken as
a whole, `notebook` and `cell` stand in for each other, `name` and `needs` have no defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from dsjobs.marks import MarkedList, MarkedMap, Position
from dsjobs.model import Environment, JobFields, Retry
from dsjobs.spec.durations import written as duration
from dsjobs.spec.layers import Layers, first

State = Literal["used", "overruled", "refused"]

Path = tuple[str, ...]
"""A key of a job, or one below it: `("inputs", "ALPHA")`."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer says. `place`: a position in a file, or what else it was given by, such as `--var`; None where it is written
    nowhere. `note`: what there is to say beyond that; `key`: where it is another key that stands in for the one asked for."""

    name: str
    value: Any
    place: Position | str | None = None
    state: State = "used"
    note: str | None = None
    key: str | None = None


MERGED = ("inputs", "outputs")
"""Keys whose entries are merged name by name."""

WHOLE = ("retry", "matrix")
"""Keys that are taken as a whole, though their parts have names."""

_TARGETS = ("notebook", "cell")

_BUILT_IN: Mapping[str, tuple[Any, str]] = {
    "description": ("", "none"),
    "project": (None, "the job file's folder"),
    "inputs": ({}, "none"),
    "outputs": ({}, "none"),
    "spec": (None, "the project's own"),
    "spark_connector": (None, "none"),
    "needs": ([], "none"),
    "matrix": (None, "none"),
    "run_if": ("all_success", ""),
    "when": (None, "it always runs"),
    "timeout": (None, "no limit"),
    "pool": (None, "none"),
    "allow_failure": (False, ""),
    "cache": (False, ""),
    "tags": ([], "none"),
}


def layers_of_key(layers: Layers, environment: Environment, path: Path) -> list[Layer]:
    """What the layers of a job say of a key, strongest first, and last the built-in default, where there is one."""
    names = ("the job", f"defaults of '{environment.name}'", "defaults")
    found: list[Layer] = []
    if path[0] in _TARGETS:
        found += _targets(layers, names, path[0])
    elif path[0] in ("name", "needs"):
        found += _said(names[0], layers[0], path)
    elif path[0] in WHOLE and len(path) > 1:
        found += _parts_of_whole(layers, names, path)
    else:
        for name, fields in zip(names, layers, strict=True):
            found += _said(name, fields, path, state="overruled" if found else "used")
    default = _built_in(layers, path)
    if default is not None:
        is_used = not any(layer.state == "used" for layer in found)
        value, note = default
        found.append(Layer("built in", value, None, "used" if is_used else "overruled", note or None))
    return found


def paths_of(layers: Layers, keys: Iterable[str]) -> Iterator[Path]:
    """The keys of a job as they are listed: inputs and outputs by name, what is not said as well. `keys`: all of them."""
    for key in keys:
        if key == "cell" and not any(key in layer.written for layer in layers):
            continue
        names = names_below(layers, key) if key in MERGED else []
        yield from ((key, name) for name in names) if names else [(key,)]


def names_below(layers: Layers, key: str) -> list[str]:
    """The names of inputs or outputs, or the parts of a key that is taken as a whole."""
    if key == "retry":
        return list(Retry().as_json())
    found: dict[str, None] = {}
    for layer in layers:
        container = layer.written.get(key)
        if isinstance(container, MarkedMap | MarkedList):
            found.update(dict.fromkeys(name for name in container if isinstance(name, str)))
    return list(found)


def _said(name: str, fields: JobFields, path: Path, *, state: State = "used") -> Iterator[Layer]:
    written: Any = fields.written
    for key in path[:-1]:
        below = written.get(key)
        if isinstance(below, MarkedList) and path[-1] in below:
            # A list of outputs: each may be anything.
            yield Layer(name, {}, below.item_position(below.index(path[-1])), state)
            return
        if key == "retry" and path[-1] == "max_attempts" and isinstance(below, int | float):
            yield Layer(name, below, written.value_position(key), state)
            return
        if not isinstance(below, MarkedMap):
            return
        written = below
    if path[-1] in written:
        yield Layer(name, written[path[-1]], written.value_position(path[-1]), state)


def _targets(layers: Layers, names: tuple[str, ...], asked: str) -> Iterator[Layer]:
    state: State = "used"
    for name, fields in zip(names, layers, strict=True):
        said = [key for key in _TARGETS if key in fields.written]
        for key in said:
            place, other = fields.written.value_position(key), None if key == asked else key
            yield Layer(name, fields.written[key], place, state, f"its `{key}`" if other else None, other)
        if said:
            state = "overruled"


def _parts_of_whole(layers: Layers, names: tuple[str, ...], path: Path) -> Iterator[Layer]:
    key = path[0]
    taken = False
    for name, fields in zip(names, layers, strict=True):
        note = f"`{key}` is taken as a whole" if taken else None
        yield from (
            replace(one, note=note) for one in _said(name, fields, path, state="overruled" if taken else "used")
        )
        taken = taken or key in fields.written


def _built_in(layers: Layers, path: Path) -> tuple[Any, str] | None:
    if path[0] == "retry":
        usual = Retry()
        chosen = first(layers, "retry") or usual
        longest = duration(max(usual.max_delay, chosen.delay))
        whole = {**usual.as_json(), "delay": duration(usual.delay), "max_delay": longest}
        return (whole, "one attempt") if len(path) == 1 else (whole.get(path[1]), "")
    return _BUILT_IN.get(path[0]) if len(path) == 1 else None
