"""What the local backend has in memory of operations that have ended: what may be asked for, and of forgotten ones nothing."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

from dsjobs.model import Operation
from dsjobs.secrets import Redactor, Secret


class Value(str):
    """A text of which a test sees that it is gone."""


def kept(ids) -> int:
    """How many operations with these IDs are in memory."""
    gc.collect()
    return len({found.id for found in gc.get_objects() if isinstance(found, Operation) and found.id in ids})


def test_operation_when_it_is_done_then_what_only_its_run_needed_is_let_go(bench, tmp_path, until):
    bench.write("ok.ipynb", "1")
    value, secret, redactor = Value("mardi"), Secret("DB", Value("a secret value")), Redactor()
    redactor.learn(secret)
    notify = lambda operation_id: bench._notify(operation_id)  # noqa: E731 (one that nobody else has)
    watched = [weakref.ref(one) for one in (value, secret.reveal(), redactor, notify)]
    asked = replace(bench.submission("ok.ipynb", input_variables={"DAY": value}), notes=tmp_path / "notes")
    submission = replace(asked, secrets={"PASSWORD": secret}, redactor=redactor)
    operation = bench.backend.submit(submission, idempotency_key="key", notify=notify)
    del value, secret, redactor, notify, asked, submission

    assert bench.wait(operation).failure is None

    assert until(lambda: (gc.collect(), [one() for one in watched])[1] == [None] * 4)


def test_forget_when_many_operations_have_ended_then_memory_has_only_the_others(bench, until):
    bench.write("result.ipynb", "result = 'x' * 1000")
    bench.write("bad.ipynb", "1 / 0")
    names = [*["result.ipynb"] * 8, *["bad.ipynb"] * 4]
    ids = [bench.submit(name, output_variable_names=("result",)).id for name in names]
    for number in ids:
        assert bench.wait(Operation(number)).done
    assert until(lambda: kept(ids) == len(ids))

    for number in ids[1:]:
        bench.backend.forget(number)

    assert until(lambda: kept(ids) == 1)
    assert bench.backend.poll(ids[0]).outputs == {"result": "x" * 1000}
