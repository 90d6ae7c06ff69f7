"""The names in the templates of a Spec: known, declared, and allowed where they stand. Nothing is evaluated.

Rules: `project`, `notebook`, `cell`, `spec`, `spark_connector` and `timeout` may use what is known at load; `inputs` also
what is known at submit, and so may `when`. `vars.X` must be declared, `needs.J` be one of the job's own needs,
`needs.J.outputs.X` be declared by J.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dsjobs.diagnostics import Diagnostic, Suggestions, did_you_mean
from dsjobs.marks import MarkedList, MarkedMap, position_at
from dsjobs.model import JobFields, Spec
from dsjobs.spec.places import place_inside
from dsjobs.spec.templates import (
    LOAD_TIME,
    SUBMIT_TIME,
    Reference,
    TemplateError,
    compile_template,
    is_template,
)

LOAD_TIME_KEYS = ("project", "notebook", "cell", "spec", "spark_connector", "timeout")
"""Keys of a job whose templates are rendered when the file is loaded."""

FIXED_NAMES: Mapping[str, tuple[str, ...]] = {
    "git": ("commit", "branch", "dirty"),
    "run": ("id", "started_at"),
}

Check = Callable[[Reference, bool], None]
"""Raises TemplateError where a reference cannot be right; the flag is true where it is rendered at submit."""


def check_references(spec: Spec, data: MarkedMap) -> list[Diagnostic]:
    """Every template of `spec` that cannot be right. What depends on a part that `data`, its document, has lost is let be."""
    shared = [spec.defaults, *(environment.defaults for environment in spec.environments.values())]
    scope = _scope(spec, data, shared)
    problems: list[Diagnostic] = []
    for fields in (*shared, *spec.jobs):
        if _may_have_templates(fields):
            problems += template_problems(fields, partial(_check_reference, fields, scope))
        if isinstance(fields.when, str):
            problems += _not_an_expression(fields, fields.when)
    return problems


def _not_an_expression(fields: JobFields, when: str) -> Iterator[Diagnostic]:
    hint = f'write "{{{{ {when.strip()} }}}}"'
    if is_template(when):
        try:
            if compile_template(when).is_expression:
                return
        except TemplateError:
            return  # it has been reported
        hint = "write one `{{ expression }}` and nothing around it"
    elif when.casefold() in ("true", "false", "yes", "no", "on", "off"):
        hint = "write true or false, without quotes"
    yield Diagnostic("DSJ205", "'when' is one expression", fields.written.value_position("when"), hint)


def template_problems(fields: JobFields, check: Check) -> Iterator[Diagnostic]:
    """Everything that `check` refuses in the templates of `fields`, and every template that is none, at its place."""
    written = fields.written
    for key in LOAD_TIME_KEYS:
        text = getattr(fields, key)
        if is_template(text):
            yield from _check_text(text, (written, key), check, deferred=False)
    if isinstance(fields.when, str) and is_template(fields.when):
        yield from _check_text(fields.when, (written, "when"), check, deferred=True)
    inputs = written.get("inputs")
    if isinstance(inputs, MarkedMap):
        yield from _check_values(inputs, check)


@dataclass(slots=True)
class _Scope:
    """What templates may name. `outputs` has for each job the names that it declares, None where they are not all known;
    `hyphened` for what stands before a hyphen in a job's name that name."""

    variables: frozenset[str]
    any_variable: bool
    outputs: dict[str, frozenset[str] | None]
    variable_hints: Suggestions
    job_hints: Suggestions
    output_hints: dict[str, Suggestions]
    hyphened: dict[str, str]
    matrices: dict[str, frozenset[str] | None]

    def matrix_keys(self, job: str) -> frozenset[str] | None:
        """The keys of a job's matrix, empty where it has none, None where they are not all known; of `""`: of any job."""
        return self.matrices.get(job, frozenset())


def _scope(spec: Spec, data: MarkedMap, shared: list[JobFields]) -> _Scope:
    written = data.get("variables")
    lost = written.lost if isinstance(written, MarkedMap) else frozenset()
    by_default = frozenset(name for fields in shared for name in fields.outputs)
    unsure = any(_has_lost_outputs(fields) for fields in shared)
    outputs = {
        job.name: None if unsure or _has_lost_outputs(job) else by_default.union(job.outputs) for job in spec.jobs
    }
    return _Scope(
        variables=frozenset(spec.variables).union(lost),
        variable_hints=Suggestions(spec.variables),
        any_variable="variables" in data.lost,
        outputs=outputs,
        job_hints=Suggestions(outputs),
        output_hints={},
        matrices=_matrix_keys(spec, shared),
        hyphened={name[:end]: name for name in outputs for end, letter in enumerate(name) if letter == "-"},
    )


def _matrix_keys(spec: Spec, shared: list[JobFields]) -> dict[str, frozenset[str] | None]:
    by_default = _union(_own_keys(fields) for fields in shared)
    found: dict[str, frozenset[str] | None] = {}
    for fields in spec.jobs:
        own = _own_keys(fields)
        keys = own if own is None or own else by_default
        if keys is None or keys:
            found[fields.name] = keys
    if found or by_default != frozenset():
        found[""] = _union([by_default, *found.values()])
    return found


def _union(keys: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    together: frozenset[str] = frozenset()
    for some in keys:
        if some is None:
            return None
        together |= some
    return together


def _own_keys(fields: JobFields) -> frozenset[str] | None:
    if fields.matrix is not None:
        return fields.matrix.keys
    return None if "matrix" in fields.written or "matrix" in fields.written.lost else frozenset()


def _has_lost_outputs(fields: JobFields) -> bool:
    outputs = fields.written.get("outputs")
    return "outputs" in fields.written.lost or (isinstance(outputs, MarkedMap) and bool(outputs.lost))


def _may_have_templates(fields: JobFields) -> bool:
    return (
        bool(fields.inputs)
        or is_template(fields.when)
        or any(is_template(getattr(fields, key)) for key in LOAD_TIME_KEYS)
    )


def _check_values(container: MarkedMap | MarkedList, check: Check) -> Iterator[Diagnostic]:
    items: Iterable[tuple[Any, Any]] = container.items() if isinstance(container, MarkedMap) else enumerate(container)
    for key, value in items:
        if type(value) is str:
            if "{{" in value or "{%" in value or "{#" in value:
                yield from _check_text(value, (container, key), check, deferred=True)
        elif isinstance(value, MarkedMap | MarkedList):
            yield from _check_values(value, check)


def _check_text(
    text: str, place: tuple[MarkedMap | MarkedList, Any], check: Check, *, deferred: bool
) -> Iterator[Diagnostic]:
    """Each name in `text` that cannot be right. `place`: the container that holds the text, and its key there."""
    try:
        references = compile_template(text).references
    except TemplateError as error:
        yield _diagnostic(error, text, place)
        return
    for reference in dict.fromkeys(references):
        try:
            check(reference, deferred)
        except TemplateError as error:
            yield _diagnostic(error, text, place)
            if isinstance(error, _HyphenError):
                return  # the rest of the name stands there as a name of its own


def _diagnostic(error: TemplateError, text: str, place: tuple[MarkedMap | MarkedList, Any]) -> Diagnostic:
    container, key = place
    start = position_at(container, (key,)) or container.position()
    position = place_inside(container.source, start, text, error.at) if error.at else start
    return Diagnostic(error.code, str(error), position, error.hint)


class _HyphenError(TemplateError):
    """`needs.my-job` is a difference of two names."""


def _check_reference(fields: JobFields, scope: _Scope, reference: Reference, deferred: bool) -> None:
    """Raise TemplateError where `reference` cannot be right in a template of `fields`."""
    root, *rest = reference.path
    if root == "vars":
        _check_variable(reference, rest, scope)
    elif root == "matrix":
        _check_matrix(reference, rest, fields, scope)
    elif root == "needs" and deferred:
        _check_need(reference, rest, fields, scope)
    elif root in FIXED_NAMES and (deferred or root in LOAD_TIME):
        _check_fixed(reference, root, rest)
    elif root in SUBMIT_TIME:
        message = f"'{root}' is known only when the job is submitted, and cannot be used here"
        raise TemplateError("DSJ205", message, hint="only `inputs` and `when` can use it", at=str(reference))
    elif root == "secrets":
        whole = f"`{{secret: {rest[0] if rest else 'NAME'}}}`"
        message = "a secret is never part of a template"
        raise TemplateError("DSJ205", message, hint=f"write {whole} as the whole value of an input", at=str(reference))
    elif root == "environment" and rest:
        message = f"'environment' has no '{rest[0]}'"
        raise TemplateError("DSJ202", message, hint="it is the environment's name, a text", at=str(reference))
    elif root != "environment":
        hint = _root_hint(reference, scope)
        raise TemplateError("DSJ202", f"unknown name '{reference}'", hint=hint, at=str(reference))


def _root_hint(reference: Reference, scope: _Scope) -> str | None:
    root = reference.path[0]
    if root in scope.variables:
        return f"did you mean 'vars.{root}'?"
    if root in scope.outputs:
        return f"did you mean 'needs.{reference}'?"
    if root in {"env", "environ", "os"}:
        return "templates cannot read the environment: declare a variable and set DSJOBS_VAR_NAME"
    return did_you_mean(root, ("vars", "needs", "matrix", "environment", "run", "git"))


def _check_variable(reference: Reference, rest: list[str], scope: _Scope) -> None:
    if scope.any_variable or not rest or rest[0] in scope.variables:
        return
    hint = scope.variable_hints.hint(rest[0]) or f"add '{rest[0]}' to the file's `variables`"
    raise TemplateError("DSJ202", f"unknown variable '{rest[0]}'", hint=hint, at=str(reference))


def _check_need(reference: Reference, rest: list[str], fields: JobFields, scope: _Scope) -> None:
    if not fields.name:
        raise TemplateError("DSJ205", "defaults cannot use 'needs': jobs have needs of their own", at=str(reference))
    if not rest:
        return
    job, parts = rest[0], rest[1:]
    if job not in fields.needs:
        _refuse_need(job, reference, fields, scope)
        return
    keys = scope.matrix_keys(job)
    if reference.each is not None or (parts[:1] and parts[0].isdecimal()):
        if keys is not None and not keys:
            message = f"'needs.{job}' is one job, not a list: '{job}' has no matrix"
            raise TemplateError("DSJ210", message, hint=f"write needs.{job}.outputs.NAME", at=f"needs.{job}")
        parts = parts[1:] if reference.each is None else list(reference.each)
    _check_part(job, parts, ".".join(reference.each) if reference.each else str(reference), scope)


def _check_part(job: str, parts: list[str], at: str, scope: _Scope) -> None:
    """Raise what is wrong with `parts`, a path in the result of a job or a cell. `at`: its text in the template."""
    keys = scope.matrix_keys(job)
    known = ["outputs", "status"] if keys is not None and not keys else ["matrix", "outputs", "status"]
    if parts and parts[0] not in known:
        message = f"a job has no '{parts[0]}', only {', '.join(known[:-1])} and {known[-1]}"
        raise TemplateError("DSJ202", message, hint=did_you_mean(parts[0], known), at=at)
    if parts[1:] and parts[0] == "matrix" and keys is not None and parts[1] not in keys:
        message = f"the matrix of job '{job}' has no key '{parts[1]}'"
        raise TemplateError("DSJ202", message, hint=did_you_mean(parts[1], keys), at=at)
    outputs = scope.outputs.get(job)
    if parts[1:] and parts[0] == "outputs" and outputs is not None and parts[1] not in outputs:
        hints = scope.output_hints.setdefault(job, Suggestions(outputs))
        hint = hints.hint(parts[1]) or f"add '{parts[1]}' to the outputs of '{job}'"
        raise TemplateError("DSJ204", f"job '{job}' declares no output '{parts[1]}'", hint=hint, at=at)


def _check_matrix(reference: Reference, rest: list[str], fields: JobFields, scope: _Scope) -> None:
    keys = scope.matrix_keys(fields.name)
    if keys is None or (keys and (not rest or rest[0] in keys)):
        return
    owner = f"job '{fields.name}'" if fields.name else "any job"
    if not keys:
        message = f"job '{fields.name}' has no matrix" if fields.name else "no job has a matrix"
        hint = f"add `matrix: {{{rest[0] if rest else 'KEY'}: [VALUE, VALUE]}}`"
        raise TemplateError("DSJ202", message, hint=hint, at=str(reference))
    message = f"the matrix of {owner} has no key '{rest[0]}'"
    raise TemplateError("DSJ202", message, hint=did_you_mean(rest[0], keys), at=str(reference))


def _refuse_need(job: str, reference: Reference, fields: JobFields, scope: _Scope) -> None:
    """Raise what is wrong with a `job` that is not in the needs, unless these have a mistake that explains it."""
    if "needs" in fields.written.lost or any(need not in scope.outputs for need in fields.needs):
        return
    hyphened = next((name for name in fields.needs if name.startswith(f"{job}-")), scope.hyphened.get(job))
    if hyphened is not None and job not in scope.outputs:
        message = f"'needs.{job}-…' is a subtraction: a name with a hyphen stands in brackets"
        raise _HyphenError("DSJ203", message, hint=f"write needs['{hyphened}']", at=str(reference))
    if job == fields.name:
        raise TemplateError("DSJ203", f"job '{job}' uses its own result", at=str(reference))
    if job in scope.outputs:
        message = f"job '{fields.name}' uses '{job}', which is not in its needs"
        raise TemplateError("DSJ203", message, hint=f"add '{job}' to the needs of '{fields.name}'", at=str(reference))
    hint = did_you_mean(job, fields.needs) if fields.needs else scope.job_hints.hint(job)
    message = f"job '{fields.name}' uses '{job}', which is not a job"
    raise TemplateError("DSJ203", message, hint=hint, at=str(reference))


def _check_fixed(reference: Reference, root: str, rest: list[str]) -> None:
    known = FIXED_NAMES[root]
    if rest and rest[0] not in known:
        hint = did_you_mean(rest[0], known)
        raise TemplateError("DSJ202", f"'{root}' has no '{rest[0]}'", hint=hint, at=str(reference))
