"""The git repository around a job file, asked through git itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit, branch (None when detached) and whether the tree has changes; None where there is no repository with a commit,
    or no git."""
    git = shutil.which("git")
    if git is None:
        return None
    commit = _ask(git, folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _ask(git, folder, "status", "--porcelain")
    return {
        "commit": commit,
        "branch": _ask(git, folder, "symbolic-ref", "--short", "-q", "HEAD"),
        "dirty": bool(changes) if changes is not None else None,
    }


def _ask(git: str, folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(  # noqa: S603 - git by its full path, with fixed arguments
            [git, "--no-optional-locks", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            encoding="utf-8",
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return answer.stdout.strip()
