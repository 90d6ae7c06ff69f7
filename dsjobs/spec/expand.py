"""Spec to Jobs: one environment's jobs, defaults applied, names resolved, everything rendered that is known at load."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dsjobs.diagnostics import Diagnostic, Suggestions
from dsjobs.marks import MarkedMap, Position
from dsjobs.model import Cell, Contract, Environment, Job, JobFields, Matrix, Request, Retry, Spec, VariableValue
from dsjobs.spec.allowance import Allowance
from dsjobs.spec.cells import Bindings, Bound, cell_name, matrices_in
from dsjobs.spec.durations import DurationError, seconds
from dsjobs.spec.layers import Layers, first, input_position, layer_with, layers_of, position_of, target
from dsjobs.spec.matrix import MAX_CELLS_OF_A_FILE, too_many_in_all
from dsjobs.spec.references import LOAD_TIME_KEYS
from dsjobs.spec.rendering import Rendering, roots
from dsjobs.spec.secret_inputs import secret_name
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
    allowance: Allowance | None = None,
) -> tuple[list[Job], list[Diagnostic]]:
    """The jobs of `spec` in `environment`, in the file's order, with every problem of their values. Each cell of a matrix is a
    job.

    `git`: `commit`, `branch`, `dirty` of the job file's repository, as templates see them; None where nobody has asked.
    `allowance`: what rendering may cost; one for all environments of a file.
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
    expansion = _Expansion(environment, names, Bindings(matrices), allowance or Allowance())
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


class _Expansion:
    """Makes the jobs of one environment."""

    def __init__(
        self, environment: Environment, names: Mapping[str, Any], bindings: Bindings, allowance: Allowance
    ) -> None:
        self.environment = environment
        self.bindings = bindings
        self.names = names
        self.rendering = Rendering(names, allowance)
        self.project_hints = Suggestions(environment.projects)
        self.connector_hints = Suggestions(environment.spark_connectors)
        self.left = MAX_NEEDED_CELLS
        self.refused = False

    def jobs(self, layers: Layers, matrix: Matrix | None) -> Iterator[Job]:
        """A job, or each of its cells."""
        if matrix is None:
            yield from self.bound_job(layers, None)
            return
        fields, rendering = layers[0], self.rendering
        rendering.matrix_keys = matrix.keys
        for cell in matrix.cells:
            rendering.cell = cell_name(fields.name, cell)
            rendering.names = {**self.names, "matrix": cell.values}
            yield from self.bound_job(layers, cell)
        rendering.cell, rendering.names = None, self.names

    def bound_job(self, layers: Layers, cell: Cell | None) -> Iterator[Job]:
        bound = self.bindings.of(layers[0], cell)
        if bound:
            self.left -= sum(len(names) for names in bound.values() if isinstance(names, tuple))
        if self.left >= 0:
            yield self.job(layers, cell, bound)
        elif not self.refused:
            self.refused = True
            self.too_many_needed(layers[0])

    def too_many_needed(self, fields: JobFields) -> None:
        message = f"the jobs of this file need more than {MAX_NEEDED_CELLS:,} cells"
        position = fields.written.value_position("needs")
        hint = "put one job between them that needs all of these cells, and need that one"
        self.rendering.problem("DSJ304", message, position, hint)

    def job(self, layers: Layers, cell: Cell | None, bound: Mapping[str, Bound]) -> Job:
        fields, rendering = layers[0], self.rendering
        rendering.allowance.grow()
        notebook, cell_id = target(layers)
        known, deferred, secrets = self.inputs(layers)
        outputs = _outputs(layers)
        when = first(layers, "when")
        is_deferred = isinstance(when, str) and not roots(when).isdisjoint(SUBMIT_TIME)
        if is_deferred:
            rendering.deferred(when, layer_with(layers, "when"), position_of(layers, "when"), layers, "'when': ")
        request = Request(
            project=self.project(layers),
            notebook=rendering.limited("notebook", notebook, layers, MAX_PATH),
            cell=rendering.limited("cell", cell_id, layers, MAX_PATH),
            input_variables=known,
            output_variable_names=tuple(outputs),
            spec=rendering.text("spec", first(layers, "spec"), layers),
            spark_connector=self.connector(layers),
            secrets=secrets,
        )
        return Job(
            name=rendering.cell or fields.name,
            description=fields.description or layers[1].description or layers[2].description,
            request=request,
            deferred_inputs=deferred,
            outputs=outputs,
            needs=_needs(fields, bound) if bound else fields.needs,
            places=tuple(layer.written for layer in layers),
            retry=first(layers, "retry") or _NO_RETRY,
            timeout=self.timeout(layers),
            tags=first(layers, "tags") or (),
            run_if=first(layers, "run_if") or "all_success",
            when=when if is_deferred else None,
            skip_reason=None if is_deferred else self.skip_reason(when, layers),
            allow_failure=first(layers, "allow_failure") or False,
            cache=first(layers, "cache") or False,
            pools=_pools(layers),
            base=fields.name if cell else "",
            matrix=cell.values if cell else _NO_VALUES,
            bindings=bound,
        )

    def project(self, layers: Layers) -> str:
        value = self.rendering.text("project", first(layers, "project"), layers)
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

    def timeout(self, layers: Layers) -> float | None:
        text = self.rendering.text("timeout", first(layers, "timeout"), layers)
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

    def connector(self, layers: Layers) -> str | None:
        value = self.rendering.limited("spark_connector", first(layers, "spark_connector"), layers, MAX_CONNECTOR_ID)
        connectors = self.environment.spark_connectors
        if value is None or value in connectors:
            return None if value is None else connectors[value]
        if self.environment.backend == "datasphere" and connectors and not _LOOKS_LIKE_ID.fullmatch(value):
            message = f"environment '{self.environment.name}' has no Spark connector '{value}'"
            self.rendering.problem(
                "DSJ209", message, position_of(layers, "spark_connector"), self.connector_hints.hint(value)
            )
        return value

    def inputs(self, layers: Layers) -> tuple[dict[str, str], dict[str, Any], dict[str, str]]:
        known: dict[str, str] = {}
        deferred: dict[str, Any] = {}
        secrets: dict[str, str] = {}
        if self.rendering.allowance.is_spent:
            return known, deferred, secrets
        for layer in reversed(layers):
            for name, value in layer.inputs.items():
                known.pop(name, None)
                deferred.pop(name, None)
                secrets.pop(name, None)
                if type(value) is str and "{{" not in value and "{%" not in value and "{#" not in value:
                    known[name] = value
                    if "\0" in value:
                        message = f"input '{name}': a NUL character cannot be in an environment variable"
                        self.rendering.problem("DSJ208", message, input_position(layer, name))
                elif (secret := secret_name(value)) is not None:
                    secrets[name] = secret
                elif (constant := self.rendering.constant(value)) is not None:
                    known[name] = constant
                elif not self.rendering.roots(value).isdisjoint(SUBMIT_TIME):
                    deferred[name] = value
                    self.rendering.deferred(value, layer, input_position(layer, name), layers, f"input '{name}': ")
                elif self.rendering.is_open(value):
                    self.rendering.refuse_matrix(value, layer, input_position(layer, name), layers)
                else:
                    text = self.rendering.input(name, value, layer)
                    if text is not None:
                        known[name] = text
        return known, deferred, secrets


def _pools(layers: Layers) -> tuple[str, ...]:
    pool = first(layers, "pool")
    return () if pool is None else (pool,)


_NO_RETRY = Retry()
_NO_VALUES: Mapping[str, Any] = {}


def _needs(fields: JobFields, bound: Mapping[str, Bound]) -> tuple[str, ...]:
    """The jobs and cells that the names in `needs` stand for, in their order."""
    found: list[str] = []
    for need in fields.needs:
        stands_for = bound.get(need, need)
        found += [stands_for] if isinstance(stands_for, str) else stands_for
    return tuple(found)


def _outputs(layers: Layers) -> Mapping[str, Contract]:
    declared = [layer.outputs for layer in reversed(layers) if layer.outputs]
    if len(declared) < 2:
        return declared[0] if declared else {}
    return {name: contract for outputs in declared for name, contract in outputs.items()}
