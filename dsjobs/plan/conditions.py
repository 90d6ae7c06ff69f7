"""`run_if`: whether a job runs, given what the jobs that it needs have come to. Six forms, as in Databricks.

A job that was cancelled counts as failed. One that was skipped counts as neither failed nor succeeded: it is no second failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dsjobs.model import RunIf, Status

Ended = Sequence[tuple[str, Status]]
"""Each job that is needed, and its final status."""


def succeeded(status: Status) -> bool:
    return status is Status.SUCCEEDED


def failed(status: Status) -> bool:
    return status in (Status.FAILED, Status.CANCELLED)


def _first(needs: Ended, matches: Callable[[Status], bool]) -> str | None:
    return next((f"'{name}' {past(status)}" for name, status in needs if matches(status)), None)


def obstacle(run_if: RunIf, needs: Ended) -> str | None:
    """Why a job does not run, in words; None where it does. Every job runs that needs none."""
    if not needs or run_if == "all_done":
        return None
    if run_if == "all_success":
        return _first(needs, lambda status: not succeeded(status))
    if run_if == "none_failed":
        return _first(needs, failed)
    if run_if == "all_failed":
        return _first(needs, lambda status: not failed(status))
    wanted, words = (succeeded, "succeeded") if run_if == "at_least_one_success" else (failed, "failed")
    return None if _first(needs, wanted) else f"none of {_names(needs)} {words}"


def past(status: Status) -> str:
    """What became of a job, as a verb."""
    return f"was {status.value}" if status in (Status.CANCELLED, Status.SKIPPED) else status.value


def _names(needs: Ended) -> str:
    shown = ", ".join(f"'{name}'" for name, _ in needs[:3])
    return f"{shown} and {len(needs) - 3} more" if len(needs) > 3 else shown
