"""A page as a reader goes through it: its files are written and its commands are run in a folder of its own, in their order."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from commands import matches, steps
from pages import PAGES, REPOSITORY, Block, blocks

TIMEOUT = 120.0
PORT = "8765"
"""The port of `dsjobs serve` in the pages; when they are tried, it is one that is free."""

STORE = "/tmp/dsjobs-outputs"
"""A folder outside of the page's own, which is one below it when the pages are tried."""


class Session:
    """Runs one page. `texts`: by the line of the fence, the blocks whose commands print something else than the page shows."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.folder = folder / "start"
        self.folder.mkdir(parents=True)
        self.texts: dict[int, str] = {}
        self._port = _free_port()
        self._servers: list[subprocess.Popen[bytes]] = []
        self._environ = _environ(folder)

    def move(self, block: Block) -> None:
        """Go on in another folder."""
        name = block.marks.get("folder") or f"project-{len(list(self.root.iterdir()))}"
        self.folder = self.root / name
        self.folder.mkdir()
        if "project" in block.marks:
            (page,) = [page for page in PAGES if page.stem == block.marks["project"]]
            for other in blocks(page):
                if "file" in other.marks or "notebook" in other.marks:
                    self.write(other)

    def write(self, block: Block) -> None:
        """Write the block's file."""
        path = self.folder / (block.marks.get("file") or block.marks["notebook"])
        path.parent.mkdir(parents=True, exist_ok=True)
        text = self._here(block.text)
        if "file" in block.marks:
            path.write_text(text, encoding="utf-8")
            return
        cells = [nbformat.v4.new_code_cell(cell.strip("\n")) for cell in re.split(r"^# %%\n", text, flags=re.MULTILINE)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)

    def show(self, block: Block) -> str | None:
        """Run the commands of a console block; what is wrong, or None."""
        wanted = int(block.marks.get("exit", 0))
        lines: list[str] = []
        wrong = None
        all_steps = steps(block.text)
        for index, step in enumerate(all_steps):
            code, printed = self.run(step.command)
            expected = wanted if index == len(all_steps) - 1 else 0
            if code != expected:
                return f"`{step.command}` ends with {code}, not {expected}:\n{printed}"
            fits = matches(step.shown, printed)
            lines += [f"$ {step.command}", *(step.shown if fits else printed.splitlines())]
            if not fits:
                wrong = wrong or f"`{step.command}` prints\n{printed}"
        if wrong:
            self.texts[block.line] = "\n".join(lines) + "\n"
        return wrong

    def execute(self, block: Block) -> str | None:
        """Run a script; what is wrong, or None."""
        wanted = int(block.marks.get("exit", 0))
        code, printed = self.run(block.text)
        return None if code == wanted else f"it ends with {code}, not {wanted}:\n{printed}"

    def run(self, script: str) -> tuple[int, str]:
        """Exit code and output, both streams as they came."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._here(script)],
            cwd=self.folder, env=self._environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", timeout=TIMEOUT,
        )  # fmt: skip
        printed = done.stdout.replace(str(self.folder), "/home/ana/churn").replace(self._port, PORT)
        return done.returncode, printed.replace(f" on {socket.gethostname()}", " on build-7")

    def serve(self, block: Block) -> None:
        """Start the server of a block, and wait until it answers."""
        script = self._here(block.text)
        server = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self._environ, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._servers.append(server)
        _until(lambda: server.poll() is not None or _answers(int(self._port)))
        assert server.poll() is None, f"{block.place}: the server ended with {server.returncode}"

    def interrupt(self) -> None:
        """A run whose process is killed while a notebook runs, as soon as a note says that it began."""
        process = subprocess.Popen(
            ["dsjobs", "apply"], cwd=self.folder, env=self._environ, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        runs = self.folder / ".dsjobs" / "runs"
        before = set(runs.glob("*/operations/*.begun"))
        _until(lambda: process.poll() is not None or set(runs.glob("*/operations/*.begun")) > before)
        assert process.poll() is None, "the run ended before it could be killed"
        process.kill()
        process.wait()

    def _here(self, text: str) -> str:
        return text.replace(PORT, self._port).replace(STORE, str(self.root / "outputs"))

    def close(self) -> None:
        for server in self._servers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(TIMEOUT)


def _environ(folder: Path) -> dict[str, str]:
    """Variables for the commands: `dsjobs` and `python` are those of this checkout, and nothing else changes what they do."""
    programs = folder / "bin"
    programs.mkdir()
    for name, arguments in {"dsjobs": " -m dsjobs", "python": "", "python3": ""}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        program.chmod(0o755)
    home = folder / "home"
    home.mkdir()
    ours = ("DSJOBS_", "YC_", "GITHUB_", "ACTIONS_", "CI", "GIT_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    more = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",  # so that both streams are in the order in which they were written
        "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
    }
    return {**kept, **more}


def _free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
