"""A bounded run of the fuzzer: the same cases each time. `python tests/fuzz/run.py --seconds 3600 --seed N` tries others."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest
from run import Worker, findings

SECONDS = 8
"""Of processor and waiting time, after which the rest of the cases is left for the long run."""

CASES = 600


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def test_dsjobs_when_its_input_is_random_then_ends_in_time_and_without_a_traceback(worker: Worker) -> None:
    end = time.monotonic() + SECONDS
    numbers = itertools.islice(itertools.count(), CASES)
    found = list(findings(numbers, worker, lambda: time.monotonic() > end))
    assert found == [], "\n\n".join(f"case {one.case.number}: {one.text}" for one in found)
    assert sum(worker.codes.values()) >= 50
    assert {code.rpartition(" ")[2] for code in worker.codes} >= {"0]", "3]"}
