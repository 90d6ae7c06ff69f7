"""Makes a kernel that has been started ahead one that was started for a notebook. The text of this file is sent to the kernel
and runs there before the first cell, so it uses what IPython has imported, and keeps to what Python 3.7 understands.
"""

from __future__ import annotations

import glob
import os
import pathlib
import sys
import tempfile
from typing import Any


def has_run_code() -> bool:
    """Whether the kernel has run code of the user's already: configuration, extensions, start-up files. It ran without the
    variables of a notebook, and in another folder."""
    app = sys.modules["ipykernel.kernelapp"].IPKernelApp.instance()
    if is_configured(app) or any(_names(app)):
        return True
    shellapp = sys.modules["IPython.core.shellapp"]
    folders = [app.profile_dir.location, *shellapp.ENV_CONFIG_DIRS, *shellapp.SYSTEM_CONFIG_DIRS]
    patterns = [os.path.join(glob.escape(folder), "startup", kind) for folder in folders for kind in ("*.py", "*.ipy")]
    return bool(os.environ.get("PYTHONSTARTUP")) or any(glob.glob(pattern) for pattern in patterns)


def is_configured(app: Any) -> bool:
    """Whether there are files with configuration. A file in Python has run also where it has set nothing."""
    names = ("ipython_config.py", "ipython_kernel_config.py")
    files = [os.path.join(folder, name) for folder in app.config_file_paths for name in names]
    return bool(getattr(app, "loaded_config_files", ["not known"])) or any(map(os.path.exists, files))


def enter(folder: str, changes: dict[str, str]) -> None:
    """Goes to the notebook's folder and sets its variables. What IPython has found out about both it finds out again."""
    os.chdir(folder)
    os.environ.update(changes)
    tempfile.tempdir = None
    shell = sys.modules["IPython"].get_ipython()
    shell.init_environment()
    shell.starting_dir = os.getcwd()
    shell.history_manager.dir_hist[:] = [pathlib.Path.cwd()]


def _names(app: Any) -> list[Any]:
    return [
        getattr(app, name, None)
        for name in ("extensions", "exec_lines", "exec_files", "code_to_run", "file_to_run", "module_to_run")
    ]
