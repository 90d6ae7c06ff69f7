"""Which jobs a run is about: `--select` and `--exclude`.

The grammar is a small part of dbt's. A selector is a name (`train`; of a matrix job: all its cells), a cell (`train[seed=1]`: all
cells with these values), `tag:NAME`, `project:NAME`, `result:STATUS` or `state:changed`; `*` and `?` stand for any characters.
`+` before it adds what it needs, `+` after it what needs it, and a number beside the plus says how many steps far. A comma is
an intersection; several selectors are a union. Without `--select` all jobs are selected; `--exclude` takes away from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from dsjobs.diagnostics import Suggestions, did_you_mean
from dsjobs.errors import UsageError
from dsjobs.model import Job
from dsjobs.plan.graph import dependents
from dsjobs.spec.values import encode

STATUSES = ("succeeded", "failed", "skipped", "cancelled")
"""What `result:` takes."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What selectors need of an earlier run: the status of each job in it, and of those that have changed since what has."""

    results: Mapping[str, str]
    changed: Mapping[str, Sequence[str]]


def selected_jobs(
    jobs: Sequence[Job],
    select: Collection[str],
    exclude: Collection[str],
    *,
    projects: Mapping[str, str] | None = None,
    earlier: Earlier | None = None,
) -> frozenset[str]:
    """The names of the jobs that are selected. `projects`: name to ID, as in the environment.

    Raises UsageError: for a selector that is none or is empty, for a name or a tag that no job has, and where nothing is left.
    """
    selection = _Selection(jobs, projects or {}, earlier)
    wanted, unwanted = _given("--select", select), _given("--exclude", exclude)
    found = selection.union(wanted) if wanted else frozenset(selection.jobs)
    left = found - selection.union(unwanted)
    if not left:
        what = "the jobs that are selected are excluded as well" if found else f"{_shown(wanted)} selects no job"
        raise UsageError(f"nothing is selected: {what}", hint="`dsjobs plan` shows the jobs of the file")
    return left


def asks_an_earlier_run(selectors: Iterable[str], methods: tuple[str, ...] = ("result:", "state:")) -> bool:
    """Whether one of these `methods` is in one of them."""
    terms = [_TERM.fullmatch(part) for one in _split(selectors) for part in _COMMA.split(one)]
    return any(term is not None and term["body"].startswith(methods) for term in terms)


def _given(flag: str, arguments: Collection[str]) -> list[str]:
    found = _split(arguments)
    if arguments and not found:
        hint = "without --select all jobs run" if flag == "--select" else "without --exclude none is left out"
        raise UsageError(f"{flag} is empty: it names no job", hint=hint)
    return found


def _split(arguments: Iterable[str]) -> list[str]:
    return [one for argument in arguments for one in argument.split()]


def _shown(selectors: Sequence[str]) -> str:
    return ", ".join(f"'{one}'" for one in selectors)


_COMMA = re.compile(r",(?![^\[]*\])")  # but not inside brackets
_TERM = re.compile(r"(?:(?P<up>\d*)\+)?(?P<body>.+?)(?:\+(?P<down>\d*))?")


class _Selection:
    def __init__(self, jobs: Sequence[Job], projects: Mapping[str, str], earlier: Earlier | None) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.needs = {job.name: [need for need in job.needs if need in self.jobs] for job in jobs}
        self.below = dependents(self.needs)
        self.projects = projects
        self.earlier = earlier

    def union(self, selectors: Iterable[str]) -> frozenset[str]:
        return frozenset(name for selector in selectors for name in self.intersection(selector))

    def intersection(self, selector: str) -> frozenset[str]:
        parts = [self.term(part, selector) for part in _COMMA.split(selector)]
        return frozenset.intersection(*parts)

    def term(self, text: str, selector: str) -> frozenset[str]:
        match = _TERM.fullmatch(text)
        if match is None or match["body"].strip("+") != match["body"]:
            hint = "write a name, with a + before it for what it needs, or after it for what needs it"
            raise UsageError(f"'{selector}' is not a selector", hint=hint)
        found = frozenset(self.matching(match["body"]))
        above = self.reach(found, self.needs, match["up"]) if match["up"] is not None else frozenset()
        below = self.reach(found, self.below, match["down"]) if match["down"] is not None else frozenset()
        return found | above | below

    def reach(self, start: frozenset[str], steps: Mapping[str, Sequence[str]], limit: str) -> frozenset[str]:
        """The jobs that can be reached from `start`, in at most so many steps; the empty limit is none."""
        reached, edge = set(start), set(start)
        left = int(limit) if limit and len(limit) < 10 else len(self.jobs)
        while edge and left:
            edge = {name for one in edge for name in steps[one]} - reached
            reached |= edge
            left -= 1
        return frozenset(reached)

    def matching(self, body: str) -> list[str]:
        method, colon, value = body.partition(":")
        if not colon or "[" in method:
            return self.named(body)
        known: dict[str, Callable[[str], list[str]]] = {
            "tag": self.tagged, "project": self.of_project, "result": self.with_result, "state": self.with_state,
        }  # fmt: skip
        if method not in known:
            hint = did_you_mean(method, known)
            raise UsageError(f"'{body}': there is no selection by '{method}'", hint=hint)
        if not value:
            raise UsageError(f"'{body}' names no {method}", hint=f"write {method}:NAME")
        return known[method](value)

    def named(self, body: str) -> list[str]:
        pattern = _glob(body)
        base, values = _cell(body)
        found = [
            name
            for name, job in self.jobs.items()
            if pattern.fullmatch(name) or pattern.fullmatch(job.base) or (values and _has_values(job, base, values))
        ]
        if not found:
            self.refuse_name(body, base)
        return found

    def refuse_name(self, body: str, base: re.Pattern[str]) -> NoReturn:
        cells = [name for name, job in self.jobs.items() if base.fullmatch(job.base)] if "[" in body else []
        if cells:
            more = f" and {len(cells) - 3} more" if len(cells) > 3 else ""
            raise UsageError(f"there is no cell '{body}'", hint=f"there are {', '.join(cells[:3])}{more}")
        names = sorted({job.base or job.name for job in self.jobs.values()})
        raise UsageError(f"no job is named '{body}'", hint=Suggestions(names).hint(body))

    def tagged(self, value: str) -> list[str]:
        pattern = _glob(value)
        found = [name for name, job in self.jobs.items() if any(map(pattern.fullmatch, job.tags))]
        if not found:
            tags = {tag for job in self.jobs.values() for tag in job.tags}
            hint = did_you_mean(value, tags) or (None if tags else "no job of the file has tags")
            raise UsageError(f"no job has the tag '{value}'", hint=hint)
        return found

    def of_project(self, value: str) -> list[str]:
        pattern = _glob(value)
        ids = {project for name, project in self.projects.items() if pattern.fullmatch(name)}
        found = [
            name
            for name, job in self.jobs.items()
            if job.request.project in ids or pattern.fullmatch(job.request.project)
        ]
        if not found:
            known = {*self.projects, *(job.request.project for job in self.jobs.values())}
            raise UsageError(f"no job is in the project '{value}'", hint=did_you_mean(value, known))
        return found

    def with_result(self, value: str) -> list[str]:
        if value not in STATUSES:
            raise UsageError(f"'{value}' is not a result", hint=did_you_mean(value, STATUSES))
        earlier = self._earlier(f"result:{value}")
        return [name for name in self.jobs if earlier.results.get(name) == value]

    def with_state(self, value: str) -> list[str]:
        if value != "changed":
            raise UsageError(f"'{value}' is not a state", hint="write state:changed")
        earlier = self._earlier("state:changed")
        return [name for name in self.jobs if name in earlier.changed]

    def _earlier(self, selector: str) -> Earlier:
        if self.earlier is None:
            raise UsageError(
                f"'{selector}' compares with an earlier run, and there is none here of this file and environment",
                hint="name one with --from",
            )
        return self.earlier


def _glob(text: str) -> re.Pattern[str]:
    """`*` and `?`; brackets are those of a cell's name."""
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(letter) or re.escape(letter) for letter in text), re.DOTALL)


def _cell(body: str) -> tuple[re.Pattern[str], dict[str, re.Pattern[str]]]:
    """The job, and the values, of `train[seed=1]`; no values where it is no such thing."""
    base, bracket, inner = body.partition("[")
    if not bracket or not inner.endswith("]"):
        return _glob(base), {}
    pairs = [pair.partition("=") for pair in inner[:-1].split(",")]
    if not all(equals for _, equals, _ in pairs):
        return _glob(base), {}
    return _glob(base), {key: _glob(value) for key, _, value in pairs}


def _has_values(job: Job, base: re.Pattern[str], values: Mapping[str, re.Pattern[str]]) -> bool:
    return bool(job.base and base.fullmatch(job.base)) and all(
        key in job.matrix and pattern.fullmatch(encode(job.matrix[key])) for key, pattern in values.items()
    )
