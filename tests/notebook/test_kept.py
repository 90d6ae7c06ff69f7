"""Kernels that are let go: who waits hears of it, the loop stays able to watch, and files stay that may be another kernel's."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from dsjobs.notebook.forkserver import client, keeper
from dsjobs.notebook.forkserver.client import Kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are Linux's")

PATIENCE = 30


def test_close_when_somebody_waits_then_hears_of_it_and_the_next_socket_is_watched():
    async def run() -> None:
        ours, theirs = socket.socketpair()
        kept, number = Kept(ours, None), ours.fileno()
        waiting = asyncio.create_task(kept.until(lambda: False))
        await asyncio.sleep(0)
        kept.close()
        await asyncio.wait_for(waiting, PATIENCE)
        theirs.close()

        again, other = socket.socketpair()
        assert again.fileno() == number
        kept = Kept(again, None)
        waiting = asyncio.create_task(kept.until(lambda: kept.pid is not None))
        await asyncio.sleep(0)
        keeper.say(other, pid=7)
        await asyncio.wait_for(waiting, PATIENCE)
        assert kept.pid == 7
        kept.close()
        other.close()

    asyncio.run(run())


@pytest.mark.parametrize("is_let_go", [True, False], ids=["let go", "dsjobs died"])
def test_keeper_when_its_kernel_is_not_wanted_any_more_then_files_go_only_with_dsjobs(tmp_path, is_let_go):
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "k1.json").touch()
    request = {
        "argv": ["sleep", "600"], "cwd": str(tmp_path), "env": {"PATH": "/usr/bin:/bin"}, "memory_bytes": None,
        "base": str(folder / "k1"), "hold": False,
    }  # fmt: skip

    async def run() -> None:
        kept = client.spawn(request, (None, None))
        await kept.until(lambda: kept.pid is not None)
        if is_let_go:
            kept.close()
        else:
            kept._lifeline.shutdown(socket.SHUT_WR)  # as the system does for a process that has died
            await kept.until(lambda: False)
        assert not Path(f"/proc/{kept.pid}").exists() or kept.is_gone

    asyncio.run(run())

    assert folder.exists() is is_let_go
