"""What becomes of an attempt when a call about it has failed: the call is made again, or the attempt is given up. Pure.

Rules. A call that may succeed later is made again, a submit for at most `SUBMIT_PATIENCE`. A look that was refused says nothing
about its operation, which is new, or behind a gateway that is not well: it too is made again, for `LOOK_PATIENCE`. Where the
backend may be running an attempt that is given up, no other attempt follows by itself: a notebook would run twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from dsjobs.errors import BackendError
from dsjobs.model import Failure
from dsjobs.run.flights import Flight

SUBMIT_PATIENCE = 300.0
"""Seconds for which a submit that may succeed later is repeated, with the same idempotency key."""

LOOK_PATIENCE = 300.0
"""Seconds for which an operation that the backend refuses to show is looked for again."""

CANCEL_PATIENCE = 300.0
"""Seconds after which an attempt that took too long, and was asked to end, is given up though it still runs."""

_NOT_KNOWN = "whether the backend has started it is not known"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The end of an attempt. `is_over`: nothing of it is running, so another attempt may follow."""

    failure: Failure
    is_over: bool


def after_submit(flight: Flight, error: BackendError, now: float) -> GivenUp | None:
    """The end of an attempt whose submit has failed, None where it is to be repeated. `now` in ticks."""
    if error.retryable and now - flight.since < SUBMIT_PATIENCE:
        flight.put_off, flight.is_unsure = error, True
        return None
    hint = error.hint
    if flight.is_unsure:
        hint = f"{hint}; {_NOT_KNOWN}" if hint else _NOT_KNOWN
    message = f"the job could not be submitted: {error}"
    return GivenUp(Failure("backend", message, hint), is_over=not flight.is_unsure)


def before_submit(flight: Flight) -> GivenUp:
    """The end of an attempt whose submit would have been repeated, had the run not been stopped."""
    message = f"the job could not be submitted before the run was stopped: {flight.put_off}"
    return GivenUp(Failure("backend", message, _NOT_KNOWN), is_over=False)


def after_look(flight: Flight, error: BackendError, now: float) -> GivenUp | None:
    """The end of an attempt whose operation could not be looked at, None where it is looked at again."""
    if error.retryable:
        return None
    if flight.refused_since is None:
        flight.refused_since = now
    if now - flight.refused_since < LOOK_PATIENCE:
        return None
    running = f"its operation {flight.operation_id} may still be running"
    message = f"the job could not be watched any more: {error}"
    hint = f"{error.hint}; {running}" if error.hint else running
    return GivenUp(Failure("backend", message, hint), is_over=False)
