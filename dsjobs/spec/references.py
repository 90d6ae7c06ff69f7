"""The names in the templates of a Spec: known, declared, and allowed where they stand. Nothing is evaluated.

Rules: `project`, `notebook`, `cell`, `spec` and `spark_connector` may use what is known at load; `inputs` also what is known
at submit. `vars.X` must be declared, `needs.J` be one of the job's own needs, `needs.J.outputs.X` be declared by J.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dsjobs.diagnostics import Diagnostic, did_you_mean
from dsjobs.marks import MarkedList, MarkedMap, Position
from dsjobs.model import JobFields, Spec
from dsjobs.spec.schema import Checked
from dsjobs.spec.templates import (
    LOAD_TIME,
    SUBMIT_TIME,
    Reference,
    TemplateError,
    compile_template,
    is_template,
)

LOAD_TIME_KEYS = ("project", "notebook", "cell", "spec", "spark_connector")
"""Keys of a job whose templates are rendered when the file is loaded."""

FIXED_NAMES: Mapping[str, tuple[str, ...]] = {
    "git": ("commit", "branch", "dirty"),
    "run": ("id", "started_at"),
}
_PLANNED_ROOTS = {"matrix": "matrix jobs", "secrets": "secrets"}


def check_references(spec: Spec, checked: Checked) -> list[Diagnostic]:
    """Every template of `spec` that cannot be right. What depends on a part that the schema took out is let be."""
    removed = checked.removed
    shared = [spec.defaults, *(environment.defaults for environment in spec.environments.values())]
    by_default = frozenset(name for fields in shared for name in fields.outputs)
    scope = _Scope(
        variables=frozenset(spec.variables)
        | {str(path[1]) for path in removed if path[0] == "variables" and len(path) > 1},
        outputs={job.name: by_default.union(job.outputs) for job in spec.jobs},
        unsure=_unsure_jobs(checked),
        declares_variables=("variables",) not in removed,
    )
    problems: list[Diagnostic] = []
    for fields in (*shared, *spec.jobs):
        if _may_have_templates(fields):
            problems += _check_fields(fields, scope)
    return problems


@dataclass(slots=True)
class _Scope:
    """What templates may name. `unsure`: jobs whose outputs were not all understood."""

    variables: frozenset[str]
    outputs: dict[str, frozenset[str]]
    unsure: frozenset[str]
    declares_variables: bool


def _unsure_jobs(checked: Checked) -> frozenset[str]:
    jobs: list[Any] = checked.data.get("jobs", []) if checked.data is not None else []
    damaged = {path[1] for path in checked.removed if path[0] == "jobs" and path[2:3] == ("outputs",)}
    return frozenset(job.get("name", "") for index, job in enumerate(jobs) if job is not None and index in damaged)


def _may_have_templates(fields: JobFields) -> bool:
    return bool(fields.inputs) or any(is_template(getattr(fields, key)) for key in LOAD_TIME_KEYS)


def _check_fields(fields: JobFields, scope: _Scope) -> Iterator[Diagnostic]:
    written = fields.written
    for key in LOAD_TIME_KEYS:
        text = getattr(fields, key)
        if is_template(text):
            yield from _check_text(text, written.value_position(key), fields, scope, deferred=False)
    inputs = written.get("inputs")
    if isinstance(inputs, MarkedMap):
        for name, value in inputs.items():
            if type(value) is str:
                if "{{" in value or "{%" in value or "{#" in value:
                    yield from _check_text(value, None, fields, scope, at=(inputs, name))
            elif isinstance(value, MarkedMap | MarkedList):
                for text, position in _placed_texts(value):
                    yield from _check_text(text, position, fields, scope)


def _placed_texts(value: MarkedMap | MarkedList) -> Iterator[tuple[str, Position]]:
    for item, position in value.positioned():
        if isinstance(item, MarkedMap | MarkedList):
            yield from _placed_texts(item)
        elif is_template(item):
            yield item, position


def _check_text(
    text: str,
    position: Position | None,
    fields: JobFields,
    scope: _Scope,
    *,
    deferred: bool = True,
    at: tuple[MarkedMap, str] | None = None,
) -> Iterator[Diagnostic]:
    try:
        references = compile_template(text).references
        for reference in references:
            _check_reference(reference, fields, scope, deferred)
    except TemplateError as error:
        start = position or (at[0].value_position(at[1]) if at else fields.written.position())
        yield Diagnostic(error.code, str(error), _inside(fields.written, start, error.at), error.hint)


def _inside(written: MarkedMap, start: Position, at: str | None) -> Position:
    """The place of `at` within the value that begins at `start`, where the file has it in so many words."""
    if at is None:
        return start
    line, column = start.line, start.column
    for number in range(line, line + 200):
        text = written.source.line(number)
        found = text.find(at, column - 1 if number == line else 0)
        if found >= 0:
            return Position(start.file, number, found + 1)
    return start


def _check_reference(reference: Reference, fields: JobFields, scope: _Scope, deferred: bool) -> None:
    """Raise TemplateError where `reference` cannot be right in a template of `fields`."""
    root, *rest = reference.path
    if root == "vars":
        _check_variable(reference, rest, scope)
    elif root == "needs" and deferred:
        _check_need(reference, rest, fields, scope)
    elif root in FIXED_NAMES and (deferred or root in LOAD_TIME):
        _check_fixed(reference, root, rest)
    elif root in SUBMIT_TIME:
        message = f"'{root}' is known only when the job is submitted, and cannot be used here"
        raise TemplateError("DSJ205", message, hint="only inputs can use it", at=str(reference))
    elif root in _PLANNED_ROOTS:
        message = f"'{root}' belongs to {_PLANNED_ROOTS[root]}, which this version of dsjobs does not support"
        raise TemplateError("DSJ205", message, at=str(reference))
    elif root != "environment" or rest:
        raise TemplateError(
            "DSJ202", f"unknown name '{reference}'", hint=_root_hint(reference, scope), at=str(reference)
        )


def _root_hint(reference: Reference, scope: _Scope) -> str | None:
    root = reference.path[0]
    if root in scope.variables:
        return f"did you mean 'vars.{root}'?"
    if root in scope.outputs:
        return f"did you mean 'needs.{reference}'?"
    if root in {"env", "environ", "os"}:
        return "templates cannot read the environment: declare a variable and set DSJOBS_VAR_NAME"
    return did_you_mean(root, ("vars", "needs", "environment", "run", "git"))


def _check_variable(reference: Reference, rest: list[str], scope: _Scope) -> None:
    if not scope.declares_variables or not rest or rest[0] in scope.variables:
        return
    hint = did_you_mean(rest[0], scope.variables) or f"add '{rest[0]}' to the file's `variables`"
    raise TemplateError("DSJ202", f"unknown variable '{rest[0]}'", hint=hint, at=str(reference))


def _check_need(reference: Reference, rest: list[str], fields: JobFields, scope: _Scope) -> None:
    if not fields.name:
        raise TemplateError("DSJ205", "defaults cannot use 'needs': jobs have needs of their own", at=str(reference))
    if not rest:
        return
    job, parts = rest[0], rest[1:]
    if job not in fields.needs:
        message = f"job '{fields.name}' uses '{job}', which is not in its needs"
        raise TemplateError("DSJ203", message, hint=_need_hint(job, fields, scope), at=str(reference))
    if not parts:
        return
    if parts[0] not in ("outputs", "status"):
        hint = did_you_mean(parts[0], ("outputs", "status"))
        raise TemplateError(
            "DSJ202", f"a job has no '{parts[0]}', only outputs and status", hint=hint, at=str(reference)
        )
    known = scope.outputs.get(job)
    if parts[0] == "outputs" and parts[1:] and known is not None and job not in scope.unsure and parts[1] not in known:
        hint = did_you_mean(parts[1], known) or f"add '{parts[1]}' to the outputs of '{job}'"
        raise TemplateError("DSJ204", f"job '{job}' declares no output '{parts[1]}'", hint=hint, at=str(reference))


def _need_hint(job: str, fields: JobFields, scope: _Scope) -> str | None:
    longer = next((name for name in fields.needs if name.startswith(f"{job}-")), None)
    if longer is not None:
        return f"a name with a hyphen is written needs['{longer}']"
    if job in scope.outputs:
        return f"add '{job}' to the needs of '{fields.name}'"
    return did_you_mean(job, fields.needs)


def _check_fixed(reference: Reference, root: str, rest: list[str]) -> None:
    known = FIXED_NAMES[root]
    if rest and rest[0] not in known:
        hint = did_you_mean(rest[0], known)
        raise TemplateError("DSJ202", f"'{root}' has no '{rest[0]}'", hint=hint, at=str(reference))
