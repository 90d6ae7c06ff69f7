"""Does once, in the fork server, what kernels would each do again: imports, regular expressions, caches of classes.

Only what leaves nothing behind but caches: no kernel, no shell and no application is made here, nothing starts a thread.
"""

from __future__ import annotations

import fnmatch
import io
import tokenize
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from types import CodeType

# What a kernel imports when it is set up or runs its first cell, rather than with ipykernel: half of a usual start.
_LATER = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "ipykernel.debugger",
    "encodings.idna",
    "faulthandler",
    "psutil",
    "pwd",
    "sqlite3",
    "stringprep",
    "sysconfig",
    "tornado.platform.asyncio",
    "tornado.queues",
)
_CELL = "import sys\nx = [1, 'text']\ndef f(a):\n    return a\nprint(f(x))\nx\n"


def warm() -> None:
    """Makes this process one whose forks are quick. What a version of IPython does not have, it does not need."""
    for name in _LATER:
        with suppress(ImportError):
            import_module(name)
    list(tokenize.generate_tokens(io.StringIO(_CELL).readline))
    for step in (_make_completer, _transform_cells, _format_values, _pack_messages):
        # Kernels do the same again, and there it is seen if it fails.
        with suppress(Exception):
            step()


def codes() -> dict[str, CodeType]:
    """The files that are sent to kernels, compiled: a fork need not do so again."""
    spec = find_spec("dsjobs.notebook.collect")
    if spec is None or spec.origin is None:
        return {}
    with open(spec.origin, encoding="utf-8") as file:
        return {"collect.py": compile(file.read(), "<string>", "exec")}


def _make_completer() -> None:
    import_module("IPython.core.completer").IPCompleter(namespace={}, global_namespace={})
    for pattern in ("*.py", "*.ipy"):  # start-up files
        fnmatch.fnmatch("name", pattern)


def _transform_cells() -> None:
    manager = import_module("IPython.core.inputtransformer2").TransformerManager()
    manager.transform_cell(_CELL)
    manager.check_complete(_CELL)


def _format_values() -> None:
    formatter = import_module("IPython.core.formatters").DisplayFormatter()
    for value in (1, "text", [1.0], {"a": None}):
        formatter.format(value)


def _pack_messages() -> None:
    session = import_module("jupyter_client.session").Session(key=b"key")
    for kind in ("status", "stream", "execute_result"):
        _, *frames = session.feed_identities(session.serialize(session.msg(kind, {"text": "x"})))
        session.deserialize(frames[0])
