"""Why a notebook cannot be run at all, before any of its code has run."""

from __future__ import annotations

from dsjobs.errors import DsjobsError, ExitCode


class NotebookError(DsjobsError):
    """A notebook is not there, cannot be read or cannot be run as it is. `code` is the code of its diagnostic."""

    exit_code = ExitCode.INVALID

    def __init__(self, message: str, *, code: str = "DSJ402", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
