"""The folder of what must survive a restart: made private, and used by one server at a time.

A folder of somebody else's is refused before anything in it changes: a server removes old files from its own.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dsjobs.errors import GuardError, UsageError

_KEY_BYTES = 64
_DATABASE, _KEY, _LOCK, _IGNORE = "operations.db", "token.key", "lock", ".gitignore"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """A state folder that this process holds until `release`."""

    path: Path
    _lock: int

    @property
    def database(self) -> Path:
        return self.path / _DATABASE

    @property
    def notebooks(self) -> Path:
        """Where executed notebooks are kept, each under the ID of its operation."""
        return self.path / "notebooks"

    @property
    def labs(self) -> Path:
        """Where each JupyterLab has its own configuration, runtime files and log."""
        return self.path / "labs"

    def signing_key(self) -> bytes:
        """The key that IAM tokens are signed with; made once, so that tokens outlive a restart."""
        path = self.path / _KEY
        if not path.exists():
            fresh = path.with_suffix(".new")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
            os.replace(fresh, path)
        return path.read_bytes()

    def release(self) -> None:
        os.close(self._lock)


def hold(path: Path) -> StateFolder:
    """Makes the folder where it is missing and takes it. Raises UsageError for one that is somebody else's, and GuardError
    when another server has it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not _is_ours(path):
            message = f"{path} is not the state folder of a server: it holds something else"
            raise UsageError(message, hint="name one that is empty, or that does not exist yet, with --state-dir")
        path.chmod(0o700)
        _hide_from_git(path)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"{path}: cannot be the state folder: {error.strerror or error}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        message = f"another server uses the state folder {path}"
        raise GuardError(message, hint="stop it, or give this one a folder of its own with --state-dir") from None
    return StateFolder(path, lock)


def _is_ours(path: Path) -> bool:
    """Whether a server has used the folder, or nobody has: one may have ended before there was a database."""
    names = set(os.listdir(path))
    return bool(names & {_DATABASE, _KEY}) or names <= {_LOCK, _IGNORE}


def _hide_from_git(path: Path) -> None:
    with suppress(FileExistsError), (path / _IGNORE).open("x", encoding="utf-8") as file:
        file.write("*\n")
