"""One HTTP call: a session for each thread, kept alive, time-outs always, TLS always verified, no redirect ever followed."""

from __future__ import annotations

import platform
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.adapters
import urllib3

from dsjobs import __version__
from dsjobs.backends.datasphere import proxies
from dsjobs.backends.datasphere.answer import Answer, Call
from dsjobs.backends.datasphere.status import ServiceError

MAX_BODY_BYTES = 16 * 1024 * 1024
USER_AGENT = f"dsjobs/{__version__} (Python {platform.python_version()}; requests {requests.__version__})"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, and seconds without a byte after which an answer is given up."""

    connect: float = 10.0
    read: float = 60.0


class Transport:
    """Sends calls from any thread. `environ`: where proxies and certificate authorities are named."""

    def __init__(self, environ: Mapping[str, str], *, timeouts: Timeouts | None = None) -> None:
        self._environ = environ
        self._timeouts = timeouts or Timeouts()
        self._verify: bool | str = proxies.ca_bundle(environ) or True
        self._proxies: dict[str, dict[str, str]] = {}
        self._thread = threading.local()
        self._adapters: list[_Adapter] = []
        self._lock = threading.Lock()

    def send(self, call: Call, *, timeouts: Timeouts | None = None) -> Answer:
        """The answer, whatever its status. Raises ServiceError where there is none."""
        limits = timeouts or self._timeouts
        try:
            # The adapter, not the session: it follows no redirect, keeps no cookie and reads no environment.
            response = self._adapter().respond(
                _prepared(call),
                timeout=(limits.connect, limits.read),
                verify=self._verify,
                proxies={} if call.is_direct else self._proxies_for(call.url),
            )
            try:
                return Answer(call, response.status, response.headers, _body(response))
            finally:
                _put_back(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _no_answer(call, error) from error

    def close(self) -> None:
        """Close every connection. Calls made later open new ones."""
        with self._lock:
            for adapter in self._adapters:
                adapter.close()

    def _adapter(self) -> _Adapter:
        adapter: _Adapter | None = getattr(self._thread, "adapter", None)
        if adapter is None:
            adapter = self._thread.adapter = _Adapter()
            with self._lock:
                self._adapters.append(adapter)
        return adapter

    def _proxies_for(self, url: str) -> dict[str, str]:
        origin = _origin(url)
        found = self._proxies.get(origin)
        if found is None:
            proxy = proxies.proxy_for(url, self._environ)
            found = self._proxies[origin] = {urlsplit(url).scheme: proxy} if proxy else {}
        return found


class _Adapter(requests.adapters.HTTPAdapter):
    """The adapter of requests for one thread, which finds what it needs for a host once, not for each call: a third of what a
    call costs. Verification and the proxy, where there is one, must be the same for all calls to a host."""

    def __init__(self) -> None:
        super().__init__()
        self._pools: dict[tuple[str, bool], Any] = {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        url = request.url or ""
        way = _origin(url), bool(proxies)
        if way not in self._pools:
            pool = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            super().cert_verify(pool, url, verify, cert)  # type: ignore[no-untyped-call]
            self._pools[way] = pool
        return self._pools[way]

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Done when the pool was made."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        if proxies:
            return super().request_url(request, proxies)
        url = request.url or ""
        return url[len(_origin(url)) :] or "/"

    def respond(self, request: requests.PreparedRequest, **how: Any) -> urllib3.BaseHTTPResponse:
        """As `send`, but what comes back is urllib3's response, whose body has not been read."""
        response: Any = self.send(request, stream=True, **how)
        assert isinstance(response, urllib3.BaseHTTPResponse)
        return response

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> Any:
        """That of urllib3 itself: nobody here reads cookies and history."""
        return resp

    def close(self) -> None:
        super().close()
        self._pools.clear()


def _origin(url: str) -> str:
    """Scheme and host of an address, with its port."""
    end = url.find("/", url.find("://") + 3)
    return url if end < 0 else url[:end]


def _prepared(call: Call) -> requests.PreparedRequest:
    prepared = requests.PreparedRequest()
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive", **call.headers}
    if not call.url.isascii():
        prepared.prepare(method=call.method, url=call.url, headers=headers, data=call.body)
        return prepared
    # Nothing in it needs requests' own preparation, which is a quarter of the cost of a call.
    prepared.method, prepared.url, prepared.body = call.method, call.url, call.body
    if call.body is not None:
        headers["Content-Length"] = str(len(call.body))
    prepared.headers = headers  # type: ignore[assignment]  # as spelled here is how the adapter looks for them
    return prepared


def _body(response: urllib3.BaseHTTPResponse) -> bytes:
    parts = []
    size = 0
    for part in response.stream(64 * 1024, decode_content=True):
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise requests.exceptions.ContentDecodingError(f"the answer is longer than {MAX_BODY_BYTES} bytes")
    return b"".join(parts)


def _put_back(response: urllib3.BaseHTTPResponse) -> None:
    """The connection is free for the next call; where the body was not read to its end, it is closed."""
    response.close()
    response.release_conn()


def _no_answer(call: Call, error: Exception) -> ServiceError:
    """What a call without an answer means. It may have arrived all the same: only a safe one is sent again."""
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in text:
        message = f"{call}: the certificate of {urlsplit(call.url).netloc} cannot be verified"
        hint = f"name the file of your certificate authority in {proxies.CA_VARIABLES[0]}; verification is never turned off"
        return ServiceError(message, retryable=False, hint=hint)
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, ValueError)):
        return ServiceError(
            f"{call}: {text}", retryable=False, hint="check the endpoints in the environment's settings"
        )
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return ServiceError(f"{call}: no connection in time{_through(error)}", retryable=True)
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError)):
        return ServiceError(f"{call}: no answer in time", retryable=True)
    if isinstance(error, requests.exceptions.ProxyError):
        return ServiceError(f"{call}: the proxy refused: {_reason(error)}", retryable=True)
    return ServiceError(f"{call}: {_reason(error)}", retryable=True)


def _through(error: Exception) -> str:
    return " (through a proxy)" if "proxy" in str(error).lower() else ""


def _reason(error: BaseException) -> str:
    """The innermost reason: requests and urllib3 wrap it in the names of their own objects."""
    inner = error
    for _ in range(10):
        below = getattr(inner, "reason", None) or (inner.args[-1] if inner.args else None)
        if not isinstance(below, BaseException):
            break
        inner = below
    text = re.sub(r"^<?[\w.]*Connection\w*(\(.*?\)| object at 0x\w+>): ", "", str(inner)) or type(inner).__name__
    return f"{type(inner).__name__}: {text}" if isinstance(inner, OSError) else text
