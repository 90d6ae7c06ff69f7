"""The published JSON Schemas: inside the wheel as `dsjobs/_schemas`, in a checkout as `schemas/` at the repository's root."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

NAMES = ("jobs", "plan", "journal", "manifest")


def folder() -> Path:
    """Where the schemas lie: in an installed package, or, for an editable install, in the checkout beside it."""
    package = Path(__file__).parent
    installed = package / "_schemas"
    return installed if installed.is_dir() else package.parent / "schemas"


def text(name: str) -> str:
    """The schema `name` (one of `NAMES`) as it is published."""
    return (folder() / f"{name}.v1.json").read_text(encoding="utf-8")


@cache
def load(name: str) -> dict[str, Any]:
    """The schema `name` as data; shared, so not to be changed."""
    schema: dict[str, Any] = json.loads(text(name))
    return schema
