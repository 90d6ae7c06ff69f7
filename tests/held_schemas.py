"""Holds the journals and manifests below a folder against the published schemas."""

from __future__ import annotations

import json
from collections.abc import Container
from functools import cache
from pathlib import Path
from typing import Any

from dsjobs import schemas


def files_below(folder: Path) -> list[Path]:
    """Every journal and manifest below a folder."""
    return sorted([*folder.rglob("journal.jsonl"), *folder.rglob("manifest.json")])


def problems_below(folder: Path, damaged: Container[Path] = ()) -> list[str]:
    """What is wrong with the journals and manifests below a folder, but those that are `damaged` on purpose."""
    return [problem for path in files_below(folder) if path not in damaged for problem in problems_in(path)]


def problems_in(path: Path) -> list[str]:
    """What is wrong with a journal or a manifest. A torn last line of a journal is what a crash may leave."""
    content = path.read_bytes()
    if path.name == "manifest.json":
        return [f"{path}: {problem}" for problem in problems_of("manifest", content)]
    lines = enumerate(content.split(b"\n")[:-1], start=1)
    return [f"{path}:{number}: {problem}" for number, line in lines for problem in problems_of("journal", line)]


def problems_of(schema: str, content: bytes) -> list[str]:
    """What in a JSON document breaks one of dsjobs' schemas."""
    try:
        data = json.loads(content.decode("utf-8"))
    except ValueError as error:
        return [str(error)]
    return [f"{error.json_path}: {error.message}" for error in _validator(schema).iter_errors(data)]


@cache
def _validator(name: str) -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(schemas.load(name))
