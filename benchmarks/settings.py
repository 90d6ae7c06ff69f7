"""What the benchmarks are asked for."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """`folder` is an empty one on a disk, for whatever is written. `quick`: tiny, once. `huge`: 100,000 jobs too. `peers`,
    `cases`: how the names of those begin that are measured; all where there is none."""

    folder: Path
    quick: bool
    huge: bool
    peers: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()

    def wants(self, case: str) -> bool:
        """Whether a case of this name is to be measured."""
        return not self.cases or case.startswith(self.cases)


def dsjobs(*arguments: str) -> list[str]:
    """dsjobs of this checkout, run by this interpreter."""
    return [sys.executable, "-m", "dsjobs", *arguments]


def environ() -> dict[str, str]:
    """The environment of every process that is measured: this checkout first, no flags of dsjobs, and bytecode kept, as it
    is for an installed package."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    kept = {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("DSJOBS_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))}
