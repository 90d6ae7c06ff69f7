"""What the local backend does beyond the contract: kernels, outputs, failures, executed notebooks. All kernels are real."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from dsjobs.model import ExecutedNotebook
from dsjobs.notebook import reading


def test_import_when_nothing_runs_then_no_package_of_jupyter_is_loaded():
    code = (
        "import sys, dsjobs.backends.local, dsjobs.backends.registry\n"
        "print(sorted({'nbclient', 'jupyter_client', 'nbformat', 'zmq', 'IPython', 'traitlets'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


# Running


def test_run_when_the_notebook_lies_deeper_then_its_folder_is_the_working_folder(bench):
    bench.write("deep/er/where.ipynb", "import os\nwhere = os.getcwd()")

    operation = bench.run("deep/er/where.ipynb", output_variable_names=("where",))

    assert operation.outputs == {"where": str(bench.folder / "deep" / "er")}


def test_run_when_dsjobs_has_variables_then_the_kernel_inherits_them_and_inputs_win(bench, monkeypatch):
    monkeypatch.setenv("FROM_OUTSIDE", "kept")
    monkeypatch.setenv("REGION", "eu")
    source = "import os\nouter, inner = os.environ['FROM_OUTSIDE'], os.environ['REGION']"

    operation = bench.run("a.ipynb", source, input_variables={"REGION": "ru"}, output_variable_names=("outer", "inner"))

    assert operation.outputs == {"outer": "kept", "inner": "ru"}
    assert os.environ["REGION"] == "eu"


def test_run_when_cells_are_tagged_then_raises_exception_goes_on_and_skip_execution_is_skipped(bench):
    path = bench.write("tags.ipynb", "1 / 0", "raise SystemError", "after = 1")
    node = nbformat.read(path, 4)
    node.cells[0].metadata.tags = ["raises-exception"]
    node.cells[1].metadata.tags = ["skip-execution"]
    nbformat.write(node, path)

    assert bench.run("tags.ipynb", output_variable_names=("after",)).outputs == {"after": 1}


def test_run_when_the_same_notebook_runs_twice_at_once_then_each_has_a_kernel_of_its_own(bench):
    bench.write("pid.ipynb", "import os\npid, me = os.getpid(), os.environ['ME']")
    names = ("pid", "me")

    started = [bench.submit("pid.ipynb", input_variables={"ME": me}, output_variable_names=names) for me in "ab"]
    first, second = (bench.wait(operation).outputs for operation in started)

    assert (first["me"], second["me"]) == ("a", "b")
    assert first["pid"] != second["pid"]


def test_run_when_the_notebook_prints_more_than_a_socket_holds_then_nothing_is_lost(bench, tmp_path):
    source = "from IPython.display import display\nfor i in range(1500): display({'text/plain': str(i)}, raw=True)"

    bench.run("much.ipynb", source, executed=tmp_path / "out.ipynb")

    cell = nbformat.read(tmp_path / "out.ipynb", 4).cells[0]
    assert [output.data["text/plain"] for output in cell.outputs] == [str(i) for i in range(1500)]


@pytest.mark.parametrize("way", ["auto", "usual"])
def test_run_when_the_kernel_dies_while_much_is_still_to_be_read_then_nothing_of_it_is_lost(bench_with, tmp_path, way):
    source = (
        "import os, time\nfrom IPython.display import display\n"
        "for i in range(3000): display({'text/plain': str(i)}, raw=True)\n"
        "time.sleep(0.2); os._exit(3)"
    )

    operation = bench_with({"kernel_start": way}).run("much.ipynb", source, executed=tmp_path / "out.ipynb")

    cell = nbformat.read(tmp_path / "out.ipynb", 4).cells[0]
    assert operation.failure.message == "the kernel died in cell 1: it exited with code 3"
    assert len(cell.outputs) == 3000
    assert cell.execution_count == 1


def test_run_when_a_file_stays_open_then_what_was_written_is_there_when_the_operation_is_done(bench):
    bench.run("open.ipynb", "file = open('data.txt', 'w')\nfile.write('whole')")

    assert (bench.folder / "data.txt").read_text() == "whole"


def test_run_when_the_temporary_folder_has_a_long_name_then_sockets_still_fit(bench, tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    assert bench.run("a.ipynb", "1").failure is None


def test_close_when_kernels_ran_then_no_process_thread_or_folder_is_left(
    bench, processes_marked, until, monkeypatch, tmp_path
):
    others = set(threading.enumerate())  # backends of other tests, which may live as long as their file
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr("tempfile.tempdir", short)
        value = os.urandom(8).hex()
        marked = {"input_variables": {"DSJOBS_TEST_MARK": value}}
        bench.write("long.ipynb", "import pathlib, time\npathlib.Path('started').touch()\ntime.sleep(600)")
        done = bench.run("a.ipynb", "x = 1", **marked)
        running = bench.submit("long.ipynb", executed=tmp_path / "out.ipynb", **marked)
        assert until((bench.folder / "started").exists)
        [folder] = Path(short).iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700

        bench.backend.close()

        assert list(Path(short).iterdir()) == []
    assert done.failure is None
    assert bench.backend.poll(running.id).cancelled
    assert (tmp_path / "out.ipynb").exists()
    assert processes_marked(value) == []
    assert not [thread for thread in set(threading.enumerate()) - others if thread.name == "dsjobs-local"]


@pytest.mark.parametrize("moment", [0, 0.05, 0.3])
def test_close_when_kernels_are_still_starting_then_their_operations_end_cancelled(bench, moment):
    bench.write("long.ipynb", "import time\ntime.sleep(600)")
    operations = [bench.submit("long.ipynb") for _ in range(2)]
    threading.Event().wait(moment)

    bench.backend.close()

    ended = [bench.backend.poll(operation.id) for operation in operations]
    assert [(operation.done, operation.cancelled, operation.failure) for operation in ended] == [(True, True, None)] * 2
    assert sorted(bench.notified) == sorted(operation.id for operation in operations)


# Kernels


def kernelspec(folder: Path, name: str, language: str, *argv: str) -> None:
    (folder / "kernels" / name).mkdir(parents=True)
    spec = {"argv": list(argv), "display_name": name, "language": language}
    (folder / "kernels" / name / "kernel.json").write_text(json.dumps(spec))


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """A folder where Jupyter looks for kernels."""
    folder = tmp_path / "jupyter"
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    return folder


IPYKERNEL = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")


def test_kernel_when_the_notebook_names_an_installed_one_then_that_one_runs(bench, kernels):
    kernelspec(kernels, "mine", "python", "env", "WHICH=mine", *IPYKERNEL)
    kernel = {"name": "mine", "display_name": "mine", "language": "python"}
    bench.write("a.ipynb", "import os\nwhich = os.environ['WHICH']", kernelspec=kernel)

    assert bench.run("a.ipynb", output_variable_names=("which",)).outputs == {"which": "mine"}


def test_kernel_when_a_python_notebook_names_an_unknown_one_then_this_interpreter_runs_it(bench):
    kernel = {"name": "conda-env-gone-py", "display_name": "gone", "language": "python"}
    bench.write("a.ipynb", "import sys\nwhere = sys.executable", kernelspec=kernel)

    assert bench.run("a.ipynb", output_variable_names=("where",)).outputs == {"where": sys.executable}


def test_kernel_when_another_language_is_not_installed_then_the_failure_says_which(bench):
    bench.write("r.ipynb", "1", kernelspec={"name": "ir", "display_name": "R", "language": "R"})

    failure = bench.run("r.ipynb").failure

    assert failure.kind == "backend"
    assert failure.message == "kernel 'ir', which 'r.ipynb' asks for, is not installed"


def test_kernel_when_it_is_not_python_then_it_runs_over_tcp_but_outputs_cannot_be_declared(bench, kernels, tmp_path):
    # Nothing in its command says that it is ipykernel, so it is treated as a stranger, which gets no ipc socket.
    launcher = tmp_path / "launcher.py"
    launcher.write_text(
        "import json, pathlib, sys, runpy\nconnection = json.loads(pathlib.Path(sys.argv[2]).read_text())\n"
        "pathlib.Path('transport').write_text(connection['transport'])\n"
        "runpy.run_module('ipykernel_launcher', run_name='__main__')"
    )
    kernelspec(kernels, "other", "other", sys.executable, str(launcher), "-f", "{connection_file}")
    bench.write("o.ipynb", "1", kernelspec={"name": "other", "display_name": "other", "language": "other"})

    assert bench.run("o.ipynb").failure is None
    assert (bench.folder / "transport").read_text() == "tcp"
    failure = bench.run("o.ipynb", output_variable_names=("x",)).failure
    assert failure.kind == "contract"
    assert "'other' is not a Python kernel" in failure.message


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((sys.executable, "-c", "raise SystemExit('no license')"), "no license"),
        (("/no/such/kernel", "{connection_file}"), "/no/such/kernel: No such file or directory"),
    ],
)
def test_kernel_when_it_ends_before_it_is_ready_then_the_failure_shows_what_it_said(bench, kernels, argv, said):
    kernelspec(kernels, "broken", "python", *argv)
    bench.write("a.ipynb", "1", kernelspec={"name": "broken", "display_name": "b", "language": "python"})

    failure = bench.run("a.ipynb").failure

    assert failure.kind == "backend"
    assert failure.message == "kernel 'broken' ended before it was ready: it exited with code 1"
    assert failure.traceback[-1] == said


# Outputs


def test_outputs_when_they_are_json_or_convertible_then_they_arrive_and_leave_no_trace(bench, tmp_path):
    before = "mine = {name for name in globals()}"
    source = (
        "import numpy as np\neval = exec = compile = globals = 'mine'\n"
        "big = 2 ** 200\nshape = (1, 2)\nmean = np.float32(0.5)\ngrid = np.eye(2)"
    )
    bench.write("o.ipynb", before, source, "print(sorted(set(dir()) - mine))")

    operation = bench.run(
        "o.ipynb", output_variable_names=("big", "shape", "mean", "grid", "eval"), executed=tmp_path / "out.ipynb"
    )

    grid = [[1.0, 0.0], [0.0, 1.0]]
    assert operation.outputs == {"big": 2**200, "shape": [1, 2], "mean": 0.5, "grid": grid, "eval": "mine"}
    assert "dsjobs" not in (tmp_path / "out.ipynb").read_text()


def test_outputs_when_several_are_bad_then_one_failure_names_them_all(bench):
    source = "row_count = 3\nmodel = object()\nscores = {'a': [1.0, float('nan')]}\nnever = float('inf')"

    operation = bench.run("o.ipynb", source, output_variable_names=("rowcount", "model", "scores", "never"))

    assert operation.outputs == {}
    assert list(operation.unread) == ["rowcount", "model", "scores", "never"]
    assert operation.failure.kind == "contract"
    assert operation.failure.message == (
        "output 'rowcount' was not assigned; output 'model' is of type object, which is not JSON; "
        "output 'scores': scores['a'][1] is NaN, which JSON does not have; "
        "output 'never' is infinite, which JSON does not have"
    )
    assert "rowcount: did you mean 'row_count'?" in operation.failure.hint


def test_outputs_when_they_are_too_large_then_the_failure_says_how_large(bench):
    operation = bench.run("o.ipynb", "a = 'x' * 5_000_000\nb = a", output_variable_names=("a", "b"))

    assert operation.failure.kind == "contract"
    assert operation.failure.message == "the outputs take 9.5 MiB as JSON, more than the 8 MiB allowed"


def test_outputs_when_the_kernel_ends_after_the_last_cell_then_only_declared_ones_are_missed(bench):
    # The last request looks up one name among the notebook's own: this one.
    source = "import os\nx = 1\n__import__ = lambda name: os._exit(5)"

    assert bench.run("a.ipynb", source).failure is None
    failure = bench.run("a.ipynb", output_variable_names=("x",)).failure
    assert failure.kind == "contract"
    assert failure.message.endswith("the kernel ended after the last cell: it exited with code 5")


def test_outputs_when_the_kernel_ends_while_it_says_much_that_nobody_reads_then_the_operation_ends(bench):
    # It ends while its outputs are being read; what a thread prints meanwhile belongs to no cell.
    source = (
        "import os, threading, time\nclass Slow(list):\n    def __iter__(self):\n"
        "        time.sleep(1); os._exit(5)\n"
        "def talk():\n    while True: print('more', flush=True)\n"
        "x = Slow([1]); threading.Thread(target=talk, daemon=True).start()"
    )

    failure = bench.run("a.ipynb", source, output_variable_names=("x",)).failure

    assert failure.message.endswith("the kernel ended after the last cell: it exited with code 5")


# Failures


def test_failure_when_a_cell_raises_then_it_has_the_place_and_later_cells_do_not_run(bench):
    bench.write("bad.ipynb", "def f(x):\n    return 1 / x", "\n\ny = 0\nf(y)", "open('after', 'w')")

    operation = bench.run("bad.ipynb", output_variable_names=("y",))

    failure = operation.failure
    assert (failure.kind, failure.exception) == ("notebook", "ZeroDivisionError: division by zero")
    assert (failure.cell_number, failure.line, failure.source_line) == (2, 4, "f(y)")
    assert failure.cell_id == nbformat.read(bench.folder / "bad.ipynb", 4).cells[1].id
    assert failure.message == "cell 2 raised ZeroDivisionError: division by zero"
    assert "----> 2     return 1 / x" in failure.traceback
    assert "\x1b" not in "".join(failure.traceback)
    assert operation.outputs is None
    assert not (bench.folder / "after").exists()


def test_failure_when_a_cell_has_a_syntax_error_then_it_has_the_line(bench):
    failure = bench.run("bad.ipynb", "\nx = 1\ny = = 2").failure

    assert (failure.line, failure.source_line, failure.exception) == (3, "y = = 2", "SyntaxError: invalid syntax")


def test_failure_when_a_timed_cell_raises_then_the_line_is_that_of_the_source(bench):
    failure = bench.run("bad.ipynb", "\n%%time\nx = 1\n1 / 0").failure

    assert (failure.line, failure.source_line) == (4, "1 / 0")


def test_failure_when_a_notebook_asks_for_input_then_it_fails_and_says_what_to_do(bench):
    failure = bench.run("ask.ipynb", "input('name? ')").failure

    assert failure.exception.startswith("StdinNotImplementedError")
    assert "inputs" in failure.hint


@pytest.mark.parametrize(
    ("source", "how", "hint"),
    [
        ("import os; os._exit(3)", "it exited with code 3", None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it was killed by SIGKILL", "out of memory"),
        ("import ctypes; ctypes.string_at(0)", "it crashed with SIGSEGV", "native code"),
    ],
)
def test_failure_when_the_kernel_dies_then_it_says_how_and_soon(bench, tmp_path, source, how, hint):
    note = "import pathlib, time; pathlib.Path('t').write_text(repr(time.time()))\n"
    bench.write("die.ipynb", "print('before')", note + source, "1")

    operation = bench.run("die.ipynb", executed=tmp_path / "out.ipynb")

    failure = operation.failure
    assert (failure.kind, failure.cell_number) == ("notebook", 2)
    assert failure.message == f"the kernel died in cell 2: {how}"
    assert hint is None or hint in failure.hint
    assert operation.finished_at - float((bench.folder / "t").read_text()) < 0.5
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs[0].text == "before\n"


# Cancelling


def test_cancel_when_the_notebook_ignores_interrupts_then_it_ends_within_five_seconds(bench, until, tmp_path):
    source = (
        "import pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('stubborn', flush=True)\n"
        "while True:\n    try:\n        pathlib.Path('started').touch()\n        time.sleep(600)\n"
        "    except KeyboardInterrupt: pass"
    )
    bench.write("stubborn.ipynb", source)
    operation = bench.submit("stubborn.ipynb", executed=tmp_path / "out.ipynb")
    assert until((bench.folder / "started").exists)

    bench.backend.cancel(operation.id)

    ended = bench.wait(operation)
    assert (ended.cancelled, ended.failure) == (True, None)
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs[0].text == "stubborn\n"
    assert ended.executed.path == str(tmp_path / "out.ipynb")


def test_cancel_when_a_cell_swallows_the_interrupt_then_the_next_cell_does_not_run(bench, until):
    swallow = "import pathlib, time\npathlib.Path('started').touch()\ntry: time.sleep(600)\nexcept BaseException: pass"
    bench.write("swallow.ipynb", swallow, "open('after', 'w')")
    operation = bench.submit("swallow.ipynb")
    assert until((bench.folder / "started").exists)

    bench.backend.cancel(operation.id)

    assert bench.wait(operation).cancelled
    assert not (bench.folder / "after").exists()


# The executed notebook


def test_executed_when_the_notebook_ran_then_it_has_only_outputs_of_this_run_and_the_digest_of_the_code(
    bench, tmp_path
):
    path = bench.write("a.ipynb", "print('new')", "1 / 0", "2")
    node = nbformat.read(path, 4)
    node.cells[2].outputs = [v4.new_output("stream", text="old")]
    nbformat.write(node, path)
    before = path.read_bytes()
    out = tmp_path / "runs" / "r1" / "a.ipynb"

    operation = bench.run("a.ipynb", executed=out)

    ran = nbformat.read(out, 4)
    nbformat.validate(ran)
    assert [[output.output_type for output in cell.outputs] for cell in ran.cells] == [["stream"], ["error"], []]
    assert ran.cells[0].outputs[0].text == "new\n"
    assert operation.executed == ExecutedNotebook(str(out), reading.code_digest(reading.read(path).cells))
    assert re.fullmatch("sha256:[0-9a-f]{64}", operation.executed.code_digest)
    assert [name.name for name in out.parent.iterdir()] == ["a.ipynb"]
    assert path.read_bytes() == before


def test_executed_when_the_notebook_is_of_nbformat_4_2_then_it_runs_and_stays_so(bench, tmp_path):
    cell = {"cell_type": "code", "source": ["x = 1\n", "x"], "metadata": {}, "outputs": [], "execution_count": None}
    text = {"cell_type": "markdown", "source": "# T", "metadata": {}}
    old = {"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [text, cell]}
    (bench.folder / "old.ipynb").write_text(json.dumps(old))

    assert bench.run("old.ipynb", executed=tmp_path / "out.ipynb").failure is None
    ran = nbformat.read(tmp_path / "out.ipynb", 4)
    nbformat.validate(ran)
    assert ran.nbformat_minor == 2
    assert ran.cells[1].outputs[0].data["text/plain"] == "1"


def test_executed_when_a_cell_prints_half_a_surrogate_pair_then_it_is_still_a_notebook(bench, tmp_path):
    bench.run(
        "s.ipynb",
        r"from IPython.display import display; display({'text/plain': 'a\ud800'}, raw=True)",
        executed=tmp_path / "o",
    )

    json.loads((tmp_path / "o").read_bytes())


def test_executed_when_it_cannot_be_written_then_the_failure_says_why(bench, tmp_path):
    (tmp_path / "file").touch()
    bench.write("bad.ipynb", "1 / 0")

    good = bench.run("a.ipynb", "1", executed=tmp_path / "file" / "out.ipynb")
    bad = bench.run("bad.ipynb", executed=tmp_path / "file" / "out.ipynb")

    assert good.failure.kind == "backend"
    assert good.failure.message.startswith("the executed notebook cannot be written to ")
    assert (
        good.failure.message.endswith(os.strerror(errno.ENOTDIR)) or os.strerror(errno.EEXIST) in good.failure.message
    )
    assert good.executed.path is None
    assert bad.failure.kind == "notebook"
    assert "the executed notebook cannot be written" in bad.failure.hint


def test_executed_when_the_disk_is_full_then_nothing_is_left_behind(tmp_path):
    # No disk can be filled here, but a file size limit stops a write in the same place.
    code = (
        "import pathlib, resource, signal, sys\nfrom nbformat import v4\nfrom dsjobs.notebook import writing\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "node = v4.new_notebook(cells=[v4.new_code_cell('x' * 5000)])\n"
        "try: writing.write(node, pathlib.Path(sys.argv[1]))\nexcept OSError as error: print(error.strerror)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "o.ipynb")], capture_output=True, text=True, check=True
    )

    assert shown.stdout.strip() == "File too large"
    assert list(tmp_path.iterdir()) == []


# Cells


def test_cell_when_its_id_is_unique_then_that_cell_runs_alone(bench):
    path = bench.write("a.ipynb", "raise ValueError", "open('ran', 'w')\nx = 1", "raise ValueError")
    cell_id = nbformat.read(path, 4).cells[1].id

    alone = bench.run("", cell=cell_id, output_variable_names=("x",))
    by_path = bench.run("", cell=f"a.ipynb/cell/{cell_id}")

    assert alone.outputs == {"x": 1}
    assert by_path.failure is None
    assert by_path.executed.code_digest == alone.executed.code_digest
    assert by_path.executed.code_digest != reading.code_digest(reading.read(path).cells)


def test_cell_when_there_is_none_then_the_operation_fails_without_a_kernel(bench):
    bench.write("a.ipynb", "1")

    failure = bench.run("", cell="nope").failure

    assert failure.kind == "backend"
    assert "no notebook in the project's folder has a code cell with the ID 'nope'" in failure.message
