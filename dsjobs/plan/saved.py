"""A plan as JSON, and back: what `plan --out` saves, what a journal begins with, and what `resume` takes up again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dsjobs.model import (
    EarlierManifest,
    Fingerprint,
    Job,
    Plan,
    PlannedJob,
    Request,
    Retry,
    Reused,
    SecretSource,
    VariableValue,
)


def as_json(plan: Plan, tool_version: str) -> dict[str, Any]:
    """The plan as `plan.v1.json` describes it. Its `digest` covers everything but itself and the tool's version."""
    body: dict[str, Any] = {
        "name": plan.name,
        "job_file": job_file_as_json(plan),
        "environment": plan.environment,
        "backend": plan.backend,
        "settings": plain(plan.settings),
        "max_parallel": plan.max_parallel,
        "variables": {
            name: {"value": value.value, "layer": value.layer} for name, value in sorted(plan.variables.items())
        },
        "jobs": [job_as_json(planned) for planned in plan.jobs],
    }
    if plan.protected:
        body["protected"] = True
    if plan.pools:
        body["pools"] = dict(plan.pools)
    if plan.secrets:
        body["secrets"] = secrets_as_json(plan)
    if plan.git_commit is not None:
        body["git_commit"] = plan.git_commit
    if plan.earlier is not None:
        body["earlier"] = {"run": plan.earlier.run, "digest": plan.earlier.digest, "path": plan.earlier.path}
    return {"schema_version": 1, "tool_version": tool_version, "digest": digest(body), **body}


def secrets_as_json(plan: Plan) -> dict[str, Any]:
    """Where the secrets of a plan are; what they are is nowhere in it."""
    return {name: source.as_json() for name, source in sorted(plan.secrets.items())}


def job_file_as_json(plan: Plan) -> dict[str, Any]:
    """The files that a plan was made from."""
    written: dict[str, Any] = {"path": plan.file, "digest": plan.digest}
    if plan.includes:
        written["includes"] = [{"path": path, "digest": digest} for path, digest in plan.includes.items()]
    return written


def job_as_json(planned: PlannedJob) -> dict[str, Any]:
    """One job of a plan. `deferred_inputs` are the templates whose text is known only when the job is submitted."""
    job = planned.job
    written: dict[str, Any] = {
        "name": job.name,
        "action": planned.action,
        "reasons": list(planned.reasons),
        "needs": list(job.needs),
        "request": job.request.as_json(),
        "deferred_inputs": dict(job.deferred_inputs),
        "outputs": {name: dict(contract) for name, contract in job.outputs.items()},
    }
    # What was not asked for is left out: a plan is read by people.
    if job.base:
        written["job"] = job.base
        written["matrix"] = plain(job.matrix)
    if job.bindings:
        written["bindings"] = {
            name: bound if isinstance(bound, str) else list(bound) for name, bound in job.bindings.items()
        }
    if job.description:
        written["description"] = job.description
    if job.tags:
        written["tags"] = list(job.tags)
    if job.retry.max_attempts > 1:
        written["retry"] = job.retry.as_json()
    if job.timeout is not None:
        written["timeout"] = job.timeout
    if job.run_if != "all_success":
        written["run_if"] = job.run_if
    if job.when is not None:
        written["when"] = job.when
    if job.allow_failure:
        written["allow_failure"] = True
    if job.cache:
        written["cache"] = True
    if job.pools:
        written["pools"] = list(job.pools)
    if not planned.selected:
        written["selected"] = False
    if planned.reused is not None:
        written["reused"] = planned.reused.as_json()
    if planned.fingerprint is not None:
        written["fingerprint"] = planned.fingerprint.as_json()
    return written


def from_json(data: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]]) -> Plan:
    """The plan in a document whose shape its schema has checked. `data` is a plan, or the header of a journal, which has the
    same fields; `jobs` are its jobs. What was read has no places in a file."""
    return Plan(
        name=data["name"],
        file=data["job_file"]["path"],
        digest=data["job_file"]["digest"],
        environment=data["environment"],
        backend=data["backend"],
        settings=data["settings"],
        variables={name: VariableValue(one["value"], one["layer"]) for name, one in data["variables"].items()},
        max_parallel=data["max_parallel"],
        jobs=tuple(planned_from_json(job) for job in jobs),
        protected=data.get("protected", False),
        pools=data.get("pools", {}),
        includes={one["path"]: one["digest"] for one in data["job_file"].get("includes", ())},
        git_commit=data.get("git_commit"),
        earlier=EarlierManifest(**data["earlier"]) if data.get("earlier") else None,
        secrets={name: SecretSource.from_json(name, one) for name, one in data.get("secrets", {}).items()},
    )


def planned_from_json(data: Mapping[str, Any]) -> PlannedJob:
    """One job, as `job_as_json` wrote it."""
    retry, reused, fingerprint = data.get("retry"), data.get("reused"), data.get("fingerprint")
    job = Job(
        name=data["name"],
        description=data.get("description", ""),
        request=Request.from_json(data["request"]),
        deferred_inputs=data["deferred_inputs"],
        outputs=data["outputs"],
        needs=tuple(data["needs"]),
        retry=Retry(**{**retry, "on": frozenset(retry["on"])}) if retry else Retry(),
        timeout=data.get("timeout"),
        tags=tuple(data.get("tags", ())),
        base=data.get("job", ""),
        matrix=data.get("matrix", {}),
        bindings={
            name: bound if isinstance(bound, str) else tuple(bound) for name, bound in data.get("bindings", {}).items()
        },
        run_if=data.get("run_if", "all_success"),
        when=data.get("when"),
        allow_failure=data.get("allow_failure", False),
        cache=data.get("cache", False),
        pools=tuple(data.get("pools", ())),
    )
    return PlannedJob(
        job=job,
        action=data["action"],
        reasons=tuple(data["reasons"]),
        reused=Reused.from_json(reused) if reused else None,
        selected=data.get("selected", True),
        fingerprint=Fingerprint.from_json(fingerprint) if fingerprint else None,
    )


def plain(value: Any) -> Any:
    """A value of the job file without the places that it came from."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def digest(body: Mapping[str, Any]) -> str:
    """`sha256:…` of a JSON document, whatever the order of its keys."""
    # As in a journal: half of a surrogate pair, e.g. in a file's name, is no UTF-8.
    return "sha256:" + hashlib.sha256(_encode(body).encode("utf-8", "backslashreplace")).hexdigest()


# `json.dumps` makes an encoder at each call, and each job has digests of its own.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
