"""The backends by name. A backend's module is imported when it is created, not before."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from dsjobs.backends.access import Access
from dsjobs.backends.protocol import Backend
from dsjobs.diagnostics import did_you_mean
from dsjobs.errors import BackendError, UsageError


def create(name: str, base: Path, settings: Mapping[str, Any], *, access: Access | None = None) -> Backend:
    """The backend `name`; `base` is the folder that relative paths of its environment start from. `access`: what a command line
    gave for reaching a service; of use to datasphere only.

    Raises UsageError for a name that dsjobs does not know, BackendError for one that this version cannot run yet.
    """
    factory = BACKENDS.get(name)
    if factory is None:
        raise UsageError(f"unknown backend '{name}'", hint=did_you_mean(name, BACKENDS))
    return factory(name, base, settings, access or Access())


def _local(_: str, base: Path, settings: Mapping[str, Any], access: Access) -> Backend:
    from dsjobs.backends.local import LocalBackend

    return LocalBackend(base, settings)


def _datasphere(_: str, base: Path, settings: Mapping[str, Any], access: Access) -> Backend:
    from dsjobs.backends.datasphere.backend import DataSphereBackend
    from dsjobs.backends.datasphere.settings import parse

    return DataSphereBackend(parse(settings), os.environ, access=access)


def _not_yet(name: str, base: Path, settings: Mapping[str, Any], access: Access) -> NoReturn:
    raise BackendError(
        f"this version validates and plans for the backend '{name}', but cannot run it yet",
        retryable=False,
        hint="choose an environment with `backend: local` (--env NAME)",
    )


BACKENDS: dict[str, Callable[[str, Path, Mapping[str, Any], Access], Backend]] = {
    "local": _local,
    "datasphere": _datasphere,
    "dask": _not_yet,
}
