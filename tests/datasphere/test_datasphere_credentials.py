"""Credentials of every kind, each against a server that really checks them; and the order in which they are looked for."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from loopback import IAM, OPERATION, OPERATIONS, TOKEN, Asked, Reply, operation, refused, settings_for, succeeded

from dsjobs.backends.access import Access
from dsjobs.backends.datasphere.credentials import search, yc
from dsjobs.backends.datasphere.credentials.keeper import Keeper
from dsjobs.backends.datasphere.credentials.source import Token
from dsjobs.backends.datasphere.settings import WorkloadIdentity
from dsjobs.errors import BackendError

METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
ACCOUNT, KEY_ID = "ajeabcdefghijklmnopq", "ajkabcdefghijklmnopq"
AUDIENCE = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
NOWHERE = {"PATH": "/nowhere", "YC_METADATA_ADDR": ""}
PREAMBLE = f"PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <{KEY_ID}>\n"

_private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = _private.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


def key_file(**changes) -> str:
    key = {
        "id": KEY_ID,
        "service_account_id": ACCOUNT,
        "created_at": "2026-01-01T00:00:00.123456789Z",
        "key_algorithm": "RSA_2048",
        "public_key": "-----BEGIN PUBLIC KEY-----\n",
        "private_key": PREAMBLE + PEM,
    }
    return json.dumps({name: value for name, value in {**key, **changes}.items() if value is not None})


class Issuer:
    """An IAM service: gives a new token for each good JWT or OAuth token, and knows which ones it gave."""

    def __init__(self, server, life=3600.0):
        self.server, self.life, self.given = server, life, []
        self.problems: list[str] = []
        self._lock = threading.Lock()
        server.on("POST", IAM, self.create)

    def create(self, asked: Asked) -> Reply:
        body = asked.json
        try:
            if "jwt" in body:
                self.verify(body["jwt"])
            elif body.get("yandexPassportOauthToken") != "y0_good_oauth_token":
                raise ValueError("OAuth token is invalid or expired")
        except (jwt.PyJWTError, ValueError) as error:
            self.problems.append(str(error))
            return refused(401, 16, str(error))
        with self._lock:
            token = f"t1.made{len(self.given)}." + "x" * 86
            self.given.append(token)
        expires = time.gmtime(time.time() + self.life)
        return Reply(body={"iamToken": token, "expiresAt": time.strftime("%Y-%m-%dT%H:%M:%S.419948750Z", expires)})

    def verify(self, text):
        header = jwt.get_unverified_header(text)
        if header != {"typ": "JWT", "alg": "PS256", "kid": KEY_ID}:
            raise ValueError(f"bad header {header}")
        claims = jwt.decode(text, _private.public_key(), algorithms=["PS256"], audience=AUDIENCE, issuer=ACCOUNT)
        if not 0 < claims["exp"] - claims["iat"] <= 3600 or claims["iat"] > time.time():
            raise ValueError(f"bad times {claims}")


def used(connection):
    """The token that a call of this connection carries."""
    connection.api.operation(OPERATION)
    return connection


@pytest.fixture
def issuer(server):
    server.on("GET", OPERATIONS, operation())
    return Issuer(server)


# --- a service account's key ---

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


# --- workload identity ---


class Federation:
    """The exchange of workload identity, and GitHub's own endpoint."""

    def __init__(self, server, expected):
        self.asked = []
        server.on("POST", "/oauth/token", self.exchange)
        server.on("GET", "/github/token", self.github)
        self._expected = expected

    def github(self, asked):
        if asked.token != "request-token":
            return Reply(401, b"no")
        return Reply(body={"value": f"github-jwt-for-{asked.query['audience']}-{asked.query['api-version']}"})

    def exchange(self, asked):
        form = asked.form
        self.asked.append(form)
        if (
            asked.headers["content-type"] != "application/x-www-form-urlencoded"
            or form["subject_token"] != self._expected
        ):
            return Reply(400, {"error": "invalid_grant", "error_description": "subject is not linked"})
        return Reply(body={"access_token": TOKEN, "token_type": "Bearer", "expires_in": 43200})


def github_environ(server, **more):
    return {
        **NOWHERE,
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.url}/github/token?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
        "GITHUB_REPOSITORY_OWNER": "acme",
        **more,
    }


def test_workload_identity_when_github_gives_a_token_then_it_is_exchanged(connect, server):
    server.on("GET", OPERATIONS, operation())
    federation = Federation(server, "github-jwt-for-https://github.com/acme-2.0")

    used(connect(github_environ(server), workload_identity=WorkloadIdentity(ACCOUNT)))

    assert federation.asked == [
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": ACCOUNT,
            "subject_token": "github-jwt-for-https://github.com/acme-2.0",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        }
    ]
    assert server.calls("GET", OPERATIONS)[0].token == TOKEN


def test_workload_identity_when_the_audience_is_set_then_github_is_asked_for_it(connect, server):
    server.on("GET", OPERATIONS, operation())
    federation = Federation(server, "github-jwt-for-custom-2.0")

    used(connect(github_environ(server, YC_SERVICE_ACCOUNT_ID=ACCOUNT, DSJOBS_WORKLOAD_AUDIENCE="custom")))

    assert len(federation.asked) == 1


def test_workload_identity_when_gitlab_gives_a_token_in_a_variable_then_it_is_exchanged(connect, server):
    server.on("GET", OPERATIONS, operation())
    federation = Federation(server, "gitlab-jwt")
    identity = WorkloadIdentity(ACCOUNT, id_token_variable="MY_ID_TOKEN")

    used(connect({"MY_ID_TOKEN": "gitlab-jwt"}, workload_identity=identity))
    used(connect({"CI_JWT": "gitlab-jwt", "DSJOBS_ID_TOKEN_VARIABLE": "CI_JWT", "YC_SERVICE_ACCOUNT_ID": ACCOUNT}))

    assert [form["audience"] for form in federation.asked] == [ACCOUNT, ACCOUNT]


def test_workload_identity_when_the_exchange_refuses_then_its_reason_is_shown(connect, server):
    Federation(server, "another")
    environ = {"T": "gitlab-jwt", "DSJOBS_ID_TOKEN_VARIABLE": "T", "YC_SERVICE_ACCOUNT_ID": ACCOUNT}

    with pytest.raises(BackendError, match="answered 400, invalid_grant: subject is not linked"):
        used(connect(environ))


def test_workload_identity_when_github_refuses_then_the_hint_names_the_permission(connect, server):
    Federation(server, "x")
    environ = github_environ(server, ACTIONS_ID_TOKEN_REQUEST_TOKEN="wrong", YC_SERVICE_ACCOUNT_ID=ACCOUNT)

    with pytest.raises(BackendError) as caught:
        used(connect(environ))

    assert "id-token: write" in caught.value.hint


def test_workload_identity_when_no_service_account_is_named_then_the_hint_says_so(connect, server):
    environ = {**github_environ(server), "YC_METADATA_ADDR": server.url}  # a machine without a service account

    with pytest.raises(BackendError, match="no credentials were found") as caught:
        used(connect(environ))

    assert "YC_SERVICE_ACCOUNT_ID" in caught.value.hint


# --- tokens that were given ---


@pytest.mark.parametrize("name", ["YC_IAM_TOKEN", "DSJOBS_IAM_TOKEN", "YC_TOKEN"])
def test_given_token_when_it_is_an_iam_token_then_it_is_used_as_it_is(connect, issuer, server, name):
    used(connect({name: f" {TOKEN}\n"}))

    assert server.calls("GET", OPERATIONS)[0].token == TOKEN
    assert issuer.given == []


def test_given_token_when_a_flag_gives_one_then_it_wins(connect, issuer, server):
    used(connect({"YC_IAM_TOKEN": "t1.other.token"}, Access(iam_token=TOKEN)))

    assert server.calls("GET", OPERATIONS)[0].token == TOKEN


@pytest.mark.parametrize("name", ["YC_TOKEN", "YC_OAUTH_TOKEN"])
def test_oauth_token_when_it_is_given_then_it_is_exchanged_and_called_deprecated(connect, issuer, server, name):
    connection = used(connect({name: "y0_good_oauth_token"}))

    assert server.calls("GET", OPERATIONS)[0].token == issuer.given[0]
    assert "deprecated" in search.find(connection.surroundings).note


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"YC_IAM_TOKEN": "yctk-1234.secret"}, "begins with `yctk`"),
        ({"YC_TOKEN": "yctk-1234.secret"}, "begins with `yctk`"),
        ({"YC_IAM_TOKEN": "two secret\nlines"}, "one line of letters"),
        ({"YC_TOKEN": "clé-secret"}, "one line of letters"),
    ],
)
def test_given_token_when_it_cannot_be_one_then_the_error_explains_and_does_not_show_it(connect, environ, message):
    with pytest.raises(BackendError, match=message) as caught:
        used(connect(environ))

    assert "secret" not in str(caught.value) + str(caught.value.hint)


def test_given_token_when_it_looks_like_another_kind_and_is_rejected_then_the_hint_says_so(connect, server):
    server.on("GET", OPERATIONS, refused(401, 16, "Token is invalid or has expired."))

    with pytest.raises(BackendError) as caught:
        used(connect({"YC_IAM_TOKEN": "y0_secret_oauth"}))

    assert caught.value.hint == "it begins like an OAuth token, not like an IAM token: put it into YC_TOKEN"


# --- the metadata server ---


def test_metadata_server_when_it_has_an_account_then_its_token_is_used(connect, server):
    server.on("GET", OPERATIONS, operation())
    server.on(
        "GET", METADATA, lambda asked: Reply(body={"access_token": TOKEN, "expires_in": 39944, "token_type": "Bearer"})
    )

    used(connect({"YC_METADATA_ADDR": server.url.removeprefix("http://"), "PATH": "/nowhere"}))

    assert server.calls("GET", METADATA)[0].headers["metadata-flavor"] == "Google"
    assert "authorization" not in server.calls("GET", METADATA)[0].headers
    assert server.calls("GET", OPERATIONS)[0].token == TOKEN


def test_metadata_server_when_there_is_a_proxy_then_only_the_service_is_asked_through_it(connect, server, other_server):
    metadata, proxy = server, other_server
    token = {"access_token": TOKEN, "expires_in": 100}
    metadata.on(
        "GET", METADATA, Reply(body=token), Reply(body=token), Reply(body={**token, "access_token": "t1.new.x"})
    )
    proxy.on("GET", OPERATIONS, refused(401, 16, "Token is invalid or has expired."), operation())

    used(connect({"YC_METADATA_ADDR": metadata.url, "http_proxy": proxy.url, "PATH": "/nowhere"}))

    assert [asked.path for asked in metadata.asked] == [METADATA] * 3  # found, asked for a token, and for another one
    assert [asked.token for asked in proxy.asked] == [TOKEN, "t1.new.x"]


@pytest.mark.parametrize("seconds", [b"1" + b"0" * 400, b"1e999", b"NaN", b"-5", b'"soon"', b"null"])
def test_metadata_server_when_its_token_has_no_life_to_speak_of_then_it_is_used(connect, server, seconds):
    server.on("GET", OPERATIONS, operation())
    server.on("GET", METADATA, Reply(body=b'{"access_token": "%s", "expires_in": %s}' % (TOKEN.encode(), seconds)))
    connection = connect({"YC_METADATA_ADDR": server.url, "PATH": "/nowhere"})

    used(used(connection))

    assert {asked.token for asked in server.calls("GET", OPERATIONS)} == {TOKEN}
    assert len(server.calls("GET", METADATA)) == 2  # to find it, and for the first call


def test_metadata_server_when_the_machine_has_no_account_then_yc_is_tried(connect, server, tmp_path):
    server.on("GET", OPERATIONS, operation())
    server.on("GET", METADATA, Reply(404, b"not found"))

    used(connect({"YC_METADATA_ADDR": server.url, "PATH": str(fake_yc(tmp_path, f"echo {TOKEN}"))}))

    assert server.calls("GET", OPERATIONS)[0].token == TOKEN


@pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"access_token": 5}'])
def test_metadata_server_when_it_was_named_and_answers_nonsense_then_that_is_an_error(connect, server, body):
    server.on("GET", METADATA, Reply(200, body))

    with pytest.raises(BackendError):
        used(connect({"YC_METADATA_ADDR": server.url, "PATH": "/nowhere"}))


# --- the yc command ---


def fake_yc(folder, script):
    """A folder for PATH with a `yc` in it."""
    program = folder / "yc"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return folder


def yc_environ(server, folder, **more):
    server.on("GET", METADATA, Reply(404))
    return {"YC_METADATA_ADDR": server.url, "PATH": f"{folder}:/usr/bin:/bin", **more}


@pytest.mark.parametrize(
    ("environ", "given", "settings", "expected"),
    [
        ({}, None, {}, "iam create-token --no-user-output"),
        ({}, None, {"profile": "file"}, "iam create-token --no-user-output --profile file"),
        ({"DSJOBS_PROFILE": "env"}, None, {"profile": "file"}, "iam create-token --no-user-output --profile env"),
        ({"DSJOBS_PROFILE": "env"}, Access(profile="flag"), {}, "iam create-token --no-user-output --profile flag"),
    ],
)
def test_yc_when_it_is_there_then_the_last_line_that_it_prints_is_the_token(
    connect, server, tmp_path, environ, given, settings, expected
):
    server.on("GET", OPERATIONS, operation())
    script = f'echo "$*" > {tmp_path}/arguments; echo a note; echo {TOKEN}; echo'
    folder = fake_yc(tmp_path, script)

    used(connect(yc_environ(server, folder, **environ), given, **settings))

    assert (tmp_path / "arguments").read_text().strip() == expected
    assert server.calls("GET", OPERATIONS)[0].token == TOKEN


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'ERROR: profile x not found' >&2; exit 1", "ended with exit code 1: ERROR: profile x not found"),
        (f"echo {TOKEN}; exit 3", "ended with exit code 3"),
        ("true", "one line of letters"),
        ("echo short", "printed no token"),
        ("echo 'please sign in at the address above'", "one line of letters"),
        ("echo yctk-1234567890123456789.abc", "begins with `yctk`"),
    ],
)
def test_yc_when_it_gives_no_token_then_the_error_says_what_it_did(connect, server, tmp_path, script, message):
    with pytest.raises(BackendError, match=message) as caught:
        used(connect(yc_environ(server, fake_yc(tmp_path, script))))

    assert not caught.value.retryable


def test_yc_when_it_cannot_be_run_then_that_is_an_error(connect, server, tmp_path):
    (tmp_path / "yc").write_text("#!/no/such/interpreter\n")
    (tmp_path / "yc").chmod(0o755)

    with pytest.raises(BackendError, match="cannot be run"):
        used(connect(yc_environ(server, tmp_path)))


def test_yc_when_it_waits_for_somebody_then_it_is_not_waited_for_long(tmp_path):
    program = fake_yc(tmp_path, "exec sleep 30") / "yc"

    with pytest.raises(BackendError, match="is it waiting for a browser"):
        yc.YcCommand(str(program), None, {"PATH": "/usr/bin:/bin"}, time_limit=0.2).token()


# --- the order ---


def test_find_when_there_are_credentials_of_every_kind_then_the_documented_order_decides(connect, server, tmp_path):
    server.on("GET", METADATA, Reply(body={"access_token": TOKEN, "expires_in": 100}), Reply(404))
    identity = {"DSJOBS_ID_TOKEN_VARIABLE": "T", "YC_SERVICE_ACCOUNT_ID": ACCOUNT}
    environ = {
        **github_environ(server, **identity),
        "DSJOBS_IAM_TOKEN": TOKEN,
        "YC_IAM_TOKEN": TOKEN,
        "YC_SERVICE_ACCOUNT_KEY_FILE": key_file(),
        "T": "an ID token",
        "YC_TOKEN": "y0_a",
        "YC_OAUTH_TOKEN": "y0_b",
        "YC_METADATA_ADDR": server.url,
        "PATH": str(fake_yc(tmp_path, "echo x")),
    }

    def found(given=None):
        return search.find(connect(environ, given).surroundings).where.split(" (")[0]

    order = [found(Access(iam_token=TOKEN))]
    for weaker in (
        "DSJOBS_IAM_TOKEN", "YC_IAM_TOKEN", "YC_SERVICE_ACCOUNT_KEY_FILE", "T", "ACTIONS_ID_TOKEN_REQUEST_URL", "YC_TOKEN",
        "YC_OAUTH_TOKEN",
    ):  # fmt: skip
        order.append(found())
        del environ[weaker]
    order += [found(), found()]  # a machine with an account, then one without

    assert order == [
        "--iam-token",
        "DSJOBS_IAM_TOKEN",
        "YC_IAM_TOKEN",
        "YC_SERVICE_ACCOUNT_KEY_FILE",
        "T",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "YC_TOKEN",
        "YC_OAUTH_TOKEN",
        "YC_METADATA_ADDR",
        str(tmp_path / "yc"),
    ]


def test_look_when_one_kind_is_found_then_weaker_ones_are_not_looked_for(connect, server):
    findings = list(search.look(connect({"YC_IAM_TOKEN": TOKEN}).surroundings))

    assert [(finding.kind.name, finding.source is not None) for finding in findings] == [("IAM token", True)]
    assert server.asked == []


# --- renewal ---


def test_call_when_the_token_is_rejected_then_it_is_renewed_once_and_the_call_repeated(connect, issuer, server):
    def look(asked):
        return succeeded() if asked.token in issuer.given[1:] else refused(401, 16, "Token is invalid or has expired.")

    server.on("GET", OPERATIONS, look)
    connection = connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"})

    assert connection.api.operation(OPERATION).done
    assert connection.api.operation(OPERATION).done
    assert len(issuer.given) == 2
    assert [asked.token for asked in server.calls("GET", OPERATIONS)] == [issuer.given[0], *[issuer.given[1]] * 2]


def test_call_when_every_token_is_rejected_then_it_ends(connect, issuer, server):
    server.on("GET", OPERATIONS, refused(401, 16, "Token is invalid or has expired."))

    with pytest.raises(BackendError, match="answered 401, UNAUTHENTICATED") as caught:
        used(connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"}))

    assert not caught.value.retryable
    assert len(issuer.given) == 2


def test_call_when_a_given_token_is_rejected_then_the_error_says_that_it_cannot_be_renewed(connect, server):
    server.on("GET", OPERATIONS, refused(401, 16, "Token is invalid or has expired.", **{"x-request-id": "r-9"}))

    with pytest.raises(BackendError, match=r"request r-9.*the token from YC_IAM_TOKEN .* cannot be renewed") as caught:
        used(connect())

    assert not caught.value.retryable
    assert "what was submitted goes on" in caught.value.hint
    assert len(server.calls("GET", OPERATIONS)) == 1


def test_call_when_sixteen_threads_see_the_token_rejected_then_one_renews_it(connect, issuer, server):
    def look(asked):
        return succeeded() if asked.token in issuer.given[1:] else refused(401, 16, "Token is invalid or has expired.")

    server.on("GET", OPERATIONS, look)
    connection = connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"})
    connection.keeper.current()
    barrier = threading.Barrier(16)

    def poll(_):
        barrier.wait()
        return [connection.api.operation(OPERATION).done for _ in range(5)]

    with ThreadPoolExecutor(16) as threads:
        assert all(all(done) for done in threads.map(poll, range(16)))

    assert len(issuer.given) == 2


def test_call_when_sixteen_threads_want_the_first_token_then_one_asks_for_it(connect, issuer):
    connection = connect({"YC_SERVICE_ACCOUNT_KEY_FILE": key_file()})
    barrier = threading.Barrier(16)

    def poll(_):
        barrier.wait()
        return connection.api.operation(OPERATION)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(poll, range(16)))

    assert len(issuer.given) == 1


def test_call_when_the_issuer_is_busy_then_it_is_asked_again(connect, server, moments):
    server.on("GET", OPERATIONS, operation())
    server.on("POST", IAM, refused(503, 14), Reply(reset=True), Reply(body={"iamToken": TOKEN}))

    used(connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"}))

    assert len(server.calls("POST", IAM)) == 3


@pytest.mark.parametrize("body", [{}, {"iamToken": ""}, {"iamToken": 5}, {"token": TOKEN}])
def test_call_when_the_issuer_gives_no_token_then_that_is_an_error(connect, server, body):
    server.on("POST", IAM, Reply(body=body))

    with pytest.raises(BackendError, match="without iamToken"):
        used(connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"}))


class Source:
    """Credentials whose tokens a test makes."""

    kind, where, note, renewal = "test", "here", None, None

    def __init__(self, make):
        self.make, self.made = make, 0
        self.lock = threading.Lock()

    def token(self):
        with self.lock:
            self.made += 1
            number = self.made
        return self.make(number)


def test_keeper_when_the_end_comes_near_then_one_thread_renews_and_the_others_go_on():
    now, renewing, go_on = [0.0], threading.Event(), threading.Event()

    def make(number):
        if number == 2:
            renewing.set()
            assert go_on.wait(30)
        return Token(f"t{number}", expires_at=now[0] + 1000.0)

    keeper = Keeper(lambda: source, lambda: now[0])
    source = Source(make)
    assert keeper.current() == "t1"
    now[0] = 801.0

    with ThreadPoolExecutor(17) as threads:
        renewed = threads.submit(keeper.current)
        assert renewing.wait(30)
        assert set(threads.map(lambda _: keeper.current(), range(16))) == {"t1"}
        go_on.set()
        assert renewed.result() == "t2"
    assert source.made == 2


@pytest.mark.parametrize(
    ("token", "still", "renewed"),
    [
        (Token("t", expires_at=43200.0), 3599.0, 3601.0),  # hourly, whatever its life
        (Token("t", expires_at=1800.0), 1499.0, 1501.0),  # five minutes ahead
        (Token("t", expires_at=100.0), 79.0, 81.0),  # a fifth of a short life ahead
        (Token("t", None), 3599.0, 3601.0),
        (Token("t", None, reuse=60.0), 59.0, 61.0),
        (Token("t", expires_at=-5.0), 3599.0, 3601.0),  # one of the two clocks is wrong
    ],
)
def test_keeper_when_time_passes_then_a_token_is_renewed_ahead_of_its_end(token, still, renewed):
    now = [0.0]
    source = Source(lambda number: token)
    keeper = Keeper(lambda: source, lambda: now[0])

    keeper.current()
    now[0] = still
    keeper.current()
    assert source.made == 1
    now[0] = renewed
    keeper.current()
    assert source.made == 2


def test_keeper_when_a_renewal_ahead_of_time_fails_then_the_old_token_is_used_while_it_is_good():
    now = [0.0]

    def make(number):
        if number > 1:
            raise BackendError("the issuer is down", retryable=True)
        return Token("t1", expires_at=1000.0)

    source = Source(make)
    keeper = Keeper(lambda: source, lambda: now[0])
    keeper.current()
    now[0] = 801.0

    assert [keeper.current() for _ in range(5)] == ["t1"] * 5
    assert source.made == 2  # not at every call
    now[0] = 832.0
    assert keeper.current() == "t1"
    assert source.made == 3
    now[0] = 1001.0
    with pytest.raises(BackendError, match="the issuer is down"):
        keeper.current()


def test_keeper_when_a_renewal_fails_then_every_thread_that_waited_hears_of_it():
    waiting = threading.Barrier(16)
    go_on = threading.Event()

    def make(number):
        go_on.wait(30)
        raise BackendError("the issuer is down", retryable=True)

    source = Source(make)
    keeper = Keeper(lambda: source, lambda: 0.0)

    def ask(_):
        waiting.wait()
        try:
            return keeper.current()
        except BackendError as error:
            return str(error)

    with ThreadPoolExecutor(16) as threads:
        answers = [threads.submit(ask, number) for number in range(16)]
        while keeper._renewal is None:
            time.sleep(0.001)
        time.sleep(0.05)
        go_on.set()
        assert {answer.result() for answer in answers} == {"the issuer is down"}
    assert source.made <= 2


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
