"""Workload identity: ID tokens that are really verified, and dsjobs itself as the one who exchanges them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from live_server import Client

from dsjobs.errors import UsageError
from dsjobs.server.federations import Exchange, OAuthError, parse, read_federation, verify

ISSUER, AUDIENCE, SUBJECT = "https://ci.example", "https://github.com/acme", "repo:acme/churn:ref:refs/heads/main"
ACCOUNT = "ajeaccount0000000001"
URN = "urn:ietf:params:oauth:"
FORM = {
    "grant_type": f"{URN}grant-type:token-exchange",
    "requested_token_type": f"{URN}token-type:access_token",
    "audience": ACCOUNT,
    "subject_token": "a.b.c",
    "subject_token_type": f"{URN}token-type:id_token",
}


@pytest.fixture(scope="module")
def keys():
    """Private keys by `kid`."""
    return {
        "r": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "e": ec.generate_private_key(ec.SECP256R1()),
    }


@pytest.fixture(scope="module")
def description(keys):
    """A federation's file."""
    public = [
        {**jwt.algorithms.RSAAlgorithm.to_jwk(keys["r"].public_key(), as_dict=True), "kid": "r", "alg": "RS256"},
        {**jwt.algorithms.ECAlgorithm.to_jwk(keys["e"].public_key(), as_dict=True), "kid": "e", "alg": "ES256"},
    ]
    accounts = {SUBJECT: ACCOUNT, "other": "ajeaccount0000000002"}
    return {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": {"keys": public}, "service_accounts": accounts}


@pytest.fixture
def path(description, tmp_path):
    written = tmp_path / "federation.json"
    written.write_text(json.dumps(description))
    return written


@pytest.fixture
def federation(path):
    return read_federation(path)


def signed(key, *, kid="r", algorithm="RS256", **claims):
    content = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "exp": int(time.time()) + 600} | claims
    content = {name: value for name, value in content.items() if value is not None}
    return jwt.encode(content, key, algorithm=algorithm, headers={"kid": kid})


@pytest.mark.parametrize(("kid", "algorithm"), [("r", "RS256"), ("e", "ES256")])
def test_verify_when_the_token_is_of_the_federation_then_its_holder_may_act_for_the_account(
    federation, keys, kid, algorithm
):
    for audience in (AUDIENCE, ["other", AUDIENCE]):
        token = signed(keys[kid], kid=kid, algorithm=algorithm, aud=audience, nbf=int(time.time()) - 60)
        assert verify(Exchange(ACCOUNT, token), [federation], time.time()) == ACCOUNT


@pytest.mark.parametrize(
    "change",
    [
        {"kid": "x"}, {"iss": "https://other.example"}, {"iss": None}, {"aud": "other"}, {"aud": None}, {"aud": [5]},
        {"sub": "other"}, {"sub": None}, {"exp": None}, {"exp": 1}, {"nbf": int(time.time()) + 86_400},
    ],
    ids=lambda change: "-".join(f"{name}_{type(value).__name__}" for name, value in change.items()),
)  # fmt: skip
def test_verify_when_something_of_the_token_is_wrong_then_it_is_refused(federation, keys, change):
    with pytest.raises(OAuthError) as caught:
        verify(Exchange(ACCOUNT, signed(keys["r"], **change)), [federation], time.time())
    assert caught.value.body["error"] == "invalid_grant"


def test_verify_when_another_key_or_none_signed_it_then_it_is_refused(federation, keys):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    none = signed("", algorithm="none")
    for token in (signed(other), none, signed(keys["e"], algorithm="ES256"), "a.b.c", "", "é", ".."):
        with pytest.raises(OAuthError):
            verify(Exchange(ACCOUNT, token), [federation], time.time())
    with pytest.raises(OAuthError):
        verify(Exchange(ACCOUNT, signed(keys["r"])), [], time.time())


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({**FORM, "grant_type": "password"}, "unsupported_grant_type"), ({}, "invalid_request"),
        ({**FORM, "subject_token": ""}, "invalid_request"), ({**FORM, "audience": ""}, "invalid_request"),
        ({**FORM, "subject_token": "x" * 8001}, "invalid_request"), ({**FORM, "subject_token_type": "x"}, "invalid_request"),
        ({**FORM, "requested_token_type": "x"}, "invalid_request"), ([*FORM.items(), ("audience", "x")], "invalid_request"),
    ],
)  # fmt: skip
def test_parse_when_the_form_is_wrong_then_the_error_is_one_of_oauth(form, error):
    with pytest.raises(OAuthError) as caught:
        parse(urlencode(form).encode())
    assert caught.value.body["error"] == error


@pytest.mark.parametrize("raw", [b"{}", b"\xff=1", b"a=%FF", b"&", b"a=1&b"])
def test_parse_when_the_body_is_no_form_then_that_is_said(raw):
    with pytest.raises(OAuthError):
        parse(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": ""}, {"issuer": 5}, {"audiences": []}, {"audiences": [5]}, {"jwks": {}}, {"jwks": {"keys": []}},
        {"service_accounts": {}}, {"service_accounts": {"sub": 5}}, {"service_accounts": "aje"},
    ],
)  # fmt: skip
def test_file_when_it_describes_no_federation_then_it_is_refused(path, description, change):
    path.write_text(json.dumps(description | change))
    with pytest.raises(UsageError, match="not a workload identity federation"):
        read_federation(path)


def test_exchange_when_the_token_is_good_then_what_comes_back_opens_the_api(serve, federation, keys):
    server = serve(federations=(federation,))
    anyone = Client(server.address, None)
    answer = anyone.post("/oauth/token", data={**FORM, "subject_token": signed(keys["r"])})
    assert answer.status_code == 200
    assert (answer.json()["token_type"], answer.headers["cache-control"]) == ("Bearer", "no-store")
    assert 0 < answer.json()["expires_in"] <= 43200
    holder = Client(server.address, answer.json()["access_token"])
    server.write("ok.ipynb", "1")
    assert holder.run("ok.ipynb")["createdBy"] == ACCOUNT
    refused = anyone.post("/oauth/token", data=FORM)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_doctor_when_a_ci_job_has_an_id_token_then_it_gets_a_token_of_the_server(command, path, keys, tmp_path):
    server = command("--federation", str(path))
    endpoints = dict.fromkeys(("datasphere", "operation", "iam", "auth"), server.client.address)
    identity = {"service_account": ACCOUNT, "id_token_variable": "CI_TOKEN"}
    settings = {"endpoints": endpoints, "workload_identity": identity}
    environment = {"backend": "datasphere", "projects": {"p1": "p1"}, "settings": settings}
    jobs = [{"name": "one", "project": "p1", "notebook": "one.ipynb"}]
    (tmp_path / "jobs.yaml").write_text(json.dumps({"version": 1, "environments": {"ci": environment}, "jobs": jobs}))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YC_", "DSJOBS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "dsjobs", "doctor", "-o", "json"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={**kept, "PYTHONPATH": str(Path(__file__).parents[2]), "CI_TOKEN": signed(keys["e"], kid="e", algorithm="ES256")},
    )  # fmt: skip
    checks = {(line["topic"], line["name"]): line for line in json.loads(done.stdout)["checks"]}
    assert checks["credentials", "token"]["state"] == "ok", done.stdout
    assert checks["projects", "p1"]["state"] == "ok", done.stdout
