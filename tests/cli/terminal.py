"""dsjobs at a terminal: a real one, at which a test reads, types, and which it closes."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from as_user import environment, until

CTRL_C, CTRL_D = b"\x03", b"\x04"

_IN_THE_TERMINAL = 'exec "$@" <>"$0" >&0 2>&0'
"""The leader of a session gets the first terminal that it opens as its own: then Ctrl-C and the closing of it are signals."""


class Terminal:
    """A terminal with a command in its foreground. `own`: whether it is the one of the command's session."""

    def __init__(self, command: Sequence[str], cwd: Path, *, own: bool = True, **variables: str) -> None:
        self._ours, theirs = pty.openpty()
        self._shown = b""
        self._is_over = threading.Event()
        started = ["/bin/sh", "-c", _IN_THE_TERMINAL, os.ttyname(theirs), *command] if own else [*command]
        streams = subprocess.DEVNULL if own else theirs
        self.process = subprocess.Popen(
            started, cwd=cwd, env=environment(**variables), stdin=streams, stdout=streams, stderr=streams,
            start_new_session=True,
        )  # fmt: skip
        self._theirs = theirs
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def shown(self) -> str:
        return self._shown.decode("utf-8", "replace").replace("\r\n", "\n")

    def until_shown(self, text: str) -> None:
        until(lambda: text in self.shown, f"'{text}' on the terminal")

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def close(self) -> None:
        """As a window that is closed, or a connection that is lost. May be called twice."""
        if not self._is_over.is_set():
            self._is_over.set()
            self._reader.join()
            os.close(self._theirs)
            os.close(self._ours)

    def _read(self) -> None:
        while not self._is_over.is_set():
            if select.select([self._ours], [], [], 0.02)[0]:
                with suppress(OSError):
                    self._shown += os.read(self._ours, 65536)
