"""The benchmarks run and say what they found. How fast anything is, is not asked here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("load", ["bare load", "validate", "plan"]),
        ("execute", ["layered", "no journal", "journal on disk"]),
        ("watching", ["time / ideal", "calls a second"]),
        ("resume", ["µs a record"]),
        pytest.param(
            "notebooks",
            ["a fork of this process", "dsjobs, preload", "× papermill's API"],
            marks=pytest.mark.skipif(
                "DSJOBS_TEST_BENCHMARKS" not in os.environ, reason="DSJOBS_TEST_BENCHMARKS: minutes"
            ),
        ),
        ("startup", ["python -c pass", "bare click --help", "dsjobs --help", "validate 100 jobs"]),
    ],
)
def test_benchmarks_when_quick_then_they_print_a_table_and_keep_the_figures(tmp_path, name, shown):
    kept = tmp_path / "figures.json"
    arguments = ["--quick", "--only", name, "--folder", str(tmp_path), "--json", str(kept)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert all(any(word in line for line in lines) for word in shown)
    tables = json.loads(kept.read_text())["tables"]
    assert sum(2 + len(table["rows"]) for table in tables) == len(lines)
    widths = {line.count("|") for line in lines}
    assert widths == {len(table["rows"][0]) + 1 for table in tables}
