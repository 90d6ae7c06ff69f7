"""What is wrong with a request before anything is sent: the limits of the pages, and paths that surely are mistakes.

Limits: Project.Execute, projectId 50, notebookId, cellId and sparkConnectorId 200 characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dsjobs.diagnostics import Diagnostic, did_you_mean, in_order
from dsjobs.model import Job, Request
from dsjobs.publish import VARIABLE

MAX_PROJECT_ID, MAX_TARGET, MAX_CONNECTOR_ID = 50, 200, 200
PROJECT_FOLDER = "/home/jupyter/datasphere/project/"
SPECS = frozenset("c1.4 c1.8 c1.32 c1.80 g1.1 g1.2 g1.4 g2.mig g2.1 g2.2 g2.4 g2.8 gt4.1 gt4i.1".split())
"""The configurations that the documentation lists. Others may exist."""

_NOT_IN_AN_ID = re.compile(r"[/:?#\\\s%]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a field of a request. `field` is the job file's name for it."""

    code: str
    field: tuple[str, ...]
    message: str
    hint: str | None = None


def is_project_id(text: str) -> bool:
    """Whether `text` may be the ID of a project."""
    return 0 < len(text) <= MAX_PROJECT_ID and _NOT_IN_AN_ID.search(text) is None


def problems(request: Request) -> Iterator[Problem]:
    """Why the service could not take `request`."""
    if not is_project_id(request.project):
        message = f"'{request.project}' cannot be a project ID"
        yield Problem("DSJ106", ("project",), message, f"an ID has 1 to {MAX_PROJECT_ID} letters and digits")
    if (request.notebook is None) == (request.cell is None):
        yield Problem("DSJ107", ("notebook",), "a job has exactly one of 'notebook' and 'cell'")
    yield from _too_long(request)
    for name, value in request.input_variables.items():
        yield from _input(name, value)
    for name in request.secrets:
        yield from _input(name, "")
    if any(not name for name in request.output_variable_names):
        yield Problem("DSJ106", ("outputs",), "an output has no name")


def check(jobs: Sequence[Job], *, has_store: bool, said: Collection[str] = ()) -> list[Diagnostic]:
    """The diagnostics of these jobs, in order: what the service could not take, and what surely is not meant. A key that still is
    a template is not looked at. `said`: the keys whose limits others have looked at."""
    refused = [(job, problem) for job in jobs for problem in _known(job, problems) if problem.field[0] not in said]
    found = [_diagnostic(job, problem, "error") for job, problem in refused]
    found += [_diagnostic(job, problem, "warning") for job in jobs for problem in _known(job, _doubts)]
    if not has_store:
        found += _outputs_that_never_come(jobs)
    return in_order(found)


def same_target(asked: str, told: str) -> bool:
    """Whether two paths of a notebook mean the same: relative to the project, or below its folder."""
    return _relative(asked) == _relative(told)


def echoes(request: Request, metadata: Mapping[str, object]) -> str | None:
    """What in an operation's metadata is not what was asked for; None where all that it says is."""
    pairs = (("projectId", request.project), ("notebookId", request.notebook), ("cellId", request.cell))
    for field, asked in pairs:
        told = metadata.get(field)
        if isinstance(told, str) and told and not same_target(asked or "", told):
            return f"{field} '{told}', not '{asked}'" if asked else f"{field} '{told}', which was not asked for"
    return None


def _known(job: Job, find: Callable[[Request], Iterator[Problem]]) -> Iterator[Problem]:
    for problem in find(job.request):
        value = getattr(job.request, problem.field[0], None)
        if not (isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))):
            yield problem


def _too_long(request: Request) -> Iterator[Problem]:
    limits = (
        ("notebook", request.notebook, MAX_TARGET),
        ("cell", request.cell, MAX_TARGET),
        ("spark_connector", request.spark_connector, MAX_CONNECTOR_ID),
    )
    for field, value, limit in limits:
        if value is not None and not value:
            yield Problem("DSJ106", (field,), f"'{field}' is empty")
        elif value is not None and len(value) > limit:
            message = f"'{field}' has {len(value)} characters, and the API takes {limit}"
            yield Problem("DSJ106", (field,), message, "shorten it")


def _input(name: str, value: str) -> Iterator[Problem]:
    place = ("inputs", name)
    if name == VARIABLE:
        hint = "it is the address for the outputs of each attempt; give the input another name"
        yield Problem("DSJ208", place, f"input '{name}': dsjobs itself sets this variable", hint)
    if not _NAME.fullmatch(name):
        yield Problem("DSJ208", place, f"input '{name}' is not the name of an environment variable")
    if "\0" in value:
        yield Problem("DSJ208", place, f"input '{name}': a NUL character cannot be in an environment variable")


def _doubts(request: Request) -> Iterator[Problem]:
    if request.notebook is not None:
        yield from _path_doubts(request.notebook)
    if request.spec is not None and request.spec not in SPECS:
        hint = did_you_mean(request.spec, SPECS) or "the service may know more configurations than dsjobs"
        yield Problem("DSJ403", ("spec",), f"the configuration '{request.spec}' is not one that dsjobs knows", hint)


def _path_doubts(path: str) -> Iterator[Problem]:
    place = ("notebook",)
    hint = f"a path in the project's storage, relative to it or below {PROJECT_FOLDER}"
    if re.match(r"[a-z]+://", path):
        yield Problem("DSJ403", place, f"'{path}' is the address of a page, not the path of a notebook", hint)
        return
    if path.startswith("~"):
        yield Problem("DSJ403", place, f"'{path}' begins with ~, which the service does not expand", hint)
    if "\\" in path:
        yield Problem("DSJ403", place, f"'{path}' has a backslash, which is no separator there", "write /")
    if path != path.strip():
        yield Problem("DSJ403", place, f"'{path}' begins or ends with white space", hint)
    if ".." in path.split("/"):
        yield Problem("DSJ403", place, f"'{path}' has a part `..`, which may leave the project", hint)
    if not path.strip().endswith(".ipynb"):
        yield Problem("DSJ403", place, f"'{path}' does not end in .ipynb", hint)


def _outputs_that_never_come(jobs: Sequence[Job]) -> Iterator[Diagnostic]:
    """One warning for all of them: it is one setting that is missing. Contracts without a store are errors elsewhere."""
    declaring = [job for job in jobs if job.outputs]
    if declaring:
        first = declaring[0]
        others = f" and {len(declaring) - 1} more" if len(declaring) > 1 else ""
        message = f"job '{first.name}'{others}: DataSphere returns no outputs, and the environment has no output store"
        hint = "add `settings: {output_store: s3://bucket/prefix}` to the environment"
        yield Diagnostic("DSJ404", message, first.position("outputs"), hint, "warning")


def _diagnostic(job: Job, problem: Problem, severity: str) -> Diagnostic:
    message, position = f"job '{job.name}': {problem.message}", job.position(*problem.field)
    return Diagnostic(problem.code, message, position, problem.hint, "error" if severity == "error" else "warning")


def _relative(path: str) -> str:
    trimmed = path.removeprefix(PROJECT_FOLDER).removeprefix("/home/jupyter/project/")
    return trimmed.removeprefix("./").lstrip("/")
