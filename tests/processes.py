"""Processes that tests start."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def started(command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """As `subprocess.Popen` in a `with`, but killed at the end if it still runs: that waits for a process that may never end
    while its test has failed already."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
