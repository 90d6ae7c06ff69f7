"""What a selection makes of the jobs: those that run, those that are left out, and those whose earlier outputs stand.

Rules: a selected job runs. One that is not selected, and that a selected job needs, gives what it gave in an earlier run, where
one is given in which it succeeded. Otherwise it is left out, and the jobs that need it go as if it were not in their needs;
where their templates use it they cannot run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from dsjobs.errors import UsageError
from dsjobs.model import Job, PlannedJob, Reused
from dsjobs.spec.templates import understood


def apply_selection(
    planned: Sequence[PlannedJob], selected: Collection[str], earlier: Mapping[str, Reused]
) -> tuple[PlannedJob, ...]:
    """The jobs of a plan with only those in `selected` running. `earlier`: for jobs that succeeded in an earlier run, what
    they came to.

    Raises UsageError where a selected job uses one that is neither selected nor known from an earlier run.
    """
    needed = {need for one in planned if one.job.name in selected for need in one.job.needs}
    reused = {name: earlier[name] for name in needed if name in earlier and name not in selected}
    for one in planned:
        if one.job.name in selected and one.action == "run":
            _refuse_missing(one.job, {*selected, *reused})
    return tuple(_chosen(one, selected, reused) for one in planned)


def _chosen(one: PlannedJob, selected: Collection[str], reused: Mapping[str, Reused]) -> PlannedJob:
    name = one.job.name
    if name in selected:
        return one
    if name in reused:
        reason = f"not selected; what it gave in run {reused[name].run} stands"
        return PlannedJob(one.job, "reuse", (reason,), reused[name])
    return PlannedJob(one.job, "skip", ("not selected",), selected=False)


def _refuse_missing(job: Job, there: Collection[str]) -> None:
    for place, name in _used(job):
        bound = job.bindings.get(name, name)
        missing = [cell for cell in ([bound] if isinstance(bound, str) else bound) if cell not in there]
        if missing:
            where = f" ({job.position(*place)})" if job.places else ""
            message = f"{place[-1]} of '{job.name}'{where} uses needs.{name}, but '{missing[0]}' is not selected"
            hint = f"write `+{job.name}` for all that it needs as well, or take it from an earlier run with --from"
            raise UsageError(message, hint=hint)


def _used(job: Job) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where the templates of a job use a job that it needs, and its name in `needs`."""
    values = [(("inputs", name), value) for name, value in job.deferred_inputs.items()]
    for place, value in [*values, (("when",), job.when)]:
        for template in understood(value):
            for reference in template.references:
                if reference.path[0] == "needs" and len(reference.path) > 1:
                    yield place, reference.path[1]
