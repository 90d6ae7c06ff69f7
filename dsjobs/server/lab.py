"""One JupyterLab on one folder: a process of its own that does not outlive this one."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import urllib.parse
from asyncio.subprocess import Process
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_ATTEMPTS = 3
_IDLE_SECONDS = 3 * 3600
INSTALL_HINT = "pip install 'dsjobs[lab]'"

# Runs before JupyterLab in its process: SIGTERM (15) when the thread that started it is gone, upon which it ends its kernels.
_GUARD = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
_ANNOUNCEMENTS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


class LabError(Exception):
    """JupyterLab did not start. The text says why."""


@dataclass(frozen=True, slots=True)
class LabPlace:
    """Where a JupyterLab works and keeps its own files, at which loopback address it listens, and whose interpreter runs it."""

    project: Path
    private: Path
    host: str
    python: str


class Lab:
    """A running JupyterLab. Belongs to the event loop that started it."""

    def __init__(self, process: Process, port: int, token: str) -> None:
        self.port = port
        self._process = process
        self._token = token

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    def address(self, hostname: str) -> str:
        """Its address with the token, for a browser that reaches this machine as `hostname`."""
        return f"http://{hostname}:{self.port}/lab?{urllib.parse.urlencode({'token': self._token})}"

    async def stop(self) -> None:
        """Ends JupyterLab and its kernels, kindly first."""
        if self.is_running:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


async def is_installed(python: str) -> bool:
    """Whether this interpreter has JupyterLab."""
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('jupyterlab') is None)"
    process = await asyncio.create_subprocess_exec(python, "-c", look, stdin=asyncio.subprocess.DEVNULL)
    return await process.wait() == 0


async def start(place: LabPlace) -> Lab:
    """Starts JupyterLab and returns when it listens. Raises LabError."""
    for name in ("config", "runtime"):
        (place.private / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    page_config = place.private / "config" / "labconfig" / "page_config.json"
    page_config.parent.mkdir(exist_ok=True)
    page_config.write_text(json.dumps(_ANNOUNCEMENTS), encoding="utf-8")
    for _ in range(_ATTEMPTS):
        lab = await _attempt(place)
        if lab is not None:
            return lab
    raise LabError(f"JupyterLab ended before it was ready; its log is {_log(place)}")


async def _attempt(place: LabPlace) -> Lab | None:
    """One start, at a port that is free now; None when the process has ended, be it that the port was taken meanwhile."""
    token, port = secrets.token_urlsafe(32), _free_port(place.host)
    # The token is in a file: anyone can read the arguments of a process, and kernels inherit its environment.
    token_file = place.private / "runtime" / "token"
    token_file.unlink(missing_ok=True)
    with open(os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(token)
    with _log(place).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *_command(place, port), env=_environment(place, token_file), cwd=place.project,
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    lab = Lab(process, port, token)
    try:
        async with asyncio.timeout(_START_SECONDS):
            while lab.is_running:
                # JupyterLab writes this file when its socket listens.
                if (place.private / "runtime" / f"jpserver-{process.pid}.json").exists():
                    return lab
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        await lab.stop()
        raise LabError(f"JupyterLab did not start within {_START_SECONDS:.0f} s; its log is {_log(place)}") from None
    except asyncio.CancelledError:
        await lab.stop()
        raise
    return None


def _command(place: LabPlace, port: int) -> list[str]:
    guard = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid())] if sys.platform == "linux" else []
    options = [
        "--no-browser",
        f"--ServerApp.ip={place.host}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={place.project}",
        f"--ServerApp.shutdown_no_activity_timeout={_IDLE_SECONDS}",
        "--ServerApp.terminals_enabled=False",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if os.geteuid() == 0:
        options.append("--allow-root")
    return [*guard, place.python, "-m", "jupyterlab", *options]


def _environment(place: LabPlace, token_file: Path) -> dict[str, str]:
    """That of this process, with folders that keep the user's own JupyterLab and this one apart."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE")
    }
    return inherited | {
        "JUPYTER_CONFIG_DIR": str(place.private / "config"),
        "JUPYTER_RUNTIME_DIR": str(place.private / "runtime"),
        "JUPYTER_TOKEN_FILE": str(token_file),
    }


def _log(place: LabPlace) -> Path:
    return place.private / "lab.log"


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
