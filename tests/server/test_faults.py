"""Each fault, as a client meets it; and that none can stay on unnoticed."""

from __future__ import annotations

import http.client
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from live_server import TOKEN, Client, until

from dsjobs.errors import UsageError
from dsjobs.server import faults
from dsjobs.server.faults import Chances, Faults

BODY = {"notebookId": "none.ipynb"}


def test_parse_when_values_are_left_out_then_they_have_their_defaults():
    parsed = faults.parse(["latency", "429=0.5", "bare", "status=number", "not-found=3"], 1)
    assert parsed.values == {"latency": 0.2, "429": 0.5, "bare": "", "status": "number", "not-found": 3.0}
    assert str(parsed) == "latency=0.2, 429=0.5, bare, status=number, not-found=3"
    assert not Faults()


@pytest.mark.parametrize(
    "word", ["lateny", "429=2", "429=x", "not-found=1.5", "not-found=-1", "bare=1", "no-route=x", "latency=nan", ""]
)
def test_parse_when_a_fault_makes_no_sense_then_it_is_refused(word):
    with pytest.raises(UsageError):
        faults.parse([word], 1)


def test_chances_when_the_seed_is_the_same_then_they_fall_the_same_way():
    draws = [[Chances(Faults({"429": 0.5}, seed)).strikes("429") for _ in range(1)] for seed in range(50)]
    assert draws == [[Chances(Faults({"429": 0.5}, seed)).strikes("429") for _ in range(1)] for seed in range(50)]
    assert {True, False} == {strikes for (strikes,) in draws}
    some = Faults({"never-ends": 0.5}, 3)
    fates = [some.strikes_operation("never-ends", str(number)) for number in range(50)]
    assert fates == [some.strikes_operation("never-ends", str(number)) for number in range(50)]
    assert 10 < sum(fates) < 40


def test_fault_when_any_is_on_then_every_answer_says_so(serve):
    server = serve(faults={"latency": 0.01, "429": 1.0})
    for answer in (server.client.get("/endpoints"), server.client.execute(BODY), server.client.get("/nothing")):
        assert answer.headers["x-dsjobs-faults"] == "latency=0.01, 429=1"


def test_latency_when_it_is_on_then_answers_come_later(serve):
    server = serve(faults={"latency": 0.5})
    elapsed = [server.client.get("/operations/x").elapsed.total_seconds() for _ in range(4)]
    assert 0.1 < max(elapsed) < 5


@pytest.mark.parametrize(("status", "code"), [(429, 8), (503, 14)])
@pytest.mark.parametrize("hint", ["", "-retry-after", "-retry-info"])
def test_refusal_when_it_is_on_then_it_has_its_hint_and_nothing_was_done(serve, status, code, hint):
    server = serve(faults={f"{status}{hint}": 1.0})
    answer = server.client.execute(BODY)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("retry-after") == ("1" if hint == "-retry-after" else None)
    delays = [detail["retryDelay"] for detail in answer.json()["details"] if "retryDelay" in detail]
    assert delays == (["0.200s"] if hint == "-retry-info" else [])
    assert server.client.get("/_dsjobs/operations").json()["operations"] == []


@pytest.mark.parametrize(
    ("fault", "status", "kind"), [("text-body", 503, "text/plain"), ("html-body", 502, "text/html")]
)
def test_body_when_it_is_no_json_then_its_type_says_so(serve, fault, status, kind):
    answer = serve(faults={fault: 1.0}).client.execute(BODY)
    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
    with pytest.raises(ValueError):
        answer.json()


@pytest.mark.parametrize("fault", ["reset", "cut"])
def test_connection_when_it_breaks_after_the_post_then_the_operation_was_accepted(serve, fault):
    server = serve(faults={fault: 1.0})
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        server.client.execute(BODY, key="k")
    assert len(server.client.get("/_dsjobs/operations").json()["operations"]) == 1
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        server.client.execute(BODY, key="k")
    assert len(server.client.get("/_dsjobs/operations").json()["operations"]) == 1


def test_reset_when_it_strikes_then_it_is_one_of_tcp(serve):
    server = serve(faults={"reset": 1.0})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/operations/x", headers={"Authorization": f"Bearer {TOKEN}"})
    with pytest.raises(ConnectionResetError):
        connection.getresponse()
    connection.close()


def test_truncate_when_it_strikes_then_the_answer_is_whole_but_its_json_is_not(serve):
    server = serve(faults={"truncate": 1.0})
    answer = server.client.execute(BODY)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    with pytest.raises(ValueError):
        answer.json()


def test_not_found_when_it_is_on_then_the_first_polls_of_each_operation_find_nothing(serve):
    server = serve(faults={"not-found": 2.0})
    for _ in range(2):
        path = f"/operations/{server.client.execute(BODY).json()['id']}"
        assert [server.client.get(path).status_code for _ in range(4)] == [404, 404, 200, 200]


def test_early_error_when_it_is_on_then_failures_show_before_they_are_done(serve):
    server = serve(faults={"early-error": 2.0})
    server.write("bad.ipynb", "1 / 0")
    server.write("good.ipynb", "1")
    for name, end in (("none.ipynb", "error"), ("bad.ipynb", "response"), ("good.ipynb", "response")):
        operation_id = server.client.execute({"notebookId": name}).json()["id"]
        until(lambda: server.client.inspect(operation_id)["state"] == "done")  # noqa: B023
        looks = [server.client.operation(operation_id) for _ in range(3)]
        early = [look for look in looks if not look["done"]]
        assert len(early) == (0 if name == "good.ipynb" else 2)
        assert all("error" in look and "response" not in look for look in early)
        assert looks[-1]["done"] and end in looks[-1]


def test_never_ends_when_it_strikes_then_only_cancel_ends_the_operation(serve):
    server = serve(faults={"never-ends": 1.0})
    server.write("good.ipynb", "open('ran', 'a').write('x')")
    operation_id = server.client.execute({"notebookId": "good.ipynb"}).json()["id"]
    until((server.folder / "ran").exists)
    until(lambda: (server.configuration.state / "notebooks" / f"{operation_id}.ipynb").exists())
    assert not any(server.client.operation(operation_id)["done"] for _ in range(5))
    server.client.post(f"/operations/{operation_id}:cancel")
    assert server.client.wait(operation_id)["error"]["code"] == 1
    server.stop()
    assert (server.folder / "ran").read_text() == "x"


def test_never_ends_when_it_strikes_then_it_takes_no_place_from_what_is_queued(serve):
    server = serve(faults={"never-ends": 1.0}, max_running=1)
    server.write("good.ipynb", "open('ran', 'a').write('x')")
    for _ in range(3):
        server.client.execute({"notebookId": "good.ipynb"})
    until(lambda: (server.folder / "ran").exists() and (server.folder / "ran").read_text() == "xxx")


def test_expiring_tokens_when_it_is_on_then_iam_tokens_end_soon_and_the_server_s_own_does_not(serve):
    server = serve(faults={"expiring-tokens": 1.0})
    anyone = Client(server.address, None)
    token = anyone.post("/iam/v1/tokens", json={"yandexPassportOauthToken": TOKEN}).json()["iamToken"]
    holder = Client(server.address, token)
    assert holder.get("/datasphere/v2/projects").status_code == 200
    until(lambda: holder.get("/datasphere/v2/projects").status_code == 401, 10)
    assert server.client.get("/datasphere/v2/projects").status_code == 200


@pytest.mark.parametrize(
    ("values", "check"),
    [
        ({"fraction-digits": 0.0}, lambda op: re.search(r":\d\dZ$", op["createdAt"])),
        ({"fraction-digits": 4.0}, lambda op: re.search(r"\.\d{4}Z$", op["modifiedAt"])),
        ({"no-result": ""}, lambda op: op["done"] and "error" not in op and "response" not in op),
        ({"status": "missing"}, lambda op: "executionStatus" not in op["response"]),
        ({"status": "number"}, lambda op: op["response"]["executionStatus"] == 1),
        ({"status": "PAUSED"}, lambda op: op["response"]["executionStatus"] == "PAUSED"),
    ],
)
def test_shape_when_it_is_odd_then_it_is_odd_in_that_way_only(serve, values, check):
    server = serve(faults=values)
    server.write("good.ipynb", "1")
    assert check(server.client.run("good.ipynb"))


def test_bare_when_it_is_on_then_done_false_is_left_out(serve):
    server = serve(faults={"bare": ""})
    assert "done" not in server.client.execute(BODY).json()


@pytest.mark.parametrize(
    ("route", "method", "path"),
    [
        ("colon-open", "POST", "/datasphere/v2/projects/p9:open"), ("slash-open", "POST", "/datasphere/v2/projects/p9/open"),
        ("get-cancel", "GET", "/operations/x:cancel"), ("post-cancel", "POST", "/operations/x:cancel"),
    ],
)  # fmt: skip
def test_no_route_when_it_is_on_then_one_route_is_unknown(serve, route, method, path):
    server = serve(faults={"no-route": route})
    answer = server.client.session.request(method, server.address + path, timeout=60)
    assert answer.status_code in (404, 405)
    assert answer.json()["message"] in ("Not Found", "Method Not Allowed")


def test_faults_when_many_are_on_then_a_client_that_tries_again_gets_each_job_done_once(serve):
    """Sixty operations through a server that refuses, cuts, resets and delays; one key each, tried until it is answered."""
    values = dict.fromkeys(("429", "503-retry-info", "text-body", "html-body", "reset", "truncate", "cut"), 0.1)
    server = serve(faults={"latency": 0.02, "not-found": 1.0, **values}, max_running=1)
    server.write("append.ipynb", "import os\nwith open('runs.txt', 'a') as file: file.write(os.environ['JOB'] + '\\n')")

    def stubborn(call):
        def once():
            try:
                answer = call()
                return answer.json() if answer.status_code == 200 else None
            except (requests.RequestException, json.JSONDecodeError):
                return None

        return until(once)

    def job(number):
        client = Client(server.address)
        name = "append.ipynb" if number < 4 else "none.ipynb"
        body = {"notebookId": name, "inputVariables": {"JOB": str(number)}}
        operation = stubborn(lambda: client.execute(body, key=f"key-{number}"))
        path = f"/operations/{operation['id']}"
        end = until(lambda: (seen := stubborn(lambda: client.get(path)))["done"] and seen)
        client.session.close()
        return end

    with ThreadPoolExecutor(8) as threads:
        ends = list(threads.map(job, range(60)))
    assert [end["response"]["executionStatus"] for end in ends[:4]] == ["OK"] * 4
    assert {end["error"]["code"] for end in ends[4:]} == {5}
    assert len({end["id"] for end in ends}) == 60
    assert len(server.client.get("/_dsjobs/operations").json()["operations"]) == 60
    assert sorted((server.folder / "runs.txt").read_text().split()) == ["0", "1", "2", "3"]
