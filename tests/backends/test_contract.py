"""What every backend does, whatever runs behind it: the local one with both ways to start a kernel, and datasphere over HTTP to
`dsjobs serve`. Where a backend cannot give something, its capabilities say so, and the tests ask them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from dsjobs.errors import BackendError

PUBLISH = "import dsjobs\ndsjobs.publish(answer=answer)"
WAIT_FOR_EVER = "import pathlib, time\npathlib.Path('started').touch()\ntime.sleep(600)"


@pytest.fixture(params=["bench", "usual_bench", "served_bench"])
def any_bench(request):
    """A bench for each backend: the names of fixtures that give one."""
    return request.getfixturevalue(request.param)


def test_submit_when_the_notebook_succeeds_then_the_operation_is_done_without_a_failure(any_bench):
    operation = any_bench.run("ok.ipynb", "answer = 42", PUBLISH, output_variable_names=("answer",))

    assert (operation.done, operation.failure, operation.cancelled) == (True, None, False)
    assert operation.started_at <= operation.finished_at
    assert operation.outputs == ({"answer": 42} if any_bench.backend.capabilities.outputs else None)


def test_submit_when_it_names_a_place_for_the_executed_notebook_then_it_is_there_where_the_backend_has_one(
    any_bench, tmp_path
):
    executed = tmp_path / "executed.ipynb"

    operation = any_bench.run("ok.ipynb", "print('hello')", executed=executed)

    has_one = any_bench.backend.capabilities.executed_notebook
    assert (operation.executed is not None, executed.exists()) == (has_one, has_one)


def test_submit_when_it_returns_then_the_operation_can_be_polled_by_its_id(any_bench):
    any_bench.write("ok.ipynb", "1")

    submitted = any_bench.submit("ok.ipynb")

    assert any_bench.backend.poll(submitted.id).id == submitted.id
    assert any_bench.wait(submitted).id == submitted.id


def test_submit_when_a_cell_raises_then_the_failure_is_a_value(any_bench):
    operation = any_bench.run("bad.ipynb", "1 / 0")

    assert operation.done
    assert operation.failure is not None
    assert operation.failure.kind == "notebook"
    assert not operation.cancelled


def test_submit_when_the_same_key_comes_from_many_threads_then_it_runs_once(any_bench):
    any_bench.write("count.ipynb", "with open('runs.txt', 'a') as f: f.write('x')")

    with ThreadPoolExecutor(8) as threads:
        ids = {op.id for op in threads.map(lambda _: any_bench.submit("count.ipynb", key="same"), range(16))}
    assert len(ids) == 1
    any_bench.wait(any_bench.submit("count.ipynb", key="same"))
    again = any_bench.submit("count.ipynb", key="same")

    assert {again.id} == ids
    assert again.done
    assert (any_bench.folder / "runs.txt").read_text() == "x"


def test_submit_when_the_key_is_new_then_the_notebook_runs_again(any_bench):
    first = any_bench.run("count.ipynb", "with open('runs.txt', 'a') as f: f.write('x')")
    second = any_bench.run("count.ipynb")

    assert first.id != second.id
    assert (any_bench.folder / "runs.txt").read_text() == "xx"


def test_submit_when_there_are_input_variables_then_the_notebook_finds_them_in_its_environment(any_bench):
    source = "import os, pathlib\npathlib.Path('seen.txt').write_text(os.environ['DAY'])"

    any_bench.run("in.ipynb", source, input_variables={"DAY": "lundi, à midi"})

    assert (any_bench.folder / "seen.txt").read_text() == "lundi, à midi"


def test_submit_when_two_notebooks_wait_for_each_other_then_they_run_at_once(any_bench):
    meet = "import pathlib, time\npathlib.Path('{0}').touch()\nwhile not pathlib.Path('{1}').exists(): time.sleep(0.01)"
    any_bench.write("a.ipynb", meet.format("a", "b"))
    any_bench.write("b.ipynb", meet.format("b", "a"))

    operations = [any_bench.submit("a.ipynb"), any_bench.submit("b.ipynb")]

    assert [any_bench.wait(operation).failure for operation in operations] == [None, None]


def test_notify_when_the_operation_ends_then_poll_already_says_done_or_the_backend_never_notifies(any_bench, until):
    any_bench.write("ok.ipynb", "1")
    seen = []

    def notify(operation_id):
        seen.append(any_bench.backend.poll(operation_id).done)

    operation = any_bench.submit("ok.ipynb", notify=notify)
    assert until(lambda: any_bench.backend.poll(operation.id).done)

    if any_bench.backend.capabilities.notifies:
        assert until(lambda: seen)
        assert seen[-1] is True
    else:
        any_bench.backend.close()
        assert seen == []


def test_poll_when_the_operation_is_unknown_then_trying_again_is_no_use(any_bench):
    with pytest.raises(BackendError) as caught:
        any_bench.backend.poll("no-such-operation")

    assert caught.value.retryable is False


def test_poll_when_a_later_process_knows_only_the_id_then_it_finds_the_same_where_operations_survive(any_bench):
    done = any_bench.run("ok.ipynb", "answer = 42", PUBLISH, output_variable_names=("answer",))
    later = any_bench.another()

    if any_bench.backend.capabilities.survives:
        assert later.poll(done.id) == done
    else:
        with pytest.raises(BackendError) as caught:
            later.poll(done.id)
        assert caught.value.retryable is False


def test_cancel_when_a_later_process_knows_only_the_id_then_the_operation_ends_where_operations_survive(
    any_bench, until
):
    any_bench.write("long.ipynb", WAIT_FOR_EVER)
    operation = any_bench.submit("long.ipynb")
    assert until((any_bench.folder / "started").exists)
    later = any_bench.another()

    if any_bench.backend.capabilities.survives:
        later.cancel(operation.id)
        assert any_bench.wait(operation).cancelled
    else:
        with pytest.raises(BackendError):
            later.cancel(operation.id)
        assert not any_bench.backend.poll(operation.id).done


def test_cancel_when_the_operation_is_unknown_then_it_is_an_error(any_bench):
    with pytest.raises(BackendError):
        any_bench.backend.cancel("no-such-operation")


def test_cancel_when_the_notebook_runs_then_the_operation_ends_cancelled(any_bench, until):
    any_bench.write("long.ipynb", WAIT_FOR_EVER)
    operation = any_bench.submit("long.ipynb")
    assert until((any_bench.folder / "started").exists)

    any_bench.backend.cancel(operation.id)
    any_bench.backend.cancel(operation.id)

    ended = any_bench.wait(operation)
    assert (ended.cancelled, ended.failure) == (True, None)


def test_cancel_when_nothing_has_started_yet_then_the_operation_ends_cancelled(any_bench):
    any_bench.write("long.ipynb", WAIT_FOR_EVER)
    with any_bench.busy():
        operation = any_bench.submit("long.ipynb")

        any_bench.backend.cancel(operation.id)

        assert any_bench.wait(operation).cancelled
    assert not (any_bench.folder / "started").exists()


def test_cancel_when_the_operation_is_done_then_it_stays_as_it_is(any_bench):
    done = any_bench.run("ok.ipynb", "1")

    any_bench.backend.cancel(done.id)

    assert any_bench.backend.poll(done.id) == done


def test_forget_when_the_operation_is_done_then_it_is_gone_or_the_service_is_asked_again(any_bench):
    done = any_bench.run("ok.ipynb", "1")

    any_bench.backend.forget(done.id)
    any_bench.backend.forget(done.id)

    if any_bench.backend.capabilities.survives:
        assert any_bench.backend.poll(done.id) == done
    else:
        with pytest.raises(BackendError) as caught:
            any_bench.backend.poll(done.id)
        assert caught.value.retryable is False


def test_forget_when_the_operation_is_not_done_then_it_goes_on_and_is_known(any_bench, until):
    any_bench.write("long.ipynb", WAIT_FOR_EVER)
    operation = any_bench.submit("long.ipynb")
    assert until((any_bench.folder / "started").exists)

    any_bench.backend.forget(operation.id)

    assert not any_bench.backend.poll(operation.id).done
    any_bench.backend.cancel(operation.id)
    assert any_bench.wait(operation).cancelled


def test_forget_when_the_operation_is_unknown_then_it_does_nothing(any_bench):
    any_bench.backend.forget("no-such-operation")


def test_check_when_nothing_is_wrong_then_it_says_nothing(any_bench):
    assert any_bench.backend.check([]) == []


def test_close_when_called_twice_then_nothing_new_can_start_and_what_was_done_can_be_polled(any_bench):
    done = any_bench.run("ok.ipynb", "1")

    any_bench.backend.close()
    any_bench.backend.close()

    assert any_bench.backend.poll(done.id) == done
    any_bench.backend.cancel(done.id)
    with pytest.raises(BackendError) as caught:
        any_bench.submit("ok.ipynb")
    assert caught.value.retryable is False


def test_close_when_nothing_was_ever_submitted_then_it_does_nothing(any_bench):
    any_bench.backend.close()
