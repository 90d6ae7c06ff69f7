"""The folder of what must survive a restart: made private, and used by one server at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from dsjobs.errors import GuardError, UsageError

_KEY_BYTES = 64


@dataclass(frozen=True, slots=True)
class StateFolder:
    """A state folder that this process holds until `release`."""

    path: Path
    _lock: int

    @property
    def database(self) -> Path:
        return self.path / "operations.db"

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
        path = self.path / "token.key"
        if not path.exists():
            fresh = path.with_suffix(".new")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
            os.replace(fresh, path)
        return path.read_bytes()

    def release(self) -> None:
        os.close(self._lock)


def hold(path: Path) -> StateFolder:
    """Makes the folder where it is missing and takes it. Raises GuardError when another server has it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        (path / ".gitignore").write_text("*\n", encoding="utf-8")
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"{path}: cannot be the state folder: {error.strerror or error}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        message = f"another server uses the state folder {path}"
        raise GuardError(message, hint="stop it, or give this one a folder of its own with --state-dir") from None
    return StateFolder(path, lock)
