"""Opens a fork server for a run, before anything of Jupyter's is imported: the two imports then take place side by side."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from dsjobs.notebook.forkserver import choice
from dsjobs.notebook.forkserver.client import ForkServer
from dsjobs.notebook.kernelsettings import KernelSettings

# The limit of a socket's path is 108 bytes on Linux and 104 on macOS; names in the folder add at most 30.
MAX_FOLDER_BYTES = 70


def open_server(settings: KernelSettings) -> tuple[Path, ForkServer | None]:
    """The name of a private folder for kernels, and the fork server where there can be one, which has just been started. The
    folder is there when the server is: whatever ends dsjobs, the server removes it. Raises OSError."""
    folder = _name()
    if not settings.may_fork or choice.platform_refusal() is not None or not sys.executable:
        return folder, None
    server = ForkServer([sys.executable, *_flags()], settings.preload, folder, os.environ)
    try:
        make(folder)
    except OSError:
        server.kill()  # before it removes what may be somebody else's
        raise
    return folder, server


def make(folder: Path) -> None:
    """Makes the folder, for this user only. Raises OSError, also where it is there already."""
    folder.mkdir(mode=0o700)


def abandon(folder: Path, server: ForkServer | None) -> None:
    """Ends what `open_server` has begun."""
    if server is not None:
        server.close()
        server.wait(1.0)
    shutil.rmtree(folder, ignore_errors=True)


def _name() -> Path:
    """The path of a folder that is not there, a short one: a socket's path has a limit."""
    folder = Path(tempfile.gettempdir()).resolve()
    if len(os.fsencode(folder)) + 20 > MAX_FOLDER_BYTES and os.access("/tmp", os.W_OK | os.X_OK):  # noqa: S108
        folder = Path("/tmp")  # noqa: S108 (of mode 0700 in it, and new)
    return folder / f"dsjobs-{secrets.token_hex(6)}"


def _flags() -> list[str]:
    """The interpreter's options in the kernelspec that ipykernel installs. Where another one is found later, no kernel of
    it becomes a fork of this server."""
    try:
        spec = json.loads(Path(sys.prefix, "share/jupyter/kernels/python3/kernel.json").read_bytes())
        argv: list[str] = spec["argv"]
        return argv[1 : argv.index("-m")]
    except (OSError, ValueError, KeyError):
        return []
