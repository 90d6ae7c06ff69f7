"""Tokens, and JWTs that are really verified."""

from __future__ import annotations

import json
import re
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from live_server import TOKEN, Client

from dsjobs.errors import UsageError
from dsjobs.server import auth, service_accounts
from dsjobs.server.errors import ApiError

AUDIENCE = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
IAM_TOKEN = re.compile(r"t1\.[A-Z0-9a-z_-]+[=]{0,2}\.[A-Z0-9a-z_-]{86}[=]{0,2}")


@pytest.fixture(scope="module")
def private_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key):
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@pytest.fixture(scope="module")
def account(private_key):
    return service_accounts.ServiceAccountKey("ajekey00000000000001", "ajeaccount0000000001", pem(private_key)[1])


def signed(key, *, algorithm="PS256", kid="ajekey00000000000001", **claims):
    now = int(time.time())
    content = {"iss": "ajeaccount0000000001", "aud": AUDIENCE, "iat": now, "exp": now + 3600} | claims
    content = {name: value for name, value in content.items() if value is not None}
    return jwt.encode(content, key, algorithm=algorithm, headers={"kid": kid})


def test_jwt_when_it_is_as_the_page_says_then_its_account_is_known(private_key, account):
    token = signed(private_key)
    assert service_accounts.verify(token, [account], [AUDIENCE], time.time()) == account.service_account_id
    many = signed(private_key, aud=["other", AUDIENCE])
    assert service_accounts.verify(many, [account], [AUDIENCE], time.time()) == account.service_account_id


@pytest.mark.parametrize(
    "change",
    [
        {"kid": "unknown"}, {"algorithm": "RS256"}, {"algorithm": "PS384"}, {"iss": "other"}, {"aud": "other"},
        {"aud": None}, {"aud": [5]}, {"exp": None}, {"iat": "now"}, {"iat": True}, {"exp": int(time.time()) + 7200},
        {"iat": int(time.time()) + 60}, {"iat": int(time.time()) - 100, "exp": int(time.time()) - 1}, {"exp": 0},
    ],
    ids=lambda change: "-".join(f"{name}_{type(value).__name__}" for name, value in change.items()),
)  # fmt: skip
def test_jwt_when_something_of_it_is_wrong_then_it_is_refused(private_key, account, change):
    with pytest.raises(ApiError) as caught:
        token = signed(private_key, **change)
        service_accounts.verify(token, [account], [AUDIENCE], time.time())
    assert caught.value.http_status == 401


def test_jwt_when_another_key_signed_it_then_it_is_refused(account):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    none = jwt.encode({"iss": account.service_account_id}, "", algorithm="none", headers={"kid": account.id})
    for token in (signed(other), none, "a.b.c", "", "é", "..", account.public_key):
        with pytest.raises(ApiError):
            service_accounts.verify(token, [account], [AUDIENCE], time.time())


def test_key_file_when_it_is_of_yc_then_its_public_half_is_read(tmp_path, private_key, account):
    private, public = pem(private_key)
    path = tmp_path / "key.json"
    data = {"id": account.id, "service_account_id": account.service_account_id}
    preamble = "PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <ajekey>\n"
    for keys in ({"public_key": public}, {"private_key": preamble + private}):
        path.write_text(json.dumps(data | keys))
        assert service_accounts.read_key(path) == account
    for text in ("{}", "[]", "nonsense", json.dumps(data), json.dumps(data | {"private_key": "x"})):
        path.write_text(text)
        with pytest.raises(UsageError):
            service_accounts.read_key(path)


@pytest.fixture
def tokens(account):
    clock = [10**18]
    made = auth.Tokens(TOKEN, b"k" * 64, [account], lifetime=60, clock=lambda: clock[0])
    made.test_clock = clock
    return made


def test_iam_token_when_it_is_given_then_it_has_the_documented_form_and_works_until_its_end(tokens):
    given = tokens.mint("ajeaccount0000000001")
    assert IAM_TOKEN.fullmatch(given.token)
    assert tokens.authenticate(f"Bearer {given.token}") == "ajeaccount0000000001"
    tokens.test_clock[0] = given.expires_at
    with pytest.raises(ApiError) as caught:
        tokens.authenticate(f"Bearer {given.token}")
    assert caught.value.body("r") == {
        "code": 16,
        "message": "Token is invalid or has expired.",
        "details": [{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "r"}],
    }


def test_iam_token_when_it_is_changed_then_it_is_refused(tokens):
    _, payload, signature = tokens.mint("me").token.split(".")
    other = auth.Tokens(TOKEN, b"o" * 64, [], lifetime=60, clock=lambda: 10**18).mint("me").token
    for token in (
        f"t1.{payload[:-1]}A.{signature}",
        f"t1.{payload}.",
        f"t2.{payload}.{signature}",
        "t1..",
        other,
        "t1.é.x",
    ):
        with pytest.raises(ApiError):
            tokens.authenticate(f"Bearer {token}")


@pytest.mark.parametrize(
    "header", [None, "", TOKEN, f"Basic {TOKEN}", f"Bearer{TOKEN}", "Bearer", "Bearer x", f"Bearer {TOKEN}x"]
)
def test_authenticate_when_there_is_no_good_token_then_it_is_refused(tokens, header):
    with pytest.raises(ApiError):
        tokens.authenticate(header)


def test_token_file_when_it_could_be_guessed_then_it_is_refused(tmp_path):
    path = tmp_path / "token"
    path.write_text("  " + TOKEN + "\n")
    assert auth.read_token(path) == TOKEN
    for text in ("", "short", "two words that are long", "ключключключключключ"):
        path.write_text(text)
        with pytest.raises(UsageError):
            auth.read_token(path)


def test_exchange_when_a_service_account_asks_then_its_token_opens_the_api(serve, private_key, account):
    server = serve(service_accounts=(account,))
    anyone = Client(server.address, token=None)
    own = f"{server.address}/iam/v1/tokens"
    behind_a_proxy = own.replace("http:", "https:")
    for audience in (AUDIENCE, own, behind_a_proxy):
        answer = anyone.post("/iam/v1/tokens", json={"jwt": signed(private_key, aud=audience)})
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        token = answer.json()["iamToken"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", answer.json()["expiresAt"])
        assert Client(server.address, token).get("/datasphere/v2/projects/p1").status_code == 200
    operation = Client(server.address, token).execute({"notebookId": "none.ipynb"}).json()
    assert operation["createdBy"] == account.service_account_id
    refused = anyone.post("/iam/v1/tokens", json={"jwt": signed(private_key, aud="https://elsewhere")})
    assert (refused.status_code, refused.json()["code"]) == (401, 16)


def test_operation_when_another_account_started_it_then_it_is_not_there_and_the_owner_of_the_server_sees_all(
    serve, private_key, account
):
    other = service_accounts.ServiceAccountKey("ajekey00000000000002", "ajeaccount0000000002", account.public_key)
    server = serve(service_accounts=(account, other))
    server.write("slow.ipynb", "import time\ntime.sleep(600)")
    tokens = [
        Client(server.address, None).post("/iam/v1/tokens", json={"jwt": signed(private_key, kid=key.id, iss=iss)})
        for key, iss in ((account, account.service_account_id), (other, other.service_account_id))
    ]
    first, second = (Client(server.address, answer.json()["iamToken"]) for answer in tokens)
    owner = server.client
    ids = [client.execute({"notebookId": "slow.ipynb"}).json()["id"] for client in (first, second, owner)]

    def may_see(client):
        return [client.get(f"/operations/{number}").status_code == 200 for number in ids]

    assert [may_see(client) for client in (first, second, owner)] == [
        [True, False, False],
        [False, True, False],
        [True, True, True],
    ]
    for client, number in ((first, ids[1]), (first, ids[2])):
        unknown, hidden = client.get("/operations/x"), client.get(f"/operations/{number}")
        assert hidden.json()["message"] == unknown.json()["message"].replace("x", number)
        for refused in (
            hidden,
            client.get(f"/operations/{number}:cancel"),
            client.post(f"/operations/{number}:cancel"),
            client.get(f"/_dsjobs/operations/{number}"),
            client.get(f"/_dsjobs/operations/{number}/log"),
        ):
            assert (refused.status_code, refused.json()["code"]) == (404, 5)
        assert owner.inspect(number)["cancelRequested"] is False
    listed = [client.get("/_dsjobs/operations").json()["operations"] for client in (first, owner)]
    assert [[item["id"] for item in page] for page in listed] == [[ids[0]], ids[::-1]]
    assert owner.post(f"/operations/{ids[0]}:cancel").status_code == 200
    assert first.wait(ids[0])["error"]["code"] == 1


def test_exchange_when_the_server_s_token_is_given_as_oauth_token_then_it_is_taken(shared):
    anyone = Client(shared.address, token=None)
    for field in ("yandexPassportOauthToken", "yandex_passport_oauth_token"):
        answer = anyone.post("/iam/v1/tokens", json={field: TOKEN})
        assert Client(shared.address, answer.json()["iamToken"]).get("/datasphere/v2/projects").status_code == 200
    assert anyone.post("/iam/v1/tokens", json={"yandexPassportOauthToken": "y0_other"}).status_code == 401
    assert anyone.post("/iam/v1/tokens", json={}).status_code == 400


def test_iam_token_when_the_server_restarts_then_it_still_works(serve):
    first = serve()
    token = (
        Client(first.address, None).post("/iam/v1/tokens", json={"yandexPassportOauthToken": TOKEN}).json()["iamToken"]
    )
    first.stop()
    second = serve(token="another-token-of-this-server")
    assert Client(second.address, token).get("/datasphere/v2/projects").status_code == 200
    assert Client(second.address).get("/datasphere/v2/projects").status_code == 401


def test_metadata_when_it_was_not_asked_for_then_there_is_no_token(shared, serve):
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    flavor = {"Metadata-Flavor": "Google"}
    assert Client(shared.address, None).get(path, headers=flavor).status_code == 404
    server = serve(serves_metadata=True)
    anyone = Client(server.address, None)
    assert anyone.get(path).status_code == 403
    answer = anyone.get(path, headers=flavor)
    assert (answer.json()["token_type"], answer.headers["metadata-flavor"]) == ("Bearer", "Google")
    assert 43000 < answer.json()["expires_in"] <= 43200
    assert Client(server.address, answer.json()["access_token"]).get("/datasphere/v2/projects").status_code == 200
