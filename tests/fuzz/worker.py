"""Runs cases of the fuzzer, in a process of its own: a case a line comes in, what became of it goes out.

A traceback, a plan or a journal that is not JSON, more than two seconds of processor time for one command (and for each MB, where
its files have more than one), or more than 500 MB on top of what the process had, is a finding.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import click
import jsonschema_rs

from dsjobs import schemas
from dsjobs.cli import NOT_LOADED, cli
from dsjobs.errors import DsjobsError
from dsjobs.plan.saved import from_json
from dsjobs.run import journal, records
from dsjobs.run.journal import Journal
from dsjobs.run.manifest import fold

MOST_SECONDS = 2.0
"""Of processor time, for each MB of files that is read, and at least for one."""

MOST_BYTES = 500 * 2**20
CODES = frozenset({0, 2, 3, 4, 6})


SAVED = "made.json"
"""Where a plan is saved that is printed as JSON."""

# So that some plans are made, notebooks that are named are there: without its notebook a job cannot run.
PROJECTS = ("notebooks", "analytics", "main", "models")
EMPTY: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
# Nobody can tell what it reads and what it gives.
ANY = "import os, dsjobs\nglobals().update(os.environ)\ndsjobs.publish(**globals())"
CELL = {"cell_type": "code", "id": "any", "metadata": {}, "outputs": [], "execution_count": None, "source": ANY}
NOTEBOOKS = (json.dumps(EMPTY), json.dumps({**EMPTY, "cells": [CELL]}))

# What takes time to import is imported before anything is measured; what `dsjobs` itself keeps from being imported, not at all.
WARMING = (
    b"version: 1\njobs: [{nam: x}]\n",
    b"version: 1\nvariables: {v: {type: string, default: a}}\n"
    b"jobs: [{name: x, notebook: a.ipynb, inputs: {A: '{{ vars.v | upper }}'}, outputs: {o: {pattern: a}}}]\n",
)
for name in NOT_LOADED:
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]


class SlowError(BaseException):
    """A command has used up its time. Not an Exception, so that nothing takes it for something else."""


class Tried:
    """Tries cases in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = MOST_SECONDS
        self.plans = jsonschema_rs.Draft202012Validator(schemas.load("plan"))

    def case(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What became of a case: `finding` is None, or a kind and a text."""
        self.write(asked["files"])
        os.environ.update(asked["environ"])
        self.seconds = MOST_SECONDS * max(1.0, sum(map(_size, asked["files"].values())) / 1e6)
        before = _peak()
        slowest, codes = 0.0, []
        try:
            for arguments in (["validate"], ["plan", *asked["arguments"]]):
                start = time.process_time()
                code, finding = self.call(arguments)
                took = time.process_time() - start
                slowest, codes = max(slowest, took), [*codes, code]
                if finding is None and took > self.seconds:
                    finding = ("slow", f"{arguments[0]} took {took:.1f} s")
                if finding is not None:
                    return {"finding": finding, "took": took, "codes": codes}
        finally:
            for name in asked["environ"]:
                os.environ.pop(name, None)
        grown = _peak() - before
        finding = ("large", f"it took {grown >> 20} MiB") if grown > MOST_BYTES else None
        return {"finding": finding, "took": slowest, "codes": codes, "peak": _peak()}

    def write(self, files: dict[str, str]) -> None:
        for path in self.folder.iterdir():
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
        for name, content in files.items():
            (self.folder / name).write_bytes(base64.b64decode(content))
            for notebook in set(re.findall(rb"[\w-]{1,50}\.ipynb", base64.b64decode(content))[:50]):
                (self.folder / notebook.decode()).write_text(NOTEBOOKS[len(notebook) % 2])
        for project in PROJECTS:
            (self.folder / project).symlink_to(self.folder)

    def call(self, arguments: list[str]) -> tuple[int, tuple[str, str] | None]:
        """The exit code of a command, and what is wrong with how it ended."""
        out, err = io.StringIO(), io.StringIO()
        signal.setitimer(signal.ITIMER_PROF, self.seconds + 0.5)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = int(cli.main(arguments, prog_name="dsjobs", standalone_mode=False) or 0)
        except DsjobsError as error:
            code = int(error.exit_code)
        except click.ClickException:
            code = 2
        except SlowError:
            return -1, ("slow", f"it was stopped after {self.seconds + 0.5:.1f} s at\n" + "".join(_stopped_at))
        except BaseException:  # noqa: BLE001 - this is what is looked for
            return -1, ("traceback", traceback.format_exc())
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if code not in CODES:
            return code, ("code", f"{arguments[0]} ends with {code}")
        if "Traceback (most recent call last)" in err.getvalue():
            return code, ("traceback", err.getvalue())
        if code == 0 and "json" in arguments:
            return code, self.wrong_plan(out.getvalue())
        return code, None

    def wrong_plan(self, text: str) -> tuple[str, str] | None:
        """What is wrong with a plan that was printed and saved, and with the journal that it begins."""
        try:
            printed = json.loads(text, parse_constant=_refuse)
            saved = json.loads((self.folder / SAVED).read_bytes(), parse_constant=_refuse)
            errors = [*self.plans.iter_errors(printed), *self.plans.iter_errors(saved)]
        except ValueError as error:
            return "plan", f"the plan is not JSON: {error}"
        return ("plan", str(errors[0])) if errors else self.wrong_journal(printed)

    def wrong_journal(self, plan: dict[str, Any]) -> tuple[str, str] | None:
        header = {"run_id": "run-1", "tool_version": "0", "host": "here", "pid": 1, "git": None}
        path = self.folder / "journal.jsonl"
        try:
            made = from_json(plan, plan["jobs"])
            written = [records.run_started(0.0, header, made, plan["digest"]), *records.jobs_planned(made)]
            with Journal(path) as log:
                log.append(written)
            for line in path.read_bytes().splitlines():
                json.loads(line, parse_constant=_refuse)
            fold(journal.read(path))
        except (ValueError, DsjobsError):
            return "journal", traceback.format_exc()
        return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_stopped_at: list[str] = []


def _stop(number: int, frame: FrameType | None) -> None:
    _stopped_at[:] = traceback.format_stack(frame)[-12:]
    raise SlowError


def _size(encoded: str) -> int:
    return len(encoded) * 3 // 4  # of base64


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES + 100 * 2**20,) * 2)


def main(source: TextIO, answers: TextIO) -> None:
    folder = Path(sys.argv[1])
    os.chdir(folder)
    signal.signal(signal.SIGPROF, _stop)
    tried = Tried(folder)
    for content in WARMING:
        files = {"jobs.yaml": base64.b64encode(content).decode()}
        tried.case({"files": files, "arguments": ["-o", "json", "--out", SAVED], "environ": {}})
    _limit_memory()
    for line in source:
        answers.write(json.dumps(tried.case(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin, os.fdopen(os.dup(1), "w"))
