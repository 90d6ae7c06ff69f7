"""The kernel provisioner `dsjobs-fork`: kernels that are forks, for any client of Jupyter's.

A kernelspec asks for it: `"metadata": {"kernel_provisioner": {"provisioner_name": "dsjobs-fork", "config": {"preload":
["numpy"]}}}`. Where a kernel cannot be a fork, it starts as its kernelspec says.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import List, Unicode

from dsjobs.notebook.forkserver import choice
from dsjobs.notebook.forkserver.client import ForkServer
from dsjobs.notebook.forkserver.provisioner import KeptProvisioner

_GONE_SECONDS = 1.0

_servers: dict[tuple[str, ...], ForkServer] = {}
"""The fork servers of this process, by how they start and what they have imported."""


class _Forking(KeptProvisioner):
    """`preload`: modules that the fork server imports."""

    preload: Any = List(Unicode())

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        command = choice.interpreter(cmd)
        self.reason = choice.STRANGER
        if command:
            self.server = _server([_named_as_here(command[0]), *command[1:]], self.preload)
        return await super().launch_kernel(cmd, **kwargs)


class _Usual(LocalProvisioner):
    """Where nothing can be forked."""

    preload: Any = List(Unicode())


def _named_as_here(program: str) -> str:
    """The program, if it is another name of this interpreter in its own folder, as `python3` is one of `python`."""
    is_same = os.path.dirname(program) == os.path.dirname(sys.executable) and os.path.exists(program)
    return program if is_same and os.path.samefile(program, sys.executable) else sys.executable


def _server(command: list[str], preload: list[str]) -> ForkServer:
    """One that runs, started with the first kernel that wants it."""
    key = (*command, "", *preload)
    if key not in _servers or _servers[key].has_died:
        _servers[key] = server = ForkServer(command, preload, None, os.environ)
        atexit.register(_end, server)
    return _servers[key]


def _end(server: ForkServer) -> None:
    server.close()
    server.wait(_GONE_SECONDS)


ForkProvisioner = _Forking if sys.platform == "linux" else _Usual
