"""Templates of the second moment: the request of a job, rendered with what other jobs gave, just before it is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dsjobs.model import Failure, Job, Request
from dsjobs.secrets import Redactor
from dsjobs.spec.conditions import holds
from dsjobs.spec.templates import TemplateError, render
from dsjobs.spec.values import encode


def skip_reason(job: Job, names: Mapping[str, Any]) -> str | Failure | None:
    """Why `job` does not run, though all that it needs has ended: its `when` is false. None where it runs."""
    if job.when is None:
        return None
    try:
        return None if holds(job.when, names) else f"when: {job.when} is false"
    except TemplateError as error:
        place = f"{job.position('when')}: " if job.places else ""
        return Failure("template", f"{place}{error}", error.hint)


def render_request(job: Job, names: Mapping[str, Any]) -> Request | Failure:
    """The full request of `job`. `names`: everything that its templates may use, `needs` and `run` included."""
    if not job.deferred_inputs:
        return job.request
    rendered = dict(job.request.input_variables)
    for name, template in job.deferred_inputs.items():
        try:
            rendered[name] = encode(render(template, names))
        except (TemplateError, ValueError) as error:
            # A job that was read from a journal or a saved plan has no places in a file.
            place = f"{job.position('inputs', name)}: " if job.places else ""
            return Failure("template", f"{place}input '{name}': {error}", getattr(error, "hint", None))
    return replace(job.request, input_variables=rendered)


def held_secrets(job: Job, request: Request, redactor: Redactor) -> Failure | None:
    """The failure of a request whose rendered inputs hold a secret: the journal would have it."""
    for name in job.deferred_inputs:
        held = redactor.names_in(request.input_variables[name])
        if held:
            message = f"input '{name}' holds the value of the secret '{held[0]}', which must not be written down"
            return Failure("template", message, f"write {{secret: {held[0]}}} as its whole value")
    return None
