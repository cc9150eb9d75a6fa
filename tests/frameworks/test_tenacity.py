"""tenacity calls a failing function again: each try has its own deferred calls (A, D4)."""

import asyncio
import inspect

import pytest

pytest.importorskip("tenacity", reason="tenacity is not installed (the extra 'frameworks' has it)")

from tenacity import (
    AsyncRetrying,
    RetryError,
    Retrying,
    TryAgain,
    retry,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_none,
)

from godefer import defer, errdefer, okdefer, recover

patient = retry(
    stop=stop_after_attempt(3), wait=wait_none(), retry=retry_if_exception_type(ConnectionError)
)
EVENTS_OF_THREE_TRIES = [
    "try 1",
    "1 fails",
    "1 exits",
    "try 2",
    "2 fails",
    "2 exits",
    "try 3",
    "3 returns",
    "3 exits",
]


@pytest.fixture(params=["below", "above"])
def decorated(request, way):
    """Return a function with @with_defers below, or above, a retrying decorator."""
    return lambda again, fn: again(way(fn)) if request.param == "below" else way(again(fn))


def test_each_try(decorated, events):
    """A try's deferred calls run before the next try begins; `errdefer` runs for
    failed tries (A, D4, D10).
    """
    tries = iter([1, 2, 3])

    def connect(host):
        n = next(tries)
        defer(events.append, f"{n} exits")
        errdefer(events.append, f"{n} fails")
        okdefer(events.append, f"{n} returns")
        events.append(f"try {n}")
        if n < 3:
            raise ConnectionError(host)
        return host

    connect = decorated(patient, connect)
    assert connect("db") == "db"
    assert events == EVENTS_OF_THREE_TRIES
    assert connect.statistics["attempt_number"] == 3


def test_each_try_of_a_coroutine_function(decorated, events):
    """The clean-ups of a coroutine function are awaited before the next try (A, D4, D6)."""
    tries = iter([1, 2, 3])

    async def note(text):
        await asyncio.sleep(0)
        events.append(text)

    async def connect(host):
        n = next(tries)
        defer(note, f"{n} exits")
        errdefer(note, f"{n} fails")
        okdefer(note, f"{n} returns")
        await note(f"try {n}")
        if n < 3:
            raise ConnectionError(host)
        return host

    connect = decorated(patient, connect)
    assert inspect.iscoroutinefunction(connect) == inspect.iscoroutinefunction(patient(note))
    assert asyncio.run(connect("db")) == "db"
    assert events == EVENTS_OF_THREE_TRIES


def test_the_last_try_fails(decorated, events):
    """When no try succeeds, each has run its calls, and tenacity's error has the last
    exception as its cause (D2).
    """

    def connect():
        errdefer(events.append, "fails")
        raise ConnectionError("refused")

    with pytest.raises(RetryError) as caught:
        decorated(patient, connect)()
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert events == ["fails"] * 3


def test_an_exception_without_a_retry(decorated, events):
    """An exception without a retry leaves at once, after the calls of the one try (D2)."""

    def connect():
        defer(events.append, "exits")
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        decorated(patient, connect)()
    assert events == ["exits"]


def test_an_exception_of_a_deferred_call_is_tried_again(decorated, events):
    """A deferred call that fails makes its try fail: the retrying decorator sees its exception
    (D5).
    """
    failures = [ConnectionError("not flushed")]

    def flush():
        events.append("flush")
        if failures:
            raise failures.pop()

    def send():
        defer(flush)
        events.append("send")
        return "sent"

    assert decorated(patient, send)() == "sent"
    assert events == ["send", "flush", "send", "flush"]


def test_a_try_that_recovers_is_not_tried_again(decorated, events):
    """A function that recovers returns, so it is not tried again unless its result asks for it
    (P4).
    """
    again = retry(stop=stop_after_attempt(3), retry=retry_if_result(lambda result: result is None))
    tries = iter([1, 2, 3])

    def connect():
        n = next(tries)
        defer(lambda: events.append(repr(recover())))
        if n < 2:
            raise ConnectionError(n)
        return n

    assert decorated(again, connect)() == 2
    assert events == ["ConnectionError(1)", "None"]
    events.clear()
    tries = iter([1, 2, 3])
    assert decorated(patient, connect)() is None
    assert events == ["ConnectionError(1)"]


def test_asking_for_another_try(decorated, events):
    """tenacity's own exception TryAgain, which asks for another try, is an
    exception like any other (P1).
    """
    tries = iter([1, 2])

    def poll():
        n = next(tries)
        errdefer(events.append, f"{n} fails")
        if n < 2:
            raise TryAgain
        return n

    assert decorated(patient, poll)() == 2
    assert events == ["1 fails"]


def test_another_policy_for_the_same_function(decorated, events):
    """Tries of a function made by `retry_with` have their own calls too (A)."""

    def connect():
        defer(events.append, "exits")
        raise ConnectionError

    with pytest.raises(RetryError):
        decorated(patient, connect).retry_with(stop=stop_after_attempt(2))()
    assert events == ["exits"] * 2


def test_tries_as_a_loop(way, events):
    """The `with` blocks of tenacity's loop are not calls: their defers belong
    to the function (D2, D8).
    """

    @way
    def connect():
        for attempt in Retrying(stop=stop_after_attempt(3)):
            with attempt:
                n = attempt.retry_state.attempt_number
                defer(events.append, f"{n} exits")
                events.append(f"try {n}")
                if n < 3:
                    raise ConnectionError

    @way
    async def connect_async():
        async for attempt in AsyncRetrying(stop=stop_after_attempt(2)):
            with attempt:
                n = attempt.retry_state.attempt_number
                defer(events.append, f"{n} exits")
                events.append(f"try {n}")
                if n < 2:
                    raise ConnectionError

    connect()
    assert events == ["try 1", "try 2", "try 3", "3 exits", "2 exits", "1 exits"]
    events.clear()
    asyncio.run(connect_async())
    assert events == ["try 1", "try 2", "2 exits", "1 exits"]


def test_methods(decorated, events):
    """Under a retrying decorator a method has its object (A)."""

    class Client:
        tries = 0

        def get(self, path):
            self.tries += 1
            defer(events.append, f"{self.tries} exits")
            if self.tries < 2:
                raise ConnectionError
            return self, path

        get = decorated(patient, get)

    client = Client()
    assert client.get("/") == (client, "/")
    assert events == ["1 exits", "2 exits"]
