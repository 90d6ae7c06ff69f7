"""Kernels that cannot be forks: started the usual way, and after the second of them ahead of their notebooks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from processes import started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="looks at sockets and processes as POSIX has them")

ROOT = Path(__file__).parents[2]
# Options that no fork server was started with.
ARGV = [sys.executable, "-X", "frozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
METADATA = {"kernelspec": {"name": "other", "display_name": "other", "language": "python"}}
PROBE = (
    "import os, tempfile\n"
    "seen = [os.environ.get('DAY'), os.getcwd(), str(_dh[0]), tempfile.gettempdir(), In[1:], os.getpid()]"
)
REASON = "its kernel runs in another interpreter, or with other options"


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """Installs the kernel `other`, with changes to its kernelspec."""
    folder = tmp_path / "jupyter" / "kernels" / "other"
    folder.mkdir(parents=True)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def install(**changes):
        spec = {"argv": ARGV, "display_name": "other", "language": "python", **changes}
        (folder / "kernel.json").write_text(json.dumps(spec))

    install()
    return install


def run(bench, name="a.ipynb", **inputs):
    operation = bench.run(name, input_variables=inputs, output_variable_names=("seen",))
    assert operation.failure is None, operation.failure
    return operation


def ways(bench, count, **inputs):
    return [run(bench, **inputs).kernel_start.way for _ in range(count)]


def test_pool_when_two_kernels_have_started_then_the_next_ones_wait_for_their_notebooks(bench, spec):
    bench.write("a.ipynb", PROBE, **METADATA)

    operations = [run(bench) for _ in range(5)]

    assert [operation.kernel_start.way for operation in operations] == ["usual", "usual", "pool", "pool", "pool"]
    assert {operation.kernel_start.reason for operation in operations} == {REASON}
    assert len({operation.outputs["seen"][-1] for operation in operations}) == 5


def test_pool_when_a_kernel_has_waited_then_its_notebook_finds_its_own_folder_and_variables(bench, spec):
    bench.write("a.ipynb", PROBE, **METADATA)
    bench.write("deep/er/b.ipynb", PROBE, **METADATA)
    ways(bench, 2, DAY="monday")

    operation = run(bench, "deep/er/b.ipynb", DAY="friday")

    folder = str(bench.folder / "deep" / "er")
    assert operation.kernel_start.way == "pool"
    assert operation.outputs["seen"][:5] == ["friday", folder, folder, tempfile.gettempdir(), [PROBE]]


def test_pool_when_a_variable_is_read_at_start_then_the_kernel_starts_with_it(bench, spec):
    bench.write("a.ipynb", "import sys\nseen = sys.flags.hash_randomization", **METADATA)
    ways(bench, 2)

    fixed = run(bench, PYTHONHASHSEED="0")

    assert fixed.outputs == {"seen": 0}
    assert fixed.kernel_start.way == "usual"
    assert ways(bench, 1) == ["pool"]


@pytest.mark.parametrize("file", ["startup/first.py", "ipython_kernel_config.py"])
def test_pool_when_code_of_the_user_runs_at_start_then_it_sees_the_folder_and_the_variables(
    bench, spec, tmp_path, monkeypatch, file
):
    path = tmp_path / "ipython" / "profile_default" / file
    path.parent.mkdir(parents=True)
    path.write_text("import builtins, os\nbuiltins.at_start = [os.getcwd(), os.environ['DAY']]")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("DAY", "any")
    bench.write("a.ipynb", "seen = at_start", **METADATA)

    operations = [run(bench, DAY=day) for day in ("monday", "tuesday", "wednesday", "thursday")]

    assert [operation.outputs["seen"] for operation in operations] == [
        [str(bench.folder), day] for day in ("monday", "tuesday", "wednesday", "thursday")
    ]
    assert {operation.kernel_start.way for operation in operations} == {"usual"}


def test_pool_when_the_kernelspec_sets_variables_then_no_kernel_waits(bench, spec):
    spec(env={"WHICH": "other"})
    bench.write("a.ipynb", "import os\nseen = os.environ['WHICH']", **METADATA)

    assert ways(bench, 4, WHICH="mine") == ["usual"] * 4


def test_pool_when_the_program_is_no_ipykernel_then_no_kernel_waits(bench, spec, tmp_path):
    launcher = tmp_path / "launcher.py"
    launcher.write_text("import runpy\nrunpy.run_module('ipykernel_launcher', run_name='__main__')")
    spec(argv=[sys.executable, str(launcher), "-f", "{connection_file}"])
    bench.write("a.ipynb", "seen = 1", **METADATA)

    assert ways(bench, 4) == ["usual"] * 4


def test_pool_when_the_usual_start_is_asked_for_then_no_kernel_waits(usual_bench):
    usual_bench.write("a.ipynb", "seen = 1")

    assert ways(usual_bench, 4) == ["usual"] * 4


def test_pool_when_a_preloaded_module_has_started_threads_then_kernels_wait(bench_with, tmp_path, monkeypatch):
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    bench = bench_with({"preload": ["threaded"]})
    bench.write("a.ipynb", "seen = 1")

    expected = "pool" if sys.platform == "linux" else "usual"
    assert ways(bench, 3)[-1] == expected


def test_pool_when_a_waiting_kernel_is_killed_then_the_next_notebook_gets_another(
    bench, spec, until, processes_marked, monkeypatch
):
    mark = os.urandom(8).hex()
    monkeypatch.setenv("DSJOBS_TEST_MARK", mark)
    bench.write("a.ipynb", PROBE, **METADATA)
    ways(bench, 3)
    assert until(lambda: kernels(processes_marked(mark)))

    for pid in kernels(processes_marked(mark)):
        os.kill(pid, signal.SIGKILL)

    assert run(bench).outputs["seen"][0] is None


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and keepers are Linux's")
def test_pool_when_the_backend_is_closed_then_no_kernel_is_left(bench, spec, processes_marked, monkeypatch):
    mark = os.urandom(8).hex()
    monkeypatch.setenv("DSJOBS_TEST_MARK", mark)
    bench.write("a.ipynb", PROBE, **METADATA)
    ways(bench, 3)

    bench.backend.close()

    assert processes_marked(mark) == []


RUNNER = """
import sys, threading
from pathlib import Path
from dsjobs.backends.local import LocalBackend
from dsjobs.backends.protocol import Submission
from dsjobs.model import Request
backend, ended = LocalBackend(Path(sys.argv[1]), {}), threading.Semaphore(0)
for number in range(3):
    submission = Submission("a", 1, Request(project=sys.argv[1], notebook="a.ipynb"))
    backend.submit(submission, idempotency_key=str(number), notify=lambda _: ended.release())
    ended.acquire()
print("ran", flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and keepers are Linux's")
def test_pool_when_dsjobs_is_killed_then_waiting_kernels_are_gone_at_once(bench, spec, until, processes_marked):
    bench.write("a.ipynb", PROBE, **METADATA)
    mark = os.urandom(8).hex()
    with tempfile.TemporaryDirectory(dir="/tmp") as left_behind:
        environ = {**os.environ, "DSJOBS_TEST_MARK": mark, "PYTHONPATH": str(ROOT), "TMPDIR": left_behind}
        command = [sys.executable, "-c", RUNNER, str(bench.folder)]
        with started(command, env=environ, stdout=subprocess.PIPE, text=True) as runner:
            assert runner.stdout.readline() == "ran\n"
            assert until(lambda: kernels(processes_marked(mark)))
            runner.kill()

        assert until(lambda: processes_marked(mark) == [], seconds=3), "something outlived its dsjobs"
        assert until(lambda: os.listdir(left_behind) == [], seconds=3)


def kernels(pids: list[int]) -> list[int]:
    return [pid for pid in pids if b"ipykernel_launcher" in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
