"""Processes of this machine that are known by their number, which the system gives again when they have ended."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

_CLOCK_STEP = 60.0
"""Seconds by which the machine's clock may have been set since a process started."""


def is_alive(pid: int, since: str) -> bool:
    """Whether there is a process `pid` that was there at `since` already: a later one is another that got its number."""
    if pid < 1:
        return False  # to `kill` it would mean a group of processes
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        system = Path("/proc/stat").read_text()
    except OSError:
        return True  # No Linux: what was found out must do.
    booted_at = float(system.partition("\nbtime ")[2].split()[0])
    started_at = booted_at + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0] != "Z" and started_at <= datetime.fromisoformat(since).timestamp() + _CLOCK_STEP
