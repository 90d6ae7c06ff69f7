"""Routes, refusals and what every answer carries: over real sockets."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from live_server import TOKEN, Client, until

from dsjobs.server.errors import HTTP_STATUS, ApiError, Code

TYPES = "type.googleapis.com/google.rpc."


def status_of(answer, code, http_status):
    """Checks the body of a refusal, and returns its details."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (http_status, code), answer.text
    assert set(body) == {"code", "message", "details"}, "there is no wrapper"
    assert body["details"][-1] == {"@type": f"{TYPES}RequestInfo", "requestId": answer.headers["x-request-id"]}
    assert answer.headers["content-type"] == "application/json"
    return body["details"][:-1]


@pytest.mark.parametrize(
    ("code", "http_status"),
    [
        (1, 499), (2, 500), (3, 400), (4, 504), (5, 404), (6, 409), (7, 403), (8, 429), (9, 400), (10, 409), (11, 400),
        (12, 501), (13, 500), (14, 503), (15, 500), (16, 401),
    ],
)  # fmt: skip
def test_error_when_it_has_a_code_then_its_http_status_is_that_of_the_table(code, http_status):
    assert HTTP_STATUS[Code(code)] == http_status
    assert ApiError(Code(code), "m").http_status == http_status


def test_answer_when_it_comes_then_it_carries_its_ids(shared):
    for answer in (shared.client.get("/endpoints"), shared.client.get("/nothing")):
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
        assert re.fullmatch(r"[0-9a-f]{16}:[0-9a-f]{16}:[0-9a-f]{16}:1", answer.headers["x-server-trace-id"])
        assert answer.headers["server"].startswith("dsjobs/")
        assert "x-dsjobs-faults" not in answer.headers


def test_answer_when_a_connection_is_kept_then_it_does_not_wait_for_an_acknowledgement(shared):
    """Nagle's algorithm and delayed acknowledgements together cost 40 ms a request; the fastest of many has none of it."""
    elapsed = [shared.client.get("/operations/x").elapsed.total_seconds() for _ in range(30)]
    assert min(elapsed) < 0.03


def test_execute_when_its_colon_is_percent_encoded_then_it_is_the_same_route(shared):
    for path in ("/datasphere/v2/projects/p1%3Aexecute", "/datasphere/v2/projects/p1%3aexecute"):
        assert shared.client.post(path, json={"notebookId": "none.ipynb"}).status_code == 200


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain", None])
def test_execute_when_the_content_type_is_another_then_the_body_is_json_all_the_same(shared, kind):
    headers = {"Content-Type": kind} if kind else {}
    path = "/datasphere/v2/projects/p1:execute"
    answer = shared.client.post(path, data=b'{ "notebook_id": "none.ipynb" }', headers=headers)
    assert answer.status_code == 200


def test_route_when_it_or_its_verb_is_unknown_then_it_is_404_or_405(shared):
    status_of(shared.client.get("/nothing"), 5, 404)
    status_of(shared.client.get("/operations/"), 5, 404)
    status_of(shared.client.get("/datasphere/v2/projects/p1/execute"), 5, 404)
    status_of(shared.client.get("/datasphere/v2/projects/p1%2F..%2Fp2"), 5, 404)
    status_of(shared.client.session.delete(f"{shared.address}/datasphere/v2/projects/p1", timeout=60), 12, 405)
    allowed = shared.client.post("/operations/x").headers["allow"]
    assert sorted(allowed.split(", ")) == ["GET", "HEAD"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/datasphere/v2/projects/p1:execute"), ("POST", "/datasphere/v2/projects/p1:open"),
        ("POST", "/datasphere/v2/projects/p1/open"), ("GET", "/datasphere/v2/projects/p1"),
        ("GET", "/datasphere/v2/projects"), ("GET", "/operations/x"), ("GET", "/operations/x:cancel"),
        ("POST", "/operations/x:cancel"), ("GET", "/_dsjobs/operations"), ("GET", "/_dsjobs/operations/x"),
        ("GET", "/_dsjobs/operations/x/notebook"), ("GET", "/_dsjobs/operations/x/log"),
    ],
)  # fmt: skip
def test_route_when_there_is_no_good_token_then_it_is_401_before_anything_else(shared, method, path):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Api-Key {TOKEN}"}):
        answer = Client(shared.address, None).session.request(
            method, shared.address + path, headers=headers, timeout=60
        )
        assert status_of(answer, 16, 401) == []
        assert answer.json()["message"] == "Token is invalid or has expired."
        assert answer.headers["www-authenticate"] == "Bearer"


def test_operation_when_it_is_unknown_then_it_is_404(shared):
    for path in ("/operations/x", "/operations/x:cancel", "/_dsjobs/operations/x", "/_dsjobs/operations/x/log"):
        status_of(shared.client.get(path), 5, 404)


def test_request_when_its_host_is_another_s_then_it_is_403(shared):
    for host in ("evil.example", f"evil.example:{shared.port}", "127.0.0.1.evil.example", "", "192.0.2.1"):
        status_of(shared.client.get("/endpoints", headers={"Host": host}), 7, 403)
    for host in ("localhost", f"LocalHost:{shared.port}", "127.0.0.1", "[::1]:80"):
        assert shared.client.get("/endpoints", headers={"Host": host}).status_code == 200


def test_request_when_it_has_two_hosts_or_none_then_it_is_refused(shared, raw):
    close = b"Connection: close\r\n\r\n"
    assert b" 403 " in raw(shared, b"GET /endpoints HTTP/1.0\r\n" + close).split(b"\r\n")[0]
    two = b"GET /endpoints HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"
    assert raw(shared, two + close).split(b" ")[1] in (b"400", b"403")


def test_host_when_it_was_allowed_then_it_is_answered(serve):
    server = serve(allowed_hosts=frozenset({"Notebooks.example"}))
    answer = server.client.get("/endpoints/iam", headers={"Host": "notebooks.EXAMPLE:99"})
    assert answer.json() == {"id": "iam", "address": "notebooks.EXAMPLE:99"}


def test_body_when_it_is_too_large_then_it_is_413_however_it_is_sent(shared):
    path = "/datasphere/v2/projects/p1:execute"
    body = b'{"notebookId": "none.ipynb", "x": "' + b"x" * (1024 * 1024 - 37) + b'"}'
    assert len(body) == 1024 * 1024
    assert shared.client.post(path, data=body).status_code == 200

    def chunks():
        for _ in range(40):
            yield b" " * 65536

    assert shared.client.post(path, data=body + b" ").status_code == 413
    status_of(shared.client.post(path, data=chunks()), 3, 413)
    status_of(Client(shared.address, None).post("/iam/v1/tokens", data=chunks()), 3, 413)


def test_body_when_it_announces_more_than_is_allowed_then_it_is_not_waited_for(shared, raw):
    head = (
        b"POST /iam/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n"
    )
    assert raw(shared, head).startswith(b"HTTP/1.1 413 ")


def test_endpoints_when_they_are_asked_for_then_all_lead_here_and_no_token_is_needed(shared):
    anyone = Client(shared.address, None)
    found = anyone.get("/endpoints").json()["endpoints"]
    assert {endpoint["id"] for endpoint in found} == {"datasphere", "operation", "iam"}
    for endpoint in found:
        assert endpoint["address"] == f"127.0.0.1:{shared.port}"
        assert anyone.get(f"/endpoints/{endpoint['id']}").json() == endpoint
    status_of(anyone.get("/endpoints/compute"), 5, 404)


def test_projects_when_they_are_listed_then_pages_join_up(shared):
    client, path = shared.client, "/datasphere/v2/projects"
    first = client.get(path, params={"pageSize": 1}).json()
    second = client.get(path, params={"page_size": "1", "pageToken": first["nextPageToken"]}).json()
    assert [project["id"] for project in first["projects"] + second["projects"]] == ["p1", "p2"]
    assert second["nextPageToken"] == ""
    assert client.get(path, params={"projectNamePattern": "*2"}).json()["projects"] == second["projects"]
    assert client.get(path, params={"communityId": "other"}).json() == {"projects": [], "nextPageToken": ""}
    assert client.get(f"{path}/p2").json() == second["projects"][0]
    status_of(client.get(f"{path}/p3"), 5, 404)
    for wrong in (
        {"pageSize": -1},
        {"pageSize": 1001},
        {"pageSize": "x"},
        {"pageToken": "x" * 101},
    ):
        assert status_of(client.get(path, params=wrong), 3, 400)[0]["@type"] == f"{TYPES}BadRequest"


def test_execute_when_spec_or_connector_is_unknown_then_it_is_refused(shared):
    status_of(shared.client.execute({"notebookId": "a.ipynb", "spec": "c9.9"}), 3, 400)
    status_of(shared.client.execute({"notebookId": "a.ipynb", "sparkConnectorId": "none"}), 5, 404)
    for spec in ("", "c1.80", "gt4i.1"):
        assert shared.client.execute({"notebookId": "none.ipynb", "spec": spec}).status_code == 200


def test_execute_when_a_link_leaves_the_project_then_it_is_refused(serve, tmp_path, raw):
    server = serve()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    (server.folder / "file.ipynb").symlink_to(outside / "secret.ipynb")
    (server.folder / "folder").symlink_to(outside)
    (server.folder / "other.ipynb").symlink_to(tmp_path / "p2" / "other.ipynb")
    for path in ("file.ipynb", "folder/secret.ipynb", "folder/none.ipynb", "other.ipynb"):
        status_of(server.client.execute({"notebookId": path}), 3, 400)
        status_of(server.client.execute({"cellId": f"{path}/cell/c1"}), 3, 400)
    for path in (b"..%2Fp2", b"p1/../p2", b"%2e%2e", b"p1%00"):
        head = b"POST /datasphere/v2/projects/%b:execute HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n"
        body = b'{"notebookId": "a.ipynb"}'
        rest = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        assert b" 404 " in raw(server, head % (path, TOKEN.encode()) + rest).split(b"\r\n")[0]


def test_execute_when_the_notebook_cannot_run_then_the_operation_ends_in_an_error(shared):
    (shared.folder / "broken.ipynb").write_text("{")
    (shared.folder / "folder.ipynb").mkdir()
    codes = [shared.client.run(name)["error"]["code"] for name in ("missing.ipynb", "broken.ipynb", "folder.ipynb")]
    assert codes == [5, 9, 5]
    answer = shared.client.execute({"cellId": "no-such-cell"})
    error = shared.client.wait(answer.json()["id"])["error"]
    assert error["code"] == 5
    assert "job '" not in error["message"]


def test_execute_when_many_wait_then_no_more_are_taken_but_their_keys_still_answer(serve):
    server = serve(max_running=1, max_waiting=1)
    server.write("long.ipynb", "import time\nopen('started', 'w').close()\ntime.sleep(600)")
    first = server.client.execute({"notebookId": "long.ipynb"}).json()
    until(lambda: server.client.inspect(first["id"])["state"] == "running")
    waiting = server.client.execute({"notebookId": "long.ipynb"}, key="k").json()
    status_of(server.client.execute({"notebookId": "long.ipynb"}), 8, 429)
    assert server.client.execute({"notebookId": "long.ipynb"}, key="k").json()["id"] == waiting["id"]


def test_key_when_duplicates_come_at_once_then_the_notebook_runs_once(serve):
    server = serve()
    server.write("count.ipynb", "with open('runs.txt', 'a') as file: file.write('x')")
    body = {"notebookId": "count.ipynb"}
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: Client(server.address).execute(body, key="same"), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    ids = {answer.json()["id"] for answer in answers}
    assert len(ids) == 1
    done = server.client.wait(ids.pop())
    assert server.client.execute({"notebookId": "other.ipynb"}, key="same").json() == done, "whatever the body"
    server.stop()
    again = serve()
    assert again.client.execute(body, key="same").json() == done
    assert again.client.operation(done["id"]) == done
    assert (server.folder / "runs.txt").read_text() == "x"


def test_key_when_the_request_was_refused_then_it_is_not_used_up(shared):
    assert shared.client.execute({"notebookId": "../a.ipynb"}, key="fresh").status_code == 400
    assert shared.client.execute({"notebookId": "none.ipynb"}, key="fresh", project="p3").status_code == 404
    accepted = shared.client.execute({"notebookId": "none.ipynb"}, key="fresh").json()
    assert accepted["metadata"]["notebookId"] == "none.ipynb"
    for key in ("", "k" * 201):
        answer = shared.client.post("/datasphere/v2/projects/p1:execute", json={}, headers={"Idempotency-Key": key})
        status_of(answer, 3, 400)


def test_strict_when_requests_are_not_as_the_pages_say_then_they_are_refused(serve):
    server = serve(strict=True)
    key = "8a0ed0d0-6ae9-4b1f-9b1f-1f1f1f1f1f1f"
    body = {"notebookId": "none.ipynb"}
    details = status_of(server.client.execute(body | {"notebookID": "x"}), 3, 400)
    assert details[0]["fieldViolations"][0]["field"] == "notebookID"
    status_of(server.client.execute(body, key="not a uuid"), 3, 400)
    status_of(server.client.post("/datasphere/v2/projects/p1:open", json={"x": 1}), 3, 400)
    first = server.client.execute(body, key=key).json()
    assert server.client.execute(body, key=key).json()["id"] == first["id"]
    status_of(server.client.execute({"notebookId": "other.ipynb"}, key=key), 6, 409)


@pytest.mark.parametrize("verb", ["get", "post"])
def test_cancel_when_it_runs_then_it_ends_with_code_1(serve, verb):
    server = serve(max_running=1)
    server.write("long.ipynb", "import time\nopen('started', 'w').close()\ntime.sleep(600)")
    running = server.client.execute({"notebookId": "long.ipynb"}).json()
    queued = server.client.execute({"notebookId": "long.ipynb"}).json()
    until((server.folder / "started").exists)
    cancel = getattr(server.client, verb)
    gone = cancel(f"/operations/{queued['id']}:cancel").json()
    assert (gone["done"], gone["error"]["code"]) == (True, 1), "what is queued ends at once"
    assert cancel(f"/operations/{running['id']}%3Acancel").json()["done"] is False
    done = server.client.wait(running["id"])
    assert done["error"]["code"] == 1
    assert cancel(f"/operations/{running['id']}:cancel").json() == done, "a finished one stays as it is"


def test_stop_when_notebooks_run_and_wait_then_one_is_aborted_and_the_other_runs_at_the_next_start(serve):
    server = serve(max_running=1)
    server.write("long.ipynb", "import time\nopen('started', 'w').close()\ntime.sleep(600)")
    server.write("next.ipynb", "import os\ndone = os.environ['WORD']")
    running = server.client.execute({"notebookId": "long.ipynb"}).json()
    queued = server.client.execute(
        {"notebookId": "next.ipynb", "inputVariables": {"WORD": "kept"}, "outputVariableNames": ["done"]}
    ).json()
    until((server.folder / "started").exists)
    server.stop()
    again = serve()
    assert again.client.operation(running["id"])["response"]["executionStatus"] == "ABORTED"
    assert again.client.wait(queued["id"])["response"]["executionStatus"] == "OK"
    assert again.client.inspect(queued["id"])["outputs"] == {"done": "kept"}


def test_inspection_when_a_notebook_failed_then_it_shows_what_the_api_does_not(shared):
    shared.write("fails.ipynb", "import os\nprint('before', os.environ['PASSWORD'])", "1 / 0")
    operation = shared.client.run("fails.ipynb", inputVariables={"PASSWORD": "visible-to-the-cell"})
    assert operation["response"]["executionStatus"] == "ERROR"
    path = f"/_dsjobs/operations/{operation['id']}"
    seen = shared.client.inspect(operation["id"])
    assert (seen["state"], seen["inputNames"], seen["operation"]) == ("done", ["PASSWORD"], operation)
    assert seen["failure"]["exception"].startswith("ZeroDivisionError")
    assert "visible" not in shared.client.get(path).text, "the values of variables are kept nowhere"
    assert shared.client.get(f"{path}/notebook").json()["cells"][0]["outputs"][0]["text"] == [
        "before visible-to-the-cell\n"
    ]
    log = shared.client.get(f"{path}/log").text
    assert log.startswith("before visible") and "ZeroDivisionError" in log
    assert operation["id"] in [found["id"] for found in shared.client.get("/_dsjobs/operations").json()["operations"]]
    status_of(shared.client.get("/_dsjobs/operations?before=x"), 3, 400)


def test_execute_when_an_output_is_not_assigned_then_it_is_ok_and_inspection_says_so(shared):
    shared.write("nothing.ipynb", "pass")
    operation = shared.client.run("nothing.ipynb", outputVariableNames=["missing"])
    assert operation["response"]["executionStatus"] == "OK"
    assert shared.client.inspect(operation["id"])["failure"]["kind"] == "contract"


def test_poll_interval_when_it_is_set_then_polls_say_so(serve):
    server = serve(poll_interval=7)
    operation = server.client.execute({"notebookId": "none.ipynb"}).json()
    assert server.client.get(f"/operations/{operation['id']}").headers["x-operation-poll-interval"] == "7"
