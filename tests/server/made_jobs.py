"""Generated jobs, what their notebook does with each, and what each must have come to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NOTEBOOK = """\
import os
import dsjobs
with open("runs.txt", "a") as file:
    file.write(os.environ["JOB"] + "\\n")
fate = os.environ["FATE"]
if fate == "raises":
    raise RuntimeError("on purpose")
if fate == "dies":
    os._exit(3)
value = int(os.environ["VALUE"]) + int(os.environ.get("NEEDED", 0))
dsjobs.publish(value=str(value) if fate == "breaks" else value)
"""

FATES = {3: "raises", 7: "dies", 11: "breaks", 15: "missing"}
"""What becomes of some of every twenty jobs; the others succeed."""

NEEDY = {1, 4, 9, 13, 17}
"""Which of every twenty jobs need the one before them, and its output."""


@dataclass(frozen=True)
class Made:
    """A job of a test. `fate`: `ok`, `raises`, `dies` with its kernel, `breaks` its contract, or its notebook is `missing`."""

    name: str
    fate: str
    number: int
    need: str | None

    def as_json(self) -> dict[str, Any]:
        inputs = {"JOB": self.name, "FATE": self.fate, "VALUE": self.number}
        needed = {"NEEDED": f"{{{{ needs.{self.need}.outputs.value }}}}"} if self.need else {}
        return {
            "name": self.name,
            "notebook": "none.ipynb" if self.fate == "missing" else "job.ipynb",
            "inputs": {**inputs, **needed},
            "outputs": {"value": {"type": "integer"}},
            "needs": [self.need] if self.need else [],
        }


@dataclass(frozen=True)
class End:
    """What a job came to, and how often its notebook ran."""

    status: str
    failure: str | None
    outputs: Mapping[str, Any] | None
    runs: int


def make_jobs(count: int) -> list[Made]:
    """So many jobs; of every twenty one is skipped, one names a notebook that is not there, and eighteen run."""
    return [
        Made(f"j{n}", FATES.get(n % 20, "ok"), n, f"j{n - 1}" if n % 20 in NEEDY and n > 0 else None)
        for n in range(count)
    ]


def due_ends(jobs: Iterable[Made], *, cancelled: Collection[str] = (), unreadable: bool = False) -> dict[str, End]:
    """What the jobs must come to. `cancelled`: jobs whose operations end by a cancel only; `unreadable`: the service never
    says what an operation came to, so none is a success, and none is cancelled."""
    ends: dict[str, End] = {}
    for job in jobs:
        needed = ends[job.need] if job.need else None
        if needed is not None and needed.status != "succeeded":
            ends[job.name] = End("skipped", None, None, 0)
        elif job.fate == "missing":
            ends[job.name] = End("failed", "backend", None, 0)
        elif unreadable:
            ends[job.name] = End("failed", "backend", None, 1)
        elif job.name in cancelled:
            ends[job.name] = End("cancelled", None, None, 1)
        else:
            ends[job.name] = _end(job, (needed.outputs or {})["value"] if needed else 0)
    return ends


def _end(job: Made, needed: int) -> End:
    if job.fate == "breaks":
        return End("failed", "contract", {"value": str(job.number + needed)}, 1)
    if job.fate == "ok":
        return End("succeeded", None, {"value": job.number + needed}, 1)
    return End("failed", "notebook", None, 1)
