"""The backend over real sockets: what is sent, what each answer comes to, and what a new process finds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from loopback import (
    EXECUTE,
    OPERATION,
    OPERATIONS,
    PROJECT,
    TOKEN,
    Reply,
    operation,
    publish_as_a_notebook,
    refused,
    succeeded,
)

from dsjobs.backends import registry
from dsjobs.backends.protocol import Capabilities
from dsjobs.errors import BackendError
from dsjobs.secrets import Redactor, Secret

CANCEL = r"/operations/[^/]+:cancel"


def submit(backend, submission, key="3f6d1a0e-0000-5000-8000-000000000001", **fields):
    return backend.submit(submission(**fields), idempotency_key=key, notify=lambda _: None)


# --- what is sent ---


def test_submit_when_every_field_is_set_then_the_request_is_the_one_of_the_page(server, backend, submission):
    server.on("POST", EXECUTE, operation())

    seen = submit(
        backend(),
        submission,
        input_variables={"REGION": "ünï", "SEED": "1"},
        output_variable_names=("auc",),
        spec="g1.1",
        spark_connector="bt1zyxwvutsrqponmlkj",
    )

    assert (seen.id, seen.done) == (OPERATION, False)
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("POST", f"/datasphere/v2/projects/{PROJECT}:execute")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["idempotency-key"] == "3f6d1a0e-0000-5000-8000-000000000001"
    assert asked.json == {
        "notebookId": "train.ipynb",
        "inputVariables": {"REGION": "ünï", "SEED": "1"},
        "outputVariableNames": ["auc"],
        "spec": "g1.1",
        "sparkConnectorId": "bt1zyxwvutsrqponmlkj",
    }


def test_submit_when_a_cell_is_meant_then_only_its_id_is_sent(server, backend, submission):
    server.on("POST", EXECUTE, operation(metadata={"projectId": PROJECT, "cellId": "nb/cell/1"}))

    submit(backend(), submission, cell="nb/cell/1")

    assert server.asked[0].json == {"cellId": "nb/cell/1"}


BAD_REQUESTS = [
    ({"project": ""}, "cannot be a project ID"),
    ({"project": "p" * 51}, "cannot be a project ID"),
    ({"project": "../x"}, "cannot be a project ID"),
    ({"project": "bt1:open?x"}, "cannot be a project ID"),
    ({"notebook": None}, "exactly one of"),
    ({"notebook": "a.ipynb", "cell": "c"}, "exactly one of"),
    ({"notebook": ""}, "'notebook' is empty"),
    ({"notebook": "я" * 201}, "'notebook' has 201 characters, and the API takes 200"),
    ({"cell": "c" * 201}, "'cell' has 201 characters"),
    ({"spark_connector": "s" * 201}, "'spark_connector' has 201 characters"),
    ({"input_variables": {"A B": "1"}}, "'A B' is not the name of an environment variable"),
    ({"input_variables": {"1A": "1"}}, "'1A' is not the name"),
    ({"input_variables": {"A": "x\0y"}}, "NUL character"),
    ({"input_variables": {"DSJOBS_OUTPUTS_URL": "x"}}, "dsjobs itself sets this variable"),
    ({"output_variable_names": ("",)}, "an output has no name"),
]


@pytest.mark.parametrize(("fields", "message"), BAD_REQUESTS)
def test_submit_when_the_request_breaks_a_limit_then_nothing_is_sent(server, backend, submission, fields, message):
    with pytest.raises(BackendError, match=message) as caught:
        submit(backend(), submission, **fields)

    assert not caught.value.retryable
    assert server.asked == []


def test_submit_when_values_have_the_most_characters_that_are_allowed_then_it_is_sent(server, backend, submission):
    server.on("POST", EXECUTE, operation(metadata={}))

    submit(backend(), submission, notebook="я" * 194 + ".ipynb", project="p" * 50, spark_connector="s" * 200)

    assert len(server.asked) == 1


# --- answers to a submit ---


def test_submit_when_the_operation_is_done_at_once_then_the_outcome_is_there(server, backend, submission):
    server.on("POST", EXECUTE, operation(done=True, response={"executionStatus": "ERROR"}))

    seen = submit(backend(), submission)

    assert (seen.done, seen.failure.kind) == (True, "notebook")


def test_submit_when_the_answer_is_lost_then_the_same_key_finds_the_operation(server, backend, submission):
    made = {}

    def execute(asked):
        key = asked.headers["idempotency-key"]
        if key not in made:
            made[key] = OPERATION
            return Reply(reset=True)
        return operation()

    server.on("POST", EXECUTE, execute)

    assert submit(backend(), submission).id == OPERATION
    assert len(made) == 1
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"projectId": PROJECT},
        {"@type": "type.googleapis.com/x", "projectId": PROJECT, "notebookId": "train.ipynb"},
        {"projectId": PROJECT, "notebookId": "/home/jupyter/datasphere/project/train.ipynb"},
        {"projectId": "", "notebookId": ""},
        {"projectId": 5},
    ],
)
def test_submit_when_the_metadata_is_of_this_request_then_it_is_accepted(server, backend, submission, metadata):
    server.on("POST", EXECUTE, operation(metadata=metadata))

    assert submit(backend(), submission).id == OPERATION


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ({"projectId": "bt1other"}, "projectId 'bt1other'"),
        ({"projectId": PROJECT, "notebookId": "other.ipynb"}, "notebookId 'other.ipynb', not 'train.ipynb'"),
        ({"projectId": PROJECT, "cellId": "c"}, "cellId 'c', which was not asked for"),
    ],
)
def test_submit_when_the_key_was_used_for_something_else_then_that_is_an_error(
    server, backend, submission, metadata, what
):
    server.on("POST", EXECUTE, Reply(200, operation(metadata=metadata).body, {"x-request-id": "r-7"}))

    with pytest.raises(BackendError, match=what) as caught:
        submit(backend(), submission)

    assert not caught.value.retryable
    assert "(request r-7, client request " in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (refused(403, 7, "Permission denied"), "datasphere.community-projects.editor"),
        (refused(404, 5, "Project not found"), "check the project's ID"),
    ],
)
def test_submit_when_it_is_refused_then_the_hint_says_what_to_check(server, backend, submission, answer, hint):
    server.on("POST", EXECUTE, answer)

    with pytest.raises(BackendError) as caught:
        submit(backend(), submission)

    assert hint in caught.value.hint


# --- looks ---


def test_poll_when_the_operation_goes_on_then_the_hint_of_the_service_is_kept(server, backend):
    server.on("GET", OPERATIONS, Reply(200, operation().body, {"x-operation-poll-interval": "7"}))

    seen = backend().poll(OPERATION)

    assert (seen.id, seen.done, seen.poll_after) == (OPERATION, False, 7.0)


def test_poll_when_an_error_comes_before_the_end_then_only_the_end_counts(server, backend):
    error = {"code": 13, "message": "the machine is gone"}
    server.on("GET", OPERATIONS, operation(error=error), operation(error=error), operation(done=True, error=error))
    polling = backend()

    seen = [polling.poll(OPERATION) for _ in range(3)]

    assert [each.done for each in seen] == [False, False, True]
    assert seen[2].failure.kind == "backend"
    assert "INTERNAL: the machine is gone" in seen[2].failure.message


def test_poll_when_the_operation_has_ended_then_nobody_is_asked_again(server, backend):
    server.on("GET", OPERATIONS, succeeded())
    polling = backend()

    first, second = polling.poll(OPERATION), polling.poll(OPERATION)

    assert first == second
    assert first.started_at < first.finished_at
    assert len(server.asked) == 1


def test_poll_when_the_service_is_busy_then_it_raises_soon_and_may_be_called_again(server, backend):
    server.on("GET", OPERATIONS, refused(503, 14), refused(503, 14), succeeded())
    polling = backend()

    with pytest.raises(BackendError) as caught:
        polling.poll(OPERATION)

    assert caught.value.retryable
    assert polling.poll(OPERATION).done


def test_poll_when_the_service_says_when_to_come_back_then_the_next_look_is_then(server, backend):
    retry_info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45s"}
    server.on("GET", OPERATIONS, refused(503, 14, "restarting", [retry_info]))

    seen = backend().poll(OPERATION)

    assert (seen.done, seen.poll_after) == (False, 45.0)


def test_poll_when_it_is_of_another_operation_then_that_is_an_error(server, backend):
    server.on("GET", OPERATIONS, Reply(200, succeeded(id="op9").body, {"x-request-id": "r-7"}))

    with pytest.raises(BackendError, match=r"the service told of op9 \(request r-7, ") as caught:
        backend().poll(OPERATION)

    assert caught.value.retryable


def test_poll_when_the_operation_is_not_everywhere_yet_then_that_is_forgiven(server, backend, submission):
    server.on("POST", EXECUTE, operation())
    server.on("GET", OPERATIONS, *[refused(404, 5, "Operation not found")] * 3, succeeded())
    polling = backend()
    submit(polling, submission)

    seen = [polling.poll(OPERATION).done for _ in range(4)]

    assert seen == [False, False, False, True]


def test_poll_when_nobody_knows_the_operation_then_trying_again_is_no_use(server, backend):
    server.on("GET", OPERATIONS, refused(404, 5, "Operation not found", **{"x-request-id": "r-7"}))

    with pytest.raises(BackendError, match=r"NOT_FOUND: Operation not found .*request r-7") as caught:
        backend().poll(OPERATION)

    assert not caught.value.retryable


def test_poll_when_an_id_has_odd_characters_then_it_stays_one_part_of_the_path(server, backend):
    server.on("GET", "/operations/.*", refused(404, 5))

    with pytest.raises(BackendError):
        backend().poll("../projects/x?y")

    assert server.asked[0].path == "/operations/..%2Fprojects%2Fx%3Fy"


# --- cancelling ---


@pytest.mark.parametrize("first", [None, Reply(404, b"no route"), Reply(405, b""), refused(501, 12)])
def test_cancel_when_the_operation_runs_then_the_verb_that_is_known_is_used(server, backend, submission, first):
    server.on("POST", EXECUTE, operation())
    server.on("GET", CANCEL, first or operation())
    server.on("POST", CANCEL, operation())
    server.on("GET", OPERATIONS, operation(done=True, response={"executionStatus": "ABORTED"}))
    cancelling = backend()
    submit(cancelling, submission)

    cancelling.cancel(OPERATION)
    cancelling.cancel(OPERATION)

    verbs = [asked.method for asked in server.asked if asked.path.endswith(":cancel")]
    assert verbs == (["GET", "POST", "POST"] if first else ["GET", "GET"])
    seen = cancelling.poll(OPERATION)
    assert (seen.cancelled, seen.failure) == (True, None)


def test_cancel_when_the_service_says_cancelled_then_so_is_the_operation(server, backend):
    server.on("GET", CANCEL, operation())
    server.on("GET", OPERATIONS, operation(done=True, error={"code": 1, "message": "Operation was cancelled"}))
    cancelling = backend()

    cancelling.cancel(OPERATION)

    assert cancelling.poll(OPERATION).cancelled


@pytest.mark.parametrize(("status", "kind"), [("OK", None), ("ERROR", "notebook")])
def test_cancel_when_the_notebook_ends_in_its_own_way_then_that_counts(server, backend, status, kind):
    server.on("GET", CANCEL, operation())
    server.on("GET", OPERATIONS, operation(done=True, response={"executionStatus": status}))
    cancelling = backend()

    cancelling.cancel(OPERATION)

    seen = cancelling.poll(OPERATION)
    assert (seen.cancelled, seen.failure and seen.failure.kind) == (False, kind)


def test_poll_when_somebody_else_aborted_it_then_it_failed(server, backend):
    server.on("GET", OPERATIONS, operation(done=True, response={"executionStatus": "ABORTED"}))

    seen = backend().poll(OPERATION)

    assert (seen.cancelled, seen.failure.kind) == (False, "aborted")


def test_cancel_when_the_operation_is_unknown_then_that_is_an_error(server, backend):
    server.on("GET", CANCEL, refused(404, 5, "Operation not found"))
    server.on("POST", CANCEL, refused(404, 5, "Operation not found"))

    with pytest.raises(BackendError) as caught:
        backend().cancel(OPERATION)

    assert not caught.value.retryable


# --- outputs ---


@pytest.fixture
def stored(server, backend, tmp_path):
    """A backend with a folder as its store, on a service whose notebook publishes `values`."""

    def make(values=None, *, status="OK"):
        def execute(asked):
            if values is not None:
                publish_as_a_notebook(asked, values)
            return operation()

        server.on("POST", EXECUTE, execute)
        server.on("GET", OPERATIONS, operation(done=True, response={"executionStatus": status}))
        return backend(output_store=f"file://{tmp_path}/outputs%20here")

    return make


def test_poll_when_the_notebook_published_then_the_declared_outputs_are_there(stored, submission, server):
    running = stored({"auc": 0.9, "rows": [1, {"a": None}], "extra": 1})
    assert running.capabilities == Capabilities(True, False, False, running.capabilities.looks, survives=True)

    submit(running, submission, output_variable_names=("auc", "rows", "forgotten"), input_variables={"A": "1"})
    seen = running.poll(OPERATION)

    assert (seen.failure, seen.outputs) == (None, {"auc": 0.9, "rows": [1, {"a": None}]})
    assert server.asked[0].json["inputVariables"]["A"] == "1"


def test_poll_when_a_new_process_asks_then_it_finds_the_outputs_too(stored, submission):
    submit(stored({"auc": 0.9, "extra": 1}), submission, output_variable_names=("auc",))

    seen = stored().poll(OPERATION)

    assert seen.outputs == {"auc": 0.9}


def test_poll_when_no_outputs_were_declared_then_no_address_is_sent_and_there_are_none(stored, submission, server):
    running = stored()

    submit(running, submission)

    assert "inputVariables" not in server.asked[0].json
    assert running.poll(OPERATION).outputs == {}
    assert stored().poll(OPERATION).outputs == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, r"published no outputs \(auc\)"),
        (b"", "is not JSON"),
        (b'{"auc": 0.', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"auc": NaN}', "is not JSON: NaN is not a JSON value"),
        (b'{"auc": -Infinity}', "is not JSON"),
        (b"[1]", "is a JSON array, not an object"),
        (b"null", "is a JSON null, not an object"),
        (b"1.5", "is a JSON number, not an object"),
        (b'"auc"', "is a JSON text, not an object"),
        (b"[" * 100_000, "is not JSON"),
        (b" " * (8 * 2**20 + 1), r"take 8\.0 MiB, more than the 8 MiB allowed"),
    ],
)
def test_poll_when_there_are_no_usable_outputs_then_the_contract_failed(stored, submission, values, message):
    running = stored(values)
    submit(running, submission, output_variable_names=("auc",))

    failure = running.poll(OPERATION).failure

    assert failure.kind == "contract"
    assert __import__("re").search(message, failure.message)
    assert "publish" in failure.hint


def test_poll_when_the_notebook_failed_then_its_outputs_are_not_asked_for(stored, submission):
    running = stored({"auc": 1}, status="ERROR")
    submit(running, submission, output_variable_names=("auc",))

    seen = running.poll(OPERATION)

    assert (seen.failure.kind, seen.outputs) == ("notebook", None)


def test_submit_when_the_key_is_another_then_so_is_the_address(stored, submission, server):
    running = stored()

    for key in ("one", "two", "two"):
        submit(running, submission, key=key, output_variable_names=("auc",))

    addresses = [asked.json["inputVariables"]["DSJOBS_OUTPUTS_URL"] for asked in server.asked]
    assert addresses[0] != addresses[1] == addresses[2]


def test_submit_when_another_process_repeats_it_then_it_is_the_same_request(server, backend, submission):
    server.on("POST", EXECUTE, operation())
    server.on("PUT", ".*", Reply(200))
    environ = {"YC_IAM_TOKEN": TOKEN, "AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "very-secret"}
    place = {"output_store": "s3://bucket/runs", "output_store_endpoint": server.url}

    for _ in range(2):
        submit(backend(environ, **place), submission, output_variable_names=("auc",))

    first, second = server.calls("POST", EXECUTE)
    assert first.body == second.body
    # Signed for the moment of the first submit: neither process knows what time it is.
    assert "X-Amz-Date=20270115T080000Z" in first.json["inputVariables"]["DSJOBS_OUTPUTS_URL"]


def test_submit_when_the_store_cannot_be_made_then_nothing_is_sent(server, backend, submission, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(BackendError, match=r"the output store .* cannot be made: Not a directory"):
        submit(backend(output_store=f"file://{tmp_path}/file/x"), submission, output_variable_names=("a",))

    assert server.asked == []


def test_capabilities_when_there_is_no_store_then_there_are_no_outputs(server, backend, submission):
    server.on("POST", EXECUTE, succeeded())
    running = backend()

    assert running.capabilities == Capabilities(False, False, False, running.capabilities.looks, survives=True)
    seen = submit(running, submission, output_variable_names=("auc",))
    assert (seen.failure, seen.outputs) == (None, None)
    assert server.asked[0].json["outputVariableNames"] == ["auc"]


def test_submit_when_the_service_quotes_the_signed_address_then_no_message_shows_it(server, backend, submission):
    def execute(asked):
        return refused(400, 3, f"bad value {asked.json['inputVariables']['DSJOBS_OUTPUTS_URL']} in inputVariables")

    server.on("POST", EXECUTE, execute)
    environ = {"YC_IAM_TOKEN": TOKEN, "AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "very-secret"}

    with pytest.raises(BackendError, match=r"bad value \*\*\* in inputVariables") as caught:
        submit(backend(environ, output_store="s3://bucket/runs"), submission, output_variable_names=("auc",))

    address = server.asked[0].json["inputVariables"]["DSJOBS_OUTPUTS_URL"]
    assert address.startswith("https://storage.yandexcloud.net/bucket/runs/3f6d1a0e-")
    assert "X-Amz-Signature" in address
    assert "ru-central1" in address
    assert "Amz" not in str(caught.value) + str(caught.value.hint)
    assert "very-secret" not in address


def test_submit_when_an_input_is_a_secret_then_only_the_request_has_it(server, backend, submission):
    """A refusal may quote it, at any place of a long text, which is shortened."""

    def execute(asked):
        return refused(400, 3, "x" * 1960 + asked.json["inputVariables"]["PASSWORD"] + "y" * 100)

    server.on("POST", EXECUTE, execute)
    secret = Secret("DB", 'a long "secret" value, of more than twenty characters')
    asked = replace(submission(secrets={"PASSWORD": "DB"}), secrets={"PASSWORD": secret}, redactor=Redactor([secret]))

    with pytest.raises(BackendError, match=r"xxx\*\*\*yyy") as caught:
        backend().submit(asked, idempotency_key="key", notify=lambda _: None)

    assert server.asked[0].json["inputVariables"] == {"PASSWORD": secret.reveal()}
    assert "a long" not in str(caught.value)


# --- life and threads ---


def test_close_when_jobs_are_in_flight_then_they_are_left_to_the_service(server, backend, submission):
    server.on("POST", EXECUTE, operation())
    server.on("GET", OPERATIONS, succeeded())
    running = backend()
    submit(running, submission)
    done = running.poll(OPERATION)

    running.close()
    running.close()

    assert running.poll(OPERATION) == done
    running.cancel(OPERATION)
    for call in (lambda: submit(running, submission), lambda: running.poll("op2"), lambda: running.cancel("op2")):
        with pytest.raises(BackendError, match="closed") as caught:
            call()
        assert not caught.value.retryable
    assert not server.calls("GET", CANCEL)


def test_close_when_a_call_waits_for_its_next_try_then_it_ends(server, backend, submission):
    asked = threading.Event()

    def execute(_):
        asked.set()
        return refused(429, 8, "slow down", **{"Retry-After": "9"})

    server.on("POST", EXECUTE, execute)
    running = backend()

    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(submit, running, submission)
        assert asked.wait(10)
        running.close()
        began = time.monotonic()
        with pytest.raises(BackendError):
            call.result()
    assert time.monotonic() - began < 5


def test_backend_when_many_threads_use_it_then_each_operation_has_its_own_outcome(server, backend, submission):
    statuses = ["OK", "ERROR", "ABORTED"]

    def execute(asked):
        return operation(id=f"op{asked.headers['idempotency-key']}", metadata={})

    def look(asked):
        number = int(asked.path.removeprefix("/operations/op"))
        return operation(id=f"op{number}", done=True, response={"executionStatus": statuses[number % 3]})

    server.on("POST", EXECUTE, execute)
    server.on("GET", OPERATIONS, look)
    running = backend()

    def run(number):
        seen = running.poll(submit(running, submission, key=str(number)).id)
        return seen.failure.kind if seen.failure else "ok"

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(run, range(96)))

    assert found == [["ok", "notebook", "aborted"][number % 3] for number in range(96)]
    assert server.connections <= 17


def test_create_when_the_backend_is_made_then_it_is_in_the_registry_and_nothing_is_sent(tmp_path, submission):
    made = registry.create("datasphere", tmp_path, {"rate_limit": 5, "output_store": "s3://b/p"})

    assert (made.name, made.capabilities.outputs) == ("datasphere", True)
    assert made.check([]) == []
    made.close()
