"""The conformance set, run once with kernels that are forks and once with kernels that start the usual way; and a part of it
in kernels of other options, which wait for their notebooks, and in such that start the usual way."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from modes import Mode, Ran
from notebooks import POOLED

OTHER = [sys.executable, "-X", "frozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture(scope="session")
def modes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Ran]]]:
    """Everything that ran, by mode and notebook."""
    folders = {way: tmp_path_factory.mktemp(way) / way for way in ("fork", "usual")}
    forks = Mode(folders["fork"], {"preload": ["numpy", "pandas"]})
    yield {"fork": forks.ran, "usual": Mode(folders["usual"], {"kernel_start": "usual"}).ran}


@pytest.fixture(scope="session")
def other_modes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Ran]]]:
    """What of `POOLED` ran with the kernel `other`, by mode and notebook."""
    jupyter = tmp_path_factory.mktemp("jupyter")
    spec = jupyter / "kernels" / "other" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": OTHER, "display_name": "other", "language": "python"}))
    pool, other = (tmp_path_factory.mktemp(way) / way for way in ("pool", "other"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(jupyter))
        usual = Mode(other, {"kernel_start": "usual"}, POOLED, kernel="other")
        # Two kernels start before others wait for notebooks, and more than one at a time would find none waiting.
        yield {"pool": Mode(pool, {}, POOLED, kernel="other", parallel=1).ran, "usual": usual.ran}
