"""How a command line says that a service is reached. `cli` fills it in; the backends whose jobs run at a service read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SERVICES = ("datasphere", "operation", "iam", "auth")
"""What has an address of its own: DataSphere, its operations, IAM, and where tokens of workload identity are exchanged."""


@dataclass(frozen=True, slots=True)
class Access:
    """A token, a profile of yc, a discovery root, and addresses by service. What is not given is looked for elsewhere: in
    variables, in the environment's settings."""

    iam_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    endpoint: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
