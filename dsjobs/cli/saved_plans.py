"""Plans in files: what `plan --out` writes, and what `apply` reads and refuses when what it was made from has changed.

The paths in such a file are relative to its folder: it can be handed on with the checkout that it was made in, and no further.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsjobs import __version__, schemas
from dsjobs.cli.fingerprints import matching, read_code
from dsjobs.cli.including import digest_of, gather
from dsjobs.cli.repository import git_state
from dsjobs.cli.written import content_of
from dsjobs.errors import GuardError, InvalidFileError, UsageError
from dsjobs.files import write_atomically
from dsjobs.marks import position_at
from dsjobs.model import EarlierManifest, Plan
from dsjobs.plan.changes import Known, changes
from dsjobs.plan.fingerprint import fingerprinted, target
from dsjobs.plan.saved import as_json, digest, from_json
from dsjobs.run import store
from dsjobs.spec import source
from dsjobs.spec.precheck import compile_check

VERSION = 1
_HEAD = 4096
"""Bytes by whose look a plan is known: what tells it apart stands first."""
_SHOWN = 5
"""How many changes a refusal names."""


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan from a file. `base`: the job file's folder; `git`: its repository, as it is now."""

    plan: Plan
    base: Path
    git: dict[str, Any] | None


def is_one(path: Path) -> bool:
    """Whether a file is meant to be a plan, and no job file, which may be JSON as well."""
    if path.suffix in (".yaml", ".yml"):
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD).lstrip()
    except OSError:
        return path.suffix == ".json"
    if b'"schema_version"' in head:
        return head.startswith(b"{")
    return path.suffix == ".json" and b'"version"' not in head


def write(path: Path, plan: Plan) -> None:
    """Save a plan. Raises UsageError where it cannot be kept there."""
    file = Path(plan.file)
    try:
        place = path.resolve()
        if place in {Path(name).resolve() for name in (plan.file, *plan.includes)}:
            raise UsageError(f"{path}: this is a job file, and the plan would replace it")
        if place.exists() and not place.is_file():
            raise UsageError(f"{path}: the plan cannot be written there: it is not a regular file")
        place.parent.mkdir(parents=True, exist_ok=True)
        document = as_json(_relative(plan, place.parent), __version__)
        text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
        write_atomically(place, text.encode("utf-8", "backslashreplace") + b"\n")
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: the plan of {file.name} cannot be written there: {why}") from None


def read(path: Path, state: Path | None) -> SavedPlan:
    """The plan in a file, if everything that it was made from is as it was.

    Raises InvalidFileError for a file that is damaged or was edited, GuardError for a plan that is out of date.
    """
    plan = from_json(*_checked(path))
    folder = path.resolve().parent
    base = Path(os.path.abspath((folder / plan.file).parent))
    git = git_state(base)
    found = [*_file_changes(plan, folder), *_code_changes(plan, base)]
    if plan.git_commit is not None and plan.git_commit != (git or {}).get("commit"):
        found.append(f"the git commit is not {plan.git_commit[:12]} any more, which the job file uses")
    found += _manifest_changes(plan, folder, state or base / store.STATE_FOLDER)
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        message = f"{path} is out of date: {'; '.join(found[:_SHOWN])}{more}"
        raise GuardError(message, hint=f"make it again with `dsjobs plan --out {path}`")
    return SavedPlan(plan, base, git)


def _relative(plan: Plan, folder: Path) -> Plan:
    """`plan` with the paths of its files from `folder` on, which has no links in it."""
    earlier = plan.earlier
    if earlier is not None and earlier.path is not None:
        earlier = replace(earlier, path=_from(folder, earlier.path))
    includes = {_from(folder, name): one for name, one in plan.includes.items()}
    return replace(plan, file=_from(folder, plan.file), includes=includes, earlier=earlier)


def _from(folder: Path, name: str) -> str:
    return Path(os.path.relpath(os.path.abspath(name), folder)).as_posix()


def _checked(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The document of a plan, and its jobs, once it is sure that dsjobs wrote it so."""
    try:
        content = path.read_bytes()
        data = json.loads(content)
    except OSError as error:
        raise InvalidFileError(f"{path}: the plan cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise InvalidFileError(f"{path}:{error.lineno}:{error.colno}: this plan is damaged: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: this plan is damaged: {error}") from None
    version = data.get("schema_version") if isinstance(data, dict) else VERSION
    if isinstance(version, int) and version != VERSION:
        message = f"{path} is a plan of version {version}, and this dsjobs knows version {VERSION}"
        raise GuardError(message, hint=f"make it again with `dsjobs plan --out {path}`")
    problem = _problem(path, content, data)
    if problem is not None:
        raise InvalidFileError(problem)
    if not _is_sealed(data):
        message = f"{path}: this plan was changed after dsjobs wrote it: its digest is not that of the rest"
        raise InvalidFileError(message, hint="change the job file, and make the plan again")
    return data, data["jobs"]


def _is_sealed(data: dict[str, Any]) -> bool:
    """Whether nothing in a plan was changed since dsjobs wrote it."""
    body = {key: value for key, value in data.items() if key not in ("schema_version", "tool_version", "digest")}
    try:
        return bool(digest(body) == data["digest"])
    except (ValueError, RecursionError):  # it has a number, such as 1e999, that JSON does not have
        return False


def _problem(path: Path, content: bytes, data: Any) -> str | None:
    """What in a plan its schema does not allow, with its place, or nothing."""
    if compile_check(schemas.load("plan"))(data):
        return None
    import jsonschema

    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schemas.load("plan")).iter_errors(data))
    if error is None:
        return None
    text, _ = source.decode(str(path), content)
    place = position_at(source.parse(text, most=sys.maxsize).data, tuple(error.absolute_path))
    return f"{place or path}: this is not a plan of version {VERSION}: {error.json_path}: {error.message[:200]}"


def _file_changes(plan: Plan, folder: Path) -> Iterator[str]:
    """What is different in the job file, and in those that it includes."""
    job_file = folder / plan.file
    try:
        content = content_of(job_file)
    except OSError as error:
        yield f"{plan.file} cannot be read: {error.strerror}"
        return
    if digest_of(content) != plan.digest:
        yield f"{plan.file} changed"
    elif plan.includes or b"include" in content:
        text, _ = source.decode(str(job_file), content)
        now = gather(job_file, source.parse(text), schemas.load("jobs")).digests
        found = {_from(folder, name): one for name, one in now.items()}
        for name in sorted({*found, *plan.includes}):
            if found.get(name) != plan.includes.get(name):
                what = "is included now" if name not in plan.includes else "changed"
                yield f"{name} {what if name in found else 'is not included any more'}"


def _code_changes(plan: Plan, base: Path) -> Iterator[str]:
    """The notebooks whose code is different, of jobs that run and of those that do not because it was the same."""
    code = read_code(base, plan)
    seen = set()
    for then, now in zip(plan.jobs, fingerprinted(plan, code).jobs, strict=True):
        name, before, after = target(then.job), then.fingerprint, now.fingerprint
        counts = then.action == "run" or (then.action == "reuse" and then.job.cache)
        if not counts or name in seen or before is None or after is None or before.code == after.code:
            continue
        seen.add(name)
        why = changes(before, replace(before, cells=after.cells), Known(then.job, code=code.get(name)))
        gone = "cannot be read any more" if after.code is None else "changed, in spaces and empty lines only"
        yield from why if why and after.code is not None else [f"{name[1]} {gone}"]


def _manifest_changes(plan: Plan, folder: Path, state: Path) -> Iterator[str]:
    """What has happened since to the run that the plan was made against. One that is not here cannot have changed."""
    then = plan.earlier
    if then is None:
        return
    now = _manifest_at(folder / then.path) if then.path is not None else _latest(state, plan)
    if now is not None and now.run != then.run:
        known = f"run {then.run}, against which it was made" if then.run else "it, which was made before there were any"
        yield f"run {now.run} is newer than {known}"
    elif now is not None and now.digest != then.digest:
        yield f"run {then.run}, against which it was made, has gone on"


def _manifest_at(path: Path) -> EarlierManifest | None:
    try:
        data = json.loads(path.read_bytes())
        return EarlierManifest(data["run"]["id"], data["digest"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _latest(state: Path, plan: Plan) -> EarlierManifest | None:
    for found in matching(state, plan.name, plan.environment):
        return EarlierManifest(found.id, store.load(found.folder)["digest"])
    return None
