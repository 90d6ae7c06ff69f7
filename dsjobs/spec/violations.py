"""What jsonschema finds, as diagnostics: a function for each kind of mistake."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsjobs.diagnostics import Diagnostic, did_you_mean
from dsjobs.marks import MarkedMap, position_at
from dsjobs.spec.durations import duration_hint
from dsjobs.spec.patterns import canonical
from dsjobs.spec.templates import is_template
from dsjobs.spec.wording import TYPE_WORDS, Path, kind, place, shown, subject, yaml_word


@dataclass(frozen=True, slots=True)
class Violation:
    """`path`: of the value that is wrong, unknown or missing. `meant`: for an unknown key the one that it stands for."""

    path: Path
    diagnostic: Diagnostic
    meant: str | None = None


def explain(error: Any, path: Path, data: MarkedMap) -> Iterable[Violation]:
    """What an error of jsonschema's, at `path` in `data`, says of a job file."""
    keyword = error.validator
    if "then" in error.absolute_schema_path:
        yield from _foreign_settings(error, path, data)
    elif "propertyNames" in error.absolute_schema_path and isinstance(error.instance, str):
        yield _bad_name(error, path, data)
    elif keyword == "additionalProperties":
        yield from _unknown_keys(error, path, data)
    elif keyword == "required":
        yield _missing_key(error, path, data)
    elif keyword == "anyOf":
        # Of the keys of which one must be there, the first is what nearly every file lacks.
        yield _missing_key(error.context[0], path, data, within=error.schema)
    elif keyword == "type":
        yield _wrong_type(error, path, data)
    elif keyword == "enum":
        yield _not_allowed(error, path, data)
    elif keyword == "not":
        if isinstance(error.instance, dict):
            yield _exclusive(error, path, data)
    else:
        yield _broken_limit(error, path, data)


def _foreign_settings(error: Any, path: Path, data: MarkedMap) -> Iterable[Violation]:
    """What the schema says of a backend's settings: which of all there are it has."""
    known = error.validator_value if error.validator == "enum" else ()
    backend = data["environments"][path[1]]["backend"]
    for setting in [error.instance] if error.validator == "enum" else list(error.instance):
        message = f"the backend '{backend}' has no setting '{setting}'"
        hint = did_you_mean(setting, known) or "remove it"
        position = position_at(data, (*path, setting), of_key=True)
        yield Violation((*path, setting), Diagnostic("DSJ104", message, position, hint))


def _unknown_keys(error: Any, path: Path, data: MarkedMap) -> Iterable[Violation]:
    known = error.schema.get("properties", {})
    lacking = [name for name in known if name not in error.instance]
    for key in error.instance:
        if key not in known:
            yield _unknown_key(key, error.instance[key], path, data, known, lacking)


def _unknown_key(
    key: str, value: Any, path: Path, data: MarkedMap, known: Iterable[str], lacking: list[str]
) -> Violation:
    position = position_at(data, (*path, key), of_key=True)
    if key in {"name", "needs"} and path[-1:] == ("defaults",):
        hint = f"write '{key}' in each job"
        return Violation((*path, key), Diagnostic("DSJ104", f"'{key}' has no default", position, hint))
    if not path and key in _OF_THE_INCLUDING_FILE and key not in known:
        message = f"an included file cannot have '{key}'"
        hint = "write it in the file that includes this one"
        return Violation((*path, key), Diagnostic("DSJ104", message, position, hint))
    message = f"unknown key '{key}' {place(path, data)}"
    near = difflib.get_close_matches(key.casefold(), lacking, n=1, cutoff=0.6)
    if "notebook" in lacking and isinstance(value, str) and value.endswith(".ipynb"):
        near = ["notebook"]
    elsewhere = _ELSEWHERE.get(key.replace("-", "_"))
    if elsewhere in lacking and _is_of_a_job(path):
        near = [elsewhere]
    meant = near[0] if near else None
    hint = f"did you mean '{meant}'?" if meant else _known_keys(key, known)
    return Violation((*path, key), Diagnostic("DSJ104", message, position, hint), meant)


_OF_THE_INCLUDING_FILE = frozenset({"name", "defaults", "default_environment", "max_parallel"})

# What keys are called in other tools that run jobs.
_ELSEWHERE = {
    "if": "when", "condition": "when", "depends_on": "needs", "dependencies": "needs", "retries": "retry",
    "continue_on_error": "allow_failure", "timeout_minutes": "timeout", "timeout_seconds": "timeout", "strategy": "matrix",
    "parameters": "inputs", "env": "inputs", "trigger_rule": "run_if", "concurrency": "pool", "labels": "tags",
}  # fmt: skip


def _known_keys(key: str, known: Iterable[str]) -> str:
    names = list(known)
    return did_you_mean(key, names) or ("keys here: " + ", ".join(sorted(names)) if names else "there are no keys here")


def _missing_key(error: Any, path: Path, data: MarkedMap, within: Mapping[str, Any] | None = None) -> Violation:
    match = re.match(r"'(.*)' is a required property", error.message)
    name = match[1] if match else ""
    example = _example((within or error.schema).get("properties", {}).get(name, {}))
    hint = f"add `{name}: {example}`" if example else f"add `{name}:`"
    message = f"the key '{name}' is missing {place(path, data)}"
    position = position_at(data, path) or data.position()
    return Violation((*path, name), Diagnostic("DSJ103", message, position, hint))


def _example(schema: Mapping[str, Any]) -> str:
    examples = schema.get("examples", [])
    return str(examples[0]) if examples and isinstance(examples[0], str | int) else ""


def _wrong_type(error: Any, path: Path, data: MarkedMap) -> Violation:
    value = error.instance
    expected = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    words = "a duration" if _is_duration(path) else " or ".join(TYPE_WORDS[name] for name in expected)
    message = f"{subject(path, data)} must be {words}, not {kind(value)}"
    if value is None:
        message = f"{subject(path, data)} has no value" + (f"; it must be {words}" if len(expected) < 3 else "")
    hint = _special_hint(value, path) or _type_hint(value, expected)
    return Violation(path, Diagnostic("DSJ101", message, position_at(data, path), hint))


def _special_hint(value: Any, path: Path) -> str | None:
    """A hint for what people write where the shape alone does not tell what they mean."""
    if _is_duration(path) and value is not None:
        return duration_hint(value)
    if path[-1] == "retry" and _is_of_a_job(path[:-1]) and value is not None:
        return "write how many attempts there may be in all, or `{max_attempts: 3, delay: 30s}`"
    if path[-1] == "when" and _is_of_a_job(path[:-1]):
        return 'write an expression: "{{ vars.full }}"'
    if path[-2:-1] == ("matrix",) and is_template(value):
        return "write the values out: the cells of a matrix are known before anything is rendered"
    if path[-2:-1] == ("matrix",) and isinstance(value, dict):
        return did_you_mean(str(path[-1]), ("include", "exclude"))
    if path[0] == "variables" and len(path) == 2 and value is None:
        return "give it a default; `{type: string}` is a text without one, which must then be given"
    if path[0] == "secrets" and len(path) == 2:
        return f"write where it is: `{path[1]}: {{env: {path[1]}}}`, or {{file: PATH}}; never what it is"
    if path[0] == "environments" and len(path) == 2 and isinstance(value, str):
        return f"write `{path[1]}: {{backend: {value}}}`"
    if path[0] == "jobs" and len(path) < 3 and not isinstance(value, list):
        return "each job begins with `- name: NAME`, and has its other keys below"
    if path[-2:-1] == ("outputs",) and isinstance(value, str):
        return f"a contract is a JSON Schema: `{{type: {value}}}`"
    if path[-2:-1] == ("outputs",) and value is None:
        return "write {} for an output without a contract"
    if path[-2:-1] == ("inputs",) and value is None:
        return 'write "" for an empty text, or remove the key'
    return None


def _is_duration(path: Path) -> bool:
    if path[-2:-1] == ("retry",):
        return path[-1] in ("delay", "max_delay")
    return path[-1] == "timeout" and _is_of_a_job(path[:-1])


def _is_of_a_job(path: Path) -> bool:
    """Whether a mapping at `path` has the keys of a job."""
    return path[-1:] == ("defaults",) or (path[:1] == ("jobs",) and len(path) == 2)


def _type_hint(value: Any, expected: Sequence[str]) -> str | None:
    if value is None:
        return "give it a value, or remove the key"
    if "string" in expected and isinstance(value, bool | int | float):
        return f'quote it: "{yaml_word(value)}"'
    if "array" in expected and isinstance(value, str | int | float):
        return f"write a list: [{yaml_word(value)}]"
    if expected == ["integer"]:
        return "write a whole number" + (", without quotes" if isinstance(value, str) else "")
    if expected == ["boolean"] and isinstance(value, str | int):
        return "write true or false" + (", without quotes" if isinstance(value, str) else "")
    if expected == ["array"] and isinstance(value, dict):
        return "begin each item with `- `"
    if expected == ["object"]:
        return "write `key: value` pairs below it"
    return None


def _not_allowed(error: Any, path: Path, data: MarkedMap) -> Violation:
    allowed = [str(value) for value in error.validator_value]
    message = f"{subject(path, data)} cannot be {shown(error.instance)}"
    hint = did_you_mean(str(error.instance), allowed) or "known: " + ", ".join(allowed)
    if str(error.instance) in allowed:
        hint = f"write {allowed[0]}, without quotes"
    elif len(allowed) == 1:
        hint = f"write {allowed[0]}"
    return Violation(path, Diagnostic("DSJ102", message, position_at(data, path), hint))


def _exclusive(error: Any, path: Path, data: MarkedMap) -> Violation:
    first, second = error.validator_value["required"]
    position = position_at(data, (*path, second), of_key=True)
    message = f"'{first}' and '{second}' exclude each other {place(path, data)}"
    is_deprecated = error.schema["properties"][second].get("deprecated", False)
    hint = "remove one of them" + (f"; '{second}' is deprecated" if is_deprecated else "")
    return Violation((*path, second), Diagnostic("DSJ107", message, position, hint))


def _bad_name(error: Any, path: Path, data: MarkedMap) -> Violation:
    position = position_at(data, (*path, error.instance), of_key=True)
    message = f"'{error.instance}' cannot be a name {place(path, data)}"
    violated = Diagnostic("DSJ106", message, position, error.schema.get("errorMessage"))
    return Violation((*path, error.instance), violated)


def _broken_limit(error: Any, path: Path, data: MarkedMap) -> Violation:
    value = error.instance
    if error.validator == "uniqueItems":
        repeated = _repeated(value)
        message = f"{subject(path, data)} has {shown(value[repeated])} twice"
        place = (*path, repeated)
        return Violation(place, Diagnostic("DSJ106", message, position_at(data, place), "remove one of them"))
    if isinstance(value, list | dict):
        message = f"{subject(path, data)} is empty"
    elif error.validator == "maxLength":
        message = f"{subject(path, data)} has {len(value)} characters, more than {error.validator_value}"
    else:
        message = f"{subject(path, data)} cannot be {shown(value)}"
    hint = duration_hint(value) if _is_duration(path) else error.schema.get("errorMessage")
    return Violation(path, Diagnostic("DSJ106", message, position_at(data, path), hint))


def _repeated(items: Sequence[Any]) -> int:
    """The last index of the first item that stands twice."""
    texts = [canonical(item) for item in items]
    last = {text: index for index, text in enumerate(texts)}
    return next(last[text] for index, text in enumerate(texts) if last[text] != index)
