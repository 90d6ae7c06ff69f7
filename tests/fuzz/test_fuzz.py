"""A bounded run of the fuzzer: the same cases each time. `python tests/fuzz/run.py --seconds 3600 --seed N` tries others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from run import Worker, findings

CASES = 40


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def test_dsjobs_when_its_input_is_random_then_ends_in_time_and_without_a_traceback(worker: Worker) -> None:
    found = list(findings(iter(range(CASES)), worker, lambda: False))
    assert found == [], "\n\n".join(f"case {one.case.number}: {one.text}" for one in found)
    assert sum(worker.codes.values()) == CASES
    assert {code.partition("[")[2].partition(",")[0] for code in worker.codes} == {"0", "3"}
