"""Where each service is: given addresses, else those that a discovery root lists, else the published ones.

Layers, strongest first; in each, the address of a service before the discovery root:
the flags `--endpoint-<service>` and `--endpoint`; DSJOBS_ENDPOINT_<SERVICE> and DSJOBS_ENDPOINT; the environment's `settings`;
YC_ENDPOINT (a root).
The published addresses need no discovery call. Page: the API design guide, Endpoints.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from dsjobs.backends.access import Access
from dsjobs.backends.datasphere import answers, status
from dsjobs.backends.datasphere.answer import Answer
from dsjobs.backends.datasphere.settings import Settings
from dsjobs.backends.datasphere.status import ServiceError
from dsjobs.errors import BackendError

DISCOVERY_ROOT = "https://api.cloud.yandex.net"
PUBLISHED = {
    "datasphere": "https://datasphere.api.cloud.yandex.net",
    "operation": "https://operation.api.cloud.yandex.net",
    "iam": "https://iam.api.cloud.yandex.net",
    "auth": "https://auth.yandex.cloud",  # where tokens of workload identity are exchanged; discovery does not list it
}
_HINT = "an address is https://host[:port], or host:port for https; http:// only where it is written"

Discover = Callable[[str], Mapping[str, str]]
"""Asks a discovery root for the addresses that it lists, by service."""


class Endpoints:
    """The base address of each service, without a slash at its end."""

    def __init__(self, layers: list[tuple[Mapping[str, str], str | None]], discover: Discover) -> None:
        """`layers`: given addresses and root, strongest first; `discover` is called at most once for a root."""
        self._layers = layers
        self._discover = discover
        self._discovered: dict[str, Mapping[str, str]] = {}
        self._lock = threading.Lock()

    def url(self, service: str) -> str:
        """The address of a service. Raises BackendError where the discovery root cannot be asked, or does not know it."""
        for addresses, root in self._layers:
            if service in addresses:
                return addresses[service]
            if root is not None:
                return PUBLISHED[service] if root == DISCOVERY_ROOT else self._at(root, service)
        return PUBLISHED[service]

    def _at(self, root: str, service: str) -> str:
        with self._lock:
            if root not in self._discovered:
                self._discovered[root] = self._discover(root)
        addresses = self._discovered[root]
        if service in addresses:
            return addresses[service]
        if service == "auth":
            return PUBLISHED["auth"]
        known = ", ".join(sorted(addresses)) or "none"
        message = f"{root}/endpoints lists no service '{service}' (known: {known})"
        hint = f"give its address beside the root: `--endpoint-{service} https://…`, or `settings: {{endpoints: {{{service}: https://…}}}}`"
        raise BackendError(message, retryable=False, hint=hint)


def layers(
    settings: Settings, environ: Mapping[str, str], access: Access | None = None
) -> list[tuple[Mapping[str, str], str | None]]:
    """What was given, strongest first. Raises BackendError for what is not an address, and says where it was given."""
    flags = access or Access()
    variables = {service: f"DSJOBS_ENDPOINT_{service.upper()}" for service in PUBLISHED}
    given: list[tuple[Mapping[str, tuple[str, str]], tuple[str, str] | None]] = [
        (
            {service: (f"--endpoint-{service}", text) for service, text in flags.endpoints.items()},
            ("--endpoint", flags.endpoint) if flags.endpoint else None,
        ),
        (
            {service: (name, environ[name]) for service, name in variables.items() if environ.get(name)},
            _variable("DSJOBS_ENDPOINT", environ),
        ),
        (
            {service: (f"settings.endpoints.{service}", text) for service, text in settings.endpoints.items()},
            ("settings.endpoint", settings.endpoint) if settings.endpoint else None,
        ),
        ({}, _variable("YC_ENDPOINT", environ)),
    ]
    return [
        (
            {service: address(text, where=where) for service, (where, text) in addresses.items()},
            address(root[1], where=root[0]).removesuffix("/endpoints") if root else None,
        )
        for addresses, root in given
    ]


def address(text: str, *, where: str = "the endpoint", scheme: str = "https") -> str:
    """`text` as a base address: `host:443` gets `scheme`, a default port and a slash at the end go."""
    written = text.strip()
    try:
        parts = urlsplit(written if "://" in written else f"{scheme}://{written}")
        port = parts.port
    except ValueError:  # a bracket that is not closed, a port that is no number
        parts, port = urlsplit(""), None
    wrong = parts.username or parts.password or parts.query or parts.fragment
    if parts.scheme not in ("https", "http") or not parts.hostname or wrong or any(c.isspace() for c in written):
        shown = "***@" + text.rpartition("@")[2] if "@" in text else text
        raise BackendError(f"{where}: '{shown}' is not the address of a service", retryable=False, hint=_HINT)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}{f':{port}' if port not in (None, default) else ''}{parts.path.rstrip('/')}"


def listed(root: str, answer: Answer) -> dict[str, str]:
    """The addresses in a discovery answer: `{"endpoints": [{"id": "iam", "address": "iam.api.cloud.yandex.net:443"}]}`.

    They come without a scheme, which is https; only beside a root that was given as http, on the same host, it is http.
    """
    refused = status.refusal(answer)
    if refused is not None:
        raise refused
    entries = answers.document(answer).get("endpoints")
    if not isinstance(entries, list):
        message = f"{answer.call} listed no endpoints{status.request_ids(answer)}"
        raise ServiceError(message, retryable=False, hint="is this a discovery root?")
    return {entry["id"]: _listed_address(root, entry["address"]) for entry in entries if _is_entry(entry)}


def _listed_address(root: str, text: str) -> str:
    asked = urlsplit(root)
    beside = asked.scheme == "http" and text.partition("/")[0] == asked.netloc
    found = address(text, where=f"{root}/endpoints", scheme="http" if beside else "https")
    if asked.scheme == "https" and found.startswith("http:"):
        raise BackendError(f"{root}/endpoints lists {found}, which is not encrypted", retryable=False, hint=_HINT)
    return found


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, Mapping) and all(isinstance(entry.get(key), str) for key in ("id", "address"))


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    return (name, environ[name]) if environ.get(name) else None
