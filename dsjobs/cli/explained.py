"""What `dsjobs explain` says of a job file, as JSON documents: each value, the layers it comes from, the names in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsjobs import schemas
from dsjobs.diagnostics import did_you_mean
from dsjobs.errors import UsageError
from dsjobs.marks import MarkedMap, Position
from dsjobs.model import Cell, Job, JobFields
from dsjobs.spec.cells import cell_name, matrices_in
from dsjobs.spec.durations import written as duration
from dsjobs.spec.layers import Layers, layers_of
from dsjobs.spec.origins import MERGED, WHOLE, Layer, Path, State, layers_of_key, names_below, paths_of
from dsjobs.spec.templates import is_template, texts_in
from dsjobs.spec.uses import Given, Known, Use, layers_of_variable, uses_in

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Explained:
    """A job of the file, or some of its cells, to be explained. `jobs`: what it became; none where that could not be said."""

    given: Given
    fields: JobFields
    jobs: Sequence[Job]

    @property
    def layers(self) -> Layers:
        return layers_of(self.given.spec, self.given.environment, self.fields)

    @property
    def cell(self) -> Cell | None:
        """The cell that is meant, where it is one."""
        matrix = matrices_in(self.given.spec, self.given.environment).get(self.fields.name)
        if matrix is None or len(self.jobs) != 1:
            return None
        return next((cell for cell in matrix.cells if cell_name(self.fields.name, cell) == self.jobs[0].name), None)


def every_key(job: Explained) -> list[Document]:
    """A document for each key of a job."""
    return [one_key(job, path) for path in paths_of(job.layers, _keys())]


def names_in(job: Explained, path: Path) -> list[Document]:
    """A document for each input or output, where `path` is that of all of them; they are merged name by name."""
    if len(path) != 1 or path[0] not in MERGED:
        return []
    return [one_key(job, (*path, name)) for name in names_below(job.layers, path[0])]


def one_key(job: Explained, path: Path) -> Document:
    """The document of a key. Raises UsageError for one that there is not."""
    _require(job, path)
    layers = layers_of_key(job.layers, job.given.environment, path)
    used = next((layer for layer in layers if layer.state == "used" and layer.key in (None, path[0])), None)
    raw = used.value if used is not None else None
    found: list[tuple[Any, Known]] = [_final(one, path, raw) for one in job.jobs] or [(None, "at load")]
    is_same = all(one == found[0] for one in found)
    value, known = found[0] if is_same else (None, "by cell")
    uses = [*uses_in(raw, job.given, job.layers, job.cell), *_names_of_ids(job, path, raw)]
    return {
        "key": ".".join(path),
        "value": plain(value),
        "known": known,
        "cells": {} if is_same else {one.name: plain(own) for one, (own, _) in zip(job.jobs, found, strict=True)},
        "layers": [_layer(layer) for layer in layers],
        "template": plain(raw) if texts_in(raw) else None,
        "uses": [_use(use) for use in uses],
        "description": _description(path),
    }


def variable(given: Given, name: str) -> Document:
    """The document of a variable. Raises UsageError for one that is not declared."""
    known = given.spec.variables
    if name not in known:
        hint = did_you_mean(name, known) or (None if known else "the file declares no variables")
        raise UsageError(f"there is no variable '{name}'", hint=hint)
    value = given.variables.get(name)
    found = layers_of_variable(given, name)
    return _simple(f"vars.{name}", value.value if value else None, found, known[name].description)


def setting(given: Given, name: str) -> Document:
    """The document of a setting of the environment. Raises UsageError for one that no backend has."""
    known = _settings()
    if name not in known:
        hint = did_you_mean(name, known) or "`dsjobs explain settings` shows those that the environment has"
        raise UsageError(f"there is no setting '{name}'", hint=hint)
    settings = given.environment.settings
    value = settings.get(name)
    default = known[name].get("default")
    state: State = "overruled" if name in settings else "used"
    found = [Layer("built in", default, None, state, "its default" if default is None else None)]
    if isinstance(settings, MarkedMap) and name in settings:
        found.insert(0, Layer(f"environment '{given.environment.name}'", value, settings.value_position(name)))
    return _simple(f"settings.{name}", value, found, known[name].get("description", ""))


def pool(given: Given, name: str, jobs: Sequence[Job]) -> Document:
    """The document of a pool. Raises UsageError for one that the file does not have."""
    pools = given.spec.pools
    if name not in pools:
        hint = did_you_mean(name, pools) or (None if pools else "the file has no pools")
        raise UsageError(f"there is no pool '{name}'", hint=hint)
    holders = list(dict.fromkeys(job.base or job.name for job in jobs if name in job.pools))
    held = f"Held by {', '.join(holders)}." if holders else "No job holds it."
    return _simple(f"pools.{name}", pools[name], [Layer("pools", pools[name], given.spec.pool_places.get(name))], held)


def names_of(given: Given, section: str) -> list[str]:
    """What there is in `vars`, `settings` or `pools`."""
    if section == "settings":
        return list(given.environment.settings)
    return list(given.spec.variables if section == "vars" else given.spec.pools)


def plain(value: Any) -> Any:
    """A value as JSON; what is not plain data is shown by its own text."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _keys() -> list[str]:
    return list(_definition("job")["properties"])


def _require(job: Explained, path: Path) -> None:
    key, below = path[0], path[1:]
    keys = _keys()
    if key not in keys:
        raise UsageError(f"a job has no key '{key}'", hint=did_you_mean(key, keys))
    if not below:
        return
    if len(below) > 1 or key not in (*MERGED, *WHOLE):
        raise UsageError(f"nothing below '{key}' has a place of its own", hint=f"ask for {job.fields.name}.{key}")
    names = names_below(job.layers, key)
    if below[0] not in names:
        what = f"job '{job.fields.name}' has no '{key}.{below[0]}'"
        raise UsageError(what, hint=did_you_mean(below[0], names) or (None if names else f"it has no {key}"))


def _final(job: Job, path: Path, raw: Any) -> tuple[Any, Known]:
    """What a job's key comes to, and when that is known. `raw`: the value as it is written."""
    key = path[0]
    if key in ("project", "notebook", "cell", "spec", "spark_connector"):
        value = getattr(job.request, key)
        return None if is_template(value) else value, "at load"  # what it needs has no value
    if key == "when" and raw is not None:
        return (None, "at submit") if job.when is not None else (job.skip_reason is None, "at load")
    if key == "timeout" and job.timeout is not None:
        return duration(job.timeout), "at load"
    if key == "inputs" and len(path) > 1:
        if path[1] in job.deferred_inputs:
            return None, "at submit"
        return job.request.input_variables.get(path[1], None if texts_in(raw) else raw), "at load"
    return raw, "at load"


def _names_of_ids(job: Explained, path: Path, raw: Any) -> Iterable[Use]:
    """Where the name of a project or a connector became its ID."""
    environment = job.given.environment
    tables = {
        "project": ("projects", environment.projects),
        "spark_connector": ("spark_connectors", environment.spark_connectors),
    }
    found = {getattr(one.request, path[0]) for one in job.jobs} if path[0] in tables else set()
    if len(found) != 1:  # none, or it differs by cell
        return
    (section, table), sent = tables[path[0]], found.pop()
    name = next((one for one in table if table[one] == sent), None) if is_template(raw) else raw
    if isinstance(table, MarkedMap) and name is not None and name in table:
        layer = Layer(f"environment '{environment.name}'", sent, table.value_position(name))
        yield Use(f"{section}.{name}", sent, "at load", (layer,))


def _simple(key: str, value: Any, layers: Iterable[Layer], description: str) -> Document:
    return {
        "key": key,
        "value": plain(value),
        "known": "at load",
        "cells": {},
        "layers": [_layer(layer) for layer in layers],
        "template": None,
        "uses": [],
        "description": description,
    }


def _layer(layer: Layer) -> Document:
    place = layer.place if isinstance(layer.place, Position) else None
    return {
        "layer": layer.name,
        "state": layer.state,
        "value": plain(layer.value),
        "place": None if layer.place is None else str(layer.place),
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "note": layer.note,
    }


def _use(use: Use) -> Document:
    layers = [_layer(layer) for layer in use.layers]
    return {"name": use.name, "value": plain(use.value), "known": use.known, "layers": layers}


def _definition(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schemas.load("jobs")["$defs"][name]
    return found


def _settings() -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = _definition("environment")["properties"]["settings"]["properties"]
    return found


def _description(path: Path) -> str:
    """What the schema says of a key; nothing of what people name themselves."""
    if path[0] in MERGED and len(path) > 1:
        return ""
    schema: Mapping[str, Any] = {"properties": _definition("job")["properties"]}
    for key in path if path[0] in WHOLE else path[:1]:
        schema = schema.get("properties", {}).get(key, {})
        if "$ref" in schema and "properties" not in schema:
            schema = {**_definition(schema["$ref"].rpartition("/")[2]), **schema}
    description: str = schema.get("description", "")
    return description
