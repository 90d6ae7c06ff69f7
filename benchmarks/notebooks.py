"""Notebooks on one machine: dsjobs beside papermill, nbclient, nbconvert and ploomber-engine, and the floors below them all.

`python -m benchmarks.notebooks COUNT` runs COUNT trivial notebooks by the local backend alone, and prints for each tenth of
them what a notebook takes, and how many descriptors and MiB this process has; then how many failed, the slowest one, and what is
left.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Sample, in_turn, median, ratio
from benchmarks.settings import ROOT, Settings, dsjobs
from benchmarks.tables import Table

COUNT, QUICK_COUNT, ROUNDS = 20, 2, 3
_HANGS = 60
TRIVIAL = "x = sum(range(1000))\nprint(x)\nx * 2"
FRAMES = (
    "import numpy as np, pandas as pd\nframe = pd.DataFrame({'k': np.arange(1000) % 7, 'v': np.arange(1000.0)})\n"
    "frame.groupby('k').v.sum()"
)
PRELOAD = "{preload: [numpy, pandas]}"
API = "import sys, papermill\nfor n in sys.argv[1:]: papermill.execute_notebook(n, 'out/' + n, progress_bar=False)"
# Against papermill's API and command, as the issue sets them: how many times faster.
TARGETS = {"trivial, in a row": (8, 12), "trivial, two at a time": (None, 12), "NumPy and pandas, in a row": (6, None)}
PIPELINE = "pipeline"

Measure = Callable[[], Sample]
Tool = Callable[[int], Sample]


def tables(settings: Settings) -> Iterator[Table]:
    """What each further notebook adds, then whole commands."""
    count, rounds = (QUICK_COUNT, 1) if settings.quick else (COUNT, ROUNDS)
    yield from _further(settings, count, rounds)
    if settings.wants("a whole command"):
        yield _whole(settings, rounds)
    if settings.wants("jobs.example.yaml") and importlib.util.find_spec("matplotlib"):
        yield _pipeline(settings, rounds)
    if settings.wants("the floors"):
        yield _floors(settings, rounds)


def _further(settings: Settings, count: int, rounds: int) -> Iterator[Table]:
    cases = {
        "trivial, in a row": (TRIVIAL, 1, False),
        "trivial, two at a time": (TRIVIAL, 2, False),
        "trivial, a chain": (TRIVIAL, 1, True),
        "NumPy and pandas, in a row": (FRAMES, 1, False),
    }
    for number, (case, (source, parallel, is_chain)) in enumerate(cases.items()):
        if not settings.wants(case):
            continue
        folder = _folder(settings.folder / f"notebooks-{number}", source, count)
        taken = {}
        tools = _wanted(_tools(folder, source, parallel, is_chain=is_chain), settings)
        measures = {(name, size): partial(tool, size) for name, tool in tools.items() for size in (1, count)}
        whole = in_turn({f"{name}\t{size}": measure for (name, size), measure in measures.items()}, rounds)
        for name in tools:
            pairs = zip(whole[f"{name}\t1"], whole[f"{name}\t{count}"], strict=True)
            taken[name] = [_difference(one, many, count) for one, many in pairs]
        yield _table(f"Notebooks: {case}, what each of {count} adds", case, taken)


def _whole(settings: Settings, rounds: int) -> Table:
    """One notebook, from the start of the command to its end; and the example."""
    folder = _folder(settings.folder / "notebooks-whole", TRIVIAL, 1)
    tools = _wanted(_tools(folder, TRIVIAL, 1, is_chain=False), settings)
    taken = in_turn({name: partial(tool, 1) for name, tool in tools.items()}, rounds)
    table = _table("Notebooks: a whole command with one trivial notebook", "whole", taken)
    table.notes.append("target for dsjobs: 1.7 times faster than papermill's command")
    return table


def _pipeline(settings: Settings, rounds: int) -> Table:
    """The example as a whole. Papermill knows nothing of what a notebook needs, so it is told: it gets the inputs that dsjobs
    found out, and what can run beside each other does."""
    example = settings.folder / "notebooks-example"
    shutil.copytree(ROOT / "examples", example / "examples", ignore=shutil.ignore_patterns("output"))
    shutil.copy(ROOT / "jobs.example.yaml", example)
    own = dsjobs("apply", "jobs.example.yaml", "--manifest", "manifest.json")
    run(own, example)
    measures = {"dsjobs": partial(run, own, example)}
    if _is_there("papermill"):
        script = _papermill_script(json.loads((example / "manifest.json").read_text()))
        measures["papermill, command"] = partial(run, ["sh", "-ec", script], example)
    return _table("Notebooks: jobs.example.yaml, six notebooks", PIPELINE, in_turn(measures, rounds))


def _papermill_script(manifest: Mapping[str, Any]) -> str:
    """The jobs of a run as commands of papermill, a line for those that need none of each other."""
    lines: list[str] = []
    done: set[str] = set()
    left = list(manifest["jobs"])
    while left:
        ready = [job for job in left if set(job["needs"]) <= done]
        lines += [f"{_papermill_command(job)} & p{number}=$!" for number, job in enumerate(ready)]
        lines += [f"wait $p{number}" for number in range(len(ready))]
        done |= {job["name"] for job in ready}
        left = [job for job in left if job["name"] not in done]
    return "\n".join(lines)


def _papermill_command(job: Mapping[str, Any]) -> str:
    request = job["request"]
    inputs = " ".join(f"{name}={shlex.quote(text)}" for name, text in request.get("inputVariables", {}).items())
    folder, notebook = request["projectId"], request["notebookId"]
    return f"(cd {folder} && {inputs} {sys.executable} -m papermill --no-progress-bar {notebook} ../../{job['name']}.ipynb)"


def _floors(settings: Settings, rounds: int) -> Table:
    """What no runner of notebooks can go below."""
    (settings.folder / "cells.py").write_text(TRIVIAL)
    python = {"python -c pass": ["-c", "pass"], "the cells' code without a kernel": ["cells.py"]}
    measures: dict[str, Measure] = {
        name: partial(run, [sys.executable, *arguments], settings.folder) for name, arguments in python.items()
    }
    measures["a fork of this process"] = _fork
    table = Table("Notebooks: the floors", ("what", "ms", "min", "max", "ms of processor", "peak MiB"))
    table.rows += [(name, *_figures(values)) for name, values in in_turn(measures, max(rounds, 5)).items()]
    return table


def run(command: Sequence[str], folder: Path) -> Sample:
    """As `measure.run`, without what it says on stderr, which is all of its progress."""
    return measure.run(["sh", "-c", 'exec "$@" 2> /dev/null', "sh", *command], folder)


def _fork() -> Sample:
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    _, _, usage = os.wait4(pid, 0)
    return Sample(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _table(title: str, case: str, taken: Mapping[str, Sequence[Sample]]) -> Table:
    columns = ("by", "ms", "min", "max", "ms of processor", "peak MiB", "× papermill's API", "× its command")
    table = Table(title, columns)
    walls = {name: [sample.wall for sample in samples] for name, samples in taken.items()}
    for name, samples in taken.items():
        peers = [walls.get("papermill, API"), walls.get("papermill, command")]
        table.rows.append((name, *_figures(samples), *(ratio(peer, walls[name]) if peer else None for peer in peers)))
    api, command = TARGETS.get(case, (None, None))
    for peer, target in (("API", api), ("command", command)):
        if target:
            table.notes.append(f"target for dsjobs: {target} times faster than papermill's {peer}")
    missing = [name for name in ("papermill", "nbconvert", "ploomber_engine") if not importlib.util.find_spec(name)]
    table.notes += [f"{name}: left out, not installed" for name in missing]
    if importlib.util.find_spec("rfc3987_syntax"):
        # It comes with jupyterlab and builds a parser whenever jsonschema is imported: seconds, once for each command.
        table.notes.append(
            "NOT TO BE QUOTED: rfc3987_syntax is installed here, which slows down every command of the peers"
        )
    if "papermill, command" in taken and importlib.util.find_spec("ploomber_engine"):
        table.notes.append(
            "papermill's commands are NOT TO BE QUOTED: ploomber-engine is an engine of papermill's too, which loads it at each "
            "start, with matplotlib; measure one without the other"
        )
    return table


def _figures(samples: Sequence[Sample]) -> tuple[float, float, float, float, float]:
    walls = [sample.wall * 1000 for sample in samples]
    cpu, peak = (
        median([sample.cpu * 1000 for sample in samples]),
        median([sample.peak_bytes / 2**20 for sample in samples]),
    )
    return median(walls), min(walls), max(walls), cpu, peak


def _difference(one: Sample, many: Sample, count: int) -> Sample:
    further = max(count - 1, 1)
    return Sample((many.wall - one.wall) / further, (many.cpu - one.cpu) / further, many.peak_bytes)


def _folder(folder: Path, source: str, count: int) -> Path:
    """A folder with notebooks n0.ipynb and so on."""
    (folder / "out").mkdir(parents=True)
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    node = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": [cell]}
    for number in range(count):
        (folder / f"n{number}.ipynb").write_text(json.dumps(node))
    return folder


def _tools(folder: Path, source: str, parallel: int, *, is_chain: bool) -> dict[str, Tool]:
    """Each runs so many notebooks of the folder, as it does that best. What cannot run two at a time is run as commands."""
    python = sys.executable
    python_nbconvert = f"{python} -m nbconvert --execute --to notebook --output-dir out"
    commands: dict[str, Callable[[Sequence[str]], list[str]]] = {
        "papermill, command": lambda names: _each(
            names, parallel, f"{python} -m papermill --no-progress-bar {{}} out/{{}}"
        ),
    }
    if parallel == 1:
        commands["papermill, API"] = lambda names: [python, "-c", API, *names]
        commands["nbclient (jupyter execute)"] = lambda names: [python, "-m", "jupyter", "execute", *names]
        commands["nbconvert --execute"] = lambda names: [*python_nbconvert.split(), *names]
    else:
        commands["nbclient (jupyter execute)"] = lambda names: _each(
            names, parallel, f"{python} -m jupyter execute {{}}"
        )
        commands["nbconvert --execute"] = lambda names: _each(names, parallel, f"{python_nbconvert} {{}}")
    if importlib.util.find_spec("ploomber_engine"):
        line = f"{python} -m ploomber_engine.cli {{}} out/{{}}"
        commands["ploomber-engine, command"] = lambda names: _each(names, parallel, line)
    tools = {name: partial(_peer, folder, command) for name, command in commands.items() if _is_there(name)}
    kinds = {"dsjobs": "{}", "dsjobs, usual kernels": "{kernel_start: usual}"}
    if source == FRAMES:
        kinds["dsjobs, preload"] = PRELOAD
    for name, setting in kinds.items():
        tools[name] = partial(_dsjobs, folder, setting, parallel, is_chain)
    return tools


def _wanted(tools: Mapping[str, Tool], settings: Settings) -> dict[str, Tool]:
    """dsjobs, and the peers that were asked for."""
    wanted = ("dsjobs", *settings.peers)
    return {name: tool for name, tool in tools.items() if not settings.peers or name.startswith(wanted)}


def _is_there(name: str) -> bool:
    module = {"papermill": "papermill", "nbconvert": "nbconvert"}.get(name.split()[0].rstrip(","))
    return module is None or importlib.util.find_spec(module) is not None


def _peer(folder: Path, command: Callable[[Sequence[str]], list[str]], count: int) -> Sample:
    return run(command([f"n{number}.ipynb" for number in range(count)]), folder)


def _each(names: Sequence[str], parallel: int, line: str) -> list[str]:
    return ["sh", "-c", f"printf '%s\\n' {' '.join(names)} | xargs -P {parallel} -I {{}} {line}"]


def _dsjobs(folder: Path, setting: str, parallel: int, is_chain: bool, count: int) -> Sample:
    lines = [
        *("version: 1", f"max_parallel: {parallel}", "environments:"),
        f"  local: {{backend: local, projects: {{here: .}}, settings: {setting}}}",
        *("defaults: {project: here}", "jobs:"),
    ]
    for number in range(count):
        needs = f", needs: [j{number - 1}]" if is_chain and number else ""
        lines.append(f"  - {{name: j{number}, notebook: n{number}.ipynb{needs}}}")
    (folder / "jobs.yaml").write_text("\n".join(lines) + "\n")
    shutil.rmtree(folder / ".dsjobs", ignore_errors=True)
    return run(dsjobs("apply", "jobs.yaml"), folder)


def many(count: int, folder: Path) -> Iterator[str]:
    """Runs `count` trivial notebooks, two at a time, by the local backend in this process. Raises TimeoutError when one hangs."""
    from dsjobs.backends.local import LocalBackend
    from dsjobs.backends.protocol import Submission
    from dsjobs.model import Request

    _folder(folder / "project", TRIVIAL, 1)
    backend, slots = LocalBackend(folder, {}), threading.Semaphore(2)
    request, start = Request(project="project", notebook="n0.ipynb"), time.perf_counter()
    ids = []
    for number in range(1, count + 1):
        _acquire(slots)
        submission = Submission("many", number, request, folder / f"out{number % 2}.ipynb")
        operation = backend.submit(submission, idempotency_key=str(number), notify=lambda _: slots.release())
        ids.append(operation.id)
        if number % max(count // 10, 1) == 0:
            now, held = time.perf_counter(), len(os.listdir("/proc/self/fd"))
            each, start = (now - start) * 1000 / max(count // 10, 1), now
            yield f"{number:>6,}: {each:6.1f} ms each, {held} descriptors, {_resident():.0f} MiB"
    for _ in range(2):
        _acquire(slots)
    ended = [backend.poll(operation_id) for operation_id in ids]
    taken = [(operation.finished_at or 0) - (operation.started_at or 0) for operation in ended]
    ways = Counter(str(operation.kernel_start) for operation in ended)
    failed = sum(operation.failure is not None for operation in ended)
    yield f"{failed} of {count:,} failed; slowest {max(taken) * 1000:.0f} ms, median {median(taken) * 1000:.0f} ms; {dict(ways)}"
    backend.close()
    left = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    yield f"closed: {len(os.listdir('/proc/self/fd'))} descriptors, {_resident():.0f} MiB, {len(left)} processes left"


def _acquire(slots: threading.Semaphore) -> None:
    if not slots.acquire(timeout=_HANGS):
        raise TimeoutError(f"no notebook has ended for {_HANGS} s")


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        for said in many(int(sys.argv[1]), Path(temporary)):
            print(said, flush=True)
