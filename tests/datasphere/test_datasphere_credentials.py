"""Credentials of every kind, each against a server that really checks them; and the order in which they are looked for. Those of
`test_datasphere_key_files.py` are keys of service accounts."""

from __future__ import annotations

import pytest
from issuer import ACCOUNT, METADATA, fake_yc, github_environ, key_file, used, yc_environ
from loopback import OPERATIONS, TOKEN, Reply, operation, refused

from dsjobs.backends.access import Access
from dsjobs.backends.datasphere.credentials import search, yc
from dsjobs.backends.datasphere.settings import WorkloadIdentity
from dsjobs.errors import BackendError

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
