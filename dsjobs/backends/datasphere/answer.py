"""A call and its answer, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request. `is_safe`: sending it twice does what sending it once does; `is_direct`: it goes through no proxy. Headers
    hold secrets and never show."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    is_safe: bool = True
    is_direct: bool = False

    def __str__(self) -> str:
        """`GET https://host/path`: what a message may show of it. A query is left out."""
        parts = urlsplit(self.url)
        return f"{self.method} {parts.scheme}://{parts.netloc}{parts.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` finds a name in any case; `body` is decompressed."""

    call: Call
    status: int
    headers: Mapping[str, str]
    body: bytes
