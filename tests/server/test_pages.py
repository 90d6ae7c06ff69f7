"""The two reference pages, field by field: their own tables say what is sent, by curl, and what must come back."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import page_tables
import pytest
from live_server import TOKEN, Running, configuration, until

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(CURL is None, reason="curl is not installed: apt-get install curl")

EXECUTE = page_tables.read("execute")
OPEN = page_tables.read("open")
TYPES = {"string": str, "boolean": bool, "integer": int, "object": dict, "message": dict, "enum": str}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")

# For each field of the body: a value that is sent, and one of a wrong type.
VALUES: dict[str, tuple[Any, Any]] = {
    "notebookId": ("fields.ipynb", 5),
    "cellId": ("fields.ipynb/cell/c2", ["c2"]),
    "inputVariables": ({"DAY": "mardi", "COUNT": 5.0, "FLAG": True, "LIST": [1, "a"]}, ["DAY"]),
    "outputVariableNames[]": (["seen"], "seen"),
    "spec": ("c1.8", {"name": "c1.8"}),
    "sparkConnectorId": ("lake", False),
}
SOURCE = "import os\nseen = [os.environ.get(name) for name in ('DAY', 'COUNT', 'FLAG', 'LIST')]"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With a stand-in for JupyterLab, which `test_open.py` starts in earnest."""
    folder = tmp_path_factory.mktemp("pages")
    python = folder / "python"
    listens = "echo '{}' > \"$JUPYTER_RUNTIME_DIR/jpserver-$$.json\"; exec sleep 600"
    python.write_text(f'#!/bin/sh\ncase "$1" in -c) exit 0;; esac\n{listens}\n')
    python.chmod(0o755)
    running = Running(configuration(folder, open_pause=0.1, lab_python=str(python)))
    running.write("fields.ipynb", SOURCE, "only = 1")
    running.write("bad.ipynb", "1 / 0")
    running.write("long.ipynb", "import time\nopen('started', 'w').close()\ntime.sleep(600)")
    yield running
    running.stop()


def request(server: Running, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """One request by curl, with the options of the documentation's own example: no content type is given, so it is a form's."""
    command = [
        CURL,
        "-q",
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "60",
        "--write-out",
        "\n%{http_code}",
    ]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--request", method, server.address + path]
    command += [] if body is None else ["--data", json.dumps(body)]
    answer, _, status = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.rpartition(
        "\n"
    )
    return int(status), json.loads(answer)


def path_of(page: page_tables.Page, project: str = "p1") -> str:
    return page.path.replace("{projectId}", project)


def finish(server: Running, operation: dict[str, Any]) -> dict[str, Any]:
    return server.client.wait(operation["id"])


@pytest.fixture(scope="module")
def executions(server):
    """Operations of Execute in every way that they look: running, OK, ERROR, error."""
    send = lambda body: request(server, EXECUTE.method, path_of(EXECUTE), body)[1]  # noqa: E731
    first = send({"notebookId": "fields.ipynb"})
    cell = send({"cellId": "fields.ipynb/cell/c2"})
    bad, missing = send({"notebookId": "bad.ipynb"}), send({"notebookId": "missing.ipynb"})
    return [first, *(finish(server, operation) for operation in (first, cell, bad, missing))]


@pytest.fixture(scope="module")
def openings(server, tmp_path_factory):
    """Operations of Open, at every look at them, the second with one open already."""
    seen = []
    for _ in range(2):
        operation = request(server, OPEN.method, path_of(OPEN))[1]
        seen.append(operation)
        until(lambda: (seen.append(server.client.operation(operation["id"])), seen[-1]["done"])[1])  # noqa: B023
    cancelled = request(server, OPEN.method, path_of(OPEN, "p2"))[1]
    server.client.post(f"/operations/{cancelled['id']}:cancel")
    return [*seen, finish(server, cancelled)]


def values(message: Any, path: str) -> list[Any]:
    """What a message has at a path; `[]` stands for each item."""
    found = [message]
    for name in path.split("."):
        found = [item[name.removesuffix("[]")] for item in found if name.removesuffix("[]") in item]
        if name.endswith("[]"):
            found = [item for items in found for item in items]
    return found


def paths(message: dict[str, Any], prefix: str = "") -> set[str]:
    """The paths of all fields of a message, as the tables write them."""
    found = set()
    for name, value in message.items():
        path = f"{prefix}{name}"
        if isinstance(value, list):
            found.add(f"{path}[]")
            continue
        found.add(path)
        if isinstance(value, dict):
            found |= paths(value, f"{path}.")
    return found


def check_types(field: page_tables.Field, messages: list[dict[str, Any]]) -> None:
    seen = [value for message in messages for value in values(message, field.path)]
    assert seen, f"{field.path} never came"
    for value in seen:
        assert type(value) is TYPES[field.type], (field.path, value)
        assert not field.enum or value in field.enum
        assert field.max_length is None or len(value) <= field.max_length


def check_one_of(field: page_tables.Field, message: dict[str, Any]) -> None:
    prefix, _, _ = field.path.rpartition(".")
    holders = values(message, prefix) if prefix else [message]
    for holder in holders:
        assert sum(name in holder for name in field.one_of) <= 1, (field.path, message)


@pytest.mark.parametrize("field", EXECUTE.response, ids=lambda field: field.path)
def test_execute_when_operations_are_looked_at_then_the_field_is_as_the_page_says(executions, field):
    check_types(field, executions)
    for message in executions:
        check_one_of(field, message)


@pytest.mark.parametrize("page", ["execute", "open"])
def test_operation_when_it_comes_back_then_it_has_no_field_that_the_page_does_not_have(executions, openings, page):
    known = {field.path for field in (EXECUTE if page == "execute" else OPEN).response}
    for message in executions if page == "execute" else openings:
        unknown = {path for path in paths(message) if not path.endswith("@type")} - known
        assert unknown == set()
        for holder in ("metadata", "response"):
            if holder in message:
                assert message[holder]["@type"].startswith("type.googleapis.com/yandex.cloud.datasphere.v2.")


@pytest.mark.parametrize("page", ["execute", "open"])
def test_operation_when_it_is_done_then_it_has_exactly_one_of_error_and_response(executions, openings, page):
    for message in executions if page == "execute" else openings:
        assert ("error" in message) + ("response" in message) == int(message["done"])
        assert re.fullmatch(r"[0-9a-z]{20}", message["id"])
        assert RFC3339.fullmatch(message["createdAt"]) and RFC3339.fullmatch(message["modifiedAt"])
        assert message["createdAt"] <= message["modifiedAt"]


def test_execute_when_notebooks_end_then_the_status_is_the_page_s_word(executions):
    ends = [message.get("response", {}).get("executionStatus") for message in executions]
    assert ends == [None, "OK", "OK", "ERROR", None]
    assert executions[-1]["error"]["code"] == 5


@pytest.mark.parametrize("field", EXECUTE.body, ids=lambda field: field.path)
@pytest.mark.parametrize("case", ["camel", "snake"])
def test_execute_when_a_field_is_sent_then_it_does_what_the_page_says(server, field, case):
    name = field.path.removesuffix("[]")
    value, _ = VALUES[field.path]
    spelled = name if case == "camel" else re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
    body = {spelled: value}
    if not field.one_of:
        body["notebookId"] = "fields.ipynb"

    status, operation = request(server, EXECUTE.method, path_of(EXECUTE), body)

    assert status == 200, operation
    seen = server.client.inspect(operation["id"])
    if field.one_of:
        assert operation["metadata"][name] == value
    elif name == "inputVariables":
        assert seen["inputNames"] == sorted(value)
    else:
        assert seen["request"][name] == value


@pytest.mark.parametrize("field", EXECUTE.body, ids=lambda field: field.path)
def test_execute_when_a_field_has_another_type_then_it_is_refused_by_name(server, field):
    _, wrong = VALUES[field.path]
    name = field.path.removesuffix("[]")

    status, answer = request(server, EXECUTE.method, path_of(EXECUTE), {"notebookId": "fields.ipynb", name: wrong})

    assert (status, answer["code"]) == (400, 3)
    assert name in [violation["field"] for violation in answer["details"][0]["fieldViolations"]]


@pytest.mark.parametrize("field", [f for f in EXECUTE.body if f.max_length], ids=lambda field: field.path)
def test_execute_when_a_text_is_as_long_as_the_page_allows_then_one_more_character_is_refused(server, field):
    longest = "ж" * (field.max_length - len(".ipynb")) + ".ipynb"
    statuses = [
        request(server, EXECUTE.method, path_of(EXECUTE), {field.path: text})[0] for text in (longest, "ж" + longest)
    ]
    assert statuses == [200, 400]


def test_execute_when_both_or_none_of_the_targets_are_sent_then_it_is_refused(server):
    group = next(field.one_of for field in EXECUTE.body if field.one_of)
    for body in ({}, dict.fromkeys(group, "fields.ipynb"), None):
        status, answer = request(server, EXECUTE.method, path_of(EXECUTE), body)
        assert (status, answer["code"]) == (400, 3)


def test_execute_when_it_has_inputs_and_outputs_then_the_kernel_saw_them_and_inspection_shows_them(server):
    body = {"notebookId": "fields.ipynb"} | {
        "inputVariables": VALUES["inputVariables"][0], "outputVariableNames": VALUES["outputVariableNames[]"][0],
    }  # fmt: skip
    operation = finish(server, request(server, EXECUTE.method, path_of(EXECUTE), body)[1])

    assert operation["response"]["executionStatus"] == "OK"
    assert server.client.inspect(operation["id"])["outputs"] == {"seen": ["mardi", "5", "true", '[1,"a"]']}


def test_execute_when_only_a_cell_is_asked_for_then_the_others_do_not_run(server):
    body = {"cellId": "fields.ipynb/cell/c2", "outputVariableNames": ["only"]}
    operation = finish(server, request(server, EXECUTE.method, path_of(EXECUTE), body)[1])

    assert server.client.inspect(operation["id"])["outputs"] == {"only": 1}


@pytest.mark.parametrize("page", [EXECUTE, OPEN], ids=["execute", "open"])
@pytest.mark.parametrize("field", EXECUTE.path_parameters, ids=lambda field: field.path)
def test_path_parameter_when_the_project_is_unknown_or_too_long_then_it_is_refused(server, page, field):
    assert field.required and field.type == "string"
    body = {"notebookId": "fields.ipynb"} if page is EXECUTE else {}
    assert request(server, page.method, path_of(page, "p9"), body)[1]["code"] == 5
    assert request(server, page.method, path_of(page, "p" * 51), body)[1]["code"] == 3
    assert request(server, page.method, path_of(page, ""), body)[0] in (404, 405)


@pytest.mark.parametrize("field", OPEN.response, ids=lambda field: field.path)
def test_open_when_operations_are_looked_at_then_the_field_is_as_the_page_says(openings, field):
    check_types(field, openings)
    for message in openings:
        check_one_of(field, message)
