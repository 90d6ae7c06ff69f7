"""How values, and places in a job file, are called in diagnostics."""

from __future__ import annotations

from typing import Any

from dsjobs.marks import MarkedMap

Path = tuple[str | int, ...]
"""The keys and indexes that lead to a value in a document."""

TYPE_WORDS = {
    "string": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false",
    "array": "a list", "object": "a mapping", "null": "empty",
}  # fmt: skip
"""JSON's types in the words of messages."""

_SECTIONS = {"variables": "variable", "environments": "environment", "secrets": "secret"}


def kind(value: Any) -> str:
    """A value by its type, with itself where it is short: `the number 7`."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the boolean {yaml_word(value)}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    return "a list" if isinstance(value, list) else "a mapping"


def yaml_word(value: Any) -> str:
    """A value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(value: Any) -> str:
    """A value, cut where it is long."""
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}…'"
    return yaml_word(value)


def place(path: Path, data: MarkedMap) -> str:
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


def subject(path: Path, data: MarkedMap) -> str:
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
