"""No kernel survives a dsjobs that is killed without a chance to clean up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dsjobs.notebook import kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and PR_SET_PDEATHSIG is Linux's")

ROOT = Path(__file__).parents[2]
RUNNER = """
import sys, threading
from pathlib import Path
from dsjobs.backends.local import LocalBackend
from dsjobs.backends.protocol import Submission
from dsjobs.model import Request
folder = Path(sys.argv[1])
backend = LocalBackend(folder, {})
for name in sys.argv[2:]:
    request = Request(project=str(folder), notebook="long.ipynb", input_variables={"WHO": name})
    backend.submit(Submission(name, 1, request), idempotency_key=name, notify=print)
threading.Event().wait()
"""


def test_kernels_when_dsjobs_is_killed_then_they_are_gone_at_once(bench, until, processes_marked):
    bench.write(
        "long.ipynb",
        # ipykernel itself looks once a second whether its parent is another one, so ask for the signal as well (2 is
        # PR_GET_PDEATHSIG).
        "import ctypes, os, pathlib, time\n"
        "deathsig = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(deathsig), 0, 0, 0)\n"
        "pathlib.Path(os.environ['WHO']).write_text(str(deathsig.value))\ntime.sleep(600)",
    )
    mark = f"DSJOBS_TEST_MARK={os.urandom(8).hex()}"
    name, _, value = mark.partition("=")
    with tempfile.TemporaryDirectory(dir="/tmp") as left_behind:
        runner = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(bench.folder), "a", "b"],
            env={**os.environ, name: value, "PYTHONPATH": str(ROOT), "TMPDIR": left_behind},
        )
        try:
            started = [bench.folder / "a", bench.folder / "b"]
            assert until(lambda: all(path.exists() and path.read_text() for path in started))
            assert [path.read_text() for path in started] == [str(signal.SIGKILL.value)] * 2
            assert len(processes_marked(mark)) == 3
        finally:
            runner.kill()
            runner.wait()

        assert until(lambda: processes_marked(mark) == [], seconds=0.8), "a kernel outlived its dsjobs"


def test_guard_when_its_parent_is_another_one_already_then_the_kernel_does_not_start():
    not_the_parent = "1"
    guarded = [sys.executable, "-I", "-S", "-c", kernels.GUARD, not_the_parent, "echo", "started"]

    ended = subprocess.run(guarded, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (1, "")
