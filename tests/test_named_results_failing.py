"""Named results when the function fails, recovers, or has an exception suppressed: section N.

Named results are always compiled into the function, so these tests use `with_defers` itself, not
the fixture `way`. The values are those of the same programs in Go.
"""

import pytest

from godefer import (
    defer,
    errdefer,
    okdefer,
    panic,
    recover,
    using,
    with_defers,
)
from tests.managers import Answering


def test_an_exception_propagates():
    """An exception leaves the function, whatever the variable holds (N)."""
    events = []

    @with_defers(result="err")
    def f():
        err = "set"
        defer(lambda: events.append(err))
        raise KeyError(1)

    with pytest.raises(KeyError) as caught:
        f()
    assert events == ["set"]
    assert caught.value.__context__ is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_an_exit_propagates(error):
    """An exit that is not recovered leaves the function after its calls: Go's Goexit (N, P3)."""
    events = []

    @with_defers(result="n")
    def f():
        def change():
            nonlocal n
            n += 1
            events.append((n, recover()))

        n = 1
        defer(change)
        raise error

    with pytest.raises(type(error)) as caught:
        f()
    assert caught.value is error
    assert events == [(2, None)]


def test_recovery_gives_the_current_value():
    """After a recovery the caller gets the variable's value, changed or not (N, P4)."""

    @with_defers(result="n")
    def unchanged():
        def recovers():
            recover()

        defer(recovers)
        n = 7
        panic("lost")

    @with_defers(result="err")
    def changed():
        def recovers():
            nonlocal err
            err = recover()

        defer(recovers)
        err = None
        raise KeyError(1)

    assert unchanged() == 7
    assert repr(changed()) == "KeyError(1)"


def test_recovery_of_several():
    """After a recovery each of several names has its current value (N, P4)."""

    @with_defers(result=("n", "err"))
    def f():
        def recovers():
            nonlocal err
            err = str(recover())

        defer(recovers)
        err = None
        n = 1
        raise ValueError("in the body")

    assert f() == (1, "in the body")


def test_a_call_fails_after_the_return():
    """A value assigned by `return` survives a failing call and an outer recovery (N, P4, P5)."""
    seen = []

    @with_defers(result="n")
    def f():
        def recovers():
            nonlocal n
            seen.append((str(recover()), n))
            n += 100

        def fails():
            nonlocal n
            n += 1
            raise ValueError("late")

        defer(recovers)
        defer(fails)
        n = 0
        return 1

    assert f() == 102
    assert seen == [("late", 2)]


def test_a_panic_in_the_return():
    """A `return` with a failing expression assigns nothing (N)."""

    @with_defers(result="n")
    def f():
        def recovers():
            recover()

        defer(recovers)
        n = 3
        return 1 // 0

    assert f() == 3


def test_a_panic_is_replaced_and_recovered():
    """A call's panic replaces the one in flight; an outer call recovers it (N, P5)."""
    seen = []

    @with_defers(result="n")
    def f():
        def outer():
            nonlocal n
            seen.append(str(recover()))
            n += 1

        def again():
            nonlocal n
            n = 40
            raise ValueError(f"again {recover()}")

        n = 0
        defer(outer)
        defer(again)
        raise ValueError("first")

    assert f() == 41
    assert seen == ["again first"]


def test_calls_after_a_recovery_change_the_result():
    """The calls after a recovery run as on a return, and change the result (N, P4, D10)."""
    events = []

    @with_defers(result="n")
    def f():
        def add(k):
            nonlocal n
            n += k

        def recovers():
            recover()

        n = 1
        defer(add, 10)
        okdefer(add, 100)
        errdefer(events.append, "failing")
        defer(recovers)
        raise ValueError

    assert f() == 111
    assert events == []


def test_errdefer_and_okdefer():
    """An `okdefer` call changes the result of a return, an `errdefer` call that of a recovery
    (N, D10).
    """

    @with_defers(result="n")
    def f(error):
        def put(k):
            nonlocal n
            n = n * 10 + k

        def recovers():
            recover()

        n = 0
        defer(put, 1)
        defer(recovers)
        errdefer(put, 2)
        okdefer(put, 3)
        if error:
            raise ValueError
        return 5

    assert f(error=False) == 531
    assert f(error=True) == 21


def test_a_suppressing_context_manager():
    """If a context manager suppresses the exception, the caller gets the current value (N, D11)."""
    events = []

    @with_defers(result="n")
    def f():
        using(Answering(events, answer=True))
        n = 5
        raise KeyError

    assert f() == 5
    assert events == [KeyError]


def test_a_suppressing_context_manager_among_defers():
    """Calls deferred before a suppressing manager run as on a return (N, D11).

    They change the result.
    """
    events = []

    @with_defers(result="n")
    def f(error):
        def double():
            nonlocal n
            n *= 2

        okdefer(double)
        manager = using(Answering(events, answer=True))
        defer(double)
        n = 5
        if error:
            raise error
        events.append(type(manager))
        return 7

    assert f(KeyError()) == 20
    assert f(None) == 28
    assert events == [KeyError, Answering, None]


def test_a_suppressing_context_manager_in_a_loop():
    """If managers entered in a loop suppress, the caller gets the current value (N, D8, D11)."""
    events = []

    @with_defers(result="n")
    def f():
        n = 0
        for answer in (False, True, False):
            n += 1
            using(Answering(events, answer))
        raise KeyError

    assert f() == 3
    assert events == [KeyError, KeyError, None]
