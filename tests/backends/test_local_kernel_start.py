"""How kernels start: as forks where a notebook cannot tell, the usual way elsewhere, with a reason; and what limits them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no fork server elsewhere")


def started(bench, operation) -> str:
    return str(bench.backend.poll(operation.id).kernel_start)


def test_start_when_nothing_speaks_against_it_then_the_kernel_is_a_fork(bench):
    assert started(bench, bench.run("a.ipynb", "1", input_variables={"DAY": "friday"})) == "fork"


@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "PYTHONPATH", "LD_BIND_NOW", "LC_ALL", "IPYTHONDIR"])
def test_start_when_a_variable_is_read_at_start_then_the_kernel_starts_with_it(bench, tmp_path, name):
    value = str(tmp_path / "made") if name == "IPYTHONDIR" else "1" if name != "LC_ALL" else "C.UTF-8"

    operation = bench.run(
        "a.ipynb",
        f"import os\nseen = os.environ['{name}']",
        input_variables={name: value},
        output_variable_names=("seen",),
    )

    assert operation.outputs == {"seen": value}
    assert started(bench, operation) == f"usual: its variable {name} is read before a notebook runs"


def test_start_when_a_preloaded_library_would_have_read_a_variable_then_the_kernel_starts_with_it(bench_with):
    bench = bench_with({"preload": ["numpy"]})
    bench.write("a.ipynb", "1")

    limited = bench.run("a.ipynb", input_variables={"OMP_NUM_THREADS": "1"})

    assert started(bench, limited) == "usual: its variable OMP_NUM_THREADS is read before a notebook runs"
    assert started(bench, bench.run("a.ipynb")) == "fork"


def test_start_when_a_preloaded_module_starts_threads_then_kernels_start_the_usual_way(
    bench_with, tmp_path, monkeypatch
):
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    bench = bench_with({"preload": ["threaded"]})

    operation = bench.run("a.ipynb", "x = 1", output_variable_names=("x",))

    assert operation.outputs == {"x": 1}
    assert started(bench, operation).startswith("usual: one of the preloaded modules (threaded) has started threads")


def test_start_when_a_preloaded_module_is_not_installed_then_kernels_are_forks_without_it(bench_with):
    bench = bench_with({"preload": ["no_such_module"]})

    assert started(bench, bench.run("a.ipynb", "1")) == "fork"


def test_start_when_modules_are_preloaded_then_the_notebook_finds_them_there(bench_with):
    bench = bench_with({"preload": ["xml.dom.minidom"]})

    operation = bench.run(
        "a.ipynb", "import sys\nthere = 'xml.dom.minidom' in sys.modules", output_variable_names=("there",)
    )

    assert operation.outputs == {"there": True}


def test_start_when_there_is_a_configuration_file_then_it_runs_where_and_with_what_the_notebook_runs(
    bench, tmp_path, monkeypatch
):
    path = tmp_path / "ipython" / "profile_default" / "ipython_kernel_config.py"
    path.parent.mkdir(parents=True)
    path.write_text("import builtins, os\nbuiltins.at_start = [os.getcwd(), os.environ.get('DAY')]")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    bench.write("a.ipynb", "seen = at_start")
    days = ("monday", "tuesday", "wednesday", "thursday")

    ran = [bench.run("a.ipynb", input_variables={"DAY": day}, output_variable_names=("seen",)) for day in days]

    assert [operation.outputs["seen"] for operation in ran] == [[str(bench.folder), day] for day in days]
    assert {started(bench, operation) for operation in ran} == {"fork"}


@pytest.mark.parametrize("way", ["auto", "usual"])
def test_memory_when_a_notebook_wants_more_then_it_gets_an_error_that_names_the_limit(bench_with, way):
    bench = bench_with({"memory": "256MiB", "kernel_start": way})
    bench.write("less.ipynb", "x = len(bytearray(50 << 20))")
    bench.write("more.ipynb", "x = bytearray(400 << 20)")
    bench.write(
        "child.ipynb",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'bytearray(400 << 20)'], check=True)",
    )

    assert bench.run("less.ipynb", output_variable_names=("x",)).outputs == {"x": 50 << 20}
    failure = bench.run("more.ipynb").failure
    assert failure.exception.startswith("MemoryError")
    assert "256MiB here (settings.memory)" in failure.hint
    assert bench.run("child.ipynb").failure.exception.startswith("CalledProcessError")


def test_notebooks_when_a_hundred_have_run_then_descriptors_processes_and_memory_are_as_after_ten(bench, until):
    bench.write("a.ipynb", "x = 1")

    def run(count: int) -> tuple[int, int, int]:
        running = [bench.submit("a.ipynb") for _ in range(2)]
        for _ in range(count - 2):
            assert bench.wait(running.pop(0)).failure is None
            running.append(bench.submit("a.ipynb"))
        assert [bench.wait(operation).failure for operation in running] == [None, None]
        # The fork server, and a kernel with its keeper that waits for one more notebook.
        assert until(lambda: len(tree(os.getpid())) == 3)
        return len(os.listdir("/proc/self/fd")), len(tree(os.getpid())), resident_kib(os.getpid())

    before = run(10)
    after = run(90)

    # The last kernel's sockets are closed a moment after it has gone.
    assert until(lambda: len(os.listdir("/proc/self/fd")) <= before[0])
    assert after[1] == before[1]
    assert after[2] - before[2] < 10_000


def tree(parent: int) -> list[int]:
    """The processes below `parent`, zombies among them."""
    children = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            children += [int(entry), *tree(int(entry))]
    return children


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


@pytest.fixture
def endless_start(tmp_path, monkeypatch) -> Path:
    """What shows that a kernel runs the user's start-up file, which never comes to its end."""
    startup = tmp_path / "ipython" / "profile_default" / "startup" / "endless.py"
    startup.parent.mkdir(parents=True)
    began = tmp_path / "began"
    startup.write_text(f"import pathlib, time\npathlib.Path({str(began)!r}).touch()\nwhile True: time.sleep(1)")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return began


@pytest.mark.parametrize("settings", [{}, {"kernel_start": "usual"}], ids=["fork", "usual"])
def test_cancel_when_the_kernel_never_becomes_ready_then_the_notebook_ends(bench_with, until, endless_start, settings):
    bench = bench_with(settings)
    bench.write("a.ipynb", "1")
    operation = bench.submit("a.ipynb")
    assert until(endless_start.exists)

    bench.backend.cancel(operation.id)

    assert bench.wait(operation).cancelled


@pytest.mark.parametrize("settings", [{}, {"kernel_start": "usual"}], ids=["fork", "usual"])
def test_close_when_a_kernel_never_becomes_ready_then_it_is_killed(
    bench_with, until, processes_marked, endless_start, monkeypatch, settings
):
    mark = os.urandom(8).hex()
    monkeypatch.setenv("DSJOBS_TEST_MARK", mark)
    bench = bench_with(settings)
    bench.write("a.ipynb", "1")
    bench.submit("a.ipynb")
    assert until(endless_start.exists)

    bench.backend.close()

    assert until(lambda: processes_marked(mark) == [], seconds=5)
