"""Whether a kernel can be a fork, and if not, why.

A fork is a copy of an interpreter that has started and of modules that have been imported: a notebook that wants other
variables there than the server had gets a kernel that starts with them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

# Read when the interpreter or the loader starts, or by what every kernel imports, and never again.
_AT_START = (
    *("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANG", "IPY", "JUPYTER_", "JPY_", "PYDEVD_", "DEBUGPY_", "ZMQ_"),
    *("VIRTUAL_ENV", "CONDA_"),
)
# Home and the current user's packages: `site` adds them to sys.path.
_EXACTLY_AT_START = ("HOME",)
# Read by numeric libraries when they are imported, whichever of them is preloaded.
_AT_IMPORT = (
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "VECLIB_", "ATLAS_", "NUMEXPR_", "NPY_", "BLAS_"),
    *(
        "MPL",
        "CUDA_",
        "NVIDIA_",
        "HIP_",
        "ROCM_",
        "TF_",
        "XLA_",
        "HF_",
        "ARROW_",
        "SKLEARN_",
        "JOBLIB_",
        "LOKY_",
        "NUMBA_",
    ),
    *("POLARS_", "TZ", "XDG_"),
)
# Read once by Python's own modules, which a kernel that has been started has used already.
_AFTER_START = ("TMPDIR", "TEMP", "TMP", "COLUMNS", "LINES", "TERMINFO", "SSL_CERT_", "NO_COLOR")
_LAUNCHER = ["-m", "ipykernel_launcher", "-f"]

NO_SERVER = "there is no fork server here"
ASKED_FOR = "settings.kernel_start asks for it"
STRANGER = "its kernel is not started as ipykernel installs it"


def refusal(command: Sequence[str], argv: Sequence[str]) -> str | None:
    """Why a fork of the server that `command` started cannot be the kernel `argv`; None when it can."""
    start = _launcher_at(argv)
    if start is None:
        return STRANGER
    return (
        None if list(argv[:start]) == list(command) else "its kernel runs in another interpreter, or with other options"
    )


def difference(served: Mapping[str, str], wanted: Mapping[str, str], preload: Sequence[str]) -> str | None:
    """The variable for which a notebook with the environment `wanted` cannot be a fork of a server with `served`, in words."""
    for name in sorted({*served, *wanted}):
        if served.get(name) != wanted.get(name) and _is_frozen(name, preload):
            return f"its variable {name} is read before a notebook runs"
    return None


def changes(started: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str] | None:
    """The variables to set in a usual kernel that was started with `started` for a notebook that wants others; None where
    some would come too late."""
    for name in {*started, *wanted}:
        if started.get(name) != wanted.get(name):
            late = name in _EXACTLY_AT_START or name.startswith((*_AT_START, *_AT_IMPORT, *_AFTER_START))
            if late or name not in wanted:
                return None
    return {name: value for name, value in wanted.items() if started.get(name) != value}


def pool_refusal(spec: Any) -> str | None:
    """Why no kernel of this kernelspec can be started before its notebook is known; None when one can."""
    command = command_of(spec)
    if _launcher_at(command) is None or not os.path.isabs(command[0]):
        return STRANGER
    if spec.env:
        return "its kernelspec sets variables"
    return None


def command_of(spec: Any) -> list[str]:
    """The command of a kernelspec, with this interpreter where it only says that it wants one, as in jupyter_client."""
    program, *arguments = spec.argv
    names = ("python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    return [sys.executable if program in names else program, *arguments]


def interpreter(argv: Sequence[str]) -> list[str]:
    """The interpreter and its options in the command of a kernel; empty where it is not started as ipykernel installs it."""
    return list(argv[: _launcher_at(argv) or 0])


def platform_refusal(platform: str = sys.platform) -> str | None:
    """Why there is no fork server on this system; None where there is."""
    if platform == "linux":
        return None
    return f"forking a process that has imported much is not safe on {platform}"


def _launcher_at(argv: Sequence[str]) -> int | None:
    return next((index for index in range(len(argv)) if list(argv[index : index + 3]) == _LAUNCHER), None)


def _is_frozen(name: str, preload: Sequence[str]) -> bool:
    if name in _EXACTLY_AT_START or name.startswith(_AT_START):
        return name != "JPY_PARENT_PID"
    own = tuple(f"{module.partition('.')[0].upper()}_" for module in preload)
    return bool(preload) and name.startswith((*_AT_IMPORT, *own))
