"""The files that people write, read as far as they can be job files: what is larger was named by mistake."""

from __future__ import annotations

import errno
from pathlib import Path

MAX_BYTES = 32 * 2**20
"""Of a job file with all that it includes, and of a file of variables: a hundred thousand jobs would fit in."""


def content_of(path: Path) -> bytes:
    """What is in a file. Raises OSError, also for one that has more than MAX_BYTES or does not end, such as /dev/zero."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MAX_BYTES >> 20} MiB", str(path))
    return content
