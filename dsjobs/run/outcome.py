"""What an ended operation means for its job: status, outputs held against their contracts, failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsjobs.model import Contract, ExecutedNotebook, Failure, KernelStart, Operation, OutputWarning, Status
from dsjobs.spec.contracts import only_warns, schema_of, violations
from dsjobs.spec.durations import written

TIMEOUT_HINT = "give it more time with the job's `timeout`"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt. `outputs` is None where the backend returns none; `warnings`: what is wrong with those whose
    contracts say `severity: warn`. Times are seconds since the epoch."""

    status: Status
    failure: Failure | None = None
    outputs: Mapping[str, Any] | None = None
    executed: ExecutedNotebook | None = None
    started_at: float | None = None
    finished_at: float | None = None
    kernel_start: KernelStart | None = None
    warnings: tuple[OutputWarning, ...] = ()


def judge(
    operation: Operation,
    contracts: Mapping[str, Contract],
    *,
    cancelling: str | None = None,
    timeout: float | None = None,
) -> Outcome:
    """The outcome of a done operation. A notebook that ran but broke a contract has failed, unless the contract only warns; its
    outputs are kept.

    `cancelling`: why it was asked to end, if it was; `timeout`: seconds that it might take. One that ended before the
    request arrived is what it is.
    """
    failure = operation.failure
    warnings: tuple[OutputWarning, ...] = ()
    # A process that took the run up again has not asked itself, so its backend cannot know.
    was_cancelled = operation.cancelled or (
        cancelling is not None and failure is not None and failure.kind == "aborted"
    )
    if was_cancelled and cancelling == "timeout":
        failure = Failure("timeout", f"it took longer than {written(timeout or 0.0)}, and was cancelled", TIMEOUT_HINT)
        status = Status.FAILED
    elif was_cancelled:
        failure, status = None, Status.CANCELLED
    else:
        failure, warnings = _held(operation, contracts)
        status = Status.FAILED if failure else Status.SUCCEEDED
    return Outcome(
        status,
        failure,
        operation.outputs,
        operation.executed,
        operation.started_at,
        operation.finished_at,
        operation.kernel_start,
        warnings,
    )


def still_running(operation_id: str | None, timeout: float, patience: float) -> Outcome:
    """The outcome of an attempt that took too long, was asked to end, and did not."""
    message = (
        f"it took longer than {written(timeout or 0.0)}, was asked to end, and has not in {written(patience)} more"
    )
    return Outcome(Status.FAILED, Failure("timeout", message, f"its operation {operation_id} may still be running"))


def duration(outcome: Outcome) -> float | None:
    """Seconds that an attempt took by the backend's own times, where it gives them."""
    if outcome.started_at is None or outcome.finished_at is None:
        return None
    return max(0.0, outcome.finished_at - outcome.started_at)


Held = tuple[Failure | None, tuple[OutputWarning, ...]]


def _held(operation: Operation, contracts: Mapping[str, Contract]) -> Held:
    """What is wrong with an operation that was not cancelled: a failure, and what outputs whose contracts only warn lack."""
    failure = operation.failure
    if failure is None or operation.unread:
        return (failure, ()) if operation.outputs is None else _held_outputs(operation, operation.outputs, contracts)
    if failure.kind == "contract" and contracts and all(map(only_warns, contracts.values())):
        return None, tuple(OutputWarning(name, failure.message) for name in contracts)  # nothing could be read
    return failure, ()


def _held_outputs(operation: Operation, outputs: Mapping[str, Any], contracts: Mapping[str, Contract]) -> Held:
    """One failure with everything that is wrong with the outputs, and what is wrong with those whose contracts only warn."""
    broken: list[str] = []
    hints: list[str] = []
    warnings: list[OutputWarning] = []
    for name, contract in contracts.items():
        unread = operation.unread.get(name)
        found = [unread.message] if unread is not None else _broken(name, contract, outputs)
        if only_warns(contract):
            warnings += [OutputWarning(name, message) for message in found]
            continue
        broken += found
        if unread is not None and unread.hint is not None:
            hints.append(unread.hint)
    if not broken:
        return None, tuple(warnings)
    hint = "; ".join(dict.fromkeys(hints)) or _PROMISED
    return Failure("contract", "; ".join(broken), hint), tuple(warnings)


_PROMISED = "the notebook ran to its end; its outputs are not what the job file promises"


def _broken(name: str, contract: Contract, outputs: Mapping[str, Any]) -> list[str]:
    if name not in outputs:
        return [f"output '{name}' was not assigned"]
    found = _violations(contract, outputs[name])
    return [f"output '{name}'{'' if where == '$' else f' at {where}'}: {message}" for where, message in found]


def _violations(contract: Contract, value: Any) -> list[tuple[str, str]]:
    """What in `value` breaks `contract`. A contract is written by a user: one that cannot be evaluated, for example because
    it refers to itself without end, is broken too."""
    try:
        return list(violations(schema_of(contract), value))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this job and must not end the run
        return [("$", f"its contract cannot be checked: {type(error).__name__}: {str(error)[:200]}")]
