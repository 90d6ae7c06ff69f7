"""The key of a service account: good ones in every form, bad ones, and the JWT that is made with it."""

from __future__ import annotations

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from issuer import ACCOUNT, AUDIENCE, KEY_ID, PEM, PREAMBLE, key_file, used
from loopback import IAM, OPERATIONS, settings_for

from dsjobs.backends.datasphere.credentials import search
from dsjobs.errors import BackendError

KEYS = {
    "as yc writes it": key_file(),
    "without the first line": key_file(private_key=PEM),
    "with \\n as text": key_file(private_key=(PREAMBLE + PEM).replace("\n", "\\n")),
    "with line ends in the string": key_file().replace("\\n", "\n"),
    "in camel case": json.dumps({"id": KEY_ID, "serviceAccountId": ACCOUNT, "privateKey": PREAMBLE + PEM}),
    "with a byte order mark": "\ufeff" + key_file(),
}


@pytest.mark.parametrize("text", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("as_file", [True, False], ids=["path", "content"])
def test_service_account_key_when_it_is_good_then_the_issuer_accepts_its_signature(
    connect, issuer, server, tmp_path, text, as_file
):
    path = tmp_path / "key.json"
    path.write_text(text)
    connection = connect({"YC_SERVICE_ACCOUNT_KEY_FILE": str(path) if as_file else text})

    used(connection)

    assert issuer.problems == []
    assert server.calls("GET", OPERATIONS)[0].token == issuer.given[0]


EC_KEY = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
BASE64 = base64.b64encode(key_file().encode()).decode()
NEITHER = "it holds neither the path nor the JSON of a key file"
BAD_KEYS = {
    "not JSON": ("{nonsense", "the key file is not JSON"),
    "a list": ("{}".replace("{}", "{\n}"), "has no service_account_id"),
    "no id": (key_file(id=None), "has no id"),
    "no account": (key_file(service_account_id=None), "has no service_account_id"),
    "no key": (key_file(private_key=None), "has no private_key"),
    "not PEM": (key_file(private_key="secret-material"), "is not in PEM form"),
    "cut off": (key_file(private_key=PEM[:200]), "is not an RSA key"),
    "another kind": (key_file(private_key=EC_KEY.decode()), "is not an RSA key"),
    "no such file": ("/nowhere/key.json", "cannot be read: No such file"),
    "of nobody": ("~nobody-has-this-name/key.json", "cannot be read: nobody here has this name"),
    "a bare PEM": (PEM, NEITHER),
    "a bare PEM on one line": (PEM.replace("\n", "\\n"), NEITHER),
    "the start of a PEM": (PEM[:120].replace("\n", " "), NEITHER),
    "base64 of it": (BASE64, NEITHER),
    "base64 in lines": (base64.encodebytes(key_file().encode()).decode(), NEITHER),
    "in single quotes": (f"'{key_file()}'", NEITHER),
    "a JSON string": (json.dumps(key_file()), NEITHER),
    "a mark and a PEM": ("\ufeff" + PEM, NEITHER),
    "two lines": ("secret-material\nand more", NEITHER),
    "longer than a path": ("secret-material/" * 64 + "x", NEITHER),
    "a token": (
        "t1.secret-material.secret-material",
        r"YC_SERVICE_ACCOUNT_KEY_FILE \(\*\*\*\) cannot be used: .* be read",
    ),
}


@pytest.mark.parametrize(("value", "message"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_service_account_key_when_it_is_bad_then_the_error_says_why_and_not_what(connect, value, message):
    connection = connect({"YC_SERVICE_ACCOUNT_KEY_FILE": value, "YC_TOKEN": "y0_good_oauth_token"})

    with pytest.raises(BackendError, match=message) as caught:
        used(connection)

    assert not caught.value.retryable
    assert "YC_SERVICE_ACCOUNT_KEY_FILE" in str(caught.value)
    shown = str(caught.value) + str(caught.value.hint)
    assert not [
        part for part in ("secret-material", PEM[30:60], PEM[100:150], BASE64[:40], BASE64[100:150]) if part in shown
    ]


def test_service_account_key_when_the_issuer_refuses_it_then_its_words_are_shown(connect, issuer):
    connection = connect({"YC_SERVICE_ACCOUNT_KEY_FILE": key_file(service_account_id="ajeanother")})

    with pytest.raises(BackendError, match=r"answered 401, UNAUTHENTICATED: .*ssuer"):
        used(connection)

    assert issuer.given == []


def test_credentials_when_they_are_shown_then_no_secret_is(connect, issuer):
    environ = {"YC_SERVICE_ACCOUNT_KEY_FILE": key_file()}
    around = connect(environ).surroundings

    source = search.find(around)

    assert PEM[60:100] not in repr(source) + repr(around.environ.get("x")) + str(source.note) + source.where
    assert "t1." not in repr(source.token())


def test_audience_when_the_service_is_another_installation_then_the_jwt_is_for_that_one(connect, server):
    from dsjobs.backends.datasphere.credentials import service_account

    assert service_account._audience("https://iam.api.cloud-preprod.yandex.net") == (
        "https://iam.api.cloud-preprod.yandex.net/iam/v1/tokens"
    )
    assert service_account._audience(settings_for(server).endpoints["iam"]) == AUDIENCE


def test_jwt_when_it_is_made_then_it_is_good_for_an_hour_from_a_little_while_ago(connect, issuer, server):
    used(connect({"YC_SERVICE_ACCOUNT_KEY_FILE": key_file()}))

    body = server.calls("POST", IAM)[0].json
    payload = body["jwt"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert set(body) == {"jwt"}
    assert claims["exp"] - claims["iat"] == 3600
    assert -60 < claims["iat"] - time.time() < 0
