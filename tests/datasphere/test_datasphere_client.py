"""Calls over real sockets: headers, reuse, time-outs, broken connections, redirects, proxies, retries and their pace."""

from __future__ import annotations

import gzip
import re
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from loopback import EXECUTE, OPERATION, OPERATIONS, PROJECT, TOKEN, Reply, operation, refused, succeeded

from dsjobs.backends.datasphere import proxies
from dsjobs.backends.datasphere.answer import Call
from dsjobs.backends.datasphere.pace import Lane
from dsjobs.backends.datasphere.retries import Patience
from dsjobs.backends.datasphere.status import ServiceError
from dsjobs.backends.datasphere.transport import MAX_BODY_BYTES, Timeouts, Transport
from dsjobs.errors import BackendError
from dsjobs.model import Request

REQUEST = Request(PROJECT, notebook="train.ipynb")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def execute(connection, key="k"):
    return connection.api.execute(REQUEST, {}, key=key)


def test_call_when_it_is_sent_then_it_says_who_asks_and_which_request_it_is(server, connect):
    server.on("GET", OPERATIONS, operation())
    connection = connect()

    connection.api.operation(OPERATION)
    connection.api.operation(OPERATION)

    first, second = server.calls("GET", OPERATIONS)
    assert re.fullmatch(r"dsjobs/\S+ \(Python 3\.\S+; requests \S+\)", first.headers["user-agent"])
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert UUID.fullmatch(first.headers["x-client-request-id"])
    assert first.headers["x-client-request-id"] != second.headers["x-client-request-id"]
    assert first.headers["x-client-trace-id"] == second.headers["x-client-trace-id"]
    assert "cookie" not in second.headers


def test_call_when_several_come_from_a_thread_then_they_share_a_connection(server, connect):
    server.on("GET", OPERATIONS, operation())
    connection = connect()
    barrier = threading.Barrier(3)

    def look(_):
        barrier.wait()
        for _ in range(10):
            connection.api.operation(OPERATION)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(look, range(3)))

    assert (server.connections, len(server.asked)) == (3, 30)


def test_call_when_the_answer_is_compressed_then_it_is_read(server, connect):
    content = gzip.compress(operation().content)
    server.on("GET", OPERATIONS, Reply(200, content, {"Content-Encoding": "gzip"}))

    assert connect().api.operation(OPERATION).id == OPERATION


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_call_when_the_answer_is_a_redirect_then_nobody_else_gets_the_token(server, other_server, connect, status):
    server.on("GET", OPERATIONS, Reply(status, b"", {"Location": f"{other_server.url}/operations/{OPERATION}"}))
    other_server.on("GET", OPERATIONS, operation())

    with pytest.raises(ServiceError, match="which is not followed") as caught:
        connect().api.operation(OPERATION)

    assert not caught.value.retryable
    assert other_server.asked == []


def test_call_when_the_server_is_silent_then_it_gives_up_in_time(server):
    free = threading.Event()
    server.on("GET", "/x", Reply(wait=free))
    transport = Transport({}, timeouts=Timeouts(connect=1.0, read=0.2))

    with pytest.raises(ServiceError, match="no answer in time") as caught:
        transport.send(Call("GET", f"{server.url}/x?secret=1"))

    free.set()
    assert caught.value.retryable
    assert "secret" not in str(caught.value)


def test_call_when_nobody_listens_then_it_may_be_tried_again(server):
    server.close()

    with pytest.raises(ServiceError, match="refused") as caught:
        Transport({}).send(Call("GET", f"{server.url}/x"))

    assert caught.value.retryable


BROKEN = {
    "reset": Reply(reset=True),
    "reset in the body": Reply(raw=b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":', reset=True),
    "short body": Reply(raw=b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":'),
    "short chunk": Reply(raw=b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"id":'),
    "no last chunk": Reply(raw=b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"id":\r\n'),
    "bad chunk": Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "closed": Reply(raw=b""),
    "not HTTP": Reply(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "half a header": Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
    "bad gzip": Reply(200, b"not gzip", {"Content-Encoding": "gzip"}),
    "cut JSON": Reply(200, operation().content[:40]),
    "empty": Reply(200, b""),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_call_when_the_answer_breaks_off_then_the_next_one_is_read(server, connect, broken):
    server.on("GET", OPERATIONS, broken, operation())
    server.on("POST", EXECUTE, broken, operation())
    connection = connect()

    assert connection.api.operation(OPERATION).id == OPERATION
    assert execute(connection).id == OPERATION
    keys = [asked.headers["idempotency-key"] for asked in server.calls("POST", EXECUTE)]
    assert keys == ["k", "k"]


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_call_when_answers_keep_breaking_off_then_it_ends_with_a_retryable_error(server, connect, broken):
    server.on("POST", EXECUTE, broken)

    with pytest.raises(ServiceError) as caught:
        execute(connect())

    assert caught.value.retryable
    assert len(server.calls("POST", EXECUTE)) == 4
    assert "object at 0x" not in str(caught.value)


def test_call_when_the_answer_never_ends_then_it_is_not_read_to_the_end(server, connect):
    server.on("GET", OPERATIONS, Reply(200, b" " * (MAX_BODY_BYTES + 1)))

    with pytest.raises(ServiceError, match="longer than"):
        connect().api.operation(OPERATION)


def test_call_when_it_is_not_safe_then_it_is_sent_once(server, connect):
    server.on("POST", "/x", Reply(reset=True))
    connection = connect()

    with pytest.raises(ServiceError):
        connection.api._client.call(
            Call("POST", f"{server.url}/x", {}, b"{}", is_safe=False),
            lambda answer: answer,
            lane="x",
            patience=Patience(5),
        )

    assert len(server.calls("POST", "/x")) == 1


@pytest.mark.parametrize(
    "answer", [refused(400, 3), refused(403, 7), refused(404, 5), refused(409, 6), refused(501, 12)]
)
def test_execute_when_the_service_refuses_for_good_then_it_is_asked_once(server, connect, answer):
    server.on("POST", EXECUTE, answer)

    with pytest.raises(ServiceError) as caught:
        execute(connect())

    assert not caught.value.retryable
    assert len(server.asked) == 1


def test_execute_when_the_service_is_busy_then_waits_grow_at_random_and_the_key_stays(server, connect, moments):
    server.on("POST", EXECUTE, refused(503, 14), refused(500, 13), Reply(502, b"<h1>Bad Gateway</h1>"), operation())

    assert execute(connect()).id == OPERATION

    assert moments.slept == [0.5, 1.0, 2.0]
    assert {asked.headers["idempotency-key"] for asked in server.asked} == {"k"}
    assert len({asked.body for asked in server.asked}) == 1


def test_execute_when_the_service_names_a_delay_then_it_is_waited_for(server, connect, moments):
    server.on("POST", EXECUTE, refused(429, 8, **{"Retry-After": "6"}), operation())

    execute(connect())

    assert sum(moments.slept) == pytest.approx(6.0)


@pytest.mark.parametrize(("status", "code", "waits"), [(429, 8, [3.0]), (503, 14, [])])
def test_call_when_another_was_told_to_wait_then_it_waits_too_only_where_the_caller_is_meant(
    server, connect, moments, status, code, waits
):
    server.on("POST", EXECUTE, refused(status, code, **{"Retry-After": "3"}))
    connection = connect()
    with pytest.raises(ServiceError):
        execute(connection)
    moments.slept.clear()
    server.on("POST", EXECUTE, operation())

    execute(connection)

    assert moments.slept == waits


@pytest.mark.parametrize("status", [429, 503])
def test_execute_when_the_delay_is_long_then_it_returns_at_once_and_nobody_calls_meanwhile(
    server, connect, moments, status
):
    retry_info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "60s"}
    server.on("POST", EXECUTE, refused(status, 8, "quota", [retry_info]), operation())
    server.on("GET", OPERATIONS, operation())
    connection = connect()

    errors = []
    for key in ("one", "two"):
        with pytest.raises(ServiceError) as caught:
            execute(connection, key)
        errors.append(caught.value)
    connection.api.operation(OPERATION)  # the operations' service asked for nothing

    assert [error.retryable for error in errors] == [True, True]
    assert [error.retry_after for error in errors] == [60.0, 60.0]
    assert moments.slept == []
    assert len(server.calls("POST", EXECUTE)) == 1
    moments.now += 61.0
    assert execute(connection).id == OPERATION


def test_lane_when_many_enter_then_they_go_at_the_rate(moments):
    lane = Lane(10.0, ticks=lambda: moments.now, sleep=moments.sleep)
    began = moments.now

    for _ in range(51):
        assert lane.enter(5.0) == 0.0

    assert moments.now - began == pytest.approx(4.9, abs=0.11)


def test_lane_when_threads_enter_together_then_none_is_lost(moments):
    lane = Lane(1000.0, ticks=lambda: 0.0, sleep=moments.slept.append)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: lane.enter(5.0), range(1000)))

    assert max(moments.slept) == pytest.approx(0.899, abs=0.002)
    assert len({round(delay, 6) for delay in moments.slept}) == len(moments.slept)


def test_lane_when_it_is_held_then_it_waits_or_says_how_long(moments):
    lane = Lane(10.0, ticks=lambda: moments.now, sleep=moments.sleep)
    lane.hold(30.0)
    lane.hold(20.0)

    assert lane.enter(5.0) == pytest.approx(30.0)
    assert moments.slept == []
    assert lane.enter(40.0) == 0.0
    assert moments.slept == [30.0]


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://a.example/x", {}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://a.example/x", {"https_proxy": "p:3128", "HTTPS_PROXY": "http://q"}, "http://p:3128"),
        ("http://a.example/x", {"HTTPS_PROXY": "http://p"}, None),
        ("http://a.example/x", {"ALL_PROXY": "http://p"}, "http://p"),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p", "NO_PROXY": "b.example, a.example"}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p", "no_proxy": ".example"}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p", "no_proxy": "ample"}, "http://p"),
        ("https://a.example:8443/x", {"HTTPS_PROXY": "http://p", "no_proxy": "a.example:8443"}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p", "no_proxy": "a.example:8443"}, "http://p"),
        ("http://10.1.2.3/x", {"HTTP_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        ("http://11.1.2.3/x", {"HTTP_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, "http://p"),
        ("http://[::1]:80/x", {"HTTP_PROXY": "http://p", "NO_PROXY": "::1"}, None),
    ],
)
def test_proxy_for_when_the_usual_variables_are_set_then_they_decide(url, environ, expected):
    assert proxies.proxy_for(url, environ) == expected


def test_call_when_there_is_a_proxy_then_it_goes_there(server):
    server.on("GET", "/operations/op1", succeeded())
    transport = Transport({"http_proxy": server.url, "no_proxy": "127.0.0.1"})

    answer = transport.send(Call("GET", "http://operation.example.invalid/operations/op1"))

    assert answer.status == 200


def test_transport_when_the_certificate_file_is_missing_then_it_says_which_variable_names_it(tmp_path):
    with pytest.raises(BackendError, match=r"REQUESTS_CA_BUNDLE names .*, which does not exist"):
        Transport({"REQUESTS_CA_BUNDLE": str(tmp_path / "none.pem")})


@pytest.fixture
def https(tmp_path):
    """A server with a certificate that nobody trusts: its address, and the file to trust it by."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    _make_certificate(certificate, key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(operation().content)

        def log_message(self, *args):
            pass

    class Quiet(HTTPServer):
        def handle_error(self, request, client_address):
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}", certificate
    server.shutdown()
    server.server_close()
    thread.join()


def test_call_when_the_certificate_is_not_trusted_then_it_is_refused_for_good(https):
    url, _ = https

    with pytest.raises(ServiceError, match="cannot be verified") as caught:
        Transport({}).send(Call("GET", f"{url}/operations/op1"))

    assert not caught.value.retryable
    assert "REQUESTS_CA_BUNDLE" in caught.value.hint


@pytest.mark.parametrize("name", proxies.CA_VARIABLES)
def test_call_when_the_certificate_authority_is_named_then_it_is_trusted(https, name):
    url, certificate = https

    assert Transport({name: str(certificate)}).send(Call("GET", f"{url}/operations/op1")).status == 200


def _make_certificate(certificate, key):
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dsjobs tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
