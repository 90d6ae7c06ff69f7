"""What will be done: requests, jobs with everything rendered that is known before the run, and the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dsjobs.marks import MarkedMap, Position
from dsjobs.model.written import Contract, Retry, RunIf, SecretSource, VariableValue


@dataclass(frozen=True, slots=True)
class Request:
    """What a job asks of a backend: the body and path of Project.Execute, in dsjobs' own names.

    Page: DataSphere API v2, REST, Project.Execute. Exactly one of `notebook` and `cell` is set. `input_variables` are
    text, because the page does not say how other values become environment variables. `secrets`: the names of further
    variables, each with the name of the secret that it gets when the job is submitted; no request knows a secret's value.
    """

    project: str
    notebook: str | None = None
    cell: str | None = None
    input_variables: Mapping[str, str] = field(default_factory=dict)
    output_variable_names: tuple[str, ...] = ()
    spec: str | None = None
    spark_connector: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The notebook, or the cell, that runs."""
        return self.notebook or self.cell or ""

    def as_json(self) -> dict[str, Any]:
        """The request in the API's own terms; what is not set is left out. A secret is `{"secret": NAME}`."""
        secrets = {name: {"secret": secret} for name, secret in self.secrets.items()}
        body: dict[str, Any] = {
            "projectId": self.project,
            "notebookId": self.notebook,
            "cellId": self.cell,
            "inputVariables": {**self.input_variables, **secrets} or None,
            "outputVariableNames": list(self.output_variable_names) or None,
            "spec": self.spec,
            "sparkConnectorId": self.spark_connector,
        }
        return {key: value for key, value in body.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """The request that `as_json` wrote."""
        inputs = data.get("inputVariables", {})
        return cls(
            project=data["projectId"],
            notebook=data.get("notebookId"),
            cell=data.get("cellId"),
            input_variables={name: value for name, value in inputs.items() if isinstance(value, str)},
            output_variable_names=tuple(data.get("outputVariableNames", ())),
            spec=data.get("spec"),
            spark_connector=data.get("sparkConnectorId"),
            secrets={name: value["secret"] for name, value in inputs.items() if not isinstance(value, str)},
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A job of one environment, with everything rendered that is known before the run.

    `request.input_variables` holds the inputs whose text is known; `deferred_inputs` the templates of those that depend
    on other jobs or on the run. `places` are the mappings that its values came from, the job's own first; a job that was
    read from a plan or a journal has none. `timeout`: seconds that one attempt may take from when the backend accepted it.
    A cell of a matrix is a job of its own, `train[seed=1]`: `base` is then the job of the file, and `matrix` its values; else
    both are empty. `bindings`: for a name in the file's `needs` the job or cell that it stands for, or all of the cells; a
    name that is not in it stands for the job of that name. `needs` has the names of all of them.

    `when`: an expression that is known at submit, None where there is none or where it was known at load: where that was false,
    `skip_reason` says so. `pools`: what it holds while it is in flight.
    """

    name: str
    description: str
    request: Request
    deferred_inputs: Mapping[str, Any]
    outputs: Mapping[str, Contract]
    needs: tuple[str, ...]
    places: tuple[MarkedMap, ...] = ()
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    tags: tuple[str, ...] = ()
    base: str = ""
    matrix: Mapping[str, Any] = field(default_factory=dict)
    bindings: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    run_if: RunIf = "all_success"
    when: str | None = None
    allow_failure: bool = False
    cache: bool = False
    pools: tuple[str, ...] = ()
    skip_reason: str | None = None

    def position(self, *path: str) -> Position:
        """Where the value at `path` (e.g. `"inputs", "ALPHA"`) was written; the job itself where it was not."""
        for written in self.places:
            inner: Any = written
            for key in path[:-1]:
                inner = inner.get(key) if isinstance(inner, MarkedMap) else None
            if isinstance(inner, MarkedMap) and (not path or path[-1] in inner):
                return inner.value_position(path[-1]) if path else inner.position()
        return self.places[0].position()


@dataclass(frozen=True, slots=True)
class CodeCell:
    """A code cell: `number` counts them from 1; `text` is its source without what does not change what it does."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """The code that a request runs: `digest` is over the sources as they are, as in ExecutedNotebook; `cells` are those that
    are not empty."""

    digest: str
    cells: tuple[CodeCell, ...]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Everything that a job depends on: where the digests of two are equal, the jobs would do the same.

    `request` is what it asks for, but its inputs; `inputs` are their texts, templates where the text is known only at submit,
    and digests of what is long. `cells`: the digest of each code cell; `code`: of all of them as they are, which is no part of
    the digest; both None where the backend keeps the notebook to itself. `upstream`: of each job in its needs the fingerprint;
    None for one that is not there, `skipped` for one whose `when` was false. `outputs`: a digest of their contracts.
    """

    digest: str
    environment: str
    backend: str
    request: Mapping[str, str]
    inputs: Mapping[str, str]
    outputs: str | None
    when: str | None
    cells: tuple[str, ...] | None
    upstream: Mapping[str, str | None]
    code: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The shape of the plan, the journal and the manifest; what is not there is left out."""
        fields = {
            "digest": self.digest,
            "environment": self.environment,
            "backend": self.backend,
            "request": dict(self.request),
            "inputs": dict(self.inputs) or None,
            "outputs": self.outputs,
            "when": self.when,
            "cells": list(self.cells) if self.cells is not None else None,
            "upstream": dict(self.upstream) or None,
            "code": self.code,
        }
        return {key: value for key, value in fields.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fingerprint:
        """The fingerprint that `as_json` wrote."""
        usual: dict[str, Any] = {"inputs": {}, "outputs": None, "when": None, "upstream": {}}
        cells = data.get("cells")
        return cls(**{**usual, **data, "cells": tuple(cells) if cells is not None else None})


Action = Literal["run", "skip", "reuse"]


@dataclass(frozen=True, slots=True)
class OutputWarning:
    """An output that is not what its contract promises, where the contract says `severity: warn`."""

    output: str
    message: str

    def as_json(self) -> dict[str, Any]:
        """The shape of the plan, the journal and the manifest."""
        return {"output": self.output, "message": self.message}


@dataclass(frozen=True, slots=True)
class Reused:
    """What a job came to in an earlier run, which stands: the run's ID, its outputs, where the executed notebook lies, the
    fingerprint that it had then, and what was wrong with outputs whose contracts only warn."""

    run: str
    outputs: Mapping[str, Any] | None
    notebook: Mapping[str, Any] | None = None
    fingerprint: Fingerprint | None = None
    warnings: tuple[OutputWarning, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The shape of the plan, the journal and the manifest."""
        written: dict[str, Any] = {
            "run": self.run,
            "outputs": dict(self.outputs) if self.outputs is not None else None,
            "notebook": dict(self.notebook) if self.notebook is not None else None,
        }
        if self.fingerprint is not None:
            written["fingerprint"] = self.fingerprint.as_json()
        if self.warnings:
            written["warnings"] = [warning.as_json() for warning in self.warnings]
        return written

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Reused:
        """What `as_json` wrote."""
        fingerprint = data.get("fingerprint")
        return cls(
            data["run"],
            data["outputs"],
            data["notebook"],
            Fingerprint.from_json(fingerprint) if fingerprint else None,
            tuple(OutputWarning(**warning) for warning in data.get("warnings", ())),
        )


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job, what the plan will do with it, and why. `reused` where the action is `reuse`. One that is not `selected` is no part
    of the run: jobs that need it go as if it were not in their needs. One that is skipped although it is selected has a `when`
    that is false: for jobs that need it, it is skipped."""

    job: Job
    action: Action
    reasons: tuple[str, ...]
    reused: Reused | None = None
    selected: bool = True
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True, slots=True)
class EarlierManifest:
    """The manifest that a plan was made against: of the latest run of its environment, which is None where there was none yet,
    or one from elsewhere, in the file `path`."""

    run: str | None
    digest: str | None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do: the jobs in the order in which they would start one after another. `git_commit`: the one that the
    templates saw, where they ask for git; `earlier`: where something depends on an earlier run."""

    name: str
    file: str
    digest: str
    environment: str
    backend: str
    settings: Mapping[str, Any]
    variables: Mapping[str, VariableValue]
    max_parallel: int
    jobs: tuple[PlannedJob, ...]
    protected: bool = False
    pools: Mapping[str, int] = field(default_factory=dict)
    includes: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    earlier: EarlierManifest | None = None
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
