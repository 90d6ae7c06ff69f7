"""The OpenAPI document: it says what the pages and the routes say, and schemathesis finds nothing against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import page_tables
import pytest
from live_server import TOKEN
from starlette.routing import Route

from dsjobs.server.app import create_app, openapi_text

DOCUMENT = json.loads(openapi_text())
SCHEMAS = DOCUMENT["components"]["schemas"]


def properties(name: str) -> dict:
    """The properties of a schema, those of messages inside included, by the paths that the pages use."""
    found = {}
    for field, schema in SCHEMAS[name]["properties"].items():
        is_list = schema.get("type") == "array"
        found[f"{field}[]" if is_list else field] = schema["items"] if is_list else schema
        if "$ref" in schema:
            inner = properties(schema["$ref"].rpartition("/")[2])
            found |= {f"{field}.{path}": value for path, value in inner.items()}
    return {path: schema for path, schema in found.items() if not path.endswith("@type")}


@pytest.mark.parametrize(
    ("page", "part", "schema"),
    [
        ("execute", "body", "ProjectExecutionRequest"),
        ("execute", "response", "ExecuteOperation"),
        ("open", "response", "OpenOperation"),
    ],
)
def test_document_when_it_is_held_against_the_page_then_both_have_the_same_fields(page, part, schema):
    fields = {field.path: field for field in getattr(page_tables.read(page), part)}
    documented = properties(schema)
    assert set(documented) == set(fields)
    for path, field in fields.items():
        if field.type == "enum":
            assert tuple(documented[path]["enum"]) == field.enum
        elif field.type != "message":
            assert documented[path]["type"] == field.type
        if field.max_length:
            assert documented[path]["maxLength"] == field.max_length


@pytest.mark.parametrize("page", ["execute", "open"])
def test_document_when_it_is_held_against_the_page_then_the_request_line_is_in_it(page):
    read = page_tables.read(page)
    operation = DOCUMENT["paths"][read.path][read.method.lower()]
    parameters = [DOCUMENT["components"]["parameters"][p["$ref"].rpartition("/")[2]] for p in operation["parameters"]]
    assert [p["name"] for p in parameters if p["in"] == "path"] == [field.path for field in read.path_parameters]


def test_document_when_it_is_fetched_then_it_has_every_route_that_is_served(shared):
    served = shared.client.get("/openapi.json").json()
    assert served == DOCUMENT
    routes = set()
    for route in create_app(shared.service)._app.routes:
        assert isinstance(route, Route)
        path = (
            route.path.replace("project_id", "projectId")
            .replace("operation_id", "operationId")
            .replace("endpoint_id", "endpointId")
        )
        routes |= {(path, method.lower()) for method in route.methods - {"HEAD"}}
    assert routes == {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lenient"])
def test_api_when_it_gets_what_schemathesis_makes_up_then_its_answers_are_as_documented(serve, strict):
    """Notebooks fail before a kernel starts and JupyterLab is not there, so that cases are cheap."""
    server = serve(strict=strict, lab_python="/bin/false")
    document = json.loads(openapi_text())
    # Projects that are there: else nearly every case would end at the first refusal.
    document["components"]["parameters"]["projectId"]["schema"]["enum"] = ["p1", "p2"]
    # What only a strict server refuses, a lenient one takes, as the service does.
    lenient = [] if strict else ["--exclude-checks", "negative_data_rejection"]
    phases = "examples,coverage,fuzzing,stateful" if strict else "examples,fuzzing"
    with tempfile.TemporaryDirectory() as folder:
        run = schemathesis(folder, document, server.address, [*lenient, "--phases", phases])
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


CONFIGURATION = """
# Nobody can make up an ID token that somebody signed, and OAuth wants 400 for any other.
[[operations]]
include-operation-id = "exchangeToken"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400"]
"""


def schemathesis(folder: str, document: dict, address: str, options: list[str]) -> subprocess.CompletedProcess[str]:
    """One run of its command. `folder` is for what it leaves behind."""
    path = Path(folder, "openapi.json")
    path.write_text(json.dumps(document))
    Path(folder, "schemathesis.toml").write_text(CONFIGURATION)
    return subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", address, "--checks", "all", *options,
            "--max-examples", "12", "--seed", "20261122", "--header", f"Authorization: Bearer {TOKEN}",
            "--generation-database", "none", "--workers", "1", "--request-timeout", "60", "--continue-on-failure",
            "--suppress-health-check", "all",
        ],
        capture_output=True, text=True, cwd=folder, timeout=300, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
