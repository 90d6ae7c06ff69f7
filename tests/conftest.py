"""What holds for every test: the journals and manifests that it writes are those that the published schemas describe."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from held_schemas import files_below, problems_in

# What runs in the background of a script, or with nohup, has these signals ignored, and so has all that it starts: dsjobs would
# go on, as who starts it so wants it to.
for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)

LONG = (
    "test_faults_end_to_end.py", "test_conformance.py", "test_docs_blocks.py", "test_example_run.py", "test_faults_together.py",
    "test_open.py", "test_killed_runs.py", "test_openapi.py", "test_provisioner.py", "test_secret_runs.py",
    "test_local_much_output.py", "test_local_kernel_start.py", "test_fuzz.py", "test_sandbox.py", "test_datasphere_commands.py",
    "test_examples_notebooks.py", "test_source.py", "test_command.py",
)  # fmt: skip
"""The files whose tests take ten seconds and more, the longest first: one that begins last is waited for at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


_held: set[Path] = set()
"""Files that were looked at, or were damaged on purpose."""


@pytest.fixture
def damaged() -> set[Path]:
    """Files that a test breaks on purpose: add a path, and it is not held to its schema."""
    return set()


@pytest.fixture(autouse=True)
def _files_of_a_test_hold_their_schemas(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test with a folder of its own every journal.jsonl and manifest.json below it is valid, or `damaged`."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    damaged = request.getfixturevalue("damaged") if "damaged" in request.fixturenames else set()
    yield
    if folder is not None:
        _held.update(damaged)
        _hold(folder)


@pytest.fixture(scope="session", autouse=True)
def _files_of_a_session_hold_their_schemas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end the same for what is shared by several tests."""
    yield
    _hold(tmp_path_factory.getbasetemp())


def _hold(folder: Path) -> None:
    files = [path for path in files_below(folder) if path not in _held]
    _held.update(files)
    problems = [problem for path in files for problem in problems_in(path)]
    assert not problems, "\n".join(problems)
