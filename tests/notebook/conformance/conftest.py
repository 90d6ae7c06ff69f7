"""The conformance set, run once with kernels that are forks and once with kernels that start the usual way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from modes import Mode, Ran


@pytest.fixture(scope="session")
def modes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Ran]]]:
    """Everything that ran, by mode and notebook."""
    folders = {way: tmp_path_factory.mktemp(way) / way for way in ("fork", "usual")}
    for folder in folders.values():
        folder.mkdir()
    forks = Mode(folders["fork"], {"preload": ["numpy", "pandas"]})
    yield {"fork": forks.ran, "usual": Mode(folders["usual"], {"kernel_start": "usual"}).ran}
