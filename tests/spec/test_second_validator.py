"""The published schemas in the hands of a validator that shares no code with dsjobs: jsonschema-rs, which is written in Rust.

It gets the document that dsjobs' own loader makes, because how YAML is read (dates stay text, `on` and `no` too) is not a
matter of the schema.
"""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from dsjobs import schemas
from dsjobs.spec import schema as schema_check
from dsjobs.spec import source

CASES = Path(__file__).parents[1] / "cases"
FILES = sorted(CASES.glob("*valid/*.yaml"))
EXAMPLE = Path(__file__).parents[2] / "jobs.example.yaml"

DECIDED_BY_THE_SCHEMA = frozenset({"DSJ101", "DSJ102", "DSJ103", "DSJ104", "DSJ105", "DSJ106", "DSJ107"})


@cache
def second(name: str) -> Any:
    return jsonschema_rs.Draft202012Validator(schemas.load(name))


def plain(value: Any) -> Any:
    """The data without its places. JSON knows no infinities: a validator may refuse to look at them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return 0.5
    return value


@pytest.mark.parametrize("name", schemas.NAMES)
def test_schema_when_it_is_published_then_is_one_for_the_second_validator(name: str) -> None:
    schema = schemas.load(name)
    jsonschema_rs.meta.validate(schema)
    assert jsonschema_rs.Draft202012Validator(schema)


def compared(path: Path) -> tuple[Any, list[Any]] | None:
    """A file's data, and what dsjobs says of it by the schema alone; None where there is no data to look at."""
    text, problems = source.decode(path.name, path.read_bytes())
    document = source.parse(text)
    if problems or not isinstance(document.data, dict):
        return None
    data = plain(document.data)
    return data, list(schema_check.check(document, schemas.load("jobs")).diagnostics)


def failing_jobs(data: Any, errors: list[Any]) -> set[int]:
    return {
        error.instance_path[1] for error in errors if error.instance_path[:1] == ["jobs"] and error.instance_path[1:]
    }


@pytest.mark.parametrize("path", [EXAMPLE, *FILES], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_case_when_the_second_validator_looks_at_it_then_it_agrees(path: Path) -> None:
    found = compared(path)
    if found is None:
        assert path.parent.name == "invalid"
        return
    data, diagnostics = found
    errors = list(second("jobs").iter_errors(data))
    assert bool(errors) == bool(diagnostics), [*errors, *diagnostics]
    assert {diagnostic.code for diagnostic in diagnostics} <= DECIDED_BY_THE_SCHEMA
    if path.parent.name == "valid":
        assert not errors


def test_cases_when_counted_then_the_schemas_mistakes_are_many() -> None:
    found = [one for one in map(compared, FILES) if one is not None]
    assert sum(bool(diagnostics) for _, diagnostics in found) >= 70
    assert sum(not diagnostics for _, diagnostics in found) >= 70


# A change of one value, one key or one item at a time, of what is valid: the same answer from both, also where both accept.
WRONG: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x\n",
    "{{ vars.x }}",
    [],
    [1, 1],
    {},
    {"a": None},
    10**20,
    "é" * 201,
)


def mutations(value: Any, chance: random.Random, number: int) -> Iterator[Any]:
    """So many copies of `value`, each with one thing changed at a random place."""
    for _ in range(number):
        changed = copy.deepcopy(value)
        container, key = chance.choice(list(_places(changed)))
        kind = chance.randrange(4)
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, dict):
            container[chance.choice(["unknown", f"{key}s", "a b", "1st"])] = container[key]
        elif kind == 2 and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        else:
            container[key] = copy.deepcopy(chance.choice(WRONG))
        yield changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


VALID = [EXAMPLE, *(path for path in FILES if path.parent.name == "valid")]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_job_file_when_one_thing_in_it_is_changed_then_both_validators_agree(path: Path) -> None:
    found = compared(path)
    assert found is not None
    for changed in mutations(found[0], random.Random(7), 12):
        document = source.parse(source.Source("jobs.yaml", json.dumps(changed, ensure_ascii=False)))
        diagnostics = schema_check.check(document, schemas.load("jobs")).diagnostics
        assert second("jobs").is_valid(changed) == (not diagnostics), changed
