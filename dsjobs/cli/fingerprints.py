"""Gives a plan its fingerprints, from the notebooks as they lie here, and says what need not run because nothing has changed.

Earlier successes are looked for in the latest runs of the state folder, or in the one run that `--from` names.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from dsjobs.cli.earlier import EarlierRun
from dsjobs.errors import InvalidFileError
from dsjobs.model import Code, EarlierManifest, Plan, Request
from dsjobs.plan.caching import Success, successes, with_cache
from dsjobs.plan.changes import Texts
from dsjobs.plan.fingerprint import Target, fingerprinted, short, target
from dsjobs.run import runs, store
from dsjobs.run.runs import ListedRun
from dsjobs.run.store import RunFolder

LOOK_BACK = 20
"""Runs of an environment that are looked through for the last success of a job."""


@dataclass(frozen=True, slots=True)
class Caching:
    """Where earlier successes are looked for: in a state folder, or in the run `earlier`; with `is_off` nowhere."""

    state: Path | None = None
    earlier: EarlierRun | None = None
    is_off: bool = False


NO_CACHE = Caching(is_off=True)


def with_fingerprints(plan: Plan, base: Path) -> Plan:
    """`plan` with a fingerprint for each of its jobs, which takes time: for those who keep or show them. `base`: the job file's
    folder."""
    if all(planned.fingerprint is not None for planned in plan.jobs):
        return plan
    return fingerprinted(plan, read_code(base, plan))


def prepared(plan: Plan, base: Path, caching: Caching) -> Plan:
    """`plan`, where what has a cache and has not changed is reused. Where nothing can be, its jobs have no fingerprints yet."""
    wanted = {one.job.name for one in plan.jobs if one.job.cache and one.action == "run"}
    if caching.earlier is None and (caching.is_off or not wanted):
        return plan
    code = read_code(base, plan)
    state = caching.state or base / store.STATE_FOLDER
    found, against = _of_one(caching.earlier) if caching.earlier else _of_latest(state, plan, wanted)
    plan = replace(plan, earlier=against)
    return fingerprinted(plan, code) if caching.is_off else with_cache(plan, code, found)


def read_code(base: Path, plan: Plan) -> dict[Target, Code]:
    """The code of each notebook that the jobs of a plan run, as far as it can be read: DataSphere gives none away."""
    if plan.backend == "datasphere":
        return {}
    found: dict[Target, Code | None] = {}
    for planned in plan.jobs:
        name = target(planned.job)
        if name not in found:
            found[name] = _code(base, planned.job.request)
    return {name: code for name, code in found.items() if code is not None}


def _code(base: Path, request: Request) -> Code | None:
    from dsjobs.notebook import cells, paths
    from dsjobs.notebook.code import code_of
    from dsjobs.notebook.errors import NotebookError

    try:
        return code_of(cells.find(paths.project_folder(base, request.project), request))
    except NotebookError:
        return None  # of a job that runs, the backend's check has said so


def matching(state: Path, name: str, environment: str) -> Iterator[ListedRun]:
    """The runs below `state` of this job file and environment, newest first, that began and are not damaged."""
    for found in runs.newest_first(state):
        run = found.run if found.state != "unbegun" else None
        if run is not None and (run["name"], run["environment"]) == (name, environment):
            yield found


def latest(state: Path, name: str, environment: str) -> tuple[str, Mapping[str, Any]] | None:
    """The ID and the manifest of the latest of these runs; None where there is none that can be read."""
    for found in matching(state, name, environment):
        try:
            return found.id, manifest_of(found)
        except (InvalidFileError, OSError):
            continue
    return None


def manifest_of(found: ListedRun) -> Mapping[str, Any]:
    """The manifest of a run in a list. Of one that has ended it is the file, whose seal was looked at already."""
    if found.state in ("succeeded", "failed", "cancelled") and found.counts is not None:
        manifest: Mapping[str, Any] = json.loads(found.folder.manifest.read_bytes())
        return manifest
    return store.load(found.folder)


def _of_latest(state: Path, plan: Plan, wanted: set[str]) -> tuple[dict[str, Success], EarlierManifest]:
    found: dict[str, Success] = {}
    against: EarlierManifest | None = None
    for number, listed in enumerate(matching(state, plan.name, plan.environment)):
        if number == LOOK_BACK or not wanted - found.keys():
            break
        try:
            manifest = manifest_of(listed)
        except (InvalidFileError, OSError):
            continue  # of a run that is damaged, or being removed, nothing is known
        against = against or EarlierManifest(listed.id, manifest["digest"])
        for name, success in successes(manifest).items():
            if name in wanted and name not in found:
                found[name] = replace(success, texts=_texts(success.past, listed.folder.path))
    return found, against or EarlierManifest(None, None)


def _of_one(run: EarlierRun) -> tuple[dict[str, Success], EarlierManifest]:
    found = {
        name: replace(success, texts=_texts(success.past, run.beside))
        for name, success in successes(run.manifest).items()
    }
    (path,) = [str(run.folder.manifest)] if run.folder is not None else shlex.split(run.arguments)
    return found, EarlierManifest(run.id, run.manifest["digest"], path)


def _texts(past: Mapping[str, Any], folder: Path) -> Texts:
    """The cells of the notebook that ran: from where the manifest says that it is, or from beside the manifest."""

    @cache
    def read() -> Mapping[str, str]:
        from dsjobs.notebook import reading
        from dsjobs.notebook.cells import Target
        from dsjobs.notebook.code import code_of
        from dsjobs.notebook.errors import NotebookError

        written = (past["notebook"] or {}).get("path")
        copied = RunFolder(folder).notebook(past["name"])
        try:
            notebook = reading.read(copied if copied.is_file() or written is None else Path(written))
        except NotebookError:
            return {}
        return {short(cell.text): cell.text for cell in code_of(Target(notebook, notebook.code_cells)).cells}

    return read
