"""`recover` takes exceptions; exits such as SystemExit go on, unless they are named: rule P3."""

import asyncio
import sys

import pytest

from godefer import Panic, defer, errdefer, okdefer, panic, recover
from tests.helpers import Seen

GOES_ON = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, BaseException]


@pytest.mark.parametrize("error", GOES_ON)
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_an_exit_goes_on(way, error, kind):
    """`recover()` leaves an exit in flight, and every deferred call runs, as Go's Goexit (P3)."""
    seen = Seen()

    @way
    def function():
        defer(seen.recover)
        defer(seen.append, "middle")
        defer(seen.recover)
        raise error

    @way
    async def coroutine():
        defer(seen.recover)
        defer(seen.append, "middle")
        defer(seen.recover)
        raise error

    with pytest.raises(error) as caught:
        function() if kind == "function" else coroutine().send(None)
    assert type(caught.value) is error
    assert seen == [None, "middle", None]


def test_a_base_exception_group_goes_on(way):
    """`recover()` takes an ExceptionGroup, but not a BaseExceptionGroup (P3)."""
    seen = Seen()

    @way
    def f(error):
        defer(seen.recover)
        raise error

    group = ExceptionGroup("group", [ValueError()])
    f(group)
    with pytest.raises(BaseExceptionGroup):
        f(BaseExceptionGroup("group", [KeyboardInterrupt()]))
    assert seen == [group, None]


@pytest.mark.parametrize("error", [*GOES_ON, ValueError])
def test_naming_a_type_takes_it(way, error):
    """`recover(Type)` takes an exception of that type or a subtype, BaseExceptions too (P3)."""
    seen = []

    @way
    def f(*types):
        def deferred():
            seen.append(type(recover(*types)))

        defer(deferred)
        raise error
        return "never"

    assert f(error) is None
    assert f(BaseException) is None
    assert f(ZeroDivisionError, error) is None
    assert seen == [error] * 3


def test_another_type_is_not_stopped(way):
    """`recover(Type)` does not stop an exception of a different type; a later `recover` can
    still take it (P3).
    """
    seen = []
    error = ValueError("body")

    @way
    def f():
        def deferred():
            seen.append(recover(KeyError, OSError))
            seen.append(recover(SystemExit))

        def last():
            seen.append(recover(KeyError))
            seen.append(recover(LookupError, ValueError))
            seen.append(recover(ValueError))

        defer(last)
        defer(deferred)
        raise error

    f()
    assert seen == [None, None, None, error, None]


def test_naming_a_type_replaces_exception(way):
    """A `recover` with a type does not take other Exceptions (P3)."""

    @way
    def f():
        def deferred():
            recover(SystemExit)

        defer(deferred)
        raise ValueError

    with pytest.raises(ValueError):
        f()


@pytest.mark.parametrize(
    "bad", [int, 7, "ValueError", None, ValueError("instance"), (ValueError, KeyError), list[int]]
)
def test_an_argument_that_is_no_exception_type(way, bad):
    """An argument that is no exception type is a TypeError that names it, at any time (P3)."""
    with pytest.raises(TypeError) as caught:
        recover(bad)
    assert repr(bad) in str(caught.value)
    assert "exception type" in str(caught.value)
    with pytest.raises(TypeError):
        recover(ValueError, bad)

    @way
    def f():
        def deferred():
            recover(ValueError, bad)

        defer(deferred)
        raise ValueError("body")

    with pytest.raises(TypeError) as caught:
        f()
    assert caught.value.__context__.args == ("body",)


@pytest.mark.parametrize("error", GOES_ON)
@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
def test_an_exit_goes_on_when_its_replacement_is_recovered(way, error, kind):
    """An exit that a failing call replaced goes on once that failure is recovered (P3)."""
    seen = Seen()

    @way
    def function():
        defer(seen.recover)
        defer(seen.append, "after the recovery")
        defer(seen.recover)
        defer(panic, "in a deferred call")
        raise error

    @way
    def generator():
        defer(seen.recover)
        defer(seen.append, "after the recovery")
        defer(seen.recover)
        defer(panic, "in a deferred call")
        yield
        raise error

    @way
    async def coroutine():
        defer(seen.recover)
        defer(seen.append, "after the recovery")
        defer(seen.recover)
        defer(panic, "in a deferred call")
        raise error

    calls = {
        "function": function,
        "generator": lambda: list(generator()),
        "coroutine": lambda: coroutine().send(None),
    }
    with pytest.raises(error) as caught:
        calls[kind]()
    assert type(caught.value) is error
    assert seen.values() == ["in a deferred call", "after the recovery", None]


def test_an_exit_goes_on_through_several_replacements(way):
    """An exit goes on after several replacements, each recovered or itself replaced (P3)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover)
        defer(panic, 4)
        defer(panic, 3)
        defer(seen.recover)
        defer(panic, 2)
        defer(seen.recover)
        defer(panic, 1)
        raise SystemExit("exit")

    with pytest.raises(SystemExit, match="exit"):
        f()
    assert seen.values() == [1, 2, 4]


def test_an_exit_in_a_deferred_call_replaces_an_exception(way):
    """An exit raised by a deferred call replaces the exception in flight, and goes on (P3, P5)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover)
        defer(sys.exit, 3)
        panic("p")

    with pytest.raises(SystemExit) as caught:
        f()
    assert caught.value.code == 3
    assert seen == [None]


def test_an_exit_that_was_replaced_and_goes_on_fails_the_function(way):
    """For `errdefer` and `okdefer` a function with an exit that goes on is failing (P3, D10)."""
    seen = Seen()

    @way
    def f():
        errdefer(seen.append, "errdefer")
        okdefer(seen.append, "okdefer")
        defer(seen.recover)
        defer(panic, "in a deferred call")
        raise SystemExit

    with pytest.raises(SystemExit):
        f()
    assert seen.values() == ["in a deferred call", "errdefer"]


def test_an_exit_that_is_named_ends(way):
    """An exit that `recover(Type)` has taken is over, and does not come back (P3)."""
    seen = Seen()

    @way
    def f():
        def take():
            recover(SystemExit)

        defer(seen.recover)
        defer(panic, "later")
        defer(take)
        raise SystemExit

    assert f() is None
    assert seen.values() == ["later"]


def test_an_exit_that_a_deferred_call_raises_again_ends_when_it_is_named(way):
    """An exit raised again replaces nothing, so `recover(Type)` ends it (P3)."""
    found = []

    @way
    def f():
        def again():
            raise sys.exception()

        defer(lambda: found.append(recover(SystemExit)))
        defer(again)
        raise SystemExit(3)

    assert f() is None
    assert found[0].code == 3


def test_an_exit_that_is_named_ends_although_its_taker_fails(way):
    """An exit that `recover(Type)` has taken is over, although the same deferred function then
    panics, and a later call recovers that panic (P3).
    """
    seen = Seen()

    @way
    def f():
        def take_and_fail():
            recover(SystemExit)
            panic("later")

        defer(seen.recover)
        defer(take_and_fail)
        raise SystemExit

    assert f() is None
    assert seen.values() == ["later"]


def test_an_exception_that_replaced_no_exit_is_left_as_it_is(way):
    """An exception that replaces no exit gets no attribute of godefer, only a note (P3, P6)."""

    @way
    def f():
        defer(panic, "later")
        raise LookupError

    with pytest.raises(Panic) as caught:
        f()
    assert vars(caught.value).keys() - {"__notes__"} == {"value"}


def test_an_exit_replaced_inside_a_deferred_function_goes_on(way):
    """Panics recovered within deferred functions do not touch an exit of a caller (P3)."""
    seen = Seen()

    @way
    def deferred():
        defer(seen.recover)
        panic("inner")

    @way
    def f():
        defer(seen.recover)
        defer(deferred)
        raise SystemExit

    with pytest.raises(SystemExit):
        f()
    assert seen.values() == ["inner", None]


def test_an_exit_that_was_replaced_goes_on_where_the_caller_recovers(way):
    """An exit goes on if the caller recovers its replacement, as in Go (P3)."""
    seen = Seen()

    @way
    def inner():
        defer(panic, "in a deferred call")
        raise SystemExit("exit")

    @way
    def outer():
        defer(seen.append, "outer deferred")
        defer(seen.recover)
        inner()
        seen.append("never reached")

    with pytest.raises(SystemExit, match="exit"):
        outer()
    assert seen.values() == ["in a deferred call", "outer deferred"]


def test_an_exit_inside_a_deferred_function_replaces_the_outer_exception(way):
    """An exit of a deferred function's own calls replaces the outer exception (P3, P5)."""
    seen = Seen()

    @way
    def deferred():
        defer(seen.recover)
        defer(panic, "second")
        raise SystemExit("exit")

    @way
    def f():
        defer(seen.recover)
        defer(deferred)
        panic("first")

    with pytest.raises(SystemExit, match="exit"):
        f()
    assert seen.values() == ["second", None]


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
def test_an_exit_that_an_except_clause_has_dealt_with_is_over(way, error):
    """An exit that an `except` clause has caught does not come back (P3)."""
    seen = Seen()

    def catches():
        try:
            raise error
        except error:
            raise ValueError("instead") from None

    @way
    def body():
        defer(seen.recover)
        try:
            raise error
        except error:
            raise ValueError("instead")

    @way
    def deferred():
        defer(seen.recover)
        defer(catches)

    assert body() is None
    assert deferred() is None
    assert [e.args for e in seen] == [("instead",), ("instead",)]
