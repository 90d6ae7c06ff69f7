"""Nothing of one notebook is seen by the next one, though both are forks of one process."""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no fork server elsewhere")

PROBE = """
import builtins, os, random, resource, signal, sys, tempfile, threading, warnings
def has_children():
    try:
        return os.waitpid(-1, os.WNOHANG) is not None
    except ChildProcessError:
        return False
seen = {
    "environment": {k: v for k, v in os.environ.items() if k != "JPY_PARENT_PID"},
    "folder": os.getcwd(),
    "path": sys.path,
    "handlers": [str(signal.getsignal(n)).split(" at ")[0] for n in (signal.SIGUSR1, signal.SIGTERM, signal.SIGALRM)],
    "alarm": signal.getitimer(signal.ITIMER_REAL)[0],
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "threads": sorted(type(t).__name__ for t in threading.enumerate()),
    "modules": "left_behind" in sys.modules,
    "builtins": hasattr(builtins, "left_behind"),
    "umask": os.umask(0o022),
    "limits": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
    "variables": "left_behind" in globals(),
    "descriptors": len([n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")
                        and os.readlink(f"/proc/self/fd/{n}").endswith("left_behind.txt")]),
    "streams": [type(sys.stdout).__name__, type(sys.__stdout__).__name__, *(os.fstat(n).st_size >= 0 for n in (0, 1, 2))],
    "recursion": sys.getrecursionlimit(),
    "temporary": tempfile.gettempdir(),
    "children": has_children(),
}
"""

DIRT = {
    "forks": "import os, time\nfor _ in range(3):\n    if os.fork() == 0:\n        time.sleep(600)",
    "leaks threads": (
        "import threading, time\n"
        "for _ in range(5): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    ),
    "changes the environment": "import os\nos.environ['LEFT'] = 'behind'; os.environ.pop('PATH')",
    "sets signal handlers": (
        "import signal\nfor n in (signal.SIGUSR1, signal.SIGTERM): signal.signal(n, lambda *a: None)\n"
        "signal.setitimer(signal.ITIMER_REAL, 600); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])"
    ),
    "changes sys.path": "import sys\nsys.path.insert(0, '/left/behind'); sys.path.append('x')",
    "changes the working folder": "import os\nos.chdir('/')",
    "changes modules": (
        "import builtins, os, sys, types\nsys.modules['left_behind'] = types.ModuleType('left_behind')\n"
        "builtins.left_behind = 1; os.getcwd = lambda: '/'; left_behind = 2; sys.setrecursionlimit(5000)"
    ),
    "changes the process": (
        "import os, resource, tempfile\nos.umask(0o077); tempfile.tempdir = '/'\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\nleft = os.open('left_behind.txt', os.O_CREAT | os.O_RDWR)"
    ),
    "takes the streams away": (
        "import io, os, sys\nsys.stdout = sys.stderr = sys.__stdout__ = io.StringIO()\n"
        "for number in (0, 1, 2): os.close(number)"
    ),
    "dies": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
}


@pytest.mark.parametrize("what", DIRT)
def test_notebook_when_one_before_it_left_something_behind_then_it_sees_nothing_of_that(bench, what):
    clean = bench.run("probe.ipynb", PROBE, output_variable_names=("seen",))

    bench.run("dirt.ipynb", DIRT[what])

    # The second of them waited while the dirt was made, the third did not exist yet.
    for _ in range(2):
        after = bench.run("probe.ipynb", output_variable_names=("seen",))
        assert (after.kernel_start.way, after.failure) == ("fork", None)
        assert after.outputs == clean.outputs


def test_notebooks_when_they_draw_random_numbers_then_each_draws_others(bench_with):
    bench = bench_with({"preload": ["numpy", "random", "multiprocessing"]})
    bench.write(
        "random.ipynb",
        "import random, secrets, uuid, numpy, multiprocessing, tempfile\n"
        "drawn = [random.random(), secrets.token_hex(), uuid.uuid1().hex, numpy.random.rand(),\n"
        "         numpy.random.default_rng().random(), uuid.uuid4().hex,\n"
        "         bytes(multiprocessing.current_process().authkey).hex(), next(tempfile._get_candidate_names())]",
    )

    drawn = [bench.run("random.ipynb", output_variable_names=("drawn",)).outputs["drawn"] for _ in range(3)]

    assert all(len(set(values)) == 3 for values in zip(*drawn, strict=True))
