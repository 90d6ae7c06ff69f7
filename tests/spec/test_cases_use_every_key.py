"""Each key of the language, as the schema has it, is used by a valid case: a job file with its expected plan. And each has a
mistake among the invalid cases, with what dsjobs says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsjobs import schemas
from dsjobs.marks import Source
from dsjobs.spec import source

CASES = Path(__file__).parents[1] / "cases"
SCHEMA = schemas.load("jobs")
VARIABLE = {"type", "default", "description", "enum", "pattern", "minimum"}
"""What `job-file.md` names of a variable's long form; the rest of JSON Schema goes without saying."""


def resolved(schema: Any, place: str) -> tuple[Any, str]:
    """A schema without its reference, and its name: that of the definition where it is one."""
    if "$ref" not in schema:
        return schema, place
    name = schema["$ref"].removeprefix("#/$defs/")
    return SCHEMA["$defs"][name], name


def known(schema: Any, place: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every key in a schema, with the name of the mapping that has it: `job.spec`, `retry.delay`."""
    schema, place = resolved(schema, place)
    if place in seen:
        return
    for key, inner in schema.get("properties", {}).items():
        yield f"{place}.{key}"
        yield from known(inner, f"{place}.{key}", seen | {place})
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            yield from known(schema[part], f"{place}.*", seen | {place})


def used(value: Any, schema: Any, place: str) -> Iterator[str]:
    """The keys of a schema that a value has."""
    schema, place = resolved(schema, place)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            yield from used(item, schema["items"], f"{place}.*")
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in schema.get("properties", {}):
            yield f"{place}.{key}"
            yield from used(item, schema["properties"][key], f"{place}.{key}")
        elif isinstance(schema.get("additionalProperties"), dict):
            yield from used(item, schema["additionalProperties"], f"{place}.*")


def files() -> list[Any]:
    paths = sorted((CASES / "valid").rglob("*.yaml"))
    found = [source.parse(Source(path.name, path.read_bytes().decode("utf-8-sig"))).data for path in paths]
    assert len(found) >= 20
    return found


def test_keys_when_they_are_in_the_schema_are_used_by_a_valid_case() -> None:
    found = {key for data in files() for key in used(data, SCHEMA, "file")}
    assert [key for key in dict.fromkeys(known(SCHEMA, "file")) if key not in found] == []


def test_keys_when_they_are_in_the_schema_have_a_mistake_among_the_invalid_cases() -> None:
    said = "\n".join(path.read_text(encoding="utf-8") for path in (CASES / "invalid").glob("*.expected"))
    subjects = re.findall(r"error: .*?'([\w.]+)'|warning: '([\w.]+)'", said)
    wrong = {name.rpartition(".")[2] for subject in subjects for name in subject}
    assert [key for key in dict.fromkeys(known(SCHEMA, "file")) if key.rpartition(".")[2] not in wrong] == []


def test_variables_in_their_long_form_are_used_by_a_valid_case() -> None:
    long = (one for data in files() for one in data.get("variables", {}).values() if isinstance(one, dict))
    assert VARIABLE - {key for variable in long for key in variable} == set()


def test_inputs_and_outputs_in_every_form_are_used_by_a_valid_case() -> None:
    jobs = [job for data in files() for job in data.get("jobs", ())]
    values = [value for job in jobs for value in job.get("inputs", {}).values()]
    assert [kind for kind in (str, bool, int, float, list, dict) if not any(isinstance(v, kind) for v in values)] == []
    assert {isinstance(job["outputs"], dict) for job in jobs if "outputs" in job} == {True, False}
    assert {isinstance(job["retry"], dict) for job in jobs if "retry" in job} == {True, False}
