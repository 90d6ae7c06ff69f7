"""Spec to Jobs: one environment's jobs, defaults applied, names resolved, everything rendered that is known at load."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dsjobs.diagnostics import Diagnostic, did_you_mean
from dsjobs.marks import MarkedMap, Position
from dsjobs.model import Contract, Environment, Job, JobFields, Request, Spec, VariableValue
from dsjobs.spec.templates import (
    SUBMIT_TIME,
    Template,
    TemplateError,
    compile_template,
    is_template,
    render,
    templates_in,
    texts_in,
)
from dsjobs.spec.values import encode

MAX_PROJECT_ID = 50  # Project.Execute, projectId
MAX_PATH = 200  # Project.Execute, notebookId and cellId, in characters
MAX_CONNECTOR_ID = 200  # Project.Execute, sparkConnectorId


def check_environment(spec: Spec, environment: Environment) -> list[Diagnostic]:
    """What is wrong with the jobs in `environment` whatever the variables are: targets and projects that are missing."""
    problems: list[Diagnostic] = []
    for fields in spec.jobs:
        layers = _layers(spec, environment, fields)
        problems += _target_problems(layers)
        needs_project = environment.backend == "datasphere" and not _is_lost(layers, "project")
        if needs_project and _first(layers, "project") is None:
            problems.append(_no_project(fields, environment))
    if environment.backend == "datasphere" and "output_store" not in environment.settings:
        problems += _outputs_without_store(spec, environment)
    return problems


def _outputs_without_store(spec: Spec, environment: Environment) -> Iterator[Diagnostic]:
    """Project.Execute answers with a status and no values (page: Response): what depends on a value needs a store."""
    used = next(
        (use for fields in (*spec.jobs, environment.defaults, spec.defaults) for use in _uses_of_outputs(fields)), None
    )
    if used is not None:
        message = f"environment '{environment.name}' has no output store, but {used}: DataSphere returns a status only"
        hint = "add `settings: {output_store: s3://bucket/prefix}` to the environment"
        yield Diagnostic("DSJ404", message, environment.written.value_position("backend"), hint)


def _uses_of_outputs(fields: JobFields) -> Iterator[str]:
    owner = f"job '{fields.name}'" if fields.name else "`defaults`"
    for name, value in fields.inputs.items():
        paths = (reference.path for template in _understood(value) for reference in template.references)
        if any(path[0] == "needs" and path[2:3] != ("status",) for path in paths):
            yield f"the input '{name}' of {owner} needs another job's output"
    for name, contract in fields.outputs.items():
        if contract:
            yield f"{owner} has a contract on its output '{name}'"


def expand(
    spec: Spec, environment: Environment, variables: Mapping[str, VariableValue], git: Mapping[str, Any] | None
) -> tuple[list[Job], list[Diagnostic]]:
    """The jobs of `spec` in `environment`, in the file's order, with every problem of their values.

    `git`: `commit`, `branch`, `dirty` of the job file's repository, as templates see them; None where nobody has asked.
    Templates that need a value that is not there stay as they are: only a plan must have all of them.
    """
    names: dict[str, Any] = {
        "vars": {name: value.value for name, value in variables.items()},
        "environment": environment.name,
    }
    if git is not None:
        names["git"] = git
    expansion = _Expansion(environment, names)
    jobs = [expansion.job(fields, _layers(spec, environment, fields)) for fields in spec.jobs]
    return jobs, expansion.problems


def uses_git(spec: Spec) -> bool:
    """Whether any template asks for the repository: only then it is looked at."""
    layers = (spec.defaults, *(environment.defaults for environment in spec.environments.values()), *spec.jobs)
    # Every text of a file is looked at: the plain search spares nearly all of them the rest.
    texts = (text for fields in layers for value in _values(fields) for text in texts_in(value) if "git" in text)
    return any("git" in _roots(text) for text in texts)


def _values(fields: JobFields) -> Iterator[Any]:
    yield from (fields.project, fields.notebook, fields.cell, fields.spec, fields.spark_connector)
    yield from fields.inputs.values()


def _roots(value: Any) -> frozenset[str]:
    return frozenset(reference.path[0] for template in _understood(value) for reference in template.references)


def _understood(value: Any) -> list[Template]:
    """The templates in a value; none where one has an error, which `references.py` has reported."""
    try:
        return templates_in(value)
    except TemplateError:
        return []


Layers = tuple[JobFields, ...]


def _layers(spec: Spec, environment: Environment, fields: JobFields) -> Layers:
    """Where a job's values come from, strongest first."""
    return (fields, environment.defaults, spec.defaults)


def _first(layers: Layers, key: str) -> Any:
    return next((value for layer in layers if (value := getattr(layer, key)) is not None), None)


def _target(layers: Layers) -> tuple[str | None, str | None]:
    """Notebook and cell, from the strongest layer that has either."""
    for layer in layers:
        if layer.notebook is not None or layer.cell is not None:
            return layer.notebook, layer.cell
    return None, None


def _is_lost(layers: Layers, *keys: str) -> bool:
    """Whether the file says one of `keys` in a way that was not understood, which has been reported."""
    return any(not layer.written.lost.isdisjoint(keys) for layer in layers)


def _target_problems(layers: Layers) -> Iterator[Diagnostic]:
    fields = layers[0]
    if _target(layers) == (None, None) and not _is_lost(layers, "notebook", "cell"):
        message = f"job '{fields.name}' has neither 'notebook' nor 'cell'"
        position = fields.written.value_position("name")
        yield Diagnostic("DSJ107", message, position, "add `notebook: NAME.ipynb`")
    for layer in layers:
        if layer.cell is not None:
            message = "'cell' is deprecated in the API"
            place = layer.written.key_position("cell")
            yield Diagnostic("DSJ403", message, place, "put the code into a notebook of its own", "warning")


def _no_project(fields: JobFields, environment: Environment) -> Diagnostic:
    message = f"job '{fields.name}' has no project, which environment '{environment.name}' needs"
    hint = "add `project:` to the job or to `defaults`"
    return Diagnostic("DSJ103", message, fields.written.value_position("name"), hint)


_LOOKS_LIKE_ID = re.compile(r"[a-z0-9]{20}")
_NOT_IN_AN_ID = re.compile(r"[/:?#\\\s%]")


@dataclass(slots=True)
class _Expansion:
    """Renders the jobs of one environment. Most jobs share their project, spec and connector: these are rendered once."""

    environment: Environment
    names: Mapping[str, Any]
    problems: list[Diagnostic] = field(default_factory=list)

    def job(self, fields: JobFields, layers: Layers) -> Job:
        notebook, cell = _target(layers)
        known, deferred = self.inputs(layers)
        outputs = self.outputs(layers)
        request = Request(
            project=self.project(layers),
            notebook=self.limited("notebook", notebook, layers, MAX_PATH),
            cell=self.limited("cell", cell, layers, MAX_PATH),
            input_variables=known,
            output_variable_names=tuple(outputs),
            spec=self.text("spec", _first(layers, "spec"), layers),
            spark_connector=self.connector(layers),
        )
        places = tuple(layer.written for layer in layers)
        description = fields.description or layers[1].description or layers[2].description
        return Job(fields.name, description, request, deferred, outputs, fields.needs, places)

    def text(self, key: str, raw: str | None, layers: Layers) -> str | None:
        if raw is None or not is_template(raw) or self.is_open(raw):
            return raw
        position = _position(layers, key)
        try:
            value = encode(compile_template(raw).render(self.names))
        except TemplateError as error:
            self.problem(error.code, str(error), position, error.hint)
            return raw
        except ValueError as error:
            self.problem("DSJ206", f"'{key}': {error}", position)
            return raw
        if not value:
            self.problem("DSJ206", f"'{key}' renders to an empty text", position, "give the variable a value")
        return value

    def limited(self, key: str, raw: str | None, layers: Layers, limit: int) -> str | None:
        value = self.text(key, raw, layers)
        if value is not None and len(value) > limit:
            message = f"'{key}' has {len(value)} characters, and the API takes {limit}"
            self.problem("DSJ106", message, _position(layers, key), "shorten it")
        return value

    def project(self, layers: Layers) -> str:
        value = self.text("project", _first(layers, "project"), layers)
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
            self.problem(
                "DSJ209", message, _position(layers, "project"), did_you_mean(value, self.environment.projects)
            )
        elif len(value) > MAX_PROJECT_ID or _NOT_IN_AN_ID.search(value):
            message = f"'{value}' cannot be a project ID"
            hint = f"an ID has at most {MAX_PROJECT_ID} letters and digits"
            self.problem("DSJ106", message, self.project_position(layers), hint)
        return value

    def project_position(self, layers: Layers) -> Position:
        name = _first(layers, "project")
        projects = self.environment.projects
        if isinstance(projects, MarkedMap) and name in projects:
            return projects.value_position(name)
        return _position(layers, "project")

    def connector(self, layers: Layers) -> str | None:
        value = self.limited("spark_connector", _first(layers, "spark_connector"), layers, MAX_CONNECTOR_ID)
        connectors = self.environment.spark_connectors
        if value is None or value in connectors:
            return None if value is None else connectors[value]
        if self.environment.backend == "datasphere" and connectors and not _LOOKS_LIKE_ID.fullmatch(value):
            message = f"environment '{self.environment.name}' has no Spark connector '{value}'"
            self.problem("DSJ209", message, _position(layers, "spark_connector"), did_you_mean(value, connectors))
        return value

    def inputs(self, layers: Layers) -> tuple[dict[str, str], dict[str, Any]]:
        known: dict[str, str] = {}
        deferred: dict[str, Any] = {}
        for layer in reversed(layers):
            for name, value in layer.inputs.items():
                known.pop(name, None)
                deferred.pop(name, None)
                if type(value) is str and "{{" not in value and "{%" not in value and "{#" not in value:
                    known[name] = value
                    if "\0" in value:
                        self.input_problem(layer, name, "a NUL character cannot be in an environment variable")
                elif not _roots(value).isdisjoint(SUBMIT_TIME):
                    deferred[name] = value
                elif not self.is_open(value):
                    self.known_input(layer, name, value, known)
        return known, deferred

    def is_open(self, value: Any) -> bool:
        """Whether a template in `value` has an error, or needs something that has no value here."""
        try:
            templates = templates_in(value)
        except TemplateError:
            return True
        return not all(self.has_value(reference.path) for template in templates for reference in template.references)

    def has_value(self, path: tuple[str, ...]) -> bool:
        root, *rest = path
        if root == "vars" and rest:
            return rest[0] in self.names["vars"]
        return root in self.names and not (root == "environment" and rest)

    def known_input(self, layer: JobFields, name: str, value: Any, known: dict[str, str]) -> None:
        try:
            known[name] = encode(render(value, self.names))
        except TemplateError as error:
            self.problem(error.code, f"input '{name}': {error}", _input_position(layer, name), error.hint)
        except ValueError as error:
            self.input_problem(layer, name, str(error))

    def input_problem(self, layer: JobFields, name: str, message: str) -> None:
        self.problem("DSJ208", f"input '{name}': {message}", _input_position(layer, name))

    def outputs(self, layers: Layers) -> Mapping[str, Contract]:
        declared = [layer.outputs for layer in reversed(layers) if layer.outputs]
        if len(declared) < 2:
            return declared[0] if declared else {}
        return {name: contract for outputs in declared for name, contract in outputs.items()}

    def problem(self, code: str, message: str, position: Position, hint: str | None = None) -> None:
        self.problems.append(Diagnostic(code, message, position, hint))


def _position(layers: Iterable[JobFields], key: str) -> Position:
    layers = tuple(layers)
    written = next((layer.written for layer in layers if key in layer.written), layers[0].written)
    return written.value_position(key)


def _input_position(layer: JobFields, name: str) -> Position:
    inputs = layer.written.get("inputs")
    return inputs.value_position(name) if isinstance(inputs, MarkedMap) else layer.written.position()
