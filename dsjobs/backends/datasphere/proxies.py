"""Proxy and certificate authority from the variables that curl and requests know, read once for each address.

requests itself would read them, and the netrc file, at every call, which costs a third of its speed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dsjobs.errors import BackendError

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for `url`: `https_proxy`, `http_proxy` or `all_proxy`, in either case, unless `no_proxy` names its host."""
    parts = urlsplit(url)
    proxy = _variable(f"{parts.scheme}_proxy", environ) or _variable("all_proxy", environ)
    if proxy is None or _is_exempt(parts.hostname or "", parts.port, _variable("no_proxy", environ) or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def ca_bundle(environ: Mapping[str, str]) -> str | None:
    """The file or folder of certificates that replaces the usual ones. Raises BackendError for one that does not exist."""
    for name in CA_VARIABLES:
        path = environ.get(name)
        if path:
            if not Path(path).exists():
                message = f"{name} names {path}, which does not exist"
                raise BackendError(message, retryable=False, hint=f"correct {name} or unset it")
            return path
    return None


def _variable(name: str, environ: Mapping[str, str]) -> str | None:
    return environ.get(name) or environ.get(name.upper()) or None


def _is_exempt(host: str, port: int | None, exempt: str) -> bool:
    return any(_matches(host.lower(), port, entry) for entry in exempt.lower().replace(",", " ").split())


def _matches(host: str, port: int | None, entry: str) -> bool:
    if entry == "*":
        return True
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and ":" not in name:
        return str(port) == number and _matches(host, port, name)
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        suffix = entry.lstrip(".")
        return host == suffix or host.endswith("." + suffix)
