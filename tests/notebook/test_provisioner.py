"""The kernel provisioner `dsjobs-fork` in programs that know nothing of dsjobs but its name in a kernelspec."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no fork server elsewhere")

ROOT = Path(__file__).parents[2]
GROUP = "jupyter_client.kernel_provisioners"
ARGV = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
# Whether the kernel is a fork: then its parent, its keeper, is a copy of the fork server.
WHO = "import os, sys; print('server.py' in open(f'/proc/{os.getppid()}/cmdline').read(), 'colorsys' in sys.modules)"

MANAGER = f"""
from jupyter_client import KernelManager
for number in range(2):
    manager = KernelManager(kernel_name="forked")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    client.execute_interactive({WHO!r}, timeout=60)
    manager.restart_kernel()
    client.wait_for_ready(timeout=60)
    client.execute_interactive({WHO!r}, timeout=60)
    client.stop_channels()
    manager.shutdown_kernel()
    print(manager.is_alive())
"""
NBCLIENT = f"""
import nbformat
from nbclient import NotebookClient
for number in range(2):
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell({WHO!r})])
    NotebookClient(node, kernel_name="forked").execute()
    print(node.cells[0].outputs[0].text, end="")
"""


@pytest.fixture
def environ(tmp_path):
    """An environment with the entry points of this checkout, installed or not, and a folder for kernelspecs."""
    path = [str(ROOT)]
    if not metadata.entry_points(group=GROUP, name="dsjobs-fork"):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        folder = tmp_path / "installed" / "dsjobs-0.0.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: dsjobs\nVersion: 0.0.0\n")
        lines = [f"{name} = {place}" for name, place in project["entry-points"][GROUP].items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
        path.append(str(folder.parent))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "JUPYTER_PATH": str(tmp_path / "jupyter")}


def install(environ, argv, **config) -> None:
    folder = Path(environ["JUPYTER_PATH"]) / "kernels" / "forked"
    folder.mkdir(parents=True)
    provisioner = {"provisioner_name": "dsjobs-fork", "config": config}
    spec = {
        "argv": argv,
        "display_name": "forked",
        "language": "python",
        "metadata": {"kernel_provisioner": provisioner},
    }
    (folder / "kernel.json").write_text(json.dumps(spec))


def printed(environ, code: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize("options", [[], ["-Xfrozen_modules=off"]])
def test_manager_when_the_kernelspec_names_the_provisioner_then_kernels_are_forks(environ, options):
    install(environ, [sys.executable, *options, *ARGV], preload=["colorsys"])

    assert printed(environ, MANAGER) == ["True True", "True True", "False"] * 2


def test_manager_when_the_kernelspec_has_another_name_of_this_interpreter_then_kernels_are_forks(environ):
    names = {path.name for path in Path(sys.executable).parent.glob("python*") if path.samefile(sys.executable)}
    other = min(names - {Path(sys.executable).name}, default=None)
    if other is None:
        pytest.skip("this interpreter has one name only")
    install(environ, [str(Path(sys.executable).with_name(other)), *ARGV])

    assert printed(environ, MANAGER)[0] == "True False"


def test_manager_when_the_kernel_cannot_be_a_fork_then_it_starts_as_its_kernelspec_says(environ):
    install(environ, ["env", "A=b", sys.executable, *ARGV])

    assert printed(environ, MANAGER) == ["False False", "False False", "False"] * 2


def test_nbclient_when_the_kernelspec_names_the_provisioner_then_notebooks_run_in_forks(environ):
    install(environ, [sys.executable, *ARGV])
    mark = os.urandom(8).hex()

    assert printed({**environ, "DSJOBS_TEST_MARK": mark}, NBCLIENT) == ["True False"] * 2
    assert [path for path in Path("/proc").glob("[0-9]*/environ") if is_marked(path, mark)] == []


def is_marked(path: Path, mark: str) -> bool:
    try:
        return mark.encode() in path.read_bytes()
    except OSError:
        return False
