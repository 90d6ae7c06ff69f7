"""The order in which credentials are looked for. The first kind that is there is used, and an error in it is an error: it
never falls through to a weaker kind, so nobody acts under a name that they did not mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dsjobs.backends.datasphere.credentials import given, metadata, service_account, workload, yc
from dsjobs.backends.datasphere.credentials.source import Source, Surroundings
from dsjobs.errors import BackendError


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of credentials, where it is looked for, and how."""

    name: str
    places: str
    find: Callable[[Surroundings], Source | None]


ORDER = (
    Kind("IAM token", "--iam-token, DSJOBS_IAM_TOKEN, YC_IAM_TOKEN", given.find_iam),
    Kind("service account key", service_account.VARIABLE, service_account.find),
    Kind("workload identity", f"{workload.REQUEST_URL}, {workload.TOKEN_VARIABLE}", workload.find),
    Kind("OAuth or IAM token", "YC_TOKEN, YC_OAUTH_TOKEN", given.find_either),
    Kind("metadata server", f"{metadata.VARIABLE}, {metadata.DEFAULT_ADDRESS}", metadata.find),
    Kind("yc command", "PATH", yc.find),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of looking for one kind: found (`source`), in use, not there (both None), or there and unusable."""

    kind: Kind
    source: Source | None = None
    error: BackendError | None = None


def find(around: Surroundings) -> Source:
    """The credentials to use. Raises BackendError where there are none, or the first ones found cannot be used."""
    for kind in ORDER:
        source = kind.find(around)
        if source is not None:
            return source
    places = "; ".join(f"{kind.name} ({kind.places})" for kind in ORDER)
    hint = (
        workload.half_set(around)
        or "set YC_IAM_TOKEN, or YC_SERVICE_ACCOUNT_KEY_FILE; `dsjobs doctor` shows what is found"
    )
    raise BackendError(f"no credentials were found; looked for {places}", retryable=False, hint=hint)


def look(around: Surroundings) -> Iterator[Finding]:
    """What `find` would find, kind by kind, up to the one that would be used."""
    for kind in ORDER:
        try:
            source = kind.find(around)
        except BackendError as error:
            yield Finding(kind, error=error)
            return
        yield Finding(kind, source)
        if source is not None:
            return
