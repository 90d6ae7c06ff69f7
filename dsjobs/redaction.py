"""What a backend says of an operation, without secrets: texts are masked, and an output that holds one fails the job."""

from __future__ import annotations

from dataclasses import replace

from dsjobs.model import Failure, Operation
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


def _secrets(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return f"the secret {quoted[0]}" if len(quoted) == 1 else f"the secrets {', '.join(quoted)}"
