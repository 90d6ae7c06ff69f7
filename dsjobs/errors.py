"""What cannot go on, as exceptions, and the exit code of each. A failed notebook is not one of them: it is a value."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsjobs.diagnostics import Diagnostic


class ExitCode(IntEnum):
    """What the process answers; the table is part of the command line's contract."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INVALID = 3
    BACKEND = 4
    BUG = 5
    REFUSED = 6
    TIMEOUT = 124
    INTERRUPTED = 130
    TERMINATED = 143


class DsjobsError(Exception):
    """Anything that ends a command and is not a bug. `hint` says what to do about it."""

    exit_code = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(DsjobsError):
    """The command was called in a way that makes no sense."""

    exit_code = ExitCode.USAGE


class InvalidFileError(DsjobsError):
    """A job file, a plan, a journal or a manifest is invalid; `diagnostics` says where and how, when places are known."""

    exit_code = ExitCode.INVALID

    def __init__(self, message: str, *, hint: str | None = None, diagnostics: Sequence[Diagnostic] = ()) -> None:
        super().__init__(message, hint=hint)
        self.diagnostics = tuple(diagnostics)


class BackendError(DsjobsError):
    """A backend could not be asked, or did not understand. Nothing was decided about the job.

    `retryable`: whether the same call, with the same idempotency key, may succeed later. `is_denied`: it was the caller who was
    refused, who has no credentials, or none that are good any more: no call can succeed, and none says anything about a job.
    """

    exit_code = ExitCode.BACKEND

    def __init__(self, message: str, *, retryable: bool, hint: str | None = None, is_denied: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        self.is_denied = is_denied


class GuardError(DsjobsError):
    """A guard refused: a lock is held, jobs of an earlier run are in flight, a saved plan is out of date, an environment is
    protected."""

    exit_code = ExitCode.REFUSED
