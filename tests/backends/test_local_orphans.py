"""Nothing survives a dsjobs that is killed without a chance to clean up: no kernel, nothing that one started, no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and keepers are Linux's")

ROOT = Path(__file__).parents[2]
RUNNER = """
import json, sys, threading
from pathlib import Path
from dsjobs.backends.local import LocalBackend
from dsjobs.backends.protocol import Submission
from dsjobs.model import Request
folder = Path(sys.argv[1])
backend = LocalBackend(folder, json.loads(sys.argv[2]))
for name in sys.argv[3:]:
    request = Request(project=str(folder), notebook="long.ipynb", input_variables={"WHO": name})
    backend.submit(Submission(name, 1, request), idempotency_key=name, notify=print)
threading.Event().wait()
"""
# Leaves a child, a child in a session of its own, and a daemon, whose parent has ended, before it says that it has started.
LONG = """
import os, pathlib, subprocess, time
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["sleep", "600"], start_new_session=True)
subprocess.run("setsid sleep 600 > /dev/null 2>&1 &", shell=True)
pathlib.Path(os.environ["WHO"]).write_text("started")
time.sleep(600)
"""


@pytest.mark.parametrize("settings", ['{"kernel_start": "auto"}', '{"kernel_start": "usual"}'])
def test_kernels_when_dsjobs_is_killed_then_they_and_all_that_they_started_are_gone_at_once(
    bench, until, processes_marked, settings
):
    bench.write("long.ipynb", LONG)
    mark = f"DSJOBS_TEST_MARK={os.urandom(8).hex()}"
    name, _, value = mark.partition("=")
    with tempfile.TemporaryDirectory(dir="/tmp") as left_behind:
        runner = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(bench.folder), settings, "a", "b"],
            env={**os.environ, name: value, "PYTHONPATH": str(ROOT), "TMPDIR": left_behind},
        )
        try:
            started = [bench.folder / "a", bench.folder / "b"]
            assert until(lambda: all(path.exists() and path.read_text() for path in started))
            assert len(processes_marked(mark)) >= 1 + 2 * (2 + 3), (
                "dsjobs, and two kernels, each with keeper and sleepers"
            )
        finally:
            runner.kill()
            runner.wait()

        assert until(lambda: processes_marked(mark) == [], seconds=3), "something outlived its dsjobs"
        assert until(lambda: os.listdir(left_behind) == [], seconds=3)


def test_fork_server_when_dsjobs_is_killed_while_it_imports_then_it_goes_and_leaves_no_folder(
    bench, until, processes_marked
):
    bench.write("long.ipynb", LONG)
    name, value = "DSJOBS_TEST_MARK", os.urandom(8).hex()
    with tempfile.TemporaryDirectory(dir="/tmp") as left_behind:
        runner = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(bench.folder), "{}", "a"],
            env={**os.environ, name: value, "PYTHONPATH": str(ROOT), "TMPDIR": left_behind},
        )
        try:
            assert until(lambda: len(processes_marked(value)) == 2)
        finally:
            runner.kill()
            runner.wait()

        assert until(lambda: processes_marked(value) == [], seconds=30)
        assert until(lambda: os.listdir(left_behind) == [], seconds=5)


@pytest.mark.parametrize(
    "module",
    [
        "import pathlib, time\npathlib.Path(__file__).with_suffix('.began').touch()\ntime.sleep(600)",
        "import pathlib, subprocess\nsubprocess.Popen(['sleep', '600'])\npathlib.Path(__file__).with_suffix('.began').touch()",
    ],
    ids=["that never ends", "that starts a process"],
)
def test_fork_server_when_dsjobs_is_killed_and_a_module_was_preloaded_then_nothing_is_left(
    bench, tmp_path, until, processes_marked, module
):
    bench.write("long.ipynb", LONG)
    (tmp_path / "preloaded.py").write_text(module)
    name, value = "DSJOBS_TEST_MARK", os.urandom(8).hex()
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    with tempfile.TemporaryDirectory(dir="/tmp") as left_behind:
        runner = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(bench.folder), '{"preload": ["preloaded"]}', "a"],
            env={**os.environ, name: value, "PYTHONPATH": paths, "TMPDIR": left_behind},
        )
        try:
            assert until((tmp_path / "preloaded.began").exists)
        finally:
            runner.kill()
            runner.wait()

        assert until(lambda: processes_marked(value) == [], seconds=10)
        assert until(lambda: os.listdir(left_behind) == [], seconds=5)


def fork_servers() -> set[int]:
    return {pid for pid in children(os.getpid()) if "server.py" in command(pid)}


def test_kernels_when_the_fork_server_is_killed_then_running_ones_go_on_and_the_next_has_a_new_one(bench, until):
    bench.write(
        "wait.ipynb",
        "import pathlib, time\npathlib.Path('started').touch()\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)",
    )
    others = fork_servers()  # of other tests' backends, which may live as long as their file
    running = bench.submit("wait.ipynb")
    assert until((bench.folder / "started").exists)
    [server] = fork_servers() - others

    os.kill(server, signal.SIGKILL)
    after = bench.run("a.ipynb", "x = 1", output_variable_names=("x",))
    (bench.folder / "go").touch()

    assert bench.wait(running).failure is None
    assert after.outputs == {"x": 1}
    assert bench.run("b.ipynb", "1").kernel_start.way == "fork"


@pytest.mark.parametrize("settings", [{}, {"kernel_start": "usual"}])
def test_run_when_the_notebook_leaves_processes_behind_then_they_end_with_it(bench_with, until, settings):
    bench = bench_with(settings)
    source = """
import os, subprocess
subprocess.run("setsid sleep 600 > /dev/null 2>&1 & echo $! > daemon", shell=True)
child = subprocess.Popen(["sh", "-c", "trap 'echo told > told; exit' TERM; while :; do sleep 0.01; done"]).pid
"""
    operation = bench.run("leave.ipynb", source, output_variable_names=("child",))
    daemon = int((bench.folder / "daemon").read_text())

    assert until(lambda: not any(map(alive, (daemon, operation.outputs["child"]))), seconds=5)
    assert (bench.folder / "told").exists()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children(parent: int) -> list[int]:
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(entry))
    return found


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
