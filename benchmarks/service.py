"""A service that does nothing but keep time: Project.Execute and Operation.Get on loopback, as cheap as Python can make it.

`python -m benchmarks.service` prints its port. An operation ends so many seconds after its submit as its input SECONDS says.
`GET /seen` tells how many calls came, and of each operation that was seen done, how long after its end that was.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

IDLE = b'{"id":"%s","done":false}'
DONE = b'{"id":"%s","done":true,"response":{"executionStatus":"OK"}}'


class Operations:
    """When each operation ends (seconds of the monotonic clock), and what was asked."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.seen: dict[int, float] = {}
        self.looks = 0

    def submit(self, seconds: float) -> bytes:
        self.ends.append(time.monotonic() + seconds)
        return IDLE % (b"op%d" % (len(self.ends) - 1))

    def look(self, name: bytes) -> bytes:
        self.looks += 1
        number = int(name[2:])
        late = time.monotonic() - self.ends[number]
        if late < 0:
            return IDLE % name
        self.seen.setdefault(number, late)
        return DONE % name

    def told(self) -> bytes:
        told = {"submits": len(self.ends), "looks": self.looks, "delays": sorted(self.seen.values())}
        return json.dumps(told).encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as a client needs it that keeps its connections and sends one call at a time."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._pending = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # asyncio sets TCP_NODELAY

    def data_received(self, data: bytes) -> None:
        self._pending += data
        head, separator, rest = self._pending.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _content_length(head)
        if len(rest) < length:
            return
        self._pending = rest[length:]
        answer = self._answer(head, rest[:length])
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
        )

    def _answer(self, head: bytes, body: bytes) -> bytes:
        path = head.split(b" ", 2)[1]
        if path.endswith(b":execute"):
            return self._operations.submit(float(json.loads(body)["inputVariables"]["SECONDS"]))
        if path == b"/seen":
            return self._operations.told()
        return self._operations.look(path.rpartition(b"/")[2])


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def serve() -> None:
    operations = Operations()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(operations), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
