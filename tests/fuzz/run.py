"""`python tests/fuzz/run.py --seconds 3600 --seed 7`: job files, templates and variables that nobody has thought of.

Each case is loaded, validated and planned; a plan is saved, and begins a journal. A traceback, what is not JSON, more than two
seconds of processor time (of each MB of a larger file), or 500 MB more memory is a finding: it is made smaller, and kept as a
folder with its files and what was seen. What is not slow three times was slowed by something else. The exit code is 1
where there is a finding.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cases import REPOSITORY, SAVED, Case, case

PATIENCE = 60.0
"""Seconds after which a worker that has not answered is taken for dead: it cannot be told to stop while C code runs."""

LARGE = 400 * 2**20
"""A worker with this peak is replaced, so that the next case's growth can be seen."""


@dataclass(frozen=True)
class Finding:
    """What a case came to. `kind` and the last line of `text` say whether two are the same."""

    case: Case
    kind: str
    text: str

    @property
    def place(self) -> str:
        frames = [line.strip() for line in self.text.splitlines() if line.strip().startswith('File "')]
        last = self.text.strip().splitlines()[-1] if self.kind == "traceback" else ""
        return f"{self.kind}: {frames[-1] if frames else ''} {last[:60]}"


class Worker:
    """A process that tries cases, started again when it dies."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dsjobs-fuzz-"))
        self.slowest: tuple[float, int] = (0.0, 0)
        self.codes: Counter[str] = Counter()
        self._process: subprocess.Popen[str] | None = None

    def find(self, one: Case) -> Finding | None:
        """What is wrong with a case. It is slow where it is so three times: neighbours on the machine are not a finding."""
        answer = self._ask(one)
        for _ in range(2):
            if answer is not None and answer["finding"] is not None and answer["finding"][0] == "slow":
                self._end()  # what has remembered the case would be faster
                answer = self._ask(one)
        if answer is None:
            return Finding(one, "dead", "the process died or did not answer")
        self.slowest = max(self.slowest, (answer["took"], one.number))
        self.codes[f"{one.kind} {answer['codes']}"] += 1
        if answer["finding"] is None:
            if answer["peak"] > LARGE:
                self._end()
            return None
        self._end()
        return Finding(one, *answer["finding"])

    def close(self) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ask(self, one: Case) -> dict[str, Any] | None:
        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        files = {name: base64.b64encode(content).decode() for name, content in one.files.items()}
        try:
            process.stdin.write(json.dumps({"files": files, "arguments": one.arguments, "environ": one.environ}) + "\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
            line = process.stdout.readline() if ready else ""
        except BrokenPipeError:
            line = ""
        if not line:
            self._end()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DSJOBS_", "GIT_"))}
        paths = [str(REPOSITORY), *filter(None, [kept.get("PYTHONPATH")])]
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**kept, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


def findings(numbers: Iterator[int], worker: Worker, until: Callable[[], bool]) -> Iterator[Finding]:
    """The findings among the cases of these numbers, one of each place."""
    seen: set[str] = set()
    for number in numbers:
        if until():
            return
        found = worker.find(case(number))
        if found is not None and found.place not in seen:
            seen.add(found.place)
            yield found


def smaller(found: Finding, worker: Worker, tries: int = 120) -> Finding:
    """A smaller case with the same finding, as far as so many tries lead."""
    if found.case.arguments or found.case.environ:
        plain = SAVED if found.case.arguments[: len(SAVED)] == SAVED else ()
        found = _kept(replace(found.case, arguments=plain, environ={}), found, worker) or found
    size = 2
    while tries > 0:
        lines = found.case.files["jobs.yaml"].splitlines(keepends=True)
        parts = lines if len(lines) > 3 else _pieces(found.case.files["jobs.yaml"])
        if size > len(parts):
            return found
        step = -(-len(parts) // size)
        for start in range(0, len(parts), step):
            tries -= 1
            content = b"".join([*parts[:start], *parts[start + step :]])
            kept = _kept(replace(found.case, files={**found.case.files, "jobs.yaml": content}), found, worker)
            if kept is not None:
                found, size = kept, max(2, size - 1)
                break
        else:
            size *= 2
    return found


def _pieces(content: bytes) -> list[bytes]:
    return [content[index : index + 8] for index in range(0, len(content), 8)]


def _kept(one: Case, found: Finding, worker: Worker) -> Finding | None:
    again = worker.find(one)
    return again if again is not None and again.place == found.place else None


def keep(found: Finding, folder: Path) -> Path:
    """Write a finding into a folder of its own."""
    path = folder / f"{found.kind}-{found.case.number}"
    path.mkdir(parents=True, exist_ok=True)
    for name, content in found.case.files.items():
        (path / name).write_bytes(content)
    told = {
        "number": found.case.number,
        "kind": found.case.kind,
        "arguments": found.case.arguments,
        "environ": found.case.environ,
    }
    (path / "finding.txt").write_text(f"{json.dumps(told)}\n{found.text}\n", encoding="utf-8")
    return path


def main() -> int:
    arguments = _arguments()
    worker = Worker()
    end = time.monotonic() + arguments.seconds
    number = tried = 0

    def numbers() -> Iterator[int]:
        nonlocal tried
        for number in range(arguments.seed * 1_000_000, (arguments.seed + 1) * 1_000_000):
            tried += 1
            yield number

    try:
        for found in findings(numbers(), worker, lambda: time.monotonic() > end):
            number += 1
            print(f"{found.place}\n  {keep(smaller(found, worker), arguments.findings)}", flush=True)
    finally:
        worker.close()
    print(f"{tried} cases, {number} findings; the slowest is {worker.slowest[1]} with {worker.slowest[0]:.2f} s")
    for kind, count in sorted(worker.codes.items()):
        print(f"  {kind}: {count}")
    return 1 if number else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tries job files, templates and variables that nobody has thought of.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long; default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="other seeds are other cases; default %(default)s")
    parser.add_argument(
        "--findings", type=Path, default=Path("fuzz-findings"), help="where they are kept; default %(default)s"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
