"""What is different from an earlier time for a job, in words: `train.ipynb cell 4 changed (+3 −1)`, `inputs.A 1 → 2 (--var)`.

Two fingerprints say what differs. What the plan knows beyond them says it better: where a variable came from, the lines of a
cell.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsjobs.model import Code, CodeCell, Fingerprint, Job, VariableValue
from dsjobs.plan.fingerprint import SKIPPED, short

Texts = Callable[[], Mapping[str, str]]
"""The code that ran then: the text of each cell by its digest, as far as it is kept."""


def no_texts() -> Mapping[str, str]:
    """Where nothing is kept of what ran."""
    return {}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a job beyond its fingerprint: the values of variables, its code, and the code that ran then."""

    job: Job
    variables: Mapping[str, VariableValue] = field(default_factory=dict)
    code: Code | None = None
    texts: Texts = no_texts


def changes(before: Fingerprint, now: Fingerprint, known: Known) -> list[str]:
    """What makes two fingerprints of a job different, but what the jobs that it needs bring."""
    found = [f"{name} {_shown(a)} → {_shown(b)}" for name, a, b in _fields(before, now) if a != b]
    found += _code_changes(before, now, known)
    found += _input_changes(before, now, known)
    if before.outputs != now.outputs:
        found.append("its outputs, or their contracts, changed")
    return found


def upstream_changes(before: Fingerprint, now: Fingerprint) -> list[str]:
    """What the jobs that it needs make different."""
    found = []
    for name in sorted({*before.upstream, *now.upstream}):
        then, today = before.upstream.get(name, ""), now.upstream.get(name, "")
        if then == today:
            continue
        if today == "":
            found.append(f"needs {name} no longer")
        elif then == "":
            found.append(f"needs {name} now")
        elif today is None:
            found.append(f"{name} is left out now")
        else:
            found.append(f"{name} is skipped now" if today == SKIPPED else f"{name} changed")
    return found


_LABELS = {
    "projectId": "project", "notebookId": "notebook", "cellId": "cell", "spec": "spec",
    "sparkConnectorId": "spark_connector",
}  # fmt: skip


def _fields(before: Fingerprint, now: Fingerprint) -> Iterator[tuple[str, str | None, str | None]]:
    yield "environment", before.environment, now.environment
    yield "backend", before.backend, now.backend
    for key, label in _LABELS.items():
        yield label, before.request.get(key), now.request.get(key)
    yield "when", before.when, now.when


def _input_changes(before: Fingerprint, now: Fingerprint, known: Known) -> Iterator[str]:
    for name in sorted({*before.inputs, *now.inputs}):
        then, today = before.inputs.get(name), now.inputs.get(name)
        if then != today:
            layer = _layer(name, known)
            yield f"inputs.{name} {_shown(then)} → {_shown(today)}{f' ({layer})' if layer else ''}"


_VARIABLE = re.compile(r"\{\{\s*vars\.(\w+)\s*\}\}")


def _layer(name: str, known: Known) -> str | None:
    """Where the value of an input came from, where it is that of a variable."""
    for written in known.job.places:
        inputs: Any = written.get("inputs") or {}
        if name in inputs:
            match = _VARIABLE.fullmatch(inputs[name]) if isinstance(inputs[name], str) else None
            value = known.variables.get(match[1]) if match else None
            return value.layer if value else None
    return None


def _code_changes(before: Fingerprint, now: Fingerprint, known: Known) -> Iterator[str]:
    """Each code cell that differs. Cells have no names: which became which is told by those that stayed as they were."""
    if before.cells is None or now.cells is None or before.cells == now.cells:
        return
    name = known.job.request.target.rpartition("/")[2]
    if sorted(before.cells) == sorted(now.cells):
        yield f"{name} has its cells in another order"
        return
    code = known.code.cells if known.code else ()
    numbers = [cell.number for cell in code] if len(code) == len(now.cells) else list(range(1, len(now.cells) + 1))
    matcher = difflib.SequenceMatcher(None, before.cells, now.cells, autojunk=False)
    gone = 0
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        pairs = min(a_end - a, b_end - b)
        for step in range(pairs):
            lines = _line_counts(before.cells[a + step], code[b + step : b + step + 1], known)
            yield f"{name} cell {numbers[b + step]} changed{lines}"
        yield from (f"{name} cell {number} is new" for number in numbers[b + pairs : b_end])
        gone += a_end - a - pairs
    if gone:
        yield f"{name} has lost {gone} cell{'s' if gone > 1 else ''}"


def _line_counts(then: str, cell: Sequence[CodeCell], known: Known) -> str:
    """How many lines a cell gained and lost, where it is known what it was."""
    text = known.texts().get(then) if cell else None
    if text is None or short(text) != then:
        return ""
    matcher = difflib.SequenceMatcher(None, text.split("\n"), cell[0].text.split("\n"), autojunk=False)
    spans = [span for kind, *span in matcher.get_opcodes() if kind != "equal"]
    return f" (+{sum(d - c for _, _, c, d in spans)} −{sum(b - a for a, b, _, _ in spans)})"


def _shown(value: str | None) -> str:
    if value is None:
        return "(none)"
    shown = value if value.isprintable() else repr(value)[1:-1]
    return shown if len(shown) <= 40 else shown[:39] + "…"
