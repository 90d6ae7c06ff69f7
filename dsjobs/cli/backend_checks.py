"""What the environment's backend would refuse or does not find, asked before anything runs; and what can be said of it where the
file has errors, or where only `validate` looks at the environment."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from dsjobs.backends.access import Access
from dsjobs.cli.contracts import different
from dsjobs.diagnostics import Diagnostic
from dsjobs.errors import BackendError
from dsjobs.model import Environment, Job
from dsjobs.spec.templates import is_template

_SAID = ("project", "notebook", "cell", "spark_connector")
"""Keys whose limits `spec/expand.py` holds."""


def backend_problems(
    environment: Environment, base: Path, jobs: Sequence[Job], access: Access | None = None
) -> list[Diagnostic]:
    """What the environment's backend finds missing; nothing where this version has no such backend to ask."""
    from dsjobs.backends import registry

    try:
        backend = registry.create(environment.backend, base, environment.settings, access=access)
    except BackendError:
        return []
    try:
        return backend.check(different(jobs))
    finally:
        backend.close()


def beyond_limits(environment: Environment, jobs: Sequence[Job], said: Collection[Diagnostic]) -> list[Diagnostic]:
    """What is wrong with the requests of `jobs`, where the environment is one of DataSphere's, beside what was `said` of it."""
    if environment.backend != "datasphere":
        return []
    from dsjobs.backends.datasphere import checks

    found = checks.check(different(jobs), has_store="output_store" in environment.settings, said=_SAID)
    is_store_said = any(problem.code == "DSJ404" for problem in said)
    return [one for one in _elsewhere(found, said) if not (one.code == "DSJ404" and is_store_said)]


def other_problems(
    environment: Environment, base: Path, jobs: Sequence[Job], said: Collection[Diagnostic]
) -> list[Diagnostic]:
    """What else is wrong with `jobs`, of which some have the errors that were `said`: no error makes another one."""
    if environment.backend == "datasphere":
        return beyond_limits(environment, jobs, said)
    return _elsewhere(backend_problems(environment, base, [job for job in jobs if _is_named(job)]), said)


def _elsewhere(found: Collection[Diagnostic], said: Collection[Diagnostic]) -> list[Diagnostic]:
    places = {problem.position for problem in said if problem.is_error}
    return [problem for problem in found if problem.position not in places]


def _is_named(job: Job) -> bool:
    """Whether it is known what a job runs."""
    request = job.request
    target = request.notebook or request.cell
    return bool(target) and not is_template(target) and not is_template(request.project)
