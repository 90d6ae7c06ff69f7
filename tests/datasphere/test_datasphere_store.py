"""Outputs through a store: a folder, and a real S3-compatible server on loopback; published by `dsjobs.publish` and by the
snippets of the documentation, in a process of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests
from botocore.config import Config
from loopback import EXECUTE, OPERATION, OPERATIONS, Loopback, Reply, operation, succeeded
from s3_server import BUCKET, KEYS, s3_server

import dsjobs
from dsjobs.backends.datasphere import store
from dsjobs.backends.datasphere.settings import Settings
from dsjobs.backends.datasphere.store import Expected, TooLargeError, open_store
from dsjobs.errors import BackendError
from dsjobs.model import Failure

REPOSITORY = Path(__file__).parents[2]
NOW = time.time()


@pytest.fixture(scope="module")
def s3():
    """The address of a real server of the S3 protocol, with a bucket."""
    with s3_server() as url:
        yield url


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    """The settings of a store of each kind."""
    if request.param == "file":
        return {"output_store": f"file://{tmp_path}/the%20outputs"}
    name = re.sub(r"\W", "-", request.node.name)[-40:]
    return {"output_store": f"s3://{BUCKET}/{name}/", "output_store_endpoint": request.getfixturevalue("s3")}


@pytest.fixture
def opened(place):
    return open_store(Settings(**place), KEYS)


def documented(name):
    """A snippet of docs/datasphere.md."""
    text = (REPOSITORY / "docs" / "datasphere.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- snippet: {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    return found[1]


def run(code, url):
    """Run a notebook's code in a process of its own, as the service would."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "DSJOBS_OUTPUTS_URL": url}
    ended = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout + ended.stderr


def test_store_when_something_is_written_then_it_can_be_read_and_replaced(opened):
    assert opened.read("a/b", 100) is None
    opened.write("a/b", b"one")
    opened.write("a/b", b"two")

    assert opened.read("a/b", 3) == b"two"
    with pytest.raises(TooLargeError) as caught:
        opened.read("a/b", 2)
    assert caught.value.args == (3,)


def test_store_when_it_remembers_an_operation_then_another_process_recalls_it(opened, place):
    store.remember(opened, "op/../1", Expected("k", ("auc", "n")))

    again = open_store(Settings(**place), KEYS)
    assert store.recall(again, "op/../1") == Expected("k", ("auc", "n"))
    assert store.recall(again, "op2") is None


def test_store_when_a_note_is_damaged_then_that_is_an_error(opened):
    opened.write("operations/op1", b'{"object": 1}')

    with pytest.raises(BackendError, match="the note on operation op1 is not readable"):
        store.recall(opened, "op1")


@pytest.mark.parametrize(
    "code",
    [
        "row_count, auc = 5, 0.75\n" + documented("publish"),
        "import dsjobs\ndsjobs.publish(row_count=4)\ndsjobs.publish(row_count=5, auc=0.75)",
        "import dsjobs\ndsjobs.publish(row_count=5)\ndsjobs.publish(auc=0.75)",
    ],
    ids=["once", "replaced", "added"],
)
def test_publish_when_a_notebook_calls_it_then_its_outputs_are_found(opened, code):
    url = opened.address("k.json", NOW)

    assert run(code, url) == (0, "")

    assert store.find(opened, Expected("k", ("row_count", "auc", "other"))) == {"row_count": 5, "auc": 0.75}


def test_snippet_when_a_notebook_runs_it_then_its_outputs_are_found(opened, place):
    kind = place["output_store"].split(":")[0]

    assert run("row_count, auc = 5, 0.75\n" + documented(kind), opened.address("k.json", NOW)) == (0, "")

    assert store.find(opened, Expected("k", ("row_count", "auc"))) == {"row_count": 5, "auc": 0.75}


@pytest.mark.parametrize("name", ["publish", "s3", "file"])
def test_snippet_when_no_store_is_set_then_it_does_nothing(name):
    assert run("row_count, auc = 5, object()\n" + documented(name), "") == (0, "")


def test_publish_when_values_are_of_libraries_then_they_are_converted_as_on_this_machine(opened):
    code = (
        "import dsjobs, numpy, pandas, pathlib\n"
        "dsjobs.publish(a=numpy.float64(0.5), b=numpy.arange(3), c=pathlib.Path('x/y'), d=pandas.Timestamp('2026-01-02'), "
        "e={'k': (1, 2)}, f=pandas.DataFrame({'x': [1, 2]}))"
    )

    assert run(code, opened.address("k.json", NOW)) == (0, "")

    assert store.find(opened, Expected("k", tuple("abcdef"))) == {
        "a": 0.5,
        "b": [0, 1, 2],
        "c": "x/y",
        "d": "2026-01-02T00:00:00",
        "e": {"k": [1, 2]},
        "f": [{"x": 1}, {"x": 2}],
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "output 'auc' is NaN, which JSON does not have"),
        ({"a": [1, object()]}, "output 'auc': auc['a'][1] is of type object, which is not JSON"),
        ("x" * 9_000_000, "output 'auc' is a text of 9000000 characters, which is too long"),
        (["x" * 5_000_000, "y" * 5_000_000], "the outputs take 9.5 MiB, more than the 8 MiB allowed"),
    ],
    ids=["NaN", "object", "long", "large"],
)
def test_publish_when_a_value_is_not_json_then_it_says_which_part(opened, monkeypatch, value, message):
    monkeypatch.setenv("DSJOBS_OUTPUTS_URL", opened.address("k.json", NOW))

    with pytest.raises(ValueError, match=re.escape(message)):
        dsjobs.publish(ok=1, auc=value)

    assert store.find(opened, Expected("k", ("auc",))).kind == "contract"


@pytest.mark.parametrize("status", [403, 404, 307])
def test_publish_when_the_store_refuses_then_the_error_does_not_show_the_address(server: Loopback, status):
    body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    server.on("PUT", "/b/k.json", Reply(status, body, {"Location": "http://127.0.0.1:1/other"}))

    code, printed = run("import dsjobs\ndsjobs.publish(a=1)", f"{server.url}/b/k.json?X-Amz-Signature=very-secret")

    assert code == 1
    assert f"the outputs cannot be published: HTTP {status}" in printed
    assert "(AccessDenied)" in printed
    assert "very-secret" not in printed
    assert len(server.asked) == 1


def test_publish_when_the_store_is_busy_then_it_tries_again(server: Loopback):
    server.on("PUT", "/k", Reply(503), Reply(reset=True), Reply(200))

    assert run("import dsjobs\ndsjobs.publish(a='é')", f"{server.url}/k") == (0, "")

    assert [json.loads(asked.body) for asked in server.asked] == [{"a": "é"}] * 3
    assert server.asked[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("url", ["ftp://host/secret", "secret", "file:///nowhere/at/all/secret.json"])
def test_publish_when_the_address_is_of_no_use_then_it_says_so(url):
    code, printed = run("import dsjobs\ndsjobs.publish(a=1)", url)

    assert code == 1
    assert "BackendError: " in printed
    assert "secret" not in printed


def test_find_when_nothing_was_published_then_the_hint_says_how_to(opened):
    failure = store.find(opened, Expected("never", ("auc", "n")))

    assert isinstance(failure, Failure)
    assert failure.message == "the notebook ended well, but published no outputs (auc, n)"
    assert "dsjobs.publish(name=value)" in failure.hint


def test_address_when_it_is_signed_then_only_this_object_can_be_written_with_it(s3):
    opened = open_store(Settings(output_store=f"s3://{BUCKET}/a b", output_store_endpoint=s3), KEYS)

    parts = urlsplit(opened.address("k.json", NOW))

    assert parts.path == f"/{BUCKET}/a%20b/k.json"
    query = parse_qs(parts.query)
    assert query["X-Amz-SignedHeaders"] == ["host"]
    assert query["X-Amz-Expires"] == ["604800"]
    assert (
        "/ru-central1/s3/aws4_request" in query["X-Amz-Credential"][0] or "/us-east-1/" in query["X-Amz-Credential"][0]
    )


def test_address_when_the_name_and_the_time_are_the_same_then_so_is_the_address_in_any_process(s3):
    place = Settings(output_store=f"s3://{BUCKET}/same", output_store_endpoint=s3)

    addresses = [open_store(place, KEYS).address("k.json", NOW) for _ in range(2)]

    assert addresses[0] == addresses[1]
    assert requests.put(addresses[0], b"content", timeout=60).status_code == 200
    opened = open_store(place, KEYS)
    assert opened.read("k.json", 10) == b"content"
    assert opened.address("k.json", NOW + 1) != addresses[0] != opened.address("other.json", NOW)


@pytest.mark.parametrize("environ", [KEYS, {**KEYS, "AWS_SESSION_TOKEN": "a/token+of=signs"}], ids=["keys", "session"])
@pytest.mark.parametrize(
    "endpoint", ["https://storage.yandexcloud.net", "http://minio:9000/", "https://minio:443/below"]
)
@pytest.mark.parametrize("prefix", ["/runs", "", "/a%20b/ü+(1)~_.-*'", "/x//y"])
def test_address_when_boto3_signs_at_the_same_moment_then_it_is_the_same_one(environ, endpoint, prefix):
    opened = open_store(Settings(output_store=f"s3://{BUCKET}{prefix}", output_store_endpoint=endpoint), environ)
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    keys = {name: environ[name.upper()] for name in names if name.upper() in environ}
    config = Config(
        signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required"
    )
    client = boto3.client("s3", endpoint_url=endpoint, region_name="ru-central1", config=config, **keys)
    parameters = {"Bucket": BUCKET, "Key": opened._key("k.json")}

    theirs = client.generate_presigned_url("put_object", Params=parameters, ExpiresIn=604800)

    signed_at = datetime.strptime(parse_qs(urlsplit(theirs).query)["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ")
    assert opened.address("k.json", signed_at.replace(tzinfo=UTC).timestamp() + 0.9) == theirs


@pytest.mark.parametrize(
    ("settings", "environ", "host", "region"),
    [
        ({}, {}, "storage.yandexcloud.net", "ru-central1"),
        ({}, {"AWS_REGION": "eu-west-1"}, "storage.yandexcloud.net", "ru-central1"),
        ({"output_store_region": "kz1"}, {}, "storage.yandexcloud.net", "kz1"),
        ({"output_store_endpoint": "http://minio:9000"}, {"AWS_REGION": "eu-west-1"}, "minio:9000", "eu-west-1"),
        ({"output_store_endpoint": "http://minio:9000"}, {}, "minio:9000", "ru-central1"),
    ],
)
def test_address_when_another_service_is_named_then_it_is_signed_for_that(settings, environ, host, region):
    opened = open_store(Settings(output_store="s3://b/p", **settings), {**KEYS, **environ})

    parts = urlsplit(opened.address("k.json", NOW))

    assert parts.netloc == host
    assert f"/{region}/s3/" in parse_qs(parts.query)["X-Amz-Credential"][0]


def test_read_when_the_bucket_does_not_exist_then_the_error_says_what_to_check(s3):
    opened = open_store(Settings(output_store="s3://nothing-here/p", output_store_endpoint=s3), KEYS)

    with pytest.raises(BackendError, match="s3://nothing-here/p cannot be read: NoSuchBucket") as caught:
        opened.read("k", 10)

    assert not caught.value.retryable
    assert "storage.editor" in caught.value.hint


def test_read_when_the_store_is_down_then_it_may_be_tried_again(server: Loopback):
    server.on("GET", "/b/k", Reply(503, b"<Error><Code>SlowDown</Code></Error>"))
    opened = open_store(Settings(output_store="s3://b", output_store_endpoint=server.url), KEYS)

    with pytest.raises(BackendError) as caught:
        opened.read("k", 10)

    assert caught.value.retryable


def test_address_when_there_are_no_keys_then_the_error_says_which_to_set(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    opened = open_store(Settings(output_store="s3://b/p"), {})

    with pytest.raises(BackendError, match="there are no keys for it") as caught:
        opened.address("k", NOW)

    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_backend_when_a_notebook_publishes_to_a_bucket_then_its_outputs_come_back(server, backend, submission, s3):
    """The whole way: the address travels in the request, a process publishes, the end of the operation brings the values."""

    def execute(asked):
        url = asked.json["inputVariables"]["DSJOBS_OUTPUTS_URL"]
        assert run("row_count, auc = 5, 0.75\n" + documented("publish"), url) == (0, "")
        return operation()

    server.on("POST", EXECUTE, execute)
    server.on("GET", OPERATIONS, succeeded())
    place = {"output_store": f"s3://{BUCKET}/whole", "output_store_endpoint": s3}
    environ = {"YC_IAM_TOKEN": "t1.a.b", **KEYS}
    running = backend(environ, **place)

    running.submit(
        submission(output_variable_names=("auc", "row_count")), idempotency_key="key-1", notify=lambda _: None
    )

    assert backend(environ, **place).poll(OPERATION).outputs == {"auc": 0.75, "row_count": 5}
    assert running.poll(OPERATION).outputs == {"auc": 0.75, "row_count": 5}


def test_import_when_only_dsjobs_is_imported_then_nothing_heavy_is():
    code = (
        "import sys, dsjobs\n"
        "heavy = {'urllib.request', 'requests', 'json', 'dsjobs.notebook', 'dsjobs.model', 'click', 'boto3'}\n"
        "print(sorted(heavy & set(sys.modules)), callable(dsjobs.publish), dsjobs.__version__)"
    )

    assert run(code, "")[1].startswith("[] True 0.")
