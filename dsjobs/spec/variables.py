"""The final value of every variable, and the layer that it came from.

Weakest first: the default in the file, the environment's `variables`, each `--var-file`, DSJOBS_VAR_NAME, `--var NAME=VALUE`.
In a retry, what the earlier run was given from outside of the file stands above DSJOBS_VAR_NAME, and below what flags say now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsjobs.diagnostics import Diagnostic, Suggestions, did_you_mean
from dsjobs.marks import MarkedMap, Position, Source, position_at
from dsjobs.model import Environment, Spec, Variable, VariableValue
from dsjobs.spec import source
from dsjobs.spec.contracts import violations
from dsjobs.spec.values import FINITE, is_halved, not_json

ENVIRON_PREFIX = "DSJOBS_VAR_"
FLAG = "--var"
FILE_FLAG = "--var-file"


def resolve(
    spec: Spec,
    environment: Environment,
    *,
    environ: Mapping[str, str],
    given: Sequence[tuple[str, str]],
    files: Sequence[MarkedMap] = (),
    kept: Mapping[str, VariableValue] | None = None,
) -> tuple[dict[str, VariableValue], list[Diagnostic]]:
    """Values of the variables of `spec` in `environment`, with every problem.

    `environ`: the process environment. `given`: name and text of each `--var`, in order; the last one of a name wins.
    `files`: the data of each `--var-file`, in order. `kept`: what an earlier run was given, which stays unless a flag says else.
    """
    problems: list[Diagnostic] = []
    values = _from_file(spec, environment)
    for data in files:
        problems += _set_from_file(spec, data, values)
    for name, text in _from_environ(spec, environ, problems):
        _set(spec.variables[name], text, ENVIRON_PREFIX + name, values, problems)
    by_flags = {*(name for data in files for name in data), *(name for name, _ in given)}
    problems += _keep(spec, {name: one for name, one in (kept or {}).items() if name not in by_flags}, values)
    for name, text in given:
        if name in spec.variables:
            _set(spec.variables[name], text, FLAG, values, problems)
        else:
            hint = did_you_mean(name, spec.variables) or "the file declares no variables"
            problems.append(Diagnostic("DSJ207", f"{FLAG} {name}: the file declares no such variable", None, hint))
    problems += _missing(spec, values, problems)
    return {name: _as_integer(spec.variables[name], value) for name, value in values.items()}, problems


def _as_integer(variable: Variable, given: VariableValue) -> VariableValue:
    """`5.0` and `1e3` are integers to a JSON Schema; to the notebook that reads the text `5.0` they would be none."""
    if variable.schema.get("type") == "integer" and isinstance(given.value, float) and given.value.is_integer():
        return replace(given, value=int(given.value))
    return given


def is_from_outside(value: VariableValue) -> bool:
    """Whether a variable has a value that does not stand in the job file."""
    return value.layer.startswith((FLAG, ENVIRON_PREFIX))  # the one flag is the beginning of the other


def _from_file(spec: Spec, environment: Environment) -> dict[str, VariableValue]:
    values = {
        name: VariableValue(variable.default, str(variable.default_position))
        for name, variable in spec.variables.items()
        if variable.has_default
    }
    written = environment.variables
    if isinstance(written, MarkedMap):
        for name, (value, position) in zip(written, written.positioned(), strict=True):
            if name in spec.variables and not_json(value) is None:
                values[name] = VariableValue(value, str(position))
    return values


def _set_from_file(spec: Spec, data: MarkedMap, values: dict[str, VariableValue]) -> Iterator[Diagnostic]:
    hints = Suggestions(spec.variables)
    for (name, value), (_, position) in zip(data.items(), data.positioned(), strict=True):
        if name not in spec.variables:
            hint = hints.hint(name) or f"the job file declares {'other' if spec.variables else 'no'} variables"
            message = f"the job file declares no variable '{name}'"
            yield Diagnostic("DSJ207", message, data.key_position(name), hint)
            continue
        variable = spec.variables[name]
        problem = wrong_value(variable, value, position)
        layer = f"{FILE_FLAG} {position}"
        if problem is None:
            values[name] = VariableValue(value, layer)
            continue
        yield problem
        values.setdefault(name, VariableValue(None, layer))


def _keep(spec: Spec, kept: Mapping[str, VariableValue], values: dict[str, VariableValue]) -> Iterator[Diagnostic]:
    """Set what an earlier run was given. The values have their types already: a text is not read once more."""
    for name, earlier in kept.items():
        variable = spec.variables.get(name)
        if variable is None:
            message = (
                f"the earlier run was given the variable '{name}' ({earlier.layer}), which the file does not declare"
            )
            yield Diagnostic("DSJ207", message, None, None, "warning")
            continue
        for where, message in violations(variable.schema, earlier.value):
            hint = f"the variable is declared at {variable.position}; give it another value with {FLAG}"
            told = f"{earlier.layer} {name}, as the earlier run was given it: {_sentence(where, message)}"
            yield Diagnostic("DSJ207", told, None, hint)
            break
        values[name] = earlier


def wrong_value(variable: Variable, value: Any, position: Position) -> Diagnostic | None:
    """The first reason why a variable cannot have `value`, which was written at `position`."""
    found = not_json(value)
    if found is not None:
        path, message = found
        return Diagnostic(
            "DSJ207", f"variable '{variable.name}': {message}", position_at(value, path) or position, FINITE
        )
    for where, message in violations(variable.schema, value):
        place = "" if where == "$" else f" at {where}"
        message = f"variable '{variable.name}'{place}: {message}"
        return Diagnostic("DSJ207", message, position, _value_hint(variable, value))
    return None


def _value_hint(variable: Variable, value: Any) -> str | None:
    kind = variable.schema.get("type")
    if kind == "boolean" and isinstance(value, str):
        return "only `true` and `false` are booleans here"
    if kind == "string" and isinstance(value, int | float):
        return "quote it"
    allowed = variable.schema.get("enum")
    return did_you_mean(str(value), map(str, allowed)) if isinstance(allowed, list) else None


def _from_environ(spec: Spec, environ: Mapping[str, str], problems: list[Diagnostic]) -> Iterable[tuple[str, str]]:
    for key in sorted(environ):
        name = key.removeprefix(ENVIRON_PREFIX)
        if name == key:
            continue
        if name in spec.variables:
            yield name, environ[key]
            continue
        message = f"the environment sets {key}, but the file declares no variable '{name}'"
        problems.append(Diagnostic("DSJ207", message, None, did_you_mean(name, spec.variables), "warning"))


def _set(
    variable: Variable, text: str, layer: str, values: dict[str, VariableValue], problems: list[Diagnostic]
) -> None:
    value, problem = given_value(text, variable.schema)
    if problem is None:
        values[variable.name] = VariableValue(value, layer)
        return
    hint = f"the variable is declared at {variable.position}"
    problems.append(Diagnostic("DSJ207", f"{layer} {variable.name}: {problem}", None, hint))
    # One mistake, one diagnostic: it must not be called missing as well.
    values.setdefault(variable.name, VariableValue(None, layer))


def given_value(text: str, schema: Mapping[str, Any]) -> tuple[Any, str | None]:
    """A text from outside as the value of a variable with this schema; with why it cannot be that, or None."""
    value, problem = typed(text, schema)
    return value, problem or flaw(value, schema)


def flaw(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The first reason why a variable with this schema cannot have `value`, in words."""
    found = not_json(value)
    if found is not None:
        path, message = found
        return _sentence("$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path), message)
    return next((_sentence(where, message) for where, message in violations(schema, value)), None)


def _sentence(where: str, message: str) -> str:
    return message if where == "$" else f"at {where}: {message}"


def typed(text: str, schema: Mapping[str, Any]) -> tuple[Any, str | None]:
    """A text from outside as a value: itself where the schema says string, else what YAML reads; with a problem or None."""
    if is_halved(text):
        return None, "it is not UTF-8 text"
    if schema.get("type") == "string":
        return text, None
    document = source.parse(Source("value", text))
    error = next((problem for problem in document.diagnostics if problem.is_error), None)
    return document.data, f"'{text}' is not YAML: {error.message}" if error else None


def _missing(spec: Spec, values: Mapping[str, VariableValue], problems: list[Diagnostic]) -> list[Diagnostic]:
    return [
        Diagnostic(
            "DSJ207",
            f"the variable '{name}' has no value",
            variable.position,
            f"give it: --var {name}=VALUE, {ENVIRON_PREFIX}{name}, or a default",
        )
        for name, variable in spec.variables.items()
        if name not in values and variable.is_understood
    ]
