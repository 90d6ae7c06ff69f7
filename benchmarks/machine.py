"""What the figures of a run belong to."""

from __future__ import annotations

import os
import platform


def facts() -> dict[str, object]:
    """The machine and the interpreter."""
    return {
        "processors": os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def words() -> str:
    """The same in a line."""
    known = facts()
    return f"{known['python']}, {known['processors']} processors ({known['architecture']}), {known['system']}"
