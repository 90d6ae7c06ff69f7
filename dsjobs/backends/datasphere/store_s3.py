"""An output store in a bucket: Yandex Object Storage, or any other that speaks the S3 protocol, through boto3 (extra `s3`).

The notebook gets a pre-signed address for one PUT of one object; keys of the bucket stay with dsjobs. It is signed for a given
time, where boto3 takes that of the clock, because the address is a part of a request that may have to be sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from dsjobs.backends.datasphere.scrubbing import scrub
from dsjobs.backends.datasphere.store import TooLargeError
from dsjobs.errors import BackendError

ENDPOINT, REGION = "https://storage.yandexcloud.net", "ru-central1"
ADDRESS_LIFETIME = 7 * 24 * 3600
"""Seconds for which an address can be written to: the most that the signature allows, because nobody knows when a job ends."""

_KEY_HINT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a static access key of a service account"
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_DENIED = frozenset({"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"})


@dataclass(frozen=True, slots=True)
class _Boto:
    """What the store has of boto3: a client, its credentials (None where there are none), and the exceptions."""

    client: Any
    credentials: Any
    exceptions: Any


class S3Store:
    """The store at `s3://bucket/prefix`. Credentials: AWS_… variables in `environ`, else what boto3 finds by itself."""

    def __init__(self, place: str, endpoint: str | None, region: str | None, environ: Mapping[str, str]) -> None:
        parts = urlsplit(place)
        self._bucket = parts.netloc
        self._prefix = unquote(parts.path).strip("/")
        self._endpoint = endpoint or environ.get("AWS_ENDPOINT_URL_S3") or ENDPOINT
        self._region = region or self._default_region(environ)
        self._environ = environ
        self._lock = threading.Lock()
        self._made: _Boto | None = None

    @property
    def location(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def address(self, name: str, at: float) -> str:
        path = quote(f"/{self._bucket}/{self._key(name)}", safe="/~")
        url = self._endpoint.rstrip("/") + path
        signed: str = self._ask("signed for", lambda boto: _signed_put(url, boto.credentials, self._region, at))
        return signed

    def write(self, name: str, content: bytes) -> None:
        self._ask(
            "written to",
            lambda boto: boto.client.put_object(Bucket=self._bucket, Key=self._key(name), Body=content),
        )

    def read(self, name: str, limit: int) -> bytes | None:
        def get(boto: _Boto) -> bytes:
            found = boto.client.get_object(Bucket=self._bucket, Key=self._key(name))
            with found["Body"] as body:
                if found["ContentLength"] > limit:
                    raise TooLargeError(found["ContentLength"])
                content: bytes = body.read()
            return content

        content: bytes | None = self._ask("read", get)
        return content

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _default_region(self, environ: Mapping[str, str]) -> str:
        given = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        return REGION if self._endpoint == ENDPOINT or not given else given

    def _ask(self, verb: str, ask: Callable[[_Boto], Any]) -> Any:
        """What `ask` makes of boto3; None for reading an object that does not exist."""
        boto = self._boto()
        exceptions = boto.exceptions
        try:
            return ask(boto)
        except exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _MISSING and verb == "read":
                return None
            raise self._refused(verb, code, error) from error
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            message = f"the output store {self.location} cannot be {verb}: there are no keys for it"
            raise BackendError(message, retryable=False, hint=_KEY_HINT) from error
        except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
            message = f"the output store {self.location} cannot be {verb}: {scrub(str(error))[:500]}"
            raise BackendError(message, retryable=True) from error

    def _refused(self, verb: str, code: str, error: Any) -> BackendError:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        request = error.response.get("ResponseMetadata", {}).get("RequestId")
        known = f" (request {request})" if request else ""
        said = scrub(str(error.response.get("Error", {}).get("Message", "")))[:300]
        hint = None
        if code in _DENIED:
            hint = f"check the bucket, the role storage.editor and the keys; {_KEY_HINT}"
        message = f"the output store {self.location} cannot be {verb}: {code}: {said}{known}"
        return BackendError(message, retryable=status >= 500 or status == 429, hint=hint)

    def _boto(self) -> _Boto:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> _Boto:
        exceptions: Any
        try:
            boto3, configuration, exceptions = map(import_module, ("boto3", "botocore.config", "botocore.exceptions"))
        except ImportError as error:
            message = f"the output store {self.location} needs the package {error.name}, which is not installed"
            raise BackendError(message, retryable=False, hint='pip install "dsjobs[s3]"') from error
        config = configuration.Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "max_attempts": 2},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=16,
            # Other makers' stores, and whoever writes to a signed address, know nothing of Amazon's newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            keys = self._keys()
            session = boto3.session.Session(**keys)
            client = session.client("s3", endpoint_url=self._endpoint, region_name=self._region, config=config, **keys)
            return _Boto(client, session.get_credentials(), exceptions)
        except (exceptions.BotoCoreError, ValueError) as error:
            message = f"the output store {self.location} cannot be used: {error}"
            raise BackendError(message, retryable=False, hint=_KEY_HINT) from error

    def _keys(self) -> dict[str, str]:
        names = {
            "aws_access_key_id": "AWS_ACCESS_KEY_ID",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
            "aws_session_token": "AWS_SESSION_TOKEN",
        }
        found = {key: self._environ[name] for key, name in names.items() if self._environ.get(name)}
        return found if len(found) > 1 else {}


def _signed_put(url: str, credentials: Any, region: str, at: float) -> str:
    """`url` with a signature for one PUT, made at the time `at`: what boto3's `generate_presigned_url` gives at that moment.

    Page: Amazon S3, Authenticating requests: using query parameters (AWS Signature Version 4).
    """
    auth, requests = import_module("botocore.auth"), import_module("botocore.awsrequest")

    class SignedAt(auth.S3SigV4QueryAuth):  # type: ignore[misc, name-defined]
        def _modify_request_before_signing(self, request: Any) -> None:
            request.context["timestamp"] = f"{datetime.fromtimestamp(int(at), UTC):%Y%m%dT%H%M%SZ}"
            super()._modify_request_before_signing(request)

    frozen = credentials.get_frozen_credentials() if credentials is not None else None
    request = requests.AWSRequest("PUT", url)
    SignedAt(frozen, "s3", region, expires=ADDRESS_LIFETIME).add_auth(request)
    signed: str = request.url
    return signed
