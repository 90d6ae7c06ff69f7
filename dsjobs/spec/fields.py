"""What a job, or a `defaults` block, says: its keys as JobFields, with what the schema cannot say about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dsjobs.diagnostics import Diagnostic
from dsjobs.marks import MarkedList, MarkedMap, position_at
from dsjobs.model import Contract, JobFields, Matrix, Retry
from dsjobs.spec.contracts import SchemaProblem, schema_of, schema_problem
from dsjobs.spec.durations import DurationError, seconds
from dsjobs.spec.matrix import Matrices


class FieldsReader:
    """Reads the jobs and `defaults` of one file; what is wrong with them is added to `problems`."""

    def __init__(self, problems: list[Diagnostic]) -> None:
        self.problems = problems
        self._matrices = Matrices()

    def read(self, written: MarkedMap) -> JobFields:
        """The keys of a job, or of `defaults`."""
        matrix = self._matrices.read(written["matrix"], self.problems) if "matrix" in written else None
        return _job_fields(written, matrix, self.problems)


def _job_fields(written: MarkedMap, matrix: Matrix | None, problems: list[Diagnostic]) -> JobFields:
    get = written.get
    return JobFields(
        written=written,
        name=get("name", ""),
        description=get("description", ""),
        project=get("project"),
        notebook=get("notebook"),
        cell=get("cell"),
        inputs=get("inputs", _EMPTY),
        outputs=_outputs(written, problems) if "outputs" in written else _EMPTY,
        spec=get("spec"),
        spark_connector=get("spark_connector"),
        needs=tuple(get("needs", ())),
        matrix=matrix,
        tags=tuple(written["tags"]) if "tags" in written else None,
        run_if=get("run_if"),
        when=get("when"),
        pool=get("pool"),
        allow_failure=get("allow_failure"),
        cache=get("cache"),
        retry=_retry(written["retry"], problems) if "retry" in written else None,
        timeout=get("timeout"),
    )


_EMPTY: Mapping[str, Any] = {}


def _outputs(written: MarkedMap, problems: list[Diagnostic]) -> Mapping[str, Contract]:
    outputs = written["outputs"]
    if isinstance(outputs, MarkedList):
        return dict.fromkeys(outputs, _EMPTY)
    for name, contract in outputs.items():
        problem = schema_problem(schema_of(contract))
        if problem is not None:
            problems.append(schema_diagnostic(problem, contract, f"the contract of '{name}'"))
    contracts: Mapping[str, Contract] = outputs
    return contracts


def _retry(value: Any, problems: list[Diagnostic]) -> Retry:
    if not isinstance(value, MarkedMap):
        return Retry(max_attempts=int(value))
    delay, max_delay = (_duration(value, key, problems) for key in ("delay", "max_delay"))
    if delay is not None and max_delay is not None and delay > max_delay:
        message = "the longest wait, 'max_delay', is shorter than the first, 'delay'"
        problems.append(Diagnostic("DSJ106", message, value.value_position("max_delay"), "write a longer one"))
    usual = Retry()
    delay = usual.delay if delay is None else delay
    backoff = float(value.get("backoff", usual.backoff))
    if math.isnan(backoff):  # it is neither below the minimum nor above the maximum
        message, position = "'retry.backoff' is not a number", value.value_position("backoff")
        problems.append(Diagnostic("DSJ106", message, position, "a backoff is 1 to 100"))
    return Retry(
        max_attempts=int(value.get("max_attempts", usual.max_attempts)),
        delay=delay,
        backoff=backoff,
        max_delay=max(usual.max_delay, delay) if max_delay is None else max_delay,
        on=frozenset(value.get("on", usual.on)),
    )


def _duration(written: MarkedMap, key: str, problems: list[Diagnostic]) -> float | None:
    if key not in written:
        return None
    try:
        return seconds(written[key])
    except DurationError as error:
        problems.append(Diagnostic("DSJ106", f"'retry.{key}': {error}", written.value_position(key), error.hint))
        return None


def schema_diagnostic(problem: SchemaProblem, written: MarkedMap, what: str, hint: str | None = None) -> Diagnostic:
    position = position_at(written, problem.path, of_key=problem.is_key) or written.position()
    return Diagnostic("DSJ108", f"{what}: {problem.message}", position, problem.hint or hint)
