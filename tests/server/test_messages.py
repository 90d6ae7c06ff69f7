"""Request messages as the transcoder takes them, and as a strict server does."""

from __future__ import annotations

import json

import pytest

from dsjobs.server import messages
from dsjobs.server.errors import ApiError


def parsed(body, *, strict=False):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return messages.execution("p1", raw, strict=strict)


def refused(body, *, strict=False):
    """The fields that are refused; empty when there is no field to name."""
    with pytest.raises(ApiError) as caught:
        parsed(body, strict=strict)
    assert (caught.value.http_status, caught.value.code) == (400, 3)
    return [violation["field"] for detail in caught.value.details for violation in detail.get("fieldViolations", [])]


def test_execution_when_nothing_but_a_notebook_is_sent_then_the_rest_has_its_defaults():
    request = parsed({"notebookId": "a.ipynb"})
    assert (request.notebook, request.cell, request.spec) == ("a.ipynb", None, "c1.4")
    assert (request.input_variables, request.output_variable_names, request.spark_connector) == ({}, (), None)


def test_execution_when_fields_are_null_then_they_are_not_set():
    body = dict.fromkeys(("cellId", "inputVariables", "outputVariableNames", "spec", "sparkConnectorId"))
    assert parsed({"notebookId": "a.ipynb", **body}) == parsed({"notebookId": "a.ipynb"})


def test_execution_when_fields_are_unknown_then_they_are_dropped():
    assert parsed({"notebookId": "a.ipynb", "notebookID": "b.ipynb"}).notebook == "a.ipynb"


def test_execution_when_strict_then_unknown_fields_and_null_are_refused():
    assert refused({"notebookId": "a.ipynb", "notebookID": "b", "spec": None}, strict=True) == ["notebookID", "spec"]


def test_execution_when_much_is_wrong_then_all_of_it_is_said():
    body = {"notebookId": 1, "inputVariables": {"A": None}, "outputVariableNames": ["x", 2], "spec": "c9.9"}
    assert refused(body) == ["notebookId", "spec", "inputVariables.A", "outputVariableNames[1]"]


def test_execution_when_a_field_has_both_spellings_then_it_is_refused():
    assert refused({"notebookId": "a.ipynb", "notebook_id": "a.ipynb"}) == ["notebookId"]


@pytest.mark.parametrize(
    "raw",
    [
        b"[]", b"5", b"{", b'{"notebookId": "a.ipynb",}', b'{"notebookId": "a.ipynb"} x', b"\xff\xfe", b"NaN",
        b'{"notebookId": "a.ipynb", "inputVariables": {"A": NaN}}', b'{"notebookId": "a.ipynb", "notebookId": "a.ipynb"}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"a":' + b"9" * 5000 + b"}", b'\xef\xbb\xbf{"notebookId": "a.ipynb"}',
    ],
)  # fmt: skip
def test_execution_when_the_body_is_no_json_object_then_it_is_refused(raw):
    assert refused(raw) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""), ("é", "é"), (True, "true"), (5, "5"), (5.0, "5"), (-0.5, "-0.5"), (1e300, "1e+300"), (0.1, "0.1"),
        (2**53 + 1, "9007199254740992.0"), ([], "[]"), ({"a": [1.0, None, "é"]}, '{"a":[1,null,"é"]}'),
    ],
)  # fmt: skip
def test_execution_when_an_input_is_no_text_then_it_becomes_one(value, text):
    request = parsed({"notebookId": "a.ipynb", "inputVariables": {"A": value}})
    assert request.input_variables == {"A": text}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("A", None), ("A", "\0"), ("A", "\ud800"), ("A", "x" * 131072), ("A", 10**400), ("", "x"), ("A=B", "x"),
        ("A\0", "x"), ("\ud800", "x"),
    ],
)  # fmt: skip
def test_execution_when_an_input_cannot_be_an_environment_variable_then_it_is_refused(name, value):
    fields = refused({"notebookId": "a.ipynb", "inputVariables": {name: value}})
    assert fields in (["inputVariables"], [f"inputVariables.{name}"])


def test_execution_when_an_input_is_nested_too_deeply_then_it_is_refused():
    value = []
    for _ in range(200):
        value = [value]
    assert refused({"notebookId": "a.ipynb", "inputVariables": {"A": value}}) == ["inputVariables.A"]


@pytest.mark.parametrize(
    "path",
    [
        "", "../a.ipynb", "b/../../a.ipynb", "/etc/a.ipynb", "/home/jupyter/datasphere/project/../a.ipynb", "b\\a.ipynb",
        "/home/jupyter/datasphere/project//etc/a.ipynb", "a\0.ipynb", "a\n.ipynb", "a.py", "a.ipynb/", "a.ipynb/..",
        "/home/jupyter/datasphere/projects/a.ipynb", "..\\a.ipynb", "\ud800.ipynb",
    ],
)  # fmt: skip
def test_execution_when_a_path_may_leave_the_project_then_it_is_refused(path):
    assert refused({"notebookId": path}) == ["notebookId"]
    if path and "\ud800" not in path:
        assert refused({"cellId": f"{path}/cell/c1"}) == ["cellId"]


@pytest.mark.parametrize(
    "path", ["a.ipynb", "b/c d/é.ipynb", "/home/jupyter/datasphere/project/b/a.ipynb", "b/..a.ipynb"]
)
def test_execution_when_a_path_stays_in_the_project_then_it_is_kept_as_it_was_sent(path):
    assert parsed({"notebookId": path}).notebook == path


def test_execution_when_texts_are_at_their_limits_then_one_more_character_is_refused():
    assert parsed({"cellId": "ж" * 200, "sparkConnectorId": "ж" * 200}).cell == "ж" * 200
    assert refused({"cellId": "x" * 201, "sparkConnectorId": "x" * 201}) == ["cellId", "sparkConnectorId"]


def test_token_exchange_when_exactly_one_form_is_there_then_it_is_taken():
    assert messages.token_exchange(b'{"jwt": "x"}', strict=True) == ("jwt", "x")
    for body in (
        b"{}",
        b'{"jwt": "x", "yandexPassportOauthToken": "y"}',
        b'{"jwt": 1}',
        b'{"jwt": "' + b"x" * 8001 + b'"}',
    ):
        with pytest.raises(ApiError):
            messages.token_exchange(body, strict=False)
