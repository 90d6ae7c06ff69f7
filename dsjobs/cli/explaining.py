"""What `dsjobs explain` needs of a job file: read, its variables resolved, its jobs expanded, though some values may be wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsjobs.cli import explained, loading
from dsjobs.cli.console import Console
from dsjobs.cli.explained import Explained
from dsjobs.cli.failing import refuse
from dsjobs.cli.repository import git_state
from dsjobs.cli.varfiles import read_variables
from dsjobs.diagnostics import CODES, Diagnostic, Suggestions, did_you_mean, has_errors
from dsjobs.errors import UsageError
from dsjobs.explanations import TOPICS
from dsjobs.marks import Source
from dsjobs.model import Environment, Job, Spec
from dsjobs.plan.selectors import selected_jobs
from dsjobs.spec.environments import check_environment
from dsjobs.spec.expand import expand, uses_git
from dsjobs.spec.uses import Given
from dsjobs.spec.variables import resolve


@dataclass(frozen=True, slots=True)
class Flags:
    """What was asked for on the command line. `env_source`: what the environment's name came from, `--env` or `DSJOBS_ENV`."""

    file: str | None
    env: str | None
    env_source: str
    given: Sequence[tuple[str, str]]
    var_files: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Read:
    """A job file in an environment. `diagnostics`: what is wrong with values, which does not keep them from being explained."""

    given: Given
    jobs: Sequence[Job]
    diagnostics: Sequence[Diagnostic]
    sources: Sequence[Source]


def read(console: Console, flags: Flags) -> Read:
    """Read the job file that the flags name. Raises RefusedError where the file itself, or one of `--var-file`, has errors."""
    loaded = loading.load(loading.find_file(flags.file))
    files = read_variables(flags.var_files)
    sources = (*loaded.sources, *files.sources)
    broken = [*loaded.diagnostics, *files.diagnostics]
    spec = loaded.spec
    if spec is None or has_errors(broken):
        raise refuse(console, broken, sources)
    environment = loading.choose_environment(spec, flags.env)
    values, problems = resolve(spec, environment, environ=os.environ, given=flags.given, files=files.data)
    git = (git_state(loaded.path.absolute().parent) if uses_git(spec) else None) or {}
    jobs, found = expand(spec, environment, values, git)
    given = Given(
        spec=spec,
        environment=environment,
        variables=values,
        environ=os.environ,
        flags=tuple(flags.given),
        files=files.data,
        git=git,
        chosen_by=_chosen_by(spec, environment, flags),
    )
    return Read(given, jobs, [*broken, *problems, *check_environment(spec, environment), *found], sources)


def _chosen_by(spec: Spec, environment: Environment, flags: Flags) -> str:
    if flags.env is not None:
        return flags.env_source
    if spec.default_environment == environment.name:
        return "default_environment"
    return "the only one" if len(spec.environments) == 1 else "the one named 'local'"


def job(found: Read, head: str) -> Explained:
    """The job, or the cells, that `head` names. Raises UsageError where there is none."""
    name = head.partition("[")[0]
    fields = next((job for job in found.given.spec.jobs if job.name == name), None)
    if fields is None:
        raise UsageError(f"there is no job '{name}'", hint=_hint(name, [job.name for job in found.given.spec.jobs]))
    jobs = [job for job in found.jobs if (job.base or job.name) == name]
    if "[" in head and jobs:
        chosen = selected_jobs(jobs, [head], [])
        jobs = [job for job in jobs if job.name in chosen]
    return Explained(found.given, fields, jobs)


def _hint(name: str, jobs: Sequence[str]) -> str | None:
    """The nearest job, else the nearest of the other subjects, else the jobs."""
    hints = [Suggestions(jobs).hint(name), did_you_mean(name, ("vars", "settings", "pools", *TOPICS, *CODES))]
    return next((hint for hint in hints if hint and hint.startswith("did you mean")), hints[0])


def section(found: Read, section: str, path: Sequence[str]) -> list[dict[str, Any]]:
    """The documents of `vars`, `settings` or `pools`, or of one of them. Raises UsageError for one that there is not."""
    names = [".".join(path)] if path else explained.names_of(found.given, section)
    if section == "vars":
        return [explained.variable(found.given, name) for name in names]
    if section == "settings":
        return [explained.setting(found.given, name) for name in names]
    return [explained.pool(found.given, name, found.jobs) for name in names]
