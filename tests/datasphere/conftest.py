"""A loopback service, and backends that talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from issuer import Issuer
from loopback import OPERATIONS, TOKEN, Loopback, operation, settings_for

from dsjobs.backends.access import Access
from dsjobs.backends.datasphere import connection
from dsjobs.backends.datasphere.backend import DataSphereBackend
from dsjobs.backends.datasphere.client import Edge
from dsjobs.backends.datasphere.connection import Connection
from dsjobs.backends.datasphere.transport import Timeouts
from dsjobs.backends.protocol import Submission
from dsjobs.model import Request

SUBMITTED_AT = 1_800_000_000.123456
QUICK = Timeouts(connect=2.0, read=2.0)


@pytest.fixture
def server() -> Iterator[Loopback]:
    loopback = Loopback()
    yield loopback
    loopback.close()


@pytest.fixture
def other_server() -> Iterator[Loopback]:
    loopback = Loopback()
    yield loopback
    loopback.close()


@pytest.fixture
def issuer(server: Loopback) -> Issuer:
    """An IAM service on the server, which also has an operation."""
    server.on("GET", OPERATIONS, operation())
    return Issuer(server)


@pytest.fixture
def backend(server: Loopback) -> Iterator[Callable[..., DataSphereBackend]]:
    """Makes backends for the server, with a given token and short time-outs."""
    made = []

    def make(environ: dict | None = None, **settings) -> DataSphereBackend:
        around = {"YC_IAM_TOKEN": TOKEN} if environ is None else environ
        made.append(DataSphereBackend(settings_for(server, **settings), around, timeouts=QUICK))
        return made[-1]

    yield make
    for each in made:
        each.close()


class Moments:
    """A clock that only waiting moves on, chance that is always the most, and UUIDs that count."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.ids = 0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def new_id(self) -> str:
        self.ids += 1
        return f"00000000-0000-4000-8000-{self.ids:012}"

    @property
    def edge(self) -> Edge:
        return Edge(lambda: self.now, self.sleep, lambda: 1.0, self.new_id)


@pytest.fixture
def moments() -> Moments:
    return Moments()


@pytest.fixture
def connect(server: Loopback, moments: Moments) -> Iterator[Callable[..., Connection]]:
    """Makes connections to the server whose waiting takes no time."""
    made = []

    def make(environ: dict | None = None, access: Access | None = None, **settings) -> Connection:
        around = {"YC_IAM_TOKEN": TOKEN} if environ is None else environ
        parsed = settings.pop("parsed", None) or settings_for(server, **settings)
        made.append(connection.connect(parsed, around, access, outside=moments.edge, timeouts=QUICK))
        return made[-1]

    yield make
    for each in made:
        each.close()


def submission(name: str = "train.ipynb", **fields) -> Submission:
    fields.setdefault("project", "bt1abcdefghijklmnopq")
    if "cell" not in fields:
        fields.setdefault("notebook", name)
    return Submission("train", 1, Request(**fields), submitted_at=SUBMITTED_AT)


@pytest.fixture(name="submission")
def submission_fixture() -> Callable[..., Submission]:
    return submission
