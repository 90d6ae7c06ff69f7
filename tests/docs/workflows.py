"""What must hold of the workflows for CI that the documentation shows: their shape, and the commands in them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from commands import dsjobs_calls, parse


def problems_of_github(text: str) -> list[str]:
    """What is wrong with a workflow of GitHub Actions."""
    data = yaml.load(text, yaml.BaseLoader)
    missing = [f"'{key}' is missing" for key in ("name", "on", "jobs", "permissions") if key not in data]
    return missing or [problem for name, job in data["jobs"].items() for problem in _of_a_github_job(name, job)]


_JOB = frozenset("name runs-on needs if env permissions steps strategy timeout-minutes concurrency environment".split())
_STEP = frozenset("name id if uses with run env shell working-directory continue-on-error timeout-minutes".split())


def _of_a_github_job(name: str, job: Mapping[str, Any]) -> Iterator[str]:
    if unknown := set(job) - _JOB:
        yield f"job {name}: unknown keys {unknown}"
    if "runs-on" not in job or not job.get("steps"):
        yield f"job {name}: it needs runs-on and steps"
    for step in job.get("steps", ()):
        if unknown := set(step) - _STEP:
            yield f"job {name}: unknown keys {unknown}"
        if ("uses" in step) == ("run" in step):
            yield f"job {name}: a step has either uses or run: {step}"
        if "uses" in step and not re.fullmatch(r"[\w-]+/[\w./-]+@(v\d+|[0-9a-f]{40})", step["uses"]):
            yield f"job {name}: {step['uses']} names no version"
        if "run" in step:
            yield from _of_a_script(re.sub(r"\$\{\{.*?\}\}", "VALUE", step["run"]))
        yield from (f"${{{{ }}}} is not closed: {one}" for one in _texts(step) if one.count("${{") != one.count("}}"))


_GITLAB = frozenset("stages variables default workflow include image cache".split())
_GITLAB_JOB = frozenset(
    "image stage script before_script after_script rules variables id_tokens artifacts cache timeout resource_group needs when "
    "retry interruptible environment allow_failure".split()
)


def problems_of_gitlab(text: str) -> list[str]:
    """What is wrong with a .gitlab-ci.yml."""
    data = yaml.load(text, yaml.BaseLoader)
    return [problem for name, job in data.items() if name not in _GITLAB for problem in _of_a_gitlab_job(name, job)]


def _of_a_gitlab_job(name: str, job: Mapping[str, Any]) -> Iterator[str]:
    if unknown := set(job) - _GITLAB_JOB:
        yield f"job {name}: unknown keys {unknown}"
    if not job.get("script"):
        yield f"job {name}: it has no script"
    for key in ("before_script", "script", "after_script"):
        for line in job.get(key, ()):
            yield from _of_a_script(line)


def _of_a_script(script: str) -> Iterator[str]:
    checked = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True)
    if checked.stderr:
        yield checked.stderr
    for arguments in dsjobs_calls(script):
        parse(arguments)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
