"""The settings of an environment whose backend is datasphere, as one value. `jobs.v1.json` describes and checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RATE_LIMIT = 100.0
"""Calls a second to each service where no setting says otherwise. DataSphere publishes no limit of its own."""

POLL_INTERVAL = 1.0
"""Seconds between two looks at one operation, at least, where no setting says otherwise."""


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """What the exchange of a CI job's token needs: the service account, and where the token is not GitHub's own, the
    variable that holds it (GitLab: the name under `id_tokens`)."""

    service_account: str | None = None
    audience: str | None = None
    id_token_variable: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """`endpoint`: a discovery root; `endpoints`: service to address; `profile`: of the yc command."""

    endpoint: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    rate_limit: float = RATE_LIMIT
    poll_interval: float = POLL_INTERVAL
    profile: str | None = None
    workload_identity: WorkloadIdentity = WorkloadIdentity()
    output_store: str | None = None
    output_store_endpoint: str | None = None
    output_store_region: str | None = None


def parse(settings: Mapping[str, Any]) -> Settings:
    """The settings of an environment, which the schema has checked already."""
    identity = settings.get("workload_identity", {})
    return Settings(
        endpoint=settings.get("endpoint"),
        endpoints=dict(settings.get("endpoints", {})),
        rate_limit=float(settings.get("rate_limit", RATE_LIMIT)),
        poll_interval=float(settings.get("poll_interval", POLL_INTERVAL)),
        profile=settings.get("profile"),
        workload_identity=WorkloadIdentity(
            identity.get("service_account"), identity.get("audience"), identity.get("id_token_variable")
        ),
        output_store=settings.get("output_store"),
        output_store_endpoint=settings.get("output_store_endpoint"),
        output_store_region=settings.get("output_store_region"),
    )
