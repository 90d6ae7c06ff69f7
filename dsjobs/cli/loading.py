"""From a path to a Plan: reads files, the environment and git, and hands them to the pure stages. All commands come this way."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dsjobs import schemas
from dsjobs.backends.access import Access
from dsjobs.cli.backend_checks import backend_problems, beyond_limits, other_problems
from dsjobs.cli.contracts import Contracts
from dsjobs.cli.including import digest_of, gather, other_version
from dsjobs.cli.written import content_of
from dsjobs.diagnostics import Diagnostic, did_you_mean, has_errors, in_order
from dsjobs.errors import UsageError
from dsjobs.marks import MarkedMap, Source
from dsjobs.model import EarlierManifest, Environment, Job, Plan, PlannedJob, Reused, Spec, VariableValue
from dsjobs.plan.graph import check_graph
from dsjobs.plan.planner import make_plan
from dsjobs.plan.selectors import Earlier, asks_an_earlier_run, selected_jobs
from dsjobs.spec import parse, source
from dsjobs.spec import schema as schema_check
from dsjobs.spec.environments import check_environment
from dsjobs.spec.expand import expand, uses_git
from dsjobs.spec.include import merge
from dsjobs.spec.references import check_references
from dsjobs.spec.rendering import Shared
from dsjobs.spec.secret_inputs import check_secrets
from dsjobs.spec.variables import resolve

FILE_NAMES = ("jobs.yaml", "jobs.yml")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A job file as far as it could be read. `spec` is None when not even its outline was understood."""

    path: Path
    spec: Spec | None
    sources: tuple[Source, ...]
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, or None where errors prevent one, with everything that was found on the way. `sources`: cells of notebooks."""

    plan: Plan | None
    git: Mapping[str, Any] | None
    diagnostics: tuple[Diagnostic, ...]
    sources: tuple[Source, ...] = ()


Changes = Mapping[str, Sequence[str]]
"""What has changed in jobs since an earlier run, in words."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which jobs run: the selectors, and what is known of an earlier run. `earlier`: for the jobs of this plan in an environment,
    what selectors ask of that run; `reused`: what the jobs that succeeded in it came to; `against`: its manifest."""

    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    earlier: Callable[[Sequence[Job], Environment], Earlier] | None = None
    reused: Mapping[str, Reused] = field(default_factory=dict)
    against: EarlierManifest | None = None

    def selected(self, jobs: Sequence[Job], environment: Environment) -> tuple[frozenset[str] | None, Changes]:
        """The names of the jobs that run, None for all; and what has changed in jobs, where that is why they are selected."""
        if not self.select and not self.exclude:
            return None, {}
        earlier = self.earlier(jobs, environment) if self.earlier else None
        found = selected_jobs(jobs, self.select, self.exclude, projects=environment.projects, earlier=earlier)
        if earlier is None or not asks_an_earlier_run(self.select, ("state:",)):
            return found, {}
        return found, earlier.changed


ALL = Choice()


def find_file(given: str | None) -> Path:
    """The job file: the one given, else jobs.yaml or jobs.yml here or in a parent folder up to the repository's root."""
    if given is not None:
        return _given_file(Path(given))
    folder = Path.cwd()
    looked = []
    for candidate in (folder, *folder.parents):
        looked.append(candidate)
        for name in FILE_NAMES:
            if (candidate / name).is_file():
                return Path(os.path.relpath(candidate / name))
        if (candidate / ".git").exists():
            break
    where = str(looked[0]) if len(looked) == 1 else f"{looked[0]} and its parents up to {looked[-1]}"
    hint = "name the file, or write one with `dsjobs init`"
    raise UsageError(f"there is no {' or '.join(FILE_NAMES)} in {where}", hint=hint)


def near(path: Path) -> Path:
    """`path` as it is called from the working folder, where it lies below that."""
    shown = Path(os.path.relpath(path))
    return path.resolve() if shown.parts[:1] == ("..",) else shown


def _given_file(path: Path) -> Path:
    if path.is_dir():
        found = next((path / name for name in FILE_NAMES if (path / name).is_file()), None)
        if found is None:
            raise UsageError(f"{path}: this folder has no {' or '.join(FILE_NAMES)}", hint="`dsjobs init` writes one")
        return found
    return path


def load(path: Path) -> Loaded:
    """Read a job file, and those that it includes, and find every problem that needs no environment."""
    try:
        content = content_of(path)
    except OSError as error:
        return Loaded(path, None, (), (_unreadable_file(path, error),))
    text, problems = source.decode(str(path), content)
    if problems:
        return Loaded(path, None, (text,), tuple(problems))
    document = source.parse(text)
    refused = other_version(document.data)
    if refused is not None:
        return Loaded(path, None, (text,), (refused,))
    included = gather(path, document, schemas.load("jobs"))
    checked = schema_check.check(document, schemas.load("jobs"))
    found = [*document.diagnostics, *checked.diagnostics, *included.diagnostics]
    sources = (text, *included.sources)
    data = checked.data
    if data is None:
        return Loaded(path, None, sources, tuple(in_order(found)))
    found += merge(data, included.files, complete=included.complete)
    digest = digest_of(content)
    spec, problems = parse.parse(checked, file=str(path), stem=path.stem, digest=digest, includes=included.digests)
    found += [*problems, *check_references(spec, data), *check_secrets(spec, data)]
    found += check_graph(spec.jobs, _nameless_jobs(data))
    return Loaded(path, spec, sources, tuple(in_order(found)))


def _unreadable_file(path: Path, error: OSError) -> Diagnostic:
    hint = None
    if isinstance(error, FileNotFoundError):
        near = [name.name for name in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, near) or "`dsjobs init` writes a job file"
    return Diagnostic("DSJ001", f"{path}: the job file cannot be read: {error.strerror}", None, hint)


def _nameless_jobs(data: MarkedMap) -> frozenset[str]:
    """Where a job's name could not be read: every need, because each may mean that job."""
    jobs = data.get("jobs", ())
    if "jobs" not in data.lost and all(job is not None and job.get("name") for job in jobs):
        return frozenset()
    return frozenset(need for job in jobs if job is not None for need in job.get("needs", ()))


MAX_CHECKED = 10_000
"""How many jobs and cells of all environments together are looked at, in a second or so; of the jobs of a file without matrices
those of five environments always are."""


def check_everywhere(
    spec: Spec, environments: Sequence[Environment], contracts: Contracts | None = None
) -> list[Diagnostic]:
    """What is wrong with the jobs in each of `environments`, with the values that variables have in the file; and with their
    notebooks, where `contracts` are to be looked at."""
    found: dict[tuple[Any, ...], Diagnostic] = {}
    in_notebooks: list[Diagnostic] = []
    left = most = max(MAX_CHECKED, 5 * len(spec.jobs))
    size = 0
    shared = Shared()
    for number, environment in enumerate(environments):
        if left < size:  # the next one is about as large as the last one
            in_notebooks.append(_left_unchecked(environment, f"{number} of {len(environments)}", most))
            break
        values, _ = resolve(spec, environment, environ={}, given=())
        jobs, wrong = expand(spec, environment, values, None, shared)
        size = max(1, len(jobs))
        left -= size
        problems = [*check_environment(spec, environment), *wrong]
        problems += beyond_limits(environment, jobs, problems)
        if contracts is not None:
            in_notebooks += contracts.check(spec, environment, jobs)
        # What is wrong in one place is said once, though it may be wrong in several environments.
        for problem in problems:
            found.setdefault(_place(problem), problem)
    # An error in one environment may be a doubt in another.
    for problem in sorted(in_notebooks, key=lambda one: not one.is_error):
        found.setdefault(_place(problem), problem)
    return list(found.values())


def _place(problem: Diagnostic) -> tuple[Any, ...]:
    """What of two diagnostics says that they are about the same mistake: of a default each job says it."""
    return (problem.code, problem.position) if problem.position else (problem.code, None, problem.message)


def _once(of_file: Sequence[Diagnostic], of_jobs: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    first = {_place(problem): problem for problem in reversed(of_jobs)}
    return tuple(in_order([*of_file, *first.values()]))


def _left_unchecked(environment: Environment, checked: str, most: int) -> Diagnostic:
    message = f"only the first {checked} environments were checked: they have more than {most:,} jobs"
    hint = f"check another one by its name: `dsjobs validate --env {environment.name}`"
    return Diagnostic("DSJ106", message, environment.written.position(), hint, "warning")


def choose_environment(spec: Spec, name: str | None) -> Environment:
    """The environment called `name`, or the file's default. Raises UsageError where that is not clear."""
    environments = spec.environments
    if name is not None:
        if name not in environments:
            raise UsageError(f"there is no environment '{name}'", hint=did_you_mean(name, environments))
        return environments[name]
    default = spec.default_environment or (next(iter(environments)) if len(environments) == 1 else "local")
    if default not in environments:
        hint = "choose one with --env, or set `default_environment`: " + ", ".join(environments)
        raise UsageError("the file has several environments, and none is the default", hint=hint)
    return environments[default]


def plan(
    loaded: Loaded,
    spec: Spec,
    environment: Environment,
    *,
    given: Sequence[tuple[str, str]],
    max_parallel: int | None,
    var_files: Sequence[MarkedMap] = (),
    kept: Mapping[str, VariableValue] | None = None,
    choice: Choice = ALL,
    access: Access | None = None,
) -> Planned:
    """The plan for `environment`, with every problem of the file and of this environment. `kept`: the variables that an earlier
    run was given. Raises UsageError where the choice of jobs makes no sense."""
    base = loaded.path.absolute().parent
    values, problems = resolve(spec, environment, environ=os.environ, given=given, files=var_files, kept=kept)
    found = [*problems, *check_environment(spec, environment)]
    git = _git_state(base) if uses_git(spec) else None
    jobs, problems = expand(spec, environment, values, git or {})
    found += problems
    contracts = Contracts(base, is_here=True)
    if has_errors((*loaded.diagnostics, *found)):
        wanted = _wanted(jobs, environment, choice)
        found += other_problems(environment, base, wanted, [*loaded.diagnostics, *found])
        found += contracts.check(spec, environment, jobs, running=frozenset(job.name for job in wanted))
        return Planned(None, git, _once(loaded.diagnostics, found), tuple(contracts.sources))
    selected, changes = choice.selected(jobs, environment)
    made = make_plan(
        spec, environment, values, jobs, max_parallel=max_parallel, selected=selected, earlier=choice.reused
    )
    made = replace(made, jobs=tuple(_with_changes(planned, changes) for planned in made.jobs))
    running = {planned.job.name for planned in made.jobs if planned.action == "run"}
    found += backend_problems(environment, base, [job for job in jobs if job.name in running], access)
    found += contracts.check(spec, environment, jobs, running=frozenset(running))
    diagnostics = _once(loaded.diagnostics, found)
    return Planned(None if has_errors(diagnostics) else made, git, diagnostics, tuple(contracts.sources))


def _wanted(jobs: Sequence[Job], environment: Environment, choice: Choice) -> list[Job]:
    """The jobs that would run, as far as that can be said of a file with errors."""
    if choice.earlier is not None and (choice.select or choice.exclude):
        return []  # a run is compared with jobs that are whole
    try:
        selected, _ = choice.selected(jobs, environment)
    except UsageError:
        return []
    return [job for job in jobs if job.skip_reason is None and (selected is None or job.name in selected)]


def _with_changes(planned: PlannedJob, changes: Changes) -> PlannedJob:
    why = changes.get(planned.job.name, ()) if planned.action == "run" else ()
    return replace(planned, reasons=(*planned.reasons, *why)) if why else planned


def _git_state(folder: Path) -> dict[str, Any] | None:
    from dsjobs.cli.repository import git_state

    return git_state(folder)
