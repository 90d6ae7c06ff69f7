"""Document against the JSON Schema: every violation as one diagnostic, and what is left of the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dsjobs.diagnostics import Diagnostic
from dsjobs.marks import MarkedList, MarkedMap, position_at
from dsjobs.spec.patterns import validator_class
from dsjobs.spec.precheck import compile_check
from dsjobs.spec.source import Document
from dsjobs.spec.violations import Violation, explain
from dsjobs.spec.wording import Path, kind


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


def _not_a_mapping(document: Document) -> Iterable[Diagnostic]:
    if any(diagnostic.is_error for diagnostic in document.diagnostics):
        return
    data = document.data
    hint = "a job file is a mapping: `version: 1`, then `jobs:` with a list of jobs; `dsjobs init` writes one"
    if data is None:
        yield Diagnostic("DSJ101", "the file is empty", document.source.start, hint)
        return
    position = position_at(data, ()) or document.source.start
    yield Diagnostic("DSJ101", f"a job file is a mapping, not {kind(data)}", position, hint)


def _violations(data: MarkedMap, schema: Mapping[str, Any]) -> list[Violation]:
    # Only the jobs that fail the fast check go to jsonschema: it takes half a millisecond for each.
    jobs = data.get("jobs")
    failing: list[int] = []
    reduced: dict[str, Any] = dict(data)
    if isinstance(jobs, MarkedList) and jobs:
        is_valid = compile_check(schema["$defs"]["job"], schema["$defs"])
        failing = [index for index, job in enumerate(jobs) if not is_valid(job)]
        reduced["jobs"] = [jobs[index] for index in failing] or jobs[:1]
    errors = validator_class()(schema).iter_errors(reduced)
    found: list[Violation] = []
    for error in errors:
        path = tuple(error.absolute_path)
        if failing and len(path) > 1 and path[0] == "jobs" and isinstance(path[1], int):
            path = ("jobs", failing[path[1]], *path[2:])
        found += explain(error, path, data)
    return found


def _one_for_each_mistake(found: list[Violation]) -> Iterable[Diagnostic]:
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


def _take_out(data: MarkedMap, violations: Iterable[Violation]) -> None:
    """Take what is wrong out of `data`, and note in its mappings what they have lost."""
    paths = {violation.path for violation in violations if not _may_stay(violation)}
    paths |= {(*violation.path[:-1], violation.meant) for violation in violations if violation.meant}
    done: set[tuple[int, str | int]] = set()
    # Later items of a list first, so that the indexes of the others stay what they are.
    for path in sorted(paths, key=lambda path: [str(key).zfill(9) for key in path], reverse=True):
        _take_out_one(data, path, done)


def _may_stay(violation: Violation) -> bool:
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
