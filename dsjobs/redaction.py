"""What a backend says of an operation, without secrets: texts are masked, and an output that holds one fails the job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dsjobs.model import Failure, Operation, Unread
from dsjobs.secrets import MASK, Redactor

_HINT = "publish something else; a job that needs the secret takes it as an input of its own: `{secret: NAME}`"


def redacted(operation: Operation, redactor: Redactor) -> Operation:
    """`operation` as it may be written down. Nothing may write down an output with a secret in it, so nothing can hand it on:
    the operation has then failed. One that is redacted already stays as it is."""
    if not redactor or not operation.done:
        return operation
    failure = redacted_failure(operation.failure, redactor) if operation.failure is not None else None
    if operation.outputs is None:
        return replace(operation, failure=failure)
    held = {name: redactor.names_in(value) for name, value in operation.outputs.items()}
    outputs = {name: MASK if held[name] else value for name, value in operation.outputs.items()}
    broken = [f"output '{name}' holds the value of {_secrets(names)}" for name, names in held.items() if names]
    if broken and failure is None and not operation.cancelled:
        failure = Failure("contract", f"{'; '.join(broken)}, which must not be written down", _HINT)
    return replace(operation, failure=failure, outputs=outputs)


def withheld(operation: Operation, secrets: Sequence[str]) -> Operation:
    """`operation` without whatever may have one of `secrets` in it, of which no value is known that could be looked for: outputs
    count as unread, and of a failure its kind and its place are left."""
    if not secrets or not operation.done:
        return operation
    why = f"may hold {_secrets(secrets)}, of which no value is known here, and is not kept"
    hint = "the run was taken up without that value: with it this would have been masked"
    failure = operation.failure
    if failure is not None:
        place = (failure.cell_number, failure.cell_id, failure.line)
        failure = Failure(failure.kind, f"what is said of it {why}", hint, *place)
    unread = operation.unread
    if operation.outputs is not None and (failure is None or unread):
        unread = {name: Unread(f"output '{name}' {why}", hint) for name in (*operation.outputs, *unread)}
    return replace(operation, failure=failure, outputs=None if operation.outputs is None else {}, unread=unread)


def redacted_failure(failure: Failure, redactor: Redactor) -> Failure:
    """A failure without secrets in its texts."""
    if not redactor:
        return failure

    def masked(text: str | None) -> str | None:
        return redactor.mask(text) if text is not None else None

    return replace(
        failure,
        message=redactor.mask(failure.message),
        hint=masked(failure.hint),
        source_line=masked(failure.source_line),
        exception=masked(failure.exception),
        traceback=tuple(redactor.mask_all(failure.traceback)),
    )


def _secrets(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return f"the secret {quoted[0]}" if len(quoted) == 1 else f"the secrets {', '.join(quoted)}"
