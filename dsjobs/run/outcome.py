"""What an ended operation means for its job: status, outputs held against their contracts, failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dsjobs.model import Contract, ExecutedNotebook, Failure, KernelStart, Operation, Status
from dsjobs.spec.contracts import violations


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt. `outputs` is None where the backend returns none. Times are seconds since the epoch."""

    status: Status
    failure: Failure | None = None
    outputs: Mapping[str, Any] | None = None
    executed: ExecutedNotebook | None = None
    started_at: float | None = None
    finished_at: float | None = None
    kernel_start: KernelStart | None = None


def judge(operation: Operation, contracts: Mapping[str, Contract]) -> Outcome:
    """The outcome of a done operation. A notebook that ran but broke a contract has failed; its outputs are kept."""
    failure = operation.failure
    status = Status.FAILED if failure else Status.SUCCEEDED
    if operation.cancelled:
        status = Status.CANCELLED
    elif failure is None and operation.outputs is not None:
        failure = _contract_failure(operation.outputs, contracts)
        status = Status.FAILED if failure else status
    return Outcome(
        status,
        failure,
        operation.outputs,
        operation.executed,
        operation.started_at,
        operation.finished_at,
        operation.kernel_start,
    )


def _contract_failure(outputs: Mapping[str, Any], contracts: Mapping[str, Contract]) -> Failure | None:
    broken = list(_broken(outputs, contracts))
    if not broken:
        return None
    hint = "the notebook ran to its end; its outputs are not what the job file promises"
    return Failure("contract", "; ".join(broken), hint)


def _broken(outputs: Mapping[str, Any], contracts: Mapping[str, Contract]) -> Iterator[str]:
    for name, contract in contracts.items():
        if name not in outputs:
            yield f"output '{name}' was not assigned"
            continue
        for where, message in _violations(contract, outputs[name]):
            place = "" if where == "$" else f" at {where}"
            yield f"output '{name}'{place}: {message}"


def _violations(contract: Contract, value: Any) -> list[tuple[str, str]]:
    """What in `value` breaks `contract`. A contract is written by a user: one that cannot be evaluated, for example because
    it refers to itself without end, is broken too."""
    try:
        return list(violations(contract, value))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this job and must not end the run
        return [("$", f"its contract cannot be checked: {type(error).__name__}: {str(error)[:200]}")]
