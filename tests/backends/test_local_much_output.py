"""A notebook that prints much in small pieces: nothing is lost, and time and memory grow with it, no faster.

`DSJOBS_TEST_MEGABYTES` says how much; 100 of them take a minute for each way of starting a kernel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIZE = 1_000_000 * int(os.environ.get("DSJOBS_TEST_MEGABYTES", "16"))
LINES = SIZE // 100
# A process of its own, because the peak of its memory is asked for.
RUNNER = """
import json, sys, threading, time
from pathlib import Path
from dsjobs.backends.local import LocalBackend
from dsjobs.backends.protocol import Submission
from dsjobs.model import Request
folder, way, ended = Path(sys.argv[1]), sys.argv[2], threading.Semaphore(0)
backend = LocalBackend(folder, {"kernel_start": way})
for name in ("warm", "quarter", "whole"):
    request, start = Request(project="project", notebook=f"{name}.ipynb"), time.process_time()
    submission = Submission(name, 1, request, folder / f"{name}.ipynb")
    operation = backend.submit(submission, idempotency_key=name, notify=lambda _: ended.release())
    ended.acquire()
    assert backend.poll(operation.id).failure is None
    status = Path("/proc/self/status").read_text().splitlines() if sys.platform == "linux" else ["VmHWM: 0"]
    peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024
    print(json.dumps([time.process_time() - start, peak]), flush=True)
backend.close()
"""


@pytest.mark.parametrize("way", ["auto", "usual"])
def test_run_when_a_notebook_prints_much_then_nothing_is_lost_and_cost_grows_no_faster(bench, tmp_path, way):
    for name, share in (("warm", LINES), ("quarter", 4), ("whole", 1)):
        bench.write(f"{name}.ipynb", f"for number in range({LINES // share}): print(f'{{number:099}}')")

    command = [sys.executable, "-c", RUNNER, str(tmp_path), way]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert ran.returncode == 0, ran.stderr
    (_, before), (quarter, _), (whole, peak) = map(json.loads, ran.stdout.splitlines())
    [cell] = json.loads((tmp_path / "whole.ipynb").read_text())["cells"]
    assert {output["name"] for output in cell["outputs"]} == {"stdout"}
    printed = "".join(part for output in cell["outputs"] for part in output["text"])
    assert printed == "".join(f"{number:099}\n" for number in range(LINES))
    assert whole < 10 * quarter
    assert peak - before < 8 * SIZE
