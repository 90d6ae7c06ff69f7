"""Those who give tokens, as a test has them: the IAM service, GitHub's environment, the `yc` command."""

from __future__ import annotations

import json
import threading
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from loopback import IAM, OPERATION, Asked, Reply, refused

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


def github_environ(server, **more):
    return {
        **NOWHERE,
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.url}/github/token?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
        "GITHUB_REPOSITORY_OWNER": "acme",
        **more,
    }


def fake_yc(folder, script):
    """A folder for PATH with a `yc` in it."""
    program = folder / "yc"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return folder


def yc_environ(server, folder, **more):
    server.on("GET", METADATA, Reply(404))
    return {"YC_METADATA_ADDR": server.url, "PATH": f"{folder}:/usr/bin:/bin", **more}
