"""Templates of the second moment: the request of a job, rendered with what other jobs gave, just before it is submitted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dsjobs.model import Failure, Job, Plan, Request, Status
from dsjobs.plan.bindings import Ended, names_of
from dsjobs.redaction import redacted_failure
from dsjobs.run.rules import ended_before
from dsjobs.secrets import Redactor
from dsjobs.spec.conditions import holds
from dsjobs.spec.templates import TemplateError, render
from dsjobs.spec.values import encode

KEY_NAMESPACE = uuid.UUID("6f1c1d3c-6a0b-5b5e-9a44-0d6a6f6b7a01")


def idempotency_key(run_id: str, job: str, attempt: int) -> str:
    """The key of an attempt: the same in every process that takes up its run."""
    return str(uuid.uuid5(KEY_NAMESPACE, f"{run_id}/{job}/{attempt}"))


class Requests:
    """Makes the requests of a run's jobs. Is told of every job that ends: the templates of those that need it ask for it."""

    def __init__(self, plan: Plan, run: Mapping[str, Any], git: Mapping[str, Any], redactor: Redactor) -> None:
        """`run` and `git` as templates see them. `redactor` knows the values of the plan's secrets."""
        self._jobs = {planned.job.name: planned.job for planned in plan.jobs}
        self._redactor = redactor
        self._ended = ended_before(plan)
        self._names = {
            "vars": {name: value.value for name, value in plan.variables.items()},
            "environment": plan.environment,
            "git": git,
            "run": run,
        }

    def note_end(self, job: str, status: Status, outputs: Mapping[str, Any] | None = None) -> None:
        """A job has ended."""
        self._ended[job] = Ended(status, dict(outputs or {}), self._jobs[job].matrix)

    def skip_reason(self, job: Job) -> str | Failure | None:
        """Why `job` does not run, though all that it needs has ended: its `when` is false. None where it runs."""
        if job.when is None:
            return None
        try:
            return None if holds(job.when, self._names_of(job)) else f"when: {job.when} is false"
        except TemplateError as error:
            place = f"{job.position('when')}: " if job.places else ""
            return self._failed(f"{place}{error}", error.hint)

    def request(self, job: Job) -> Request | Failure:
        """The full request of `job`; a failure where a template cannot be rendered, or gives the value of a secret, which the
        journal would have."""
        if not job.deferred_inputs:
            return job.request
        names = self._names_of(job)
        rendered = dict(job.request.input_variables)
        for name, template in job.deferred_inputs.items():
            try:
                rendered[name] = encode(render(template, names))
            except (TemplateError, ValueError) as error:
                # A job that was read from a journal or a saved plan has no places in a file.
                place = f"{job.position('inputs', name)}: " if job.places else ""
                return self._failed(f"{place}input '{name}': {error}", getattr(error, "hint", None))
            held = self._redactor.names_in(rendered[name]) if self._redactor else []
            if held:
                message = f"input '{name}' holds the value of the secret '{held[0]}', which must not be written down"
                return self._failed(message, f"write {{secret: {held[0]}}} as its whole value")
        return replace(job.request, input_variables=rendered)

    def _names_of(self, job: Job) -> dict[str, Any]:
        return names_of(job, self._names, self._ended)

    def _failed(self, message: str, hint: str | None) -> Failure:
        return redacted_failure(Failure("template", message, hint), self._redactor)
