"""A project for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from as_user import LOAD, TROUBLE, Ended, run, write_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with two jobs that succeed."""
    return write_project(tmp_path / "project")


@pytest.fixture(scope="session")
def failed_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A project of which two jobs fail, and what `apply -o json` printed. Not to be changed."""
    project = write_project(tmp_path_factory.mktemp("failed") / "project", LOAD + TROUBLE)
    return project, run("apply", "-o", "json", "--manifest", "out/latest.json", cwd=project)
