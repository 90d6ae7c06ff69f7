"""Document against the JSON Schema: every violation as one diagnostic, at its place, in words that say what to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsjobs.diagnostics import Diagnostic, did_you_mean
from dsjobs.marks import MarkedList, MarkedMap, position_at
from dsjobs.spec.durations import duration_hint
from dsjobs.spec.patterns import canonical, validator_class
from dsjobs.spec.precheck import compile_check
from dsjobs.spec.source import Document
from dsjobs.spec.templates import is_template

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the schema left of a document. `data` holds only what is valid; its mappings know what they have lost
    (`MarkedMap.lost`), so that later checks do not complain of what is missing because of it. A job that was lost is None.
    """

    data: MarkedMap | None
    diagnostics: tuple[Diagnostic, ...]


def check(document: Document, schema: Mapping[str, Any]) -> Checked:
    """Check `document` against `schema`; invalid parts are taken out of its data, each with a diagnostic."""
    data = document.data
    if not isinstance(data, MarkedMap):
        return Checked(None, tuple(_not_a_mapping(document)))
    if compile_check(schema)(data):
        return Checked(data, ())
    violations = _violations(data, schema)
    diagnostics = tuple(_one_for_each_mistake(violations))
    _take_out(data, violations)
    return Checked(data, diagnostics)


@dataclass(frozen=True, slots=True)
class _Violation:
    """`path`: of the value that is wrong, unknown or missing. `meant`: for an unknown key the one that it stands for."""

    path: Path
    diagnostic: Diagnostic
    meant: str | None = None


def _not_a_mapping(document: Document) -> Iterable[Diagnostic]:
    if any(diagnostic.is_error for diagnostic in document.diagnostics):
        return
    data = document.data
    hint = "a job file is a mapping: `version: 1`, then `jobs:` with a list of jobs; `dsjobs init` writes one"
    if data is None:
        yield Diagnostic("DSJ101", "the file is empty", document.source.start, hint)
        return
    position = position_at(data, ()) or document.source.start
    yield Diagnostic("DSJ101", f"a job file is a mapping, not {_kind(data)}", position, hint)


def _violations(data: MarkedMap, schema: Mapping[str, Any]) -> list[_Violation]:
    # Only the jobs that fail the fast check go to jsonschema: it takes half a millisecond for each.
    jobs = data.get("jobs")
    failing: list[int] = []
    reduced: dict[str, Any] = dict(data)
    if isinstance(jobs, MarkedList) and jobs:
        is_valid = compile_check(schema["$defs"]["job"], schema["$defs"])
        failing = [index for index, job in enumerate(jobs) if not is_valid(job)]
        reduced["jobs"] = [jobs[index] for index in failing] or jobs[:1]
    errors = validator_class()(schema).iter_errors(reduced)
    found: list[_Violation] = []
    for error in errors:
        path = tuple(error.absolute_path)
        if failing and len(path) > 1 and path[0] == "jobs" and isinstance(path[1], int):
            path = ("jobs", failing[path[1]], *path[2:])
        found += _explain(error, path, data)
    return found


def _explain(error: Any, path: Path, data: MarkedMap) -> Iterable[_Violation]:
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


def _foreign_settings(error: Any, path: Path, data: MarkedMap) -> Iterable[_Violation]:
    """What the schema says of a backend's settings: which of all there are it has."""
    known = error.validator_value if error.validator == "enum" else ()
    backend = data["environments"][path[1]]["backend"]
    for setting in [error.instance] if error.validator == "enum" else list(error.instance):
        message = f"the backend '{backend}' has no setting '{setting}'"
        hint = did_you_mean(setting, known) or "remove it"
        position = position_at(data, (*path, setting), of_key=True)
        yield _Violation((*path, setting), Diagnostic("DSJ104", message, position, hint))


def _unknown_keys(error: Any, path: Path, data: MarkedMap) -> Iterable[_Violation]:
    known = error.schema.get("properties", {})
    lacking = [name for name in known if name not in error.instance]
    for key in error.instance:
        if key not in known:
            yield _unknown_key(key, error.instance[key], path, data, known, lacking)


def _unknown_key(
    key: str, value: Any, path: Path, data: MarkedMap, known: Iterable[str], lacking: list[str]
) -> _Violation:
    position = position_at(data, (*path, key), of_key=True)
    if key in {"name", "needs"} and path[-1:] == ("defaults",):
        hint = f"write '{key}' in each job"
        return _Violation((*path, key), Diagnostic("DSJ104", f"'{key}' has no default", position, hint))
    if not path and key in _OF_THE_INCLUDING_FILE and key not in known:
        message = f"an included file cannot have '{key}'"
        hint = "write it in the file that includes this one"
        return _Violation((*path, key), Diagnostic("DSJ104", message, position, hint))
    message = f"unknown key '{key}' {_place(path, data)}"
    near = difflib.get_close_matches(key.casefold(), lacking, n=1, cutoff=0.6)
    if "notebook" in lacking and isinstance(value, str) and value.endswith(".ipynb"):
        near = ["notebook"]
    elsewhere = _ELSEWHERE.get(key.replace("-", "_"))
    if elsewhere in lacking and _is_of_a_job(path):
        near = [elsewhere]
    meant = near[0] if near else None
    hint = f"did you mean '{meant}'?" if meant else _known_keys(key, known)
    return _Violation((*path, key), Diagnostic("DSJ104", message, position, hint), meant)


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


def _missing_key(error: Any, path: Path, data: MarkedMap, within: Mapping[str, Any] | None = None) -> _Violation:
    match = re.match(r"'(.*)' is a required property", error.message)
    name = match[1] if match else ""
    example = _example((within or error.schema).get("properties", {}).get(name, {}))
    hint = f"add `{name}: {example}`" if example else f"add `{name}:`"
    message = f"the key '{name}' is missing {_place(path, data)}"
    position = position_at(data, path) or data.position()
    return _Violation((*path, name), Diagnostic("DSJ103", message, position, hint))


def _example(schema: Mapping[str, Any]) -> str:
    examples = schema.get("examples", [])
    return str(examples[0]) if examples and isinstance(examples[0], str | int) else ""


def _wrong_type(error: Any, path: Path, data: MarkedMap) -> _Violation:
    value = error.instance
    expected = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    words = "a duration" if _is_duration(path) else " or ".join(_TYPE_WORDS[name] for name in expected)
    message = f"{_subject(path, data)} must be {words}, not {_kind(value)}"
    if value is None:
        message = f"{_subject(path, data)} has no value" + (f"; it must be {words}" if len(expected) < 3 else "")
    hint = _special_hint(value, path) or _type_hint(value, expected)
    return _Violation(path, Diagnostic("DSJ101", message, position_at(data, path), hint))


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
        return f'quote it: "{_yaml_word(value)}"'
    if "array" in expected and isinstance(value, str | int | float):
        return f"write a list: [{_yaml_word(value)}]"
    if expected == ["integer"]:
        return "write a whole number" + (", without quotes" if isinstance(value, str) else "")
    if expected == ["boolean"] and isinstance(value, str | int):
        return "write true or false" + (", without quotes" if isinstance(value, str) else "")
    if expected == ["array"] and isinstance(value, dict):
        return "begin each item with `- `"
    if expected == ["object"]:
        return "write `key: value` pairs below it"
    return None


def _not_allowed(error: Any, path: Path, data: MarkedMap) -> _Violation:
    allowed = [str(value) for value in error.validator_value]
    message = f"{_subject(path, data)} cannot be {_shown(error.instance)}"
    hint = did_you_mean(str(error.instance), allowed) or "known: " + ", ".join(allowed)
    if str(error.instance) in allowed:
        hint = f"write {allowed[0]}, without quotes"
    elif len(allowed) == 1:
        hint = f"write {allowed[0]}"
    return _Violation(path, Diagnostic("DSJ102", message, position_at(data, path), hint))


def _exclusive(error: Any, path: Path, data: MarkedMap) -> _Violation:
    first, second = error.validator_value["required"]
    position = position_at(data, (*path, second), of_key=True)
    message = f"'{first}' and '{second}' exclude each other {_place(path, data)}"
    is_deprecated = error.schema["properties"][second].get("deprecated", False)
    hint = "remove one of them" + (f"; '{second}' is deprecated" if is_deprecated else "")
    return _Violation((*path, second), Diagnostic("DSJ107", message, position, hint))


def _bad_name(error: Any, path: Path, data: MarkedMap) -> _Violation:
    position = position_at(data, (*path, error.instance), of_key=True)
    message = f"'{error.instance}' cannot be a name {_place(path, data)}"
    violated = Diagnostic("DSJ106", message, position, error.schema.get("errorMessage"))
    return _Violation((*path, error.instance), violated)


def _broken_limit(error: Any, path: Path, data: MarkedMap) -> _Violation:
    value = error.instance
    if error.validator == "uniqueItems":
        repeated = _repeated(value)
        message = f"{_subject(path, data)} has {_shown(value[repeated])} twice"
        place = (*path, repeated)
        return _Violation(place, Diagnostic("DSJ106", message, position_at(data, place), "remove one of them"))
    if isinstance(value, list | dict):
        message = f"{_subject(path, data)} is empty"
    elif error.validator == "maxLength":
        message = f"{_subject(path, data)} has {len(value)} characters, more than {error.validator_value}"
    else:
        message = f"{_subject(path, data)} cannot be {_shown(value)}"
    hint = duration_hint(value) if _is_duration(path) else error.schema.get("errorMessage")
    return _Violation(path, Diagnostic("DSJ106", message, position_at(data, path), hint))


def _repeated(items: Sequence[Any]) -> int:
    """The last index of the first item that stands twice."""
    texts = [canonical(item) for item in items]
    last = {text: index for index, text in enumerate(texts)}
    return next(last[text] for index, text in enumerate(texts) if last[text] != index)


def _one_for_each_mistake(found: list[_Violation]) -> Iterable[Diagnostic]:
    """A misspelt key is unknown, and the right one missing: that is one mistake. So are two complaints of one value, and
    what an anchor or a merge key brings into several places."""
    meant = {(*violation.path[:-1], violation.meant) for violation in found if violation.meant}
    paths: set[Path] = set()
    places: set[tuple[Any, ...]] = set()
    for violation in found:
        diagnostic = violation.diagnostic
        place = (diagnostic.position, diagnostic.code, violation.path[-1:])
        is_known = violation.path in paths or place in places
        if is_known or (diagnostic.code == "DSJ103" and violation.path in meant):
            continue
        paths.add(violation.path)
        places.add(place)
        yield diagnostic


def _take_out(data: MarkedMap, violations: Iterable[_Violation]) -> None:
    """Take what is wrong out of `data`, and note in its mappings what they have lost."""
    paths = {violation.path for violation in violations if not _may_stay(violation)}
    paths |= {(*violation.path[:-1], violation.meant) for violation in violations if violation.meant}
    done: set[tuple[int, str | int]] = set()
    # Later items of a list first, so that the indexes of the others stay what they are.
    for path in sorted(paths, key=lambda path: [str(key).zfill(9) for key in path], reverse=True):
        _take_out_one(data, path, done)


def _may_stay(violation: _Violation) -> bool:
    """A name that breaks its pattern still names its job: what needs it is not wrong."""
    path = violation.path
    return path[0] == "jobs" and path[2:] == ("name",) and violation.diagnostic.code == "DSJ106"


def _take_out_one(data: MarkedMap, path: Path, done: set[tuple[int, str | int]]) -> None:
    container: Any = data
    owner: MarkedMap = data
    owner_key = path[0]
    for key in path[:-1]:
        if isinstance(container, MarkedMap):
            owner, owner_key = container, key
        try:
            container = container[key]
        except (KeyError, IndexError, TypeError):
            return
    key = path[-1]
    if isinstance(container, MarkedMap):
        container.lose(str(key))
    elif isinstance(container, MarkedList) and isinstance(key, int):
        owner.lose_part_of(str(owner_key))
        if path[:-1] == ("jobs",):
            container[key] = None
        elif (id(container), key) not in done:  # an alias brings one list to several places
            done.add((id(container), key))
            del container[key], container.marks[key]


_TYPE_WORDS = {
    "string": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false",
    "array": "a list", "object": "a mapping", "null": "empty",
}  # fmt: skip


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the boolean {_yaml_word(value)}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {_shown(value)}"
    return "a list" if isinstance(value, list) else "a mapping"


def _yaml_word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}…'"
    return _yaml_word(value)


_SECTIONS = {"variables": "variable", "environments": "environment", "secrets": "secret"}


def _place(path: Path, data: MarkedMap) -> str:
    """Where a mapping is, in words: `in job 'train'`."""
    if not path:
        return "at the top level"
    section, rest = path[0], path[1:]
    if section == "jobs" and rest:
        inner = "" if len(rest) == 1 else f"in '{'.'.join(map(str, rest[1:]))}' of "
        return f"in {_job(rest[0], data)}" if not inner else f"{inner}{_job(rest[0], data)}"
    if section in _SECTIONS and rest:
        inner = "" if len(rest) == 1 else f"'{'.'.join(map(str, rest[1:]))}' of "
        return f"in {inner}{_SECTIONS[str(section)]} '{rest[0]}'"
    return f"in '{'.'.join(map(str, path))}'"


def _subject(path: Path, data: MarkedMap) -> str:
    """A value, in words: `'spec' of job 'train'`."""
    if not path:
        return "the file"
    if path[0] == "jobs" and len(path) == 2:
        return f"job {int(path[1]) + 1}"
    keys = [key for key in path if isinstance(key, str)]
    if path[0] == "jobs" and path[2:] == ("name",):
        return f"'name' of job {int(path[1]) + 1}"
    if path[0] == "jobs" and len(path) > 2:
        inner = ".".join(keys[1:]) + (f"[{path[-1]}]" if isinstance(path[-1], int) else "")
        return f"'{inner}' of {_job(path[1], data)}"
    if path[0] in _SECTIONS and len(path) > 2:
        return f"'{'.'.join(map(str, path[2:]))}' of {_SECTIONS[str(path[0])]} '{path[1]}'"
    if path[0] in _SECTIONS and len(path) == 2:
        return f"{_SECTIONS[str(path[0])]} '{path[1]}'"
    return f"'{'.'.join(map(str, path))}'"


def _job(index: str | int, data: MarkedMap) -> str:
    jobs = data.get("jobs")
    job = jobs[index] if isinstance(jobs, list) and isinstance(index, int) else None
    name = job.get("name") if isinstance(job, MarkedMap) else None
    return f"job '{name}'" if isinstance(name, str) else f"job {int(index) + 1}"
