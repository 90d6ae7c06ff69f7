"""Spec to Jobs: one environment's jobs, defaults applied, names resolved, everything rendered that is known at load."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsjobs.diagnostics import Diagnostic, Suggestions
from dsjobs.marks import MarkedMap, Position
from dsjobs.model import Cell, Environment, Job, JobFields, Matrix, Request, Retry, Spec, VariableValue
from dsjobs.spec.cells import Bindings, Bound, cell_name, matrices_in
from dsjobs.spec.durations import DurationError, seconds
from dsjobs.spec.inputs import Input, inputs_of, rendered
from dsjobs.spec.layers import Layers, first, layer_with, layers_of, position_of, together
from dsjobs.spec.matrix import MAX_CELLS_OF_A_FILE, too_many_in_all
from dsjobs.spec.references import LOAD_TIME_KEYS
from dsjobs.spec.rendering import Rendering, Shared, roots
from dsjobs.spec.templates import SUBMIT_TIME, is_template, texts_in

MAX_PROJECT_ID = 50  # Project.Execute, projectId
MAX_PATH = 200  # Project.Execute, notebookId and cellId, in characters
MAX_CONNECTOR_ID = 200  # Project.Execute, sparkConnectorId

MAX_NEEDED_CELLS = 1_000_000
"""How many cells all jobs of a file together may need."""


def expand(
    spec: Spec,
    environment: Environment,
    variables: Mapping[str, VariableValue],
    git: Mapping[str, Any] | None,
    shared: Shared | None = None,
) -> tuple[list[Job], list[Diagnostic]]:
    """The jobs of `spec` in `environment`, in the file's order, with every problem of their values. Each cell of a matrix is a
    job.

    `git`: `commit`, `branch`, `dirty` of the job file's repository, as templates see them; None where nobody has asked.
    `shared`: one for all environments of a file.
    Templates that need a value that is not there stay as they are: only a plan must have all of them.
    """
    names: dict[str, Any] = {
        "vars": {name: value.value for name, value in variables.items()},
        "environment": environment.name,
    }
    if git is not None:
        names["git"] = git
    matrices = matrices_in(spec, environment)
    if sum(len(matrix.cells) for matrix in matrices.values()) > MAX_CELLS_OF_A_FILE:
        shared = first((environment.defaults, spec.defaults), "matrix")
        place = environment.defaults if environment.defaults.matrix is shared else spec.defaults
        return [], [too_many_in_all(place.written.value_position("matrix"))]
    defaults = together(environment.defaults, spec.defaults)
    expansion = _Expansion(environment, defaults, names, Bindings(matrices), shared or Shared())
    jobs: list[Job] = []
    for fields in spec.jobs:
        jobs += expansion.jobs(layers_of(spec, environment, fields), matrices.get(fields.name))
    return jobs, expansion.rendering.problems


def uses_git(spec: Spec) -> bool:
    """Whether any template asks for the repository: only then it is looked at."""
    layers = (spec.defaults, *(environment.defaults for environment in spec.environments.values()), *spec.jobs)
    # Every text of a file is looked at: the plain search spares nearly all of them the rest.
    texts = (text for fields in layers for value in _values(fields) for text in texts_in(value) if "git" in text)
    return any("git" in roots(text) for text in texts)


def _values(fields: JobFields) -> Iterator[Any]:
    yield from (getattr(fields, key) for key in LOAD_TIME_KEYS)
    yield fields.when
    yield from fields.inputs.values()


_LOOKS_LIKE_ID = re.compile(r"[a-z0-9]{20}")
_NOT_IN_AN_ID = re.compile(r"[/:?#\\\s%]")


@dataclass(frozen=True, slots=True)
class _Said:
    """A job with its defaults as the file says it, the same for each of its cells. `is_deferred`: its `when` waits for the
    submit."""

    layers: Layers
    fields: JobFields
    inputs: Sequence[Input]
    is_deferred: bool
    places: tuple[MarkedMap, ...]


def _said(layers: Layers, defaults: JobFields, rendering: Rendering) -> _Said:
    fields = together(layers[0], defaults)
    is_deferred = isinstance(fields.when, str) and not roots(fields.when).isdisjoint(SUBMIT_TIME)
    places = tuple(layer.written for layer in layers)
    return _Said(layers, fields, inputs_of(layers, rendering), is_deferred, places)


class _Expansion:
    """Makes the jobs of one environment."""

    def __init__(
        self,
        environment: Environment,
        defaults: JobFields,
        names: Mapping[str, Any],
        bindings: Bindings,
        shared: Shared,
    ) -> None:
        self.environment = environment
        self.defaults = defaults
        self.bindings = bindings
        self.names = names
        self.rendering = Rendering(names, shared)
        self.project_hints = Suggestions(environment.projects)
        self.connector_hints = Suggestions(environment.spark_connectors)
        self.left = MAX_NEEDED_CELLS
        self.refused = False

    def jobs(self, layers: Layers, matrix: Matrix | None) -> Iterator[Job]:
        """A job, or each of its cells."""
        if matrix is None:
            yield from self.bound_job(_said(layers, self.defaults, self.rendering), None)
            return
        name, rendering = layers[0].name, self.rendering
        rendering.matrix_keys = matrix.keys
        said: _Said | None = None
        for cell in matrix.cells:
            rendering.cell = cell_name(name, cell)
            rendering.names = {**self.names, "matrix": cell.values}
            said = said or _said(layers, self.defaults, rendering)
            yield from self.bound_job(said, cell)
        rendering.cell, rendering.names = None, self.names

    def bound_job(self, said: _Said, cell: Cell | None) -> Iterator[Job]:
        bound = self.bindings.of(said.fields, cell)
        if bound:
            self.left -= sum(len(names) for names in bound.values() if isinstance(names, tuple))
        if self.left >= 0:
            yield self.job(said, cell, bound)
        elif not self.refused:
            self.refused = True
            self.too_many_needed(said.fields)

    def too_many_needed(self, fields: JobFields) -> None:
        message = f"the jobs of this file need more than {MAX_NEEDED_CELLS:,} cells"
        position = fields.written.value_position("needs")
        hint = "put one job between them that needs all of these cells, and need that one"
        self.rendering.problem("DSJ304", message, position, hint)

    def job(self, said: _Said, cell: Cell | None, bound: Mapping[str, Bound]) -> Job:
        layers, fields, rendering = said.layers, said.fields, self.rendering
        rendering.allowance.grow()
        known, deferred, secrets = rendered(said.inputs, layers, rendering)
        when = fields.when if said.is_deferred and isinstance(fields.when, str) else None
        if when is not None:
            rendering.deferred(when, layer_with(layers, "when"), position_of(layers, "when"), layers, "'when': ")
        request = Request(
            project=self.project(said),
            notebook=rendering.limited("notebook", fields.notebook, layers, MAX_PATH),
            cell=rendering.limited("cell", fields.cell, layers, MAX_PATH),
            input_variables=known,
            output_variable_names=tuple(fields.outputs),
            spec=rendering.text("spec", fields.spec, layers),
            spark_connector=self.connector(said),
            secrets=secrets,
        )
        return Job(
            name=rendering.cell or fields.name,
            description=fields.description,
            request=request,
            deferred_inputs=deferred,
            outputs=fields.outputs,
            needs=_needs(fields, bound) if bound else fields.needs,
            places=said.places,
            retry=fields.retry or _NO_RETRY,
            timeout=self.timeout(said),
            tags=fields.tags or (),
            run_if=fields.run_if or "all_success",
            when=when,
            skip_reason=None if said.is_deferred else self.skip_reason(fields.when, layers),
            allow_failure=fields.allow_failure or False,
            cache=fields.cache or False,
            pools=() if fields.pool is None else (fields.pool,),
            base=fields.name if cell else "",
            matrix=cell.values if cell else _NO_VALUES,
            bindings=bound,
        )

    def project(self, said: _Said) -> str:
        layers = said.layers
        value = self.rendering.text("project", said.fields.project, layers)
        local = self.environment.backend != "datasphere"
        if value is None:
            return "."
        if value in self.environment.projects:
            value, named = self.environment.projects[value], True
        else:
            named = False
        if local:
            return value
        if not named and self.environment.projects and not _LOOKS_LIKE_ID.fullmatch(value):
            message = f"environment '{self.environment.name}' has no project '{value}'"
            self.rendering.problem("DSJ209", message, position_of(layers, "project"), self.project_hints.hint(value))
        elif len(value) > MAX_PROJECT_ID or _NOT_IN_AN_ID.search(value):
            message = f"'{value}' cannot be a project ID"
            hint = f"an ID has at most {MAX_PROJECT_ID} letters and digits"
            self.rendering.problem("DSJ106", message, self.project_position(layers), hint)
        return value

    def project_position(self, layers: Layers) -> Position:
        name = first(layers, "project")
        projects = self.environment.projects
        if isinstance(projects, MarkedMap) and name in projects:
            return projects.value_position(name)
        return position_of(layers, "project")

    def skip_reason(self, when: str | bool | None, layers: Layers) -> str | None:
        """Why the job will not run, where that is known at load."""
        if isinstance(when, str) and is_template(when) and not self.rendering.condition(when, layers):
            return f"when: {when} is false"
        return "when is false" if when is False else None

    def timeout(self, said: _Said) -> float | None:
        layers = said.layers
        text = self.rendering.text("timeout", said.fields.timeout, layers)
        if text is None or is_template(text):
            return None
        try:
            timeout = seconds(text)
        except DurationError as error:
            self.rendering.problem("DSJ106", f"'timeout': {error}", position_of(layers, "timeout"), error.hint)
            return None
        if not timeout:
            hint = "leave the key out for no limit"
            self.rendering.problem("DSJ106", "'timeout' is more than no time", position_of(layers, "timeout"), hint)
        return timeout or None

    def connector(self, said: _Said) -> str | None:
        layers = said.layers
        value = self.rendering.limited("spark_connector", said.fields.spark_connector, layers, MAX_CONNECTOR_ID)
        connectors = self.environment.spark_connectors
        if value is None or value in connectors:
            return None if value is None else connectors[value]
        if self.environment.backend == "datasphere" and connectors and not _LOOKS_LIKE_ID.fullmatch(value):
            message = f"environment '{self.environment.name}' has no Spark connector '{value}'"
            self.rendering.problem(
                "DSJ209", message, position_of(layers, "spark_connector"), self.connector_hints.hint(value)
            )
        return value


_NO_RETRY = Retry()
_NO_VALUES: Mapping[str, Any] = {}


def _needs(fields: JobFields, bound: Mapping[str, Bound]) -> tuple[str, ...]:
    """The jobs and cells that the names in `needs` stand for, in their order."""
    found: list[str] = []
    for need in fields.needs:
        stands_for = bound.get(need, need)
        found += [stands_for] if isinstance(stands_for, str) else stands_for
    return tuple(found)
