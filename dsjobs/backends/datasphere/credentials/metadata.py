"""The metadata server of a virtual machine or a function, which has tokens of the service account attached to it.

Page: Compute Cloud, Authentication from inside a VM. YC_METADATA_ADDR names another server. No proxy is asked for it: that
would find the metadata server of the proxy's own machine, or none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dsjobs.backends.datasphere.answer import Call
from dsjobs.backends.datasphere.credentials import exchange
from dsjobs.backends.datasphere.credentials.source import Surroundings, Token
from dsjobs.backends.datasphere.endpoints import address
from dsjobs.errors import BackendError

VARIABLE, DEFAULT_ADDRESS = "YC_METADATA_ADDR", "169.254.169.254"
PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


@dataclass(frozen=True, slots=True)
class MetadataServer:
    """A metadata server that has answered with a token."""

    where: str
    call: Call = field(repr=False)
    around: Surroundings = field(repr=False)
    kind: str = "metadata server"
    note: None = None
    renewal: None = None

    def token(self) -> Token:
        return exchange.oauth_token(self.around.ask(self.call), self.around.now())


def find(around: Surroundings) -> MetadataServer | None:
    """The server, where there is one within a second and its machine has a service account (404: it has none).

    A server that was named by YC_METADATA_ADDR and does not answer is an error; the usual address just may not exist.
    """
    named = around.environ.get(VARIABLE, "").strip()
    base = address(named or DEFAULT_ADDRESS, where=VARIABLE, scheme="http")
    call = Call("GET", f"{base}{PATH}", {"Metadata-Flavor": "Google"}, is_direct=True)
    try:
        answer = around.probe(call)
    except BackendError:
        if named:
            raise
        return None
    if answer.status == 404 or (answer.status != 200 and not named):
        return None
    exchange.oauth_token(answer, around.now())
    return MetadataServer(f"{VARIABLE} ({named})" if named else DEFAULT_ADDRESS, call, around)
