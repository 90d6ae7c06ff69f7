"""What people write: the job file as it was read, with the places of its values, and the values of its variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dsjobs.marks import MarkedMap, Position

Contract = Mapping[str, Any]
"""What an output must look like: a JSON Schema (draft 2020-12); empty for anything. With `severity: warn` beside its keywords, a
value that is not so is said, and is no failure."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable. `schema` is a JSON Schema that its final value must satisfy. `position`: of the declaration;
    `default_position`: of the default, where there is one. One that is not `is_understood` has a mistake, which has been
    reported: nobody misses its value."""

    name: str
    schema: Mapping[str, Any]
    has_default: bool
    default: Any
    description: str
    position: Position
    default_position: Position | None
    is_understood: bool = True


@dataclass(frozen=True, slots=True)
class VariableValue:
    """The final value of a variable and the layer that it came from: `jobs.yaml:7:11`, `--var-file prod.yaml:1:9`,
    `DSJOBS_VAR_NAME` or `--var`."""

    value: Any
    layer: str


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where the value of a secret is: in an environment variable or in a file, exactly one of them. `file` is relative to the
    folder of the file that defines it; in a plan, to that of the job file. One that was read from a plan or a journal has no
    `position`."""

    name: str
    env: str | None
    file: str | None
    position: Position | None = None

    def as_json(self) -> dict[str, str]:
        """The shape of the plan and the journal."""
        return {"env": self.env} if self.env is not None else {"file": self.file or ""}

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, str]) -> SecretSource:
        """The source that `as_json` wrote."""
        return cls(name, data.get("env"), data.get("file"))


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of a matrix. `label`: what stands in brackets in its name, e.g. `seed=1`. `ids`: for each key a text that
    is the same where the values are."""

    label: str
    values: Mapping[str, Any]
    ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The cells of a job, in order. `naming`: the keys that tell one cell from another; `keys`: all that any cell has."""

    cells: tuple[Cell, ...]
    naming: frozenset[str]
    keys: frozenset[str]


RunIf = Literal["all_success", "all_done", "none_failed", "at_least_one_success", "all_failed", "at_least_one_failed"]
"""What must have become of the jobs that a job needs for it to run."""

FailureKind = Literal["notebook", "contract", "aborted", "timeout", "lost", "backend", "template"]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an attempt that failed is followed by another, and when: the first after `delay` seconds, each later one
    after `backoff` times as long as the one before, at most `max_delay`. `on`: the kinds of failure that deserve it."""

    max_attempts: int = 1
    delay: float = 0.0
    backoff: float = 2.0
    max_delay: float = 300.0
    on: frozenset[FailureKind] = frozenset({"notebook", "contract", "aborted", "timeout", "lost", "backend"})

    def as_json(self) -> dict[str, Any]:
        """The shape of the plan."""
        return {
            "max_attempts": self.max_attempts,
            "delay": self.delay,
            "backoff": self.backoff,
            "max_delay": self.max_delay,
            "on": sorted(self.on),
        }


@dataclass(frozen=True, slots=True)
class JobFields:
    """What a job, or a `defaults` block, says: raw values, templates not yet rendered; None or empty where it is silent.

    `written` is the mapping in the file: it gives the position of each value.
    """

    written: MarkedMap
    name: str = ""
    description: str = ""
    project: str | None = None
    notebook: str | None = None
    cell: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Contract] = field(default_factory=dict)
    spec: str | None = None
    spark_connector: str | None = None
    needs: tuple[str, ...] = ()
    matrix: Matrix | None = None
    tags: tuple[str, ...] | None = None
    run_if: RunIf | None = None
    when: str | bool | None = None
    retry: Retry | None = None
    timeout: str | None = None
    pool: str | None = None
    allow_failure: bool | None = None
    cache: bool | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """A place to run: a backend with the names that stand for its projects and connectors."""

    name: str
    backend: str
    projects: Mapping[str, str]
    spark_connectors: Mapping[str, str]
    variables: Mapping[str, Any]
    settings: Mapping[str, Any]
    defaults: JobFields
    written: MarkedMap
    protected: bool = False


@dataclass(frozen=True, slots=True)
class Spec:
    """A job file, read and checked, with the files that it includes: `includes` has the path and digest of each."""

    name: str
    description: str
    file: str
    digest: str
    variables: Mapping[str, Variable]
    environments: Mapping[str, Environment]
    default_environment: str | None
    defaults: JobFields
    max_parallel: int | None
    jobs: tuple[JobFields, ...]
    pools: Mapping[str, int] = field(default_factory=dict)
    includes: Mapping[str, str] = field(default_factory=dict)
    pool_places: Mapping[str, Position] = field(default_factory=dict)
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
