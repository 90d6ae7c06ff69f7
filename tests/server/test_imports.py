"""Client and server share no code, so that they cannot share one misunderstanding of the pages."""

from __future__ import annotations

import ast
from pathlib import Path

import dsjobs

PACKAGE = Path(dsjobs.__file__).parent


def imported(folder: Path) -> set[str]:
    """The modules of dsjobs that the modules below `folder` import."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("dsjobs.")}


def test_server_when_it_imports_then_only_the_protocol_of_backends_the_nouns_and_the_inbox():
    allowed = (
        "dsjobs.server",
        "dsjobs.backends.protocol",
        "dsjobs.model",
        "dsjobs.errors",
        "dsjobs.diagnostics",
        "dsjobs.marks",
        "dsjobs.inbox",
    )
    names = imported(PACKAGE / "server") - {"dsjobs.__version__", "dsjobs.backends"}
    assert {name for name in names if not name.startswith(allowed)} == set()


def test_datasphere_backend_when_it_imports_then_nothing_of_the_server():
    assert not [name for name in imported(PACKAGE / "backends") if name.startswith("dsjobs.server")]
