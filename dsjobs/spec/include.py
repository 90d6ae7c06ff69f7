"""Several files as one: what an included file defines is added to the file that includes it, each value with its own place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsjobs.diagnostics import Diagnostic
from dsjobs.marks import MarkedList, MarkedMap, MergedMap
from dsjobs.spec.schema import Checked

SECTIONS = {
    "variables": "variable", "secrets": "secret", "environments": "environment", "pools": "pool",
}  # fmt: skip
"""What an included file may define by name, and one of it in words."""

KEYS = frozenset({"version", "description", "requires_dsjobs", "include", "jobs", *SECTIONS})
"""The keys of an included file."""


def included_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a file that another one includes, made from that of a job file."""
    properties = {key: part for key, part in schema["properties"].items() if key in KEYS}
    kept = {key: part for key, part in schema.items() if key not in ("required", "anyOf")}
    return {**kept, "properties": properties}


def merge(root: MarkedMap, included: Sequence[Checked], *, complete: bool) -> list[Diagnostic]:
    """Add what `included` files define to `root`; what is defined twice is a diagnostic, and stays as it was defined first.

    `complete`: whether every file could be read. Where not, what they would have defined is not called missing.
    """
    parts = [checked.data for checked in included if checked.data is not None]
    found: list[Diagnostic] = []
    for section in SECTIONS:
        found += _merge_section(root, section, [part for part in parts if section in part])
    lists = [part["jobs"] for part in parts if "jobs" in part]
    if lists:
        _append_jobs(root, lists)
    for part in parts:
        for key in part.lost:
            root.lose_part_of(key)
    if not complete or len(parts) < len(included):
        for section in (*SECTIONS, "jobs"):
            root.lose_part_of(section)
    elif "jobs" not in root and "jobs" not in root.lost:
        message = "neither this file nor one that it includes has jobs"
        found.append(Diagnostic("DSJ103", message, root.position(), "add `jobs:` with a list of jobs"))
    return found


def _merge_section(root: MarkedMap, section: str, parts: Sequence[MarkedMap]) -> Iterator[Diagnostic]:
    if not parts:
        return
    merged = MergedMap.of(root[section] if section in root else parts[0][section])
    for part in parts[0 if section in root else 1 :]:
        written: MarkedMap = part[section]
        for name in written:
            if name in merged:
                message = f"the {SECTIONS[section]} '{name}' is defined twice"
                hint = f"it is also defined at {merged.key_position(name)}; remove or rename one of them"
                yield Diagnostic("DSJ111", message, written.key_position(name), hint)
            else:
                merged.take(written, name)
        for name in written.lost:
            merged.lose_part_of(name)
    _put(root, section, merged)


def _append_jobs(root: MarkedMap, lists: Sequence[MarkedList]) -> None:
    own = root.get("jobs")
    jobs = MarkedList()
    jobs.source, jobs.place, jobs.marks = lists[0].source, lists[0].place, []
    for one in [own, *lists] if own is not None else lists:
        jobs.extend(one)
        jobs.marks.extend(one.marks)
    _put(root, "jobs", jobs)


def _put(root: MarkedMap, key: str, value: MarkedMap | MarkedList) -> None:
    if key not in root:
        root.marks.append(root.place)
    root[key] = value
