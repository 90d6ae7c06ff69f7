"""What the jobs of a plan depend on, each as one fingerprint: equal ones stand for jobs that would do the same.

In it: backend and environment, the request but its inputs, the inputs, the contracts of the outputs, `when`, the code, and the
fingerprints of the jobs that it needs. Secrets count by their names, inputs that are known only at submit by their templates:
what goes into these comes from jobs that it needs, or is new in each run. Retries, time limits, pools and words for people are
not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dsjobs.model import Code, Fingerprint, Job, Plan, PlannedJob
from dsjobs.plan.saved import digest, plain

Target = tuple[str, str]
"""The project and the notebook, or cell, that a request names."""

SKIPPED = "skipped"
"""In the place of the fingerprint of a job whose `when` is false."""

_LONG = 200
"""Characters from which on an input is in a fingerprint as its digest."""


def fingerprinted(plan: Plan, code: Mapping[Target, Code] | None = None) -> Plan:
    """`plan` with a fingerprint for each of its jobs. `code`: of the targets whose code can be read; None for what the
    fingerprints that the jobs have say of it."""
    prints = Fingerprints(plan, code)
    return replace(plan, jobs=tuple(prints.added(planned) for planned in plan.jobs))


def target(job: Job) -> Target:
    """Where the code of a job is."""
    return job.request.project, job.request.target


class Fingerprints:
    """Makes the fingerprints of a plan's jobs, which come one by one, each after those that it needs."""

    def __init__(self, plan: Plan, code: Mapping[Target, Code] | None) -> None:
        self._plan = plan
        self._code = None if code is None else {name: (one.digest, _cells(one)) for name, one in code.items()}
        self._upstream: dict[str, str | None] = {}

    def added(self, planned: PlannedJob) -> PlannedJob:
        """`planned` with its fingerprint. For the jobs that need it, one that is reused counts as what it was then."""
        made = self.of(planned)
        self.settle(replace(planned, fingerprint=made))
        return replace(planned, fingerprint=made)

    def settle(self, planned: PlannedJob) -> None:
        """Take note of what became of a job, for those that need it."""
        stands = planned.reused.fingerprint if planned.reused is not None else planned.fingerprint
        known = short(stands.digest) if stands is not None else None
        if planned.action == "skip":
            known = SKIPPED if planned.selected else None
        self._upstream[planned.job.name] = known

    def of(self, planned: PlannedJob) -> Fingerprint:
        """The fingerprint of a job. Those that it needs are settled."""
        job = planned.job
        exact, cells = self._code_of(planned)
        made = Fingerprint(
            digest="",
            environment=self._plan.environment,
            backend=self._plan.backend,
            request=dict(_request(job)),
            inputs=dict(sorted(_inputs(job))),
            outputs=_contracts(job),
            when=job.when,
            cells=cells,
            upstream={need: self._upstream.get(need) for need in job.needs},
            code=exact,
        )
        return replace(made, digest=digest(_digested(made)))

    def _code_of(self, planned: PlannedJob) -> tuple[str | None, tuple[str, ...] | None]:
        if self._code is not None:
            return self._code.get(target(planned.job), (None, None))
        known = planned.fingerprint
        return (known.code, known.cells) if known is not None else (None, None)


def _digested(made: Fingerprint) -> dict[str, Any]:
    return {key: value for key, value in made.as_json().items() if key not in ("digest", "code")}


@lru_cache(maxsize=4096)
def short(text: str) -> str:
    """A digest that tells apart what stands in one place: 16 characters."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _cells(code: Code) -> tuple[str, ...]:
    return tuple(short(cell.text) for cell in code.cells)


def _request(job: Job) -> Iterator[tuple[str, str]]:
    for key, value in job.request.as_json().items():
        if isinstance(value, str):
            yield key, value


def _inputs(job: Job) -> Iterator[tuple[str, str]]:
    for name, text in job.request.input_variables.items():
        yield name, _shortened(text)
    for name, secret in job.request.secrets.items():
        yield name, f"*** (secret {secret})"
    for name, template in job.deferred_inputs.items():
        yield name, _shortened(template if isinstance(template, str) else digest({"": plain(template)}))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONG else "sha256:" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _contracts(job: Job) -> str | None:
    return short(digest(plain(job.outputs))) if job.outputs else None
