"""Plans as JSON, and back: nothing is lost on the way, whatever the job file has in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from held_schemas import problems_of

from dsjobs.cli import loading
from dsjobs.plan.fingerprint import fingerprinted
from dsjobs.plan.planner import make_plan
from dsjobs.plan.saved import as_json, from_json
from dsjobs.spec.expand import expand
from dsjobs.spec.variables import resolve

CASES = sorted((Path(__file__).parents[1] / "cases" / "valid").glob("*.yaml"))
GIT = {"commit": "3f2a9c1", "branch": "main", "dirty": False}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_plan_when_it_went_through_json_then_is_the_same(path):
    spec = loading.load(path).spec
    assert spec is not None
    for environment in spec.environments.values():
        values, _ = resolve(spec, environment, environ={}, given=())
        jobs, _ = expand(spec, environment, values, GIT)
        plan = fingerprinted(make_plan(spec, environment, values, jobs), {})
        document = json.loads(json.dumps(as_json(plan, "0.1.0")))
        assert problems_of("plan", json.dumps(document).encode()) == []
        assert as_json(from_json(document, document["jobs"]), "0.1.0") == document
