"""Whether a kernel can be a fork, and if not, why.

A fork is a copy of an interpreter that has started and of modules that have been imported: a notebook that wants other
variables there than the server had gets a kernel that starts with them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

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
_LAUNCHER = ["-m", "ipykernel_launcher", "-f"]


def refusal(command: Sequence[str], argv: Sequence[str]) -> str | None:
    """Why a fork of the server that `command` started cannot be the kernel `argv`; None when it can."""
    length = len(command)
    if list(argv[length : length + 3]) != _LAUNCHER:
        return "its kernel is not started as ipykernel installs it"
    if list(argv[:length]) != list(command):
        return "its kernel runs in another interpreter, or with other options"
    return None


def difference(served: Mapping[str, str], wanted: Mapping[str, str], preload: Sequence[str]) -> str | None:
    """The variable for which a notebook with the environment `wanted` cannot be a fork of a server with `served`, in words."""
    for name in sorted({*served, *wanted}):
        if served.get(name) != wanted.get(name) and _is_frozen(name, preload):
            return f"its variable {name} is read before a notebook runs"
    return None


def platform_refusal(platform: str = sys.platform) -> str | None:
    """Why there is no fork server on this system; None where there is."""
    if platform == "linux":
        return None
    return f"forking a process that has imported much is not safe on {platform}"


def _is_frozen(name: str, preload: Sequence[str]) -> bool:
    if name in _EXACTLY_AT_START or name.startswith(_AT_START):
        return name != "JPY_PARENT_PID"
    own = tuple(f"{module.partition('.')[0].upper()}_" for module in preload)
    return bool(preload) and name.startswith((*_AT_IMPORT, *own))
