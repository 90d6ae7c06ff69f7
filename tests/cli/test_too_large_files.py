"""Files that cannot be job files, because they are too large or do not end: named by mistake, or by a pattern of `include`."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsjobs.cli import loading, written
from dsjobs.cli.varfiles import read_variables
from dsjobs.spec.source import MAX_VALUES

JOBS = "version: 1\njobs: [{name: a, notebook: a.ipynb}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.yaml"
    path.write_text("include: ['parts/*']\n" + JOBS, encoding="utf-8")
    (tmp_path / "parts").mkdir()
    return path


def messages(file: Path) -> list[tuple[str, str]]:
    return [(one.code, one.message) for one in loading.load(file).diagnostics]


def test_job_file_when_it_does_not_end_is_refused() -> None:
    (found,) = loading.load(Path("/dev/zero")).diagnostics
    assert (found.code, found.message) == ("DSJ001", "/dev/zero: the job file cannot be read: it has more than 32 MiB")


def test_variables_when_their_file_does_not_end_are_refused() -> None:
    (found,) = read_variables([Path("/dev/zero")]).diagnostics
    assert found.code == "DSJ001" and found.message.endswith("it has more than 32 MiB")


def test_include_when_a_file_is_too_large_is_refused(file: Path) -> None:
    with (file.parent / "parts" / "data.csv").open("wb") as data:
        data.truncate(written.MAX_BYTES + 1)
    (found,) = messages(file)
    assert found[0] == "DSJ112" and found[1].endswith("data.csv' cannot be read: it has more than 32 MiB")


def test_include_when_the_files_are_too_large_together_says_so_once(file: Path) -> None:
    for number in range(5):
        comment = b"#" * (written.MAX_BYTES // 2)
        (file.parent / "parts" / f"{number}.yaml").write_bytes(b"pools: {p%d: 1} %s" % (number, comment))
    assert messages(file) == [("DSJ112", "a job file and what it includes have more than 32 MiB together")]


def test_include_when_the_files_have_too_many_values_together_says_so_once(file: Path) -> None:
    for number in range(4):
        values = ", ".join(["1"] * (MAX_VALUES // 2))
        (file.parent / "parts" / f"{number}.yaml").write_text(f"variables: {{v{number}: [{values}]}}", encoding="utf-8")
    assert messages(file) == [("DSJ006", "a job file has at most 500,000 values, with all that it includes")]
