"""An output store in a bucket: Yandex Object Storage, or any other that speaks the S3 protocol, through boto3 (extra `s3`).

The notebook gets a pre-signed address for one PUT of one object; keys of the bucket stay with dsjobs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

from dsjobs.backends.datasphere.scrubbing import scrub
from dsjobs.backends.datasphere.store import TooLargeError
from dsjobs.errors import BackendError

ENDPOINT, REGION = "https://storage.yandexcloud.net", "ru-central1"
ADDRESS_LIFETIME = 7 * 24 * 3600
"""Seconds for which an address can be written to: the most that the signature allows, because nobody knows when a job ends."""

_KEY_HINT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a static access key of a service account"
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_DENIED = frozenset({"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"})


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
        self._made: tuple[Any, Any] | None = None

    @property
    def location(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def address(self, name: str) -> str:
        parameters = {"Bucket": self._bucket, "Key": self._key(name)}
        signed: str = self._ask(
            "signed for",
            lambda s3: s3.generate_presigned_url("put_object", Params=parameters, ExpiresIn=ADDRESS_LIFETIME),
        )
        return signed

    def write(self, name: str, content: bytes) -> None:
        self._ask("written to", lambda s3: s3.put_object(Bucket=self._bucket, Key=self._key(name), Body=content))

    def read(self, name: str, limit: int) -> bytes | None:
        def get(s3: Any) -> bytes:
            found = s3.get_object(Bucket=self._bucket, Key=self._key(name))
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

    def _ask(self, verb: str, ask: Callable[[Any], Any]) -> Any:
        """What `ask` makes of the client; None for reading an object that does not exist."""
        s3, exceptions = self._client()
        try:
            return ask(s3)
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

    def _client(self) -> tuple[Any, Any]:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> tuple[Any, Any]:
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
            client = boto3.session.Session().client(
                "s3", endpoint_url=self._endpoint, region_name=self._region, config=config, **self._keys()
            )
        except (exceptions.BotoCoreError, ValueError) as error:
            message = f"the output store {self.location} cannot be used: {error}"
            raise BackendError(message, retryable=False, hint=_KEY_HINT) from error
        return client, exceptions

    def _keys(self) -> dict[str, str]:
        names = {
            "aws_access_key_id": "AWS_ACCESS_KEY_ID",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
            "aws_session_token": "AWS_SESSION_TOKEN",
        }
        found = {key: self._environ[name] for key, name in names.items() if self._environ.get(name)}
        return found if len(found) > 1 else {}
