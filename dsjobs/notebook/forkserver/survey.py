"""How kernels would start on this machine, and why: tried out, because only an import shows what a preloaded module does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsjobs.notebook.forkserver import choice, opening
from dsjobs.notebook.kernelsettings import KernelSettings


@dataclass(frozen=True, slots=True)
class Survey:
    """`refusal`: why there are no forks at all. `command`: how the fork server's interpreter starts. `failed`: preloaded
    modules that cannot be imported, and why."""

    preload: tuple[str, ...]
    refusal: str | None
    may_pool: bool = True
    command: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def way(self, spec: Any) -> str:
        """How kernels of a kernelspec start, in words."""
        reason = self.refusal or choice.refusal(self.command, choice.command_of(spec))
        if reason is None:
            imported = ", ".join(["ipykernel", *(name for name in self.preload if name not in self.failed)])
            return f"as a fork of one process that has imported {imported}"
        if not self.may_pool:
            return f"the usual way: {reason}"
        late = choice.pool_refusal(spec)
        ahead = "from the third on ahead of their notebooks" if late is None else f"never ahead, because {late}"
        return f"the usual way, {ahead}: {reason}" if late != reason else f"the usual way: {reason}"


def survey(settings: KernelSettings) -> Survey:
    """Starts a fork server, hears what it says, and ends it."""
    if not settings.may_fork:
        return Survey(settings.preload, choice.ASKED_FOR, may_pool=False)
    folder, server = opening.open_server(settings)
    try:
        if server is None:
            return Survey(settings.preload, choice.platform_refusal() or choice.NO_SERVER)
        refusal = asyncio.run(server.prepared())
        return Survey(settings.preload, refusal, command=tuple(server.command), failed=server.failed)
    finally:
        opening.abandon(folder, server)
