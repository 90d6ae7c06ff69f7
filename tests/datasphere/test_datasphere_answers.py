"""From literal answers to outcomes: the one table that says what each answer of the service means."""

from __future__ import annotations

import json

import pytest
from requests.structures import CaseInsensitiveDict

from dsjobs.backends.datasphere import answers, status, timestamps
from dsjobs.backends.datasphere.answer import Answer, Call
from dsjobs.backends.datasphere.status import ServiceError
from dsjobs.run.records import moment

GET = Call("GET", "https://operation.api.cloud.yandex.net/operations/op1", {"x-client-request-id": "c-1"})
POST = Call("POST", "https://datasphere.api.cloud.yandex.net/datasphere/v2/projects/bt1:execute", {})
UNSAFE = Call("POST", "https://h/x", {}, None, is_safe=False)


def answer(body, code=200, call=GET, **headers):
    content = body if isinstance(body, bytes) else body.encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(call, code, CaseInsensitiveDict({"Content-Type": "application/json", **named}), content)


# What the service has said for good: done, then (failure's kind, cancelled), or None for success.
OUTCOMES = [
    # in flight
    ('{"id":"op1"}', "in flight"),
    ('{"id":"op1","done":null}', "in flight"),
    ('{"id":"op1","done":false}', "in flight"),
    ('{"id":"op1","done":false,"metadata":{"projectId":"bt1"}}', "in flight"),
    ('{"done":false,"error":{"code":13,"message":"a failure, and not done yet"},"id":"op1"}', "in flight"),
    ('{"done":false,"response":{"executionStatus":"OK"},"id":"op1"}', "in flight"),
    ('{"id":"op1","response":{"executionStatus":"OK"}}', "in flight"),
    # success
    ('{"id":"op1","done":true,"response":{"executionStatus":"OK"}}', "success"),
    (
        '{"done": true,"response":{"@type":"type.googleapis.com/yandex.cloud.datasphere.v2.ProjectExecutionResponse",'
        '"executionStatus":"OK"},"id":"op1","createdAt":"2019-04-21T22:49:29Z","modifiedAt":"2019-04-21T22:49:36Z"}',
        "success",
    ),
    ('{"id":"op1","done":true,"error":null,"response":{"executionStatus":"OK"}}', "success"),
    ('{"id":"op1","done":true,"error":{},"response":{"executionStatus":"OK"}}', "success"),
    ('{"id":"op1","done":true,"error":{"code":0},"response":{"executionStatus":"OK"}}', "success"),
    (
        '{"id":"op1","done":true,"error":{"code":0,"message":"","details":[]},"response":{"executionStatus":"OK"}}',
        "success",
    ),
    ('{"id":"op1","done":true,"response":{"executionStatus":"EXECUTION_STATUS_OK"}}', "success"),
    ('{"id":"op1","done":true,"response":{"executionStatus":1}}', "success"),
    ('{"id":"op1","done":true,"response":{"execution_status":"OK"}}', "success"),
    # the notebook
    ('{"id":"op1","done":true,"response":{"executionStatus":"ERROR"}}', "notebook"),
    ('{"id":"op1","done":true,"response":{"executionStatus":"EXECUTION_STATUS_ERROR"}}', "notebook"),
    ('{"id":"op1","done":true,"response":{"executionStatus":2}}', "notebook"),
    ('{"id":"op1","done":true,"response":{"executionStatus":"ABORTED"}}', "aborted"),
    ('{"id":"op1","done":true,"response":{"executionStatus":"EXECUTION_STATUS_ABORTED"}}', "aborted"),
    ('{"id":"op1","done":true,"response":{"executionStatus":3}}', "aborted"),
    # done, and nobody knows how
    ('{"id":"op1","done":true}', "backend"),
    ('{"id":"op1","done":true,"response":null,"error":null}', "backend"),
    ('{"id":"op1","done":true,"response":"OK"}', "backend"),
    ('{"id":"op1","done":true,"response":{}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":null}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":""}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":"EXECUTION_STATUS_UNSPECIFIED"}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":"FINISHED"}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":"ok"}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":0}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":7}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":true}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":1.0}}', "backend"),
    ('{"id":"op1","done":true,"response":{"executionStatus":["OK"]}}', "backend"),
    ('{"id":"op1","done":true,"response":{"@type":"type.googleapis.com/google.protobuf.Empty","value":{}}}', "backend"),
    # the operation itself failed
    ('{"id":"op1","done":true,"error":{"code":13,"message":"no VM"}}', "backend"),
    ('{"id":"op1","done":true,"error":{"code":5,"message":"no notebook","details":[]}}', "backend"),
    ('{"id":"op1","done":true,"error":{"code":8,"message":"quota"},"response":{"executionStatus":"OK"}}', "backend"),
    ('{"id":"op1","done":true,"error":{"code":"3","message":"a code as text"}}', "backend"),
    ('{"id":"op1","done":true,"error":{"code":404,"message":"not a code of google.rpc"}}', "backend"),
    ('{"id":"op1","done":true,"error":{"message":"no code"}}', "backend"),
    ('{"id":"op1","done":true,"error":"only text"}', "backend"),
    ('{"id":"op1","done":true,"error":["a","list"]}', "backend"),
    ('{"id":"op1","done":true,"error":{"code":10,"message":"aborted"}}', "aborted"),
    ('{"id":"op1","done":true,"error":{"code":1,"message":"cancelled"}}', "cancelled"),
]


@pytest.mark.parametrize(("body", "expected"), OUTCOMES)
def test_execution_when_the_service_says_so_then_the_outcome_is_this(body, expected):
    seen = answers.execution(answer(body))

    if expected == "in flight":
        found = "in flight" if not seen.done and seen.failure is None else "done"
    elif seen.cancelled:
        found = "cancelled" if seen.failure is None else "both"
    else:
        found = seen.failure.kind if seen.failure else "success"
    assert (seen.id, found) == ("op1", expected)
    assert seen.done is (expected != "in flight")


@pytest.mark.parametrize(
    "body", [body for body, expected in OUTCOMES if expected in ("notebook", "aborted", "backend")]
)
def test_execution_when_it_failed_then_the_message_ends_with_the_ids(body):
    seen = answers.execution(answer(body, x_request_id="r-1", x_server_trace_id="2bd7:2bbc:1"))

    assert seen.failure.message.endswith(" (request r-1, trace 2bd7:2bbc:1, client request c-1)")


@pytest.mark.parametrize("part", ['"id":"op1","done":true,"error":{%s}', "%s"])
def test_execution_when_an_error_that_came_with_200_has_an_id_then_it_is_shown(part):
    info = '{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"r-2"}'
    body = "{" + part % f'"code":13,"message":"no machine","details":[{info}]' + "}"

    try:
        said = answers.execution(answer(body)).failure.message
    except ServiceError as error:
        said = str(error)

    assert said.endswith("INTERNAL: no machine (request r-2, client request c-1)")


# Answers that hold no operation: (status, body, content type, call) and whether trying again may help.
NO_OPERATION = [
    (200, '{"id":"op1","done":true,"resp', "application/json", GET, True),
    (200, '{"id":"op1","done":true,"resp', "application/json", POST, True),
    (200, '{"id":"op1","done":true,"resp', "application/json", UNSAFE, False),
    (200, "", "application/json", GET, True),
    (200, "[]", "application/json", GET, True),
    (200, '"op1"', "application/json", GET, True),
    (200, "{}", "application/json", GET, True),
    (200, '{"id":"","done":false}', "application/json", GET, True),
    (200, '{"id":7,"done":false}', "application/json", GET, True),
    (200, '{"id":"op1","done":"true"}', "application/json", GET, True),
    (200, '{"id":"op1","done":1}', "application/json", GET, True),
    (200, "<html><body>Please sign in</body></html>", "text/html", GET, True),
    (200, "<html><body>Please sign in</body></html>", "text/html", POST, False),
    (200, '{"code":16,"message":"an error that came with 200"}', "application/json", GET, False),
    (302, "", "text/html", GET, False),
    (307, "", "text/html", POST, False),
    (400, '{"code":3,"message":"bad"}', "application/json", POST, False),
    (400, '{"code":9,"message":"not now"}', "application/json", POST, False),
    (400, "Could not parse JSON", "text/plain", POST, False),
    (401, '{"code":16,"message":"Token is invalid or has expired."}', "application/json", GET, False),
    (403, '{"code":7,"message":"Permission denied"}', "application/json", POST, False),
    (404, '{"code":5,"message":"not found"}', "application/json", GET, False),
    (404, "", "text/plain", GET, False),
    (405, "", "text/plain", GET, False),
    (408, "", "text/plain", POST, True),
    (409, '{"code":6,"message":"there already"}', "application/json", POST, False),
    (409, '{"code":10,"message":"somebody else was faster"}', "application/json", POST, True),
    (429, '{"code":8,"message":"slower"}', "application/json", POST, True),
    (429, "too many", "text/plain", GET, True),
    (499, '{"code":1,"message":"cancelled"}', "application/json", POST, False),
    (499, "", "text/plain", GET, True),
    (500, '{"code":13,"message":"internal"}', "application/json", POST, True),
    (500, '{"code":2,"message":"unknown"}', "application/json", GET, True),
    (500, '{"code":15,"message":"data loss"}', "application/json", GET, False),
    (500, '{"code":', "application/json", GET, True),
    (501, '{"code":12,"message":"not implemented"}', "application/json", GET, False),
    (502, "<html><h1>502 Bad Gateway</h1></html>", "text/html", GET, True),
    (503, '{"code":14,"message":"unavailable"}', "application/json", POST, True),
    (503, "no healthy upstream", "text/plain", GET, True),
    (504, '{"code":4,"message":"deadline"}', "application/json", GET, True),
    (520, "", "text/html", GET, True),
]


@pytest.mark.parametrize(("code", "body", "kind", "call", "retryable"), NO_OPERATION)
def test_execution_when_there_is_no_operation_then_it_says_whether_to_try_again(code, body, kind, call, retryable):
    with pytest.raises(ServiceError) as caught:
        answers.execution(answer(body, code, call, Content_Type=kind))

    assert caught.value.retryable is retryable
    assert caught.value.status == code
    assert f"{call.method} https://" in str(caught.value)
    assert str(code) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T00:00:01.25Z", 1.25),
        ("1970-01-01T00:00:01.125Z", 1.125),
        ("1970-01-01T00:00:01.0625Z", 1.0625),
        ("1970-01-01T00:00:01.03125Z", 1.03125),
        ("1970-01-01T00:00:01.015625Z", 1.015625),
        ("1970-01-01T00:00:01.0156259Z", 1.015625),
        ("1970-01-01T00:00:01.01562599Z", 1.015625),
        ("1970-01-01T00:00:01.015625999Z", 1.015625),
        ("1970-01-01T03:00:00+03:00", 0.0),
        ("1969-12-31T23:30:00-00:30", 0.0),
        ("0001-01-01T00:00:00Z", -62135596800.0),
        ("9999-12-31T23:59:59.999999999Z", 253402300799.99997),  # the last that a float can hold
        ("9999-12-31T23:59:59-00:01", None),
        ("0001-01-01T00:00:00+00:01", None),
        ("2026-01-01T00:00:00+99:00", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-01-01T00:00:60Z", None),
        ("2026-01-01 00:00", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_seconds_when_a_time_has_any_number_of_digits_then_it_is_read(text, expected):
    assert timestamps.seconds(text) == expected
    assert expected is None or moment(expected).startswith(("1", "2", "0001-", "9999-12-31T23:59:59"))


def test_execution_when_it_is_done_then_it_has_its_own_times():
    body = {"id": "op1", "done": True, "response": {"executionStatus": "OK"}}
    times = {"createdAt": "2026-11-22T14:10:03.419948750Z", "modifiedAt": "2026-11-22T14:12:04Z"}

    seen = answers.execution(answer(json.dumps({**body, **times})))

    assert seen.finished_at - seen.started_at == pytest.approx(120.580052)


def test_execution_when_the_times_are_in_the_wrong_order_then_it_did_not_end_before_it_began():
    body = {"id": "op1", "done": True, "response": {"executionStatus": "OK"}}
    times = {"createdAt": "2026-11-22T14:10:03Z", "modifiedAt": "2026-11-22T14:00:00Z"}

    seen = answers.execution(answer(json.dumps({**body, **times})))

    assert seen.finished_at == seen.started_at


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x_operation_poll_interval": "7"}, 7.0),
        ({"X_Operation_Poll_Interval": " 12 "}, 12.0),
        ({"x_operation_poll_interval": "99999999"}, 300.0),
        ({"x_operation_poll_interval": "soon"}, None),
        ({"x_operation_poll_interval": "²"}, None),
        ({"x_operation_poll_interval": "٣"}, None),
        ({"x_operation_poll_interval": "-1"}, None),
        ({"x_operation_poll_interval": "9" * 5000}, 300.0),
        ({"Retry_After": "9"}, 9.0),
        ({"Retry_After": "²"}, None),
        ({}, None),
    ],
)
def test_execution_when_there_is_a_hint_then_the_next_look_waits_for_it(headers, expected):
    assert answers.execution(answer('{"id":"op1"}', **headers)).poll_after == expected


RETRY_INFO = '{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"%s"}'


@pytest.mark.parametrize(
    ("headers", "delay", "expected"),
    [
        ({"Retry_After": "3"}, None, 3.0),
        ({"Retry_After": "3"}, "8s", 3.0),
        ({"Retry_After": "1000000"}, None, 300.0),
        ({"Retry_After": "Fri, 01 Jan 1999 00:00:00 GMT"}, None, 0.0),
        ({"Retry_After": "Fri Jan  1 00:00:00 1999"}, None, 0.0),
        ({"Retry_After": "Fri, 01 Jan 9999 00:00:00 GMT"}, None, 300.0),
        ({"Retry_After": "whenever"}, "5s", 5.0),
        ({"Retry_After": "²"}, "5s", 5.0),
        ({"Retry_After": "1²"}, None, None),
        ({"Retry_After": "-3"}, None, None),
        ({"Retry_After": "9" * 5000}, None, 300.0),
        ({"Retry_After": "Fri, 01 Jan 99999999999999 00:00:00 GMT"}, "5s", 5.0),
        ({"Retry_After": "Fri, 99 Jan 1999 00:00:00 GMT"}, "5s", 5.0),
        ({"Retry_After": "Mon, 01 Jan 0001 00:00:00 -0000"}, None, 0.0),
        ({}, "0.250s", 0.25),
        ({}, "5", None),
        ({}, None, None),
    ],
)
def test_refusal_when_the_service_names_a_delay_then_it_is_kept(headers, delay, expected):
    details = f"[{RETRY_INFO % delay}]" if delay else "[]"
    body = f'{{"code":14,"message":"later","details":{details}}}'

    assert status.refusal(answer(body, 503, **headers)).retry_after == expected


def test_refusal_when_the_answer_has_ids_then_the_message_shows_them():
    details = [{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "r-1"}]
    body = json.dumps({"code": 5, "message": "Workload not found", "details": details})

    error = status.refusal(answer(body, 404, x_server_trace_id="2bd7:2bbc:1"))

    assert str(error) == (
        "GET https://operation.api.cloud.yandex.net/operations/op1 answered 404, NOT_FOUND: Workload not found "
        "(request r-1, trace 2bd7:2bbc:1, client request c-1)"
    )


def test_refusal_when_fields_were_wrong_then_the_message_names_them():
    violations = [{"field": "notebook_id", "description": "too long"}]
    details = [
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations},
        {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "message": "слишком длинно"},
        {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "message": "{i18n:x.y,name:1}"},
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"subject": "gpu", "description": "0"}],
        },
        "not an object",
    ]
    body = json.dumps({"code": 3, "message": "bad request", "details": details})

    error = status.refusal(answer(body, 400))

    assert "INVALID_ARGUMENT: bad request; notebook_id: too long; quota gpu: 0; слишком длинно (" in str(error)


@pytest.mark.parametrize(
    "detail",
    [
        {"@type": "google.rpc.BadRequest", "fieldViolations": 5},
        {"@type": "google.rpc.QuotaFailure", "violations": True},
        {"@type": "google.rpc.QuotaFailure", "violations": {"subject": "gpu"}},
        {"@type": "google.rpc.LocalizedMessage", "message": 5},
        {"@type": ["google.rpc.RequestInfo"], "requestId": {}},
    ],
)
def test_refusal_when_a_detail_is_not_of_its_form_then_it_adds_nothing(detail):
    body = json.dumps({"code": 3, "message": "bad request", "details": [detail]})

    assert "INVALID_ARGUMENT: bad request (" in str(status.refusal(answer(body, 400)))


def test_refusal_when_a_gateway_sent_a_page_then_its_words_are_shown_on_one_line():
    page = "<html><head><style>p {}</style><title>x</title></head><body>\n<h1>502 Bad\nGateway</h1></body></html>"

    assert "answered 502, 502 Bad Gateway (" in str(status.refusal(answer(page, 502)))


def test_refusal_when_the_message_quotes_secrets_then_they_are_taken_out():
    url = "https://storage.yandexcloud.net/b/k.json?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0123"
    message = f"bad values: {url} t1.abc.{'d' * 86} y0_AgAAAAABBBBBCCCC yctk-1.secret eyJhbGciOi.eyJpc3MiOi.c2ln"
    body = json.dumps({"code": 3, "message": message})

    shown = str(status.refusal(answer(body, 400)))

    assert "bad values: *** *** *** *** ***" in shown


def test_refusal_when_it_is_a_redirect_then_the_place_is_named_and_not_gone_to():
    error = status.refusal(answer("", 302, Location="https://evil.example/take?token=1"))

    assert "a redirect to https://evil.example/take, which is not followed" in str(error)
