"""The outputs of two runs side by side, number by number within tolerances: whether one reproduces the other.

A tolerance is the largest difference that a number may show, for an output of any job (`auc`) or of one (`train.auc`, which is
meant for the cells of a matrix job `train` too). Without one, numbers must be equal. Everything else must be equal always, but
for the runs' own IDs inside texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from dsjobs.reports.columns import Show, columns
from dsjobs.reports.values import (
    ABSENT,
    Difference,
    Same,
    changes,
    differences,
    is_number,
    own_words,
    same_but_for,
    short,
)

Manifest = Mapping[str, Any]
Tolerances = Mapping[str, float]

Verdict = Literal["same", "close", "different", "missing"]
STATUS = "(status)"


@dataclass(frozen=True, slots=True)
class Compared:
    """An output of a job, or its status, in both runs. `close`: not the same, but within the tolerance."""

    job: str
    output: str
    before: Any
    after: Any
    verdict: Verdict
    tolerance: float
    places: tuple[Difference, ...] = ()

    @property
    def is_same(self) -> bool:
        return self.verdict in ("same", "close")


def compare(before: Manifest, after: Manifest, tolerances: Tolerances) -> list[Compared]:
    """Each output of either manifest, and each status that differs."""
    words = same_but_for(own_words(before), own_words(after))
    others = {job["name"]: job for job in after["jobs"]}
    found: list[Compared] = []
    for one in before["jobs"]:
        found += _job(one, others.pop(one["name"], None), words, tolerances)
    for other in others.values():
        found += _job(None, other, words, tolerances)
    return found


def _job(
    one: Mapping[str, Any] | None, other: Mapping[str, Any] | None, words: Same, tolerances: Tolerances
) -> Iterator[Compared]:
    name = (one or other or {})["name"]
    before, after = (ABSENT if job is None else job["status"] for job in (one, other))
    if before != after:
        verdict: Verdict = "missing" if ABSENT in (before, after) else "different"
        yield Compared(name, STATUS, before, after, verdict, 0.0, (Difference("$", before, after),))
    befores, afters = ((job or {}).get("outputs") or {} for job in (one, other))
    for output in [*befores, *(output for output in afters if output not in befores)]:
        tolerance = tolerance_of(name, output, tolerances)
        yield _output(name, output, befores.get(output, ABSENT), afters.get(output, ABSENT), words, tolerance)


def _output(job: str, output: str, before: Any, after: Any, words: Same, tolerance: float) -> Compared:
    if before is ABSENT or after is ABSENT:
        return Compared(job, output, before, after, "missing", tolerance, (Difference("$", before, after),))
    places = tuple(differences(before, after, words))
    beyond = tuple(place for place in places if not _is_close(place, tolerance))
    verdict: Verdict = "different" if beyond else "close" if places else "same"
    return Compared(job, output, before, after, verdict, tolerance, beyond or places)


def _is_close(place: Difference, tolerance: float) -> bool:
    if not (is_number(place.before) and is_number(place.after)):
        return False
    return abs(_exact(place.before) - _exact(place.after)) <= _exact(tolerance)


def _exact(number: int | float) -> Fraction:
    """A number as it is written: 0.3 and 0.300001 are one millionth apart, though their nearest floats are a little more."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def tolerance_of(job: str, output: str, tolerances: Tolerances) -> float:
    """The tolerance that is meant for an output, the closest name first."""
    return next((tolerances[name] for name in _names(job, output) if name in tolerances), 0.0)


def _names(job: str, output: str) -> tuple[str, str, str]:
    return f"{job}.{output}", f"{job.partition('[')[0]}.{output}", output


def outputs_named(manifest: Manifest) -> set[str]:
    """Everything that a tolerance may name: the outputs that jobs have or were to have."""
    return {
        name
        for job in manifest["jobs"]
        for output in [*(job["outputs"] or {}), *job["request"].get("outputVariableNames", ())]
        for name in _names(job["name"], output)
    }


def is_same(found: list[Compared]) -> bool:
    """Whether one run reproduced the other."""
    return all(compared.is_same for compared in found)


def as_json(found: list[Compared]) -> list[dict[str, Any]]:
    """The comparison for programs. A value that is not there has no key; `places` are those that matter."""
    return [
        {
            "job": compared.job,
            "output": None if compared.output == STATUS else compared.output,
            "verdict": compared.verdict,
            "tolerance": compared.tolerance,
            **{key: value for key, value in _values(compared) if value is not ABSENT},
            "places": [place.path for place in compared.places],
        }
        for compared in found
    ]


def _values(compared: Compared) -> tuple[tuple[str, Any], tuple[str, Any]]:
    return ("before", compared.before), ("after", compared.after)


def table(found: list[Compared], show: Show = str) -> str:
    """A line for each output: how it compares and, where it is not the same, both values; then how many are the same."""
    outputs = [compared for compared in found if compared.output != STATUS]
    rows = [[compared.job, compared.output, compared.verdict, _said(compared)] for compared in found]
    same = sum(compared.is_same for compared in outputs)
    last = f"{same} of {len(outputs)} outputs the same" if outputs else "there are no outputs to compare"
    statuses = len(found) - len(outputs)
    if statuses:
        last += f", {statuses} {'status differs' if statuses == 1 else 'statuses differ'}"
    return "\n".join([*columns(rows, {2: show}), *([""] if rows else []), last])


def _said(compared: Compared) -> str:
    if compared.verdict == "same":
        return short(compared.before)
    within = f", within {compared.tolerance:g}" if compared.verdict == "close" else ""
    beyond = f", beyond {compared.tolerance:g}" if compared.verdict == "different" and compared.tolerance else ""
    return changes(list(compared.places)) + within + beyond
