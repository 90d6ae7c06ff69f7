"""What DataSphere would refuse, or surely does not mean what was written: found without asking it, also where only `validate`
looks at its environments."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dsjobs.cli.contracts import different
from dsjobs.diagnostics import Diagnostic
from dsjobs.model import Environment, Job

_SAID = ("project", "notebook", "cell", "spark_connector")
"""Keys whose limits `spec/expand.py` holds."""


def beyond_limits(environment: Environment, jobs: Sequence[Job], said: Collection[Diagnostic]) -> list[Diagnostic]:
    """What is wrong with the requests of `jobs`, where the environment is one of DataSphere's, beside what was `said` of it."""
    if environment.backend != "datasphere":
        return []
    from dsjobs.backends.datasphere import checks

    found = checks.check(different(jobs), has_store="output_store" in environment.settings, said=_SAID)
    places = {problem.position for problem in said if problem.is_error}
    is_store_said = any(problem.code == "DSJ404" for problem in said)
    return [
        problem
        for problem in found
        if problem.position not in places and not (problem.code == "DSJ404" and is_store_said)
    ]
