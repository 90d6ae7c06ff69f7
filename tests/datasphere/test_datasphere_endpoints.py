"""Addresses of services: which layer wins, what a discovery root lists, and what is not an address."""

from __future__ import annotations

import pytest
from loopback import OPERATION, OPERATIONS, Reply, operation

from dsjobs.backends.access import SERVICES, Access
from dsjobs.backends.datasphere import endpoints
from dsjobs.backends.datasphere.endpoints import PUBLISHED, Endpoints, layers
from dsjobs.backends.datasphere.settings import Settings
from dsjobs.errors import BackendError


def urls(settings=None, environ=None, access=None, discovered=None):
    """Every address, and the roots that were asked for them."""
    asked = []

    def discover(root):
        asked.append(root)
        return discovered if discovered is not None else {name: f"https://{name}.found" for name in SERVICES[:3]}

    found = Endpoints(layers(settings or Settings(), environ or {}, access), discover)
    return {name: found.url(name) for name in SERVICES}, asked


def test_services_when_they_have_flags_then_are_those_that_have_addresses():
    assert set(SERVICES) == set(PUBLISHED)


def test_url_when_nothing_is_set_then_it_is_the_published_one_without_a_call():
    assert urls() == (PUBLISHED, [])


@pytest.mark.parametrize("root", ["api.cloud.yandex.net", "api.cloud.yandex.net:443", "https://api.cloud.yandex.net/"])
def test_url_when_the_root_is_the_published_one_then_nobody_is_asked(root):
    assert urls(environ={"YC_ENDPOINT": root}) == (PUBLISHED, [])


def test_url_when_there_is_a_root_then_it_is_asked_once():
    found, asked = urls(Settings(endpoint="api.example.net:443"))

    assert asked == ["https://api.example.net"]
    assert found == {**{name: f"https://{name}.found" for name in SERVICES[:3]}, "auth": PUBLISHED["auth"]}


def test_url_when_only_some_services_are_given_then_the_others_are_the_published_ones():
    found, asked = urls(Settings(endpoints={"datasphere": "http://127.0.0.1:8765/"}))

    assert (found, asked) == ({**PUBLISHED, "datasphere": "http://127.0.0.1:8765"}, [])


@pytest.mark.parametrize(
    ("settings", "environ", "access", "expected"),
    [
        (Settings(endpoint="s"), {"YC_ENDPOINT": "y"}, None, "s"),
        (Settings(endpoint="s"), {"YC_ENDPOINT": "y", "DSJOBS_ENDPOINT": "d"}, None, "d"),
        (Settings(endpoint="s"), {"DSJOBS_ENDPOINT": "d"}, Access(endpoint="f"), "f"),
        (Settings(), {"YC_ENDPOINT": "y"}, None, "y"),
        (Settings(endpoint="s"), {"DSJOBS_ENDPOINT": "", "YC_ENDPOINT": "y"}, None, "s"),
    ],
)
def test_url_when_several_roots_are_given_then_the_strongest_is_asked(settings, environ, access, expected):
    assert urls(settings, environ, access)[1] == [f"https://{expected}"]


def test_url_when_a_service_is_given_beside_a_root_then_it_wins_in_its_layer_and_loses_to_a_stronger_root():
    settings = Settings(endpoint="root.example", endpoints={"iam": "iam.example"})

    assert urls(settings)[0]["iam"] == "https://iam.example"
    assert urls(settings, {"DSJOBS_ENDPOINT_IAM": "other.example"})[0]["iam"] == "https://other.example"
    assert urls(settings, {"DSJOBS_ENDPOINT": "http://127.0.0.1:1"})[0]["iam"] == "https://iam.found"
    flags = Access(endpoint="flag.example", endpoints={"operation": "flagged.example"})
    found, asked = urls(settings, {"DSJOBS_ENDPOINT": "d", "DSJOBS_ENDPOINT_IAM": "i"}, flags)
    assert (found["operation"], found["iam"], asked) == (
        "https://flagged.example",
        "https://iam.found",
        ["https://flag.example"],
    )


def test_url_when_the_root_does_not_list_a_service_then_the_error_says_what_to_set():
    with pytest.raises(
        BackendError, match=r"https://r/endpoints lists no service 'datasphere' \(known: iam\)"
    ) as caught:
        urls(Settings(endpoint="r"), discovered={"iam": "https://i"})

    assert "--endpoint-datasphere" in caught.value.hint
    assert "endpoints: {datasphere:" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("datasphere.api.cloud.yandex.net:443", "https://datasphere.api.cloud.yandex.net"),
        ("https://datasphere.api.cloud.yandex.net:443/", "https://datasphere.api.cloud.yandex.net"),
        ("host:8443", "https://host:8443"),
        ("http://host:80", "http://host"),
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("https://gateway.example/yandex/", "https://gateway.example/yandex"),
        ("https://[::1]:8080", "https://[::1]:8080"),
        (" host ", "https://host"),
    ],
)
def test_address_when_it_is_one_then_it_is_written_in_one_way(text, expected):
    assert endpoints.address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "ftp://host",
        "https://user:secret@host",
        "https://host?x=1",
        "host:99999",
        "a b",
        "host:x",
        "[abc",
    ],
)
def test_address_when_it_is_none_then_the_error_says_where_it_was_given(text):
    with pytest.raises(BackendError, match=r"YC_ENDPOINT: .* is not the address of a service"):
        endpoints.address(text, where="YC_ENDPOINT")


def listing(**services):
    return Reply(body={"endpoints": [{"id": name, "address": address} for name, address in services.items()]})


def test_discovery_when_the_root_lists_itself_without_a_scheme_then_its_own_scheme_is_used(connect, server):
    here = server.url.removeprefix("http://")
    server.on("GET", "/endpoints", listing(datasphere=here, operation=here, iam=here))
    server.on("GET", OPERATIONS, operation())
    connection = connect(parsed=Settings(endpoint=server.url))

    assert connection.api.operation(OPERATION).id == OPERATION
    assert connection.api.operation(OPERATION).id == OPERATION
    asked = server.calls("GET", "/endpoints")
    assert len(asked) == 1
    assert "authorization" not in asked[0].headers


def test_discovery_when_other_hosts_are_listed_without_a_scheme_then_they_are_encrypted(connect, server):
    server.on(
        "GET", "/endpoints", listing(datasphere="d.example:443", operation="o.example:8443", iam="http://i.example")
    )
    found = connect(parsed=Settings(), access=Access(endpoint=server.url)).endpoints

    assert [found.url(name) for name in SERVICES] == [
        "https://d.example",
        "https://o.example:8443",
        "http://i.example",
        "https://auth.yandex.cloud",
    ]


def test_discovery_when_an_encrypted_root_lists_an_open_address_then_it_is_refused():
    with pytest.raises(BackendError, match="which is not encrypted"):
        endpoints._listed_address("https://root.example", "http://d.example")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(200, {"endpoints": "none"}), "listed no endpoints"),
        (Reply(200, {"endpoints": [{"id": "iam"}, 5]}), "lists no service"),
        (Reply(200, b"<html>"), "not with the API's JSON"),
        (Reply(404, b"nothing"), "answered 404, nothing"),
        (Reply(302, b"", {"Location": "https://x"}), "redirect"),
    ],
)
def test_discovery_when_the_root_is_none_then_the_error_says_so(connect, server, reply, message):
    server.on("GET", "/endpoints", reply)

    with pytest.raises(BackendError, match=message):
        connect(parsed=Settings(endpoint=server.url)).api.operation(OPERATION)


def test_discovery_when_it_fails_once_then_it_is_asked_again(connect, server):
    server.on("GET", "/endpoints", Reply(503), Reply(reset=True), listing(operation=server.url))
    server.on("GET", OPERATIONS, operation())

    assert connect(parsed=Settings(endpoint=f"{server.url}/endpoints")).api.operation(OPERATION).id == OPERATION
