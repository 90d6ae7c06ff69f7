"""What an environment of the backend local says of its kernels: the settings `preload`, `memory` and `kernel_start`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SIZE = re.compile(r"(\d+(?:\.\d+)?)(KiB|MiB|GiB|TiB)")
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """`preload`: modules that the fork server imports. `memory_bytes`: what each process of a notebook may write to.

    `may_fork`: whether kernels may be forks of a fork server at all.
    """

    preload: tuple[str, ...] = ()
    memory_bytes: int | None = None
    may_fork: bool = True


def parse(settings: Mapping[str, Any]) -> KernelSettings:
    """The settings of an environment, which the schema has checked already."""
    memory = settings.get("memory")
    return KernelSettings(
        preload=tuple(settings.get("preload", ())),
        memory_bytes=None if memory is None else _bytes(memory),
        may_fork=settings.get("kernel_start", "auto") != "usual",
    )


def size_text(size_bytes: int) -> str:
    """A size as a job file has it."""
    unit = next(unit for unit in reversed(_UNITS) if size_bytes >= _UNITS[unit] or unit == "KiB")
    return f"{size_bytes / _UNITS[unit]:g}{unit}"


def _bytes(written: str) -> int:
    match = _SIZE.fullmatch(written)
    if match is None:
        raise ValueError(f"{written!r} is not a size, such as 512MiB or 4GiB")
    return int(float(match[1]) * _UNITS[match[2]])
