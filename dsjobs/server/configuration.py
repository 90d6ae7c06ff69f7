"""What a server is told when it starts, parsed and checked. Everything else takes it from here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dsjobs.server.faults import Faults
from dsjobs.server.federations import Federation
from dsjobs.server.service_accounts import ServiceAccountKey

IAM_TOKEN_SECONDS = 12 * 3600.0
SESSION_SECONDS = 600.0


def default_max_running() -> int:
    """How many notebooks may run at once unless it is said: one for each processor, and no fewer than two."""
    return max(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Configuration:
    """`projects`: ID → folder, absolute and resolved. `state`: the folder for what must survive a restart.

    `open_pause`: how long each status of an Open is shown at least, in seconds. `lab_python`: the interpreter that has
    JupyterLab. `tell` is called with one line for each thing that happens, from any thread.
    """

    projects: Mapping[str, Path]
    state: Path
    token: str
    host: str = "127.0.0.1"
    allowed_hosts: frozenset[str] = frozenset()
    max_running: int = field(default_factory=default_max_running)
    max_waiting: int = 10_000
    strict: bool = False
    spark_connectors: frozenset[str] = frozenset()
    service_accounts: tuple[ServiceAccountKey, ...] = ()
    federations: tuple[Federation, ...] = ()
    serves_metadata: bool = False
    poll_interval: int | None = None
    token_seconds: float = IAM_TOKEN_SECONDS
    session_seconds: float = SESSION_SECONDS
    open_pause: float = 0.3
    lab_python: str = sys.executable
    faults: Faults = field(default_factory=Faults)
    tell: Callable[[str], None] = lambda _: None
