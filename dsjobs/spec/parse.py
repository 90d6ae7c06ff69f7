"""Checked data to Spec: after this stage nothing is a raw dict, and what the schema cannot say has been said.

Only what needs no environment and no value is checked here; `references.py` checks the names in templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dsjobs.diagnostics import Diagnostic, Suggestions, did_you_mean
from dsjobs.marks import MarkedList, MarkedMap, Position, position_at
from dsjobs.model import Environment, JobFields, SecretSource, Spec, Variable
from dsjobs.spec.contracts import KEYWORDS, schema_problem
from dsjobs.spec.fields import FieldsReader, schema_diagnostic
from dsjobs.spec.schema import Checked
from dsjobs.spec.values import FINITE, not_json
from dsjobs.spec.variables import wrong_value


def parse(
    checked: Checked, *, file: str, stem: str, digest: str, includes: Mapping[str, str] | None = None
) -> tuple[Spec, list[Diagnostic]]:
    """The Spec in `checked`, whose data must not be None, with the problems that its parts have.

    `stem`: the pipeline's name where the file gives none. `digest`: of the file's bytes;
    `includes`: of those that it includes, whose data has been merged into that of `checked`.
    """
    data = checked.data
    if data is None:
        raise ValueError("a document without data has no Spec")
    problems: list[Diagnostic] = []
    variables = dict(_variables(data, problems))
    reader = FieldsReader(problems)
    environments = _environments(data, variables, reader)
    jobs = tuple(_jobs(data, reader))
    pools = data.get("pools", _nothing(data))
    spec = Spec(
        name=data.get("name", stem),
        description=data.get("description", ""),
        file=file,
        digest=digest,
        includes=includes or {},
        variables=variables,
        environments=environments,
        default_environment=_default_environment(data, environments, problems),
        defaults=reader.read(data.get("defaults", _nothing(data))),
        max_parallel=_whole(data.get("max_parallel")),
        jobs=jobs,
        pools={name: int(places) for name, places in pools.items()},
        pool_places=dict(zip(pools, (position for _, position in pools.positioned()), strict=True)),
        secrets=dict(_secrets(data)),
    )
    problems += _unknown_pools(spec, data)
    return spec, problems


def _unknown_pools(spec: Spec, data: MarkedMap) -> Iterator[Diagnostic]:
    lost = data["pools"].lost if "pools" in data else data.lost & {"pools"}
    shared = (spec.defaults, *(environment.defaults for environment in spec.environments.values()))
    hints = Suggestions(spec.pools)
    for fields in (*shared, *spec.jobs):
        pool = fields.pool
        if pool is not None and pool not in spec.pools and pool not in lost and "pools" not in lost:
            hint = hints.hint(pool) or f"add `pools: {{{pool}: 1}}` to the file"
            position = fields.written.value_position("pool")
            yield Diagnostic("DSJ209", f"there is no pool '{pool}'", position, hint)


def _nothing(near: MarkedMap) -> MarkedMap:
    """An empty mapping at the place of `near`: what is not written has the place of what would hold it."""
    empty = MarkedMap()
    empty.source, empty.place, empty.marks = near.source, near.place, []
    return empty


def _whole(value: int | float | None) -> int | None:
    """JSON Schema takes 4.0 for an integer."""
    return None if value is None else int(value)


def _variables(data: MarkedMap, problems: list[Diagnostic]) -> Iterator[tuple[str, Variable]]:
    written = data.get("variables", _nothing(data))
    for (name, value), (_, position) in zip(written.items(), written.positioned(), strict=True):
        if isinstance(value, MarkedMap):
            yield name, _described_variable(name, value, position, problems)
        else:
            variable = Variable(name, {"type": _type_of(value)}, True, value, "", position, position)
            yield name, _with_default(variable, position, problems)


def _secrets(data: MarkedMap) -> Iterator[tuple[str, SecretSource]]:
    for name, written in data.get("secrets", {}).items():
        yield name, SecretSource(name, written.get("env"), written.get("file"), written.position())


def _described_variable(name: str, written: MarkedMap, position: Position, problems: list[Diagnostic]) -> Variable:
    schema = {key: part for key, part in written.items() if key not in {"default", "description"}}
    problem = schema_problem({key: part for key, part in written.items() if key != "default"})
    if problem is not None:
        problems.append(schema_diagnostic(problem, written, f"variable '{name}'", _default_hint(written)))
        schema = {}
    description = written.get("description", "")
    place = written.value_position("default") if "default" in written else None
    variable = Variable(
        name, schema, place is not None, written.get("default"), str(description), position, place, problem is None
    )
    return _with_default(variable, place, problems) if place is not None else variable


def _with_default(variable: Variable, position: Position, problems: list[Diagnostic]) -> Variable:
    """A variable whose default was written at `position`, without it where JSON does not have such a value."""
    problem = wrong_value(variable, variable.default, position)
    if problem is None:
        return variable
    problems.append(problem)
    if not_json(variable.default) is None:
        return variable
    return replace(variable, has_default=False, default=None, is_understood=False)


def _default_hint(written: MarkedMap) -> str | None:
    if KEYWORDS.isdisjoint(written):
        return "a mapping describes the variable; one that is its default is written {default: {…}}"
    return None


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {int: "number", float: "number", str: "string", MarkedList: "array"}
    return names.get(type(value), "object")


def _environments(data: MarkedMap, variables: Mapping[str, Variable], reader: FieldsReader) -> dict[str, Environment]:
    written = data.get("environments")
    if written is None:
        return {"local": _environment("local", _nothing(data), variables, data, reader)}
    return {name: _environment(name, part, variables, data, reader) for name, part in written.items()}


def _environment(
    name: str, written: MarkedMap, variables: Mapping[str, Variable], data: MarkedMap, reader: FieldsReader
) -> Environment:
    values = written.get("variables", _nothing(written))
    reader.problems += _wrong_variables(values, variables, data)
    reader.problems += _infinite_settings(name, written)
    return Environment(
        name=name,
        backend=written.get("backend", "local"),
        projects=written.get("projects", {}),
        spark_connectors=written.get("spark_connectors", {}),
        variables=values,
        settings=written.get("settings", {}),
        defaults=reader.read(written.get("defaults", _nothing(written))),
        written=written,
        protected=written.get("protected", False),
    )


def _wrong_variables(values: MarkedMap, variables: Mapping[str, Variable], data: MarkedMap) -> Iterator[Diagnostic]:
    declared = data.get("variables")
    lost = declared.lost if isinstance(declared, MarkedMap) else data.lost
    hints = Suggestions(variables)
    for (variable, value), (_, position) in zip(values.items(), values.positioned(), strict=True):
        if variable in variables:
            problem = wrong_value(variables[variable], value, position)
            if problem is not None:
                yield problem
        elif variable not in lost and "variables" not in data.lost:
            message = f"an environment sets the variable '{variable}', which the file does not declare"
            hint = hints.hint(variable) or f"add '{variable}' to the file's `variables`"
            yield Diagnostic("DSJ207", message, values.key_position(variable), hint)


def _infinite_settings(environment: str, written: MarkedMap) -> Iterator[Diagnostic]:
    """What the schema cannot say: for JSON, there are no such numbers."""
    for setting, value in written.get("settings", {}).items():
        found = not_json(value)
        if found is not None:
            message = f"'settings.{setting}' of environment '{environment}': {found[1]}"
            yield Diagnostic("DSJ106", message, position_at(written["settings"], (setting, *found[0])), FINITE)


def _default_environment(
    data: MarkedMap, environments: Mapping[str, Environment], problems: list[Diagnostic]
) -> str | None:
    name: str | None = data.get("default_environment")
    lost = data["environments"].lost if "environments" in data else data.lost & {"environments"}
    if name in lost or "environments" in lost:
        return None
    if name is not None and name not in environments:
        position = data.value_position("default_environment")
        hint = did_you_mean(name, environments)
        problems.append(Diagnostic("DSJ209", f"there is no environment '{name}'", position, hint))
        return None
    return name


def _jobs(data: MarkedMap, reader: FieldsReader) -> Iterator[JobFields]:
    first: dict[str, MarkedMap] = {}
    for written in data.get("jobs", ()):
        name = written.get("name") if written is not None else None
        if not name:
            continue
        if name in first:
            other, position = first[name].value_position("name"), written.value_position("name")
            message = f"there are two jobs named '{name}'"
            place = f"in line {other.line}" if other.file == position.file else f"at {other}"
            hint = f"the first is {place}; rename one of them"
            reader.problems.append(Diagnostic("DSJ301", message, position, hint))
            continue
        first[name] = written
        yield reader.read(written)
