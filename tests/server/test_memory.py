"""What the server's process still has of operations that are done: nothing, because their outcome is in the store."""

from __future__ import annotations

import gc

from live_server import until

from dsjobs.backends.protocol import Submission
from dsjobs.model import Operation
from dsjobs.server.operations import StoredOperation

SOURCE = "import os\nassert os.environ['DAY'] != 'lundi'\nresult = 'x' * 1000"


def kept(ids: list[str]) -> set[tuple[str, str]]:
    """What this process, which is also the server's, has in memory of these operations."""
    gc.collect()
    found = set()
    for thing in gc.get_objects():
        if isinstance(thing, Operation | StoredOperation):
            found.add((type(thing).__name__, thing.id.removeprefix("local-")))
        elif isinstance(thing, Submission):
            found.add((type(thing).__name__, thing.job))
    return {(kind, of) for kind, of in found if of in ids}


def test_server_when_many_operations_are_done_then_its_memory_has_none_of_them(serve):
    server = serve()
    name = server.write("result.ipynb", SOURCE)
    ids = []
    for day in ("mardi", "mercredi", "jeudi", "lundi") * 3:
        body = {"notebookId": name, "inputVariables": {"DAY": day}, "outputVariableNames": ["result"]}
        ids.append(server.client.execute(body).json()["id"])
    ids.append(server.client.execute({"notebookId": "none.ipynb"}).json()["id"])

    ends = [server.client.wait(operation_id) for operation_id in ids]

    assert [end.get("response", {}).get("executionStatus") for end in ends] == [*["OK", "OK", "OK", "ERROR"] * 3, None]
    until(lambda: not kept(ids), 15)
    assert server.client.inspect(ids[0])["outputs"] == {"result": "x" * 1000}
