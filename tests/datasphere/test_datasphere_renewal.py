"""Tokens that end or are rejected: when they are renewed, by whom, and what is said where they cannot be."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from issuer import key_file, used
from loopback import IAM, OPERATION, OPERATIONS, TOKEN, Reply, operation, refused, succeeded

from dsjobs.backends.datasphere.credentials.keeper import Keeper
from dsjobs.backends.datasphere.credentials.source import Token
from dsjobs.errors import BackendError


def test_call_when_the_token_is_rejected_then_it_is_renewed_once_and_the_call_repeated(connect, issuer, server):
    def look(asked):
        return succeeded() if asked.token in issuer.given[1:] else refused(401, 16, "Token is invalid or has expired.")

    server.on("GET", OPERATIONS, look)
    connection = connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"})

    assert connection.api.operation(OPERATION).done
    assert connection.api.operation(OPERATION).done
    assert len(issuer.given) == 2
    assert [asked.token for asked in server.calls("GET", OPERATIONS)] == [issuer.given[0], *[issuer.given[1]] * 2]


def test_call_when_every_token_is_rejected_then_it_ends(connect, issuer, server):
    server.on("GET", OPERATIONS, refused(401, 16, "Token is invalid or has expired."))

    with pytest.raises(BackendError, match="answered 401, UNAUTHENTICATED") as caught:
        used(connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"}))

    assert not caught.value.retryable
    assert len(issuer.given) == 2


def test_call_when_a_given_token_is_rejected_then_the_error_says_that_it_cannot_be_renewed(connect, server):
    server.on("GET", OPERATIONS, refused(401, 16, "Token is invalid or has expired.", **{"x-request-id": "r-9"}))

    with pytest.raises(BackendError, match=r"request r-9.*the token from YC_IAM_TOKEN .* cannot be renewed") as caught:
        used(connect())

    assert not caught.value.retryable
    assert "what was submitted goes on" in caught.value.hint
    assert len(server.calls("GET", OPERATIONS)) == 1


def test_call_when_sixteen_threads_see_the_token_rejected_then_one_renews_it(connect, issuer, server):
    def look(asked):
        return succeeded() if asked.token in issuer.given[1:] else refused(401, 16, "Token is invalid or has expired.")

    server.on("GET", OPERATIONS, look)
    connection = connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"})
    connection.keeper.current()
    barrier = threading.Barrier(16)

    def poll(_):
        barrier.wait()
        return [connection.api.operation(OPERATION).done for _ in range(5)]

    with ThreadPoolExecutor(16) as threads:
        assert all(all(done) for done in threads.map(poll, range(16)))

    assert len(issuer.given) == 2


def test_call_when_sixteen_threads_want_the_first_token_then_one_asks_for_it(connect, issuer):
    connection = connect({"YC_SERVICE_ACCOUNT_KEY_FILE": key_file()})
    barrier = threading.Barrier(16)

    def poll(_):
        barrier.wait()
        return connection.api.operation(OPERATION)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(poll, range(16)))

    assert len(issuer.given) == 1


def test_call_when_the_issuer_is_busy_then_it_is_asked_again(connect, server, moments):
    server.on("GET", OPERATIONS, operation())
    server.on("POST", IAM, refused(503, 14), Reply(reset=True), Reply(body={"iamToken": TOKEN}))

    used(connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"}))

    assert len(server.calls("POST", IAM)) == 3


@pytest.mark.parametrize("body", [{}, {"iamToken": ""}, {"iamToken": 5}, {"token": TOKEN}])
def test_call_when_the_issuer_gives_no_token_then_that_is_an_error(connect, server, body):
    server.on("POST", IAM, Reply(body=body))

    with pytest.raises(BackendError, match="without iamToken"):
        used(connect({"YC_OAUTH_TOKEN": "y0_good_oauth_token"}))


class Source:
    """Credentials whose tokens a test makes."""

    kind, where, note, renewal = "test", "here", None, None

    def __init__(self, make):
        self.make, self.made = make, 0
        self.lock = threading.Lock()

    def token(self):
        with self.lock:
            self.made += 1
            number = self.made
        return self.make(number)


def test_keeper_when_the_end_comes_near_then_one_thread_renews_and_the_others_go_on():
    now, renewing, go_on = [0.0], threading.Event(), threading.Event()

    def make(number):
        if number == 2:
            renewing.set()
            assert go_on.wait(30)
        return Token(f"t{number}", expires_at=now[0] + 1000.0)

    keeper = Keeper(lambda: source, lambda: now[0])
    source = Source(make)
    assert keeper.current() == "t1"
    now[0] = 801.0

    with ThreadPoolExecutor(17) as threads:
        renewed = threads.submit(keeper.current)
        assert renewing.wait(30)
        assert set(threads.map(lambda _: keeper.current(), range(16))) == {"t1"}
        go_on.set()
        assert renewed.result() == "t2"
    assert source.made == 2


@pytest.mark.parametrize(
    ("token", "still", "renewed"),
    [
        (Token("t", expires_at=43200.0), 3599.0, 3601.0),  # hourly, whatever its life
        (Token("t", expires_at=1800.0), 1499.0, 1501.0),  # five minutes ahead
        (Token("t", expires_at=100.0), 79.0, 81.0),  # a fifth of a short life ahead
        (Token("t", None), 3599.0, 3601.0),
        (Token("t", None, reuse=60.0), 59.0, 61.0),
        (Token("t", expires_at=-5.0), 3599.0, 3601.0),  # one of the two clocks is wrong
    ],
)
def test_keeper_when_time_passes_then_a_token_is_renewed_ahead_of_its_end(token, still, renewed):
    now = [0.0]
    source = Source(lambda number: token)
    keeper = Keeper(lambda: source, lambda: now[0])

    keeper.current()
    now[0] = still
    keeper.current()
    assert source.made == 1
    now[0] = renewed
    keeper.current()
    assert source.made == 2


def test_keeper_when_a_renewal_ahead_of_time_fails_then_the_old_token_is_used_while_it_is_good():
    now = [0.0]

    def make(number):
        if number > 1:
            raise BackendError("the issuer is down", retryable=True)
        return Token("t1", expires_at=1000.0)

    source = Source(make)
    keeper = Keeper(lambda: source, lambda: now[0])
    keeper.current()
    now[0] = 801.0

    assert [keeper.current() for _ in range(5)] == ["t1"] * 5
    assert source.made == 2  # not at every call
    now[0] = 832.0
    assert keeper.current() == "t1"
    assert source.made == 3
    now[0] = 1001.0
    with pytest.raises(BackendError, match="the issuer is down"):
        keeper.current()


def test_keeper_when_a_renewal_fails_then_every_thread_that_waited_hears_of_it():
    waiting = threading.Barrier(16)
    go_on = threading.Event()

    def make(number):
        go_on.wait(30)
        raise BackendError("the issuer is down", retryable=True)

    source = Source(make)
    keeper = Keeper(lambda: source, lambda: 0.0)

    def ask(_):
        waiting.wait()
        try:
            return keeper.current()
        except BackendError as error:
            return str(error)

    with ThreadPoolExecutor(16) as threads:
        answers = [threads.submit(ask, number) for number in range(16)]
        while keeper._renewal is None:
            time.sleep(0.001)
        time.sleep(0.05)
        go_on.set()
        assert {answer.result() for answer in answers} == {"the issuer is down"}
    assert source.made <= 2
