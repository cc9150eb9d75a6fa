"""`panic` and `Panic`; a panic is an exception like any other: rules P1 and P5."""

import asyncio
import copy
import pickle
import sys

import pytest

from godefer import Panic, defer, panic, recover

VALUES = ["text", None, 0, (1, 2), ["list"], object]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_panic_raises_its_value(value):
    """`panic(value)` raises a Panic with that very `.value`, None too (P1)."""
    with pytest.raises(Panic) as caught:
        panic(value)
    assert caught.value.value is value


def test_panic_needs_a_value():
    """`panic` requires a value, as in Go (P1)."""
    with pytest.raises(TypeError):
        panic()


def test_a_panic_is_a_runtime_error():
    """Panic is a RuntimeError, so an `except RuntimeError` catches it (P1)."""
    with pytest.raises(RuntimeError, match="out of tea"):
        panic("out of tea")


def test_a_panic_shows_its_value():
    """A traceback shows the value of the panic (P1)."""
    assert str(Panic("out of tea")) == "out of tea"
    assert str(Panic(7)) == "7"
    assert repr(Panic("out of tea")) == "Panic('out of tea')"


def test_a_panic_is_named_for_its_package():
    """A traceback calls it godefer.Panic, without the private module (P1)."""
    assert f"{Panic.__module__}.{Panic.__qualname__}" == "godefer.Panic"


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_a_panic_can_be_copied_and_pickled(duplicate):
    """A Panic keeps its value when it is copied, or sent to another process (P1)."""
    again = duplicate(Panic(["value"]))
    assert type(again) is Panic
    assert again.value == ["value"]
    assert again.args == (["value"],)


@pytest.mark.parametrize(
    "error", [ValueError("v"), KeyboardInterrupt(), Panic(1)], ids=lambda e: type(e).__name__
)
def test_an_exception_is_raised_as_it_is(error):
    """An exception given as value is raised itself, a BaseException too (P1)."""
    with pytest.raises(type(error)) as caught:
        panic(error)
    assert caught.value is error


def test_an_exception_class_is_raised_as_by_raise():
    """An exception class given as value is raised as `raise` would (P1)."""
    with pytest.raises(ZeroDivisionError) as caught:
        panic(ZeroDivisionError)
    assert caught.value.args == ()


def test_an_exception_given_as_value_keeps_its_attributes():
    """Cause, notes and suppression of an exception given as value are left alone (P1)."""
    error = ValueError("v")
    error.__cause__ = KeyError("cause")
    error.add_note("note")
    with pytest.raises(ValueError) as caught:
        panic(error)
    assert caught.value.__cause__.args == ("cause",)
    assert caught.value.__suppress_context__
    assert caught.value.__notes__ == ["note"]


def test_a_panic_chains_like_an_exception():
    """A panic inside an `except` has the handled exception as its context (P1)."""
    try:
        raise KeyError("handled")
    except KeyError as e:
        handled = e
        with pytest.raises(Panic) as caught:
            panic("new")
    assert caught.value.__context__ is handled
    assert caught.value.__cause__ is None
    assert not caught.value.__suppress_context__


def test_a_panic_runs_the_deferred_calls_of_every_function_on_the_way(way):
    """A panic runs the calls of each function on its way, until it is recovered (P1, D2)."""
    ran = []

    @way
    def inner():
        defer(ran.append, "inner")
        panic("value")
        ran.append("never reached")

    @way
    def middle():
        defer(ran.append, "middle")
        inner()
        ran.append("never reached")

    @way
    def outer():
        defer(lambda: ran.append(recover().value))
        middle()
        ran.append("never reached")

    outer()
    assert ran == ["inner", "middle", "value"]


def test_any_exception_is_a_panic(way):
    """`recover` takes any exception, of the interpreter or a library, like a panic (P1)."""
    seen = []

    @way
    def f(fn, *args):
        defer(lambda: seen.append(type(recover())))
        fn(*args)

    f(int, "x")
    f(next, iter(()))
    f([].pop)
    f(panic, 1)
    assert seen == [ValueError, StopIteration, IndexError, Panic]


def test_an_exception_of_a_deferred_call_is_a_panic(way):
    """An exception of a deferred call on a normal exit is recovered like a panic (P1, P5)."""
    seen = []

    @way
    def f():
        defer(lambda: seen.append(recover()))
        defer(panic, "deferred")
        return "result"

    assert f() == "result"
    assert [p.value for p in seen] == ["deferred"]


def test_deferring_panic_itself(way):
    """`defer(panic, value)` panics at the exit, chained to the exception in flight (P1, P5)."""

    @way
    def f():
        defer(panic, "deferred")
        raise LookupError("body")

    with pytest.raises(Panic, match="deferred") as caught:
        f()
    assert type(caught.value.__context__) is LookupError


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
def test_a_panic_in_a_deferred_call_replaces_the_one_in_flight(way, kind):
    """A newer panic replaces the one in flight, and has it as its context (P5)."""
    seen = []

    def note():
        seen.append(sys.exception())

    @way
    def function():
        defer(note)
        defer(panic, "second")
        defer(note)
        panic("first")

    @way
    def generator():
        defer(note)
        defer(panic, "second")
        defer(note)
        yield
        panic("first")

    @way
    async def coroutine():
        defer(note)
        defer(panic, "second")
        defer(note)
        panic("first")

    calls = {
        "function": function,
        "generator": lambda: list(generator()),
        "coroutine": lambda: asyncio.run(coroutine()),
    }
    with pytest.raises(Panic, match="second") as caught:
        calls[kind]()
    first, second = seen
    assert second is caught.value
    assert second.__context__ is first
    assert first.value == "first"


def test_the_replacing_panic_can_be_recovered(way):
    """A later call recovers the newer panic, and the older one does not come back (P5)."""
    seen = []

    @way
    def f():
        defer(lambda: seen.append(recover()))
        defer(lambda: seen.append(recover()))
        defer(panic, "second")
        panic("first")

    f()
    second, nothing = seen
    assert (second.value, second.__context__.value, nothing) == ("second", "first", None)


def test_a_panic_inside_a_deferred_functions_own_function(way):
    """A panic recovered within a deferred function leaves the outer one in flight (P5, P2)."""
    seen = []

    @way
    def deferred():
        defer(lambda: seen.append(recover()))
        panic("inner")

    @way
    def f():
        defer(lambda: seen.append(recover()))
        defer(deferred)
        panic("outer")

    f()
    assert [p.value for p in seen] == ["inner", "outer"]
