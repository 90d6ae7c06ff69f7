"""What a run that was disturbed has in common with one that was not: everything but what time and chance decide."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dsjobs.run.manifest import Manifest

TIMES = frozenset(
    "started_at finished_at duration submitted_at retry_at operation_id digest journal_records resumed_at pid host".split()
)
OF_ONE_RUN = frozenset("id idempotency_key plan_digest fingerprint kernel_start".split())
"""These follow from the run's ID, from where its files lie, and from which kernels were ready."""

_REQUEST_IDS = re.compile(r" \(request [0-9a-f-]+, trace [^()]*\)")
"""At the end of what the service said: of the call that told of it, and each is another."""


def without_times(manifest: Manifest) -> dict[str, Any]:
    """Everything but times, operation IDs and how often it was taken up."""
    return _without(TIMES, manifest)


def comparable(manifest: Manifest, *places: Path) -> dict[str, Any]:
    """What remains comparable where the other is a run in another place: `places` are those of this one."""
    text = json.dumps(manifest).replace(manifest["run"]["id"], "RUN")
    for number, place in enumerate(places):
        text = text.replace(str(place), f"PLACE-{number}")
    text = _REQUEST_IDS.sub("", text)
    return _without(TIMES | OF_ONE_RUN, json.loads(text))


def _without(names: frozenset[str], manifest: Manifest) -> dict[str, Any]:
    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(inner) for key, inner in value.items() if key not in names}
        return [kept(inner) for inner in value] if isinstance(value, list) else value

    return {**kept(manifest), "jobs": sorted(kept(manifest["jobs"]), key=lambda job: job["name"])}
