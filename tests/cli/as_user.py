"""dsjobs as a user has it: a process of its own, in a folder with a job file and real notebooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

REPOSITORY = Path(__file__).parents[2]
TIMEOUT = 120.0


@dataclass(frozen=True)
class Ended:
    """What a process came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output, which must be one JSON document a line and nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(**more: str) -> dict[str, str]:
    """The variables that dsjobs is started with: none of those that change what it does, but `more`."""
    ours = ("DSJOBS_", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING", "PYTHONPATH", "GIT_", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1", "TERM": "xterm", **more}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "dsjobs", *map(str, arguments)]


def run(*arguments: str | Path, cwd: Path, **variables: str) -> Ended:
    """Run `dsjobs` to its end."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
    )
    assert "Traceback" not in done.stderr.replace("Traceback (most recent call last)\n    Cell In", ""), done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook for Python with these code cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, path)


HEAD = """\
version: 1
name: small
variables: {region: eu, alpha: {type: number, default: 0.1}}
environments:
  local: {backend: local, projects: {here: notebooks}}
  prod: {backend: datasphere, projects: {here: bt1abcdefghijklmnopq}, settings: {output_store: "s3://bucket/runs"}}
  cluster: {backend: dask, projects: {here: notebooks}}
default_environment: local
defaults: {project: here}
jobs:
"""

LOAD = """\
  - name: load
    notebook: load.ipynb
    inputs: {REGION: "{{ vars.region }}", RUN: "{{ run.id }}"}
    outputs: {rows: {type: integer, minimum: 1}, greeting: {type: string}}
"""

TRAIN = """\
  - name: train
    needs: [load]
    notebook: train.ipynb
    inputs: {ROWS: "{{ needs.load.outputs.rows }}", ALPHA: "{{ vars.alpha }}"}
    outputs: [score]
"""

TROUBLE = """\
  - {name: broken, needs: [load], notebook: broken.ipynb}
  - {name: promise, needs: [load], notebook: load.ipynb, inputs: {REGION: x}, outputs: {rows: {type: integer, minimum: 10}}}
  - {name: after, needs: [broken], notebook: train.ipynb, inputs: {ROWS: 1, ALPHA: 1}}
  - {name: last, needs: [after], notebook: train.ipynb, inputs: {ROWS: 1, ALPHA: 1}}
"""

SLEEP = """\
  - {name: sleep, notebook: %s.ipynb}
  - {name: never, needs: [sleep], notebook: train.ipynb, inputs: {ROWS: 1, ALPHA: 1}}
"""

GATE = """\
import pathlib, time
pathlib.Path('started').touch()
while not pathlib.Path('open').exists():
    time.sleep(0.05)
"""
"""The cell of a notebook that runs until it is let go."""

UPLOAD = "\nurl = os.environ.get('DSJOBS_OUTPUTS_URL')  # where the outputs would go, if there were a store"


def write_project(folder: Path, jobs: str = LOAD + TRAIN) -> Path:
    """A folder with a job file and the notebooks that it may name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "jobs.yaml").write_text(HEAD + jobs)
    notebooks = folder / "notebooks"
    load = "import os\nrows = 3\ngreeting = 'hällo ' + os.environ['REGION']\nrun = os.environ.get('RUN', '')"
    write_notebook(notebooks / "load.ipynb", load + UPLOAD)
    score = "score = float(os.environ['ALPHA']) * int(os.environ['ROWS'])"
    write_notebook(notebooks / "train.ipynb", "import os", score + UPLOAD)
    write_notebook(notebooks / "broken.ipynb", "import os", "def f(x):\n    return 1 / x\n", "# starts\n\nf(0)")
    sleep = "import pathlib, time\npathlib.Path('started').touch()\ntime.sleep(600)"
    write_notebook(notebooks / "sleep.ipynb", sleep)
    stubborn = "while True:\n    try:\n        time.sleep(600)\n    except KeyboardInterrupt:\n        pass"
    write_notebook(notebooks / "stubborn.ipynb", "import pathlib, time\npathlib.Path('started').touch()", stubborn)
    return folder


def manifest_of(project: Path) -> dict[str, Any]:
    """The manifest of a project's only run."""
    (path,) = (project / ".dsjobs" / "runs").glob("*/manifest.json")
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    return manifest


def until(is_so: Callable[[], object], what: str, *, deadline: float = 60.0) -> None:
    """Wait for something in another process."""
    end = time.monotonic() + deadline
    while not is_so():
        assert time.monotonic() < end, f"in {deadline} s: {what} did not happen"
        time.sleep(0.02)


def processes_with(mark: str) -> list[int]:
    """The processes that were started with `mark` in their environment, and those forked from them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                content = (entry / "environ").read_bytes()
                is_zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if mark.encode() in content and not is_zombie:
                found.append(int(entry.name))
    return found


def by_name(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {job["name"]: job for job in manifest["jobs"]}


def statuses(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {job["name"]: job["status"] for job in manifest["jobs"]}


def kinds(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [record["record"] for record in records]
