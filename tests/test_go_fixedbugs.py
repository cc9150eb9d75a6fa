"""Go's tests of fixed bugs in `defer` and `recover` (test/fixedbugs), in Python: rules D and P.

docs/go-cases.md lists Go's files, and those without a counterpart here.
"""

import ctypes
import gc
import queue
import sys
import traceback
import weakref

import pytest

from godefer import defer, panic, recover
from tests.mirrored import squelch, value

# Callees and arguments


def test_floats_in_a_loop(way):
    """Each call deferred in a loop has the variable's value at that moment (D1).

    Mirrors bug364.go.
    """
    found = []

    @way
    def f():
        v = 0.0
        for _ in range(3):
            v += 0.1
            defer(found.append, v)

    f()
    assert found == [0.1 + 0.1 + 0.1, 0.2, 0.1]


def test_the_caller_gets_what_the_calls_have_changed(way):
    """An object is returned as such: the caller sees the changes that deferred calls make
    after the `return` (D1, D2).

    Mirrors issue19710.go.
    """

    @way
    def f():
        m = {}
        for i in range(3):
            m[i] = True
            defer(m.pop, i)
        m["kept"] = True
        return m

    assert f() == {"kept": True}


def test_an_argument_that_is_received(way):
    """An argument with an effect is computed when the `defer` runs, once (D1).

    Mirrors issue8039.go.
    """
    events = []

    @way
    def f(target):
        channel = queue.SimpleQueue()
        channel.put([1])
        defer(target.extend, channel.get())
        events.append(channel.empty())

    target = [0]
    f(target)
    assert target == [0, 1]
    assert events == [True]


@pytest.mark.parametrize("when", ["recovering", "returning"])
def test_recover_as_an_argument(way, when):
    """`defer(fn, recover())` in a deferred function recovers at the statement, where
    arguments are computed (D1, P2).

    Mirrors gcc61248.go and issue8761.go, where `recover()` is an argument, or inside of a literal.
    """
    seen = []

    @way
    def f():
        @way
        def deferred():
            defer(seen.append, [[recover()]])
            seen.append("in the deferred function")

        defer(seen.append, "remaining")
        defer(deferred)
        defer(seen.append, recover())
        if when == "recovering":
            panic("p")

    f()
    first, second, (found,), fourth = [x[0] if isinstance(x, list) else x for x in seen]
    assert (first, second, fourth) == (None, "in the deferred function", "remaining")
    assert value(found) == ("p" if when == "recovering" else None)


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2)])
def test_variadic_calls(way, arguments):
    """Calls pass no, one or several arguments, plain or starred, at the top and in a loop (D1, D8).

    Mirrors issue31573.go.
    """
    seen = []

    def variadic(*numbers):
        seen.append(numbers)

    @way
    def f():
        defer(variadic)
        defer(variadic, 1)
        defer(variadic, 1, 2)
        defer(variadic, *arguments)
        for _ in range(2):
            defer(variadic)
            defer(variadic, 1)
            defer(variadic, *arguments)

    f()
    assert seen == [arguments, (1,), ()] * 2 + [arguments, (1, 2), (1,), ()]


def test_builtin_functions_are_deferred_like_others(way):
    """Built-in functions can be deferred, those of godefer too, and their
    results are dropped (D1, D6).

    Mirrors issue7272.go, issue4463.go and issue4654.go. Go's compiler refuses some of them, since
    only their result is of use; in Python they are no mistake.
    """
    seen = []
    target, mapping = [1, 2], {"key": 1}

    @way
    def f():
        defer(seen.append, "all were called")
        defer(len, target)
        defer(target.copy)
        defer(complex, 1, 2)
        defer(mapping.pop, "key")
        defer(seen.append, "before")
        defer(squelch)
        defer(recover)
        defer(panic, 0)

    assert f() is None
    assert seen == ["before", "all were called"]
    assert mapping == {}


def test_a_function_of_a_c_library(way):
    """A foreign function is deferred like any other, and changes memory through its pointer (D1).

    Mirrors issue47227.go.
    """
    x = ctypes.c_uint32(0)

    @way
    def f():
        defer(ctypes.memset, ctypes.byref(x), 0x78, ctypes.sizeof(x))
        return x.value

    assert f() == 0
    assert x.value == 0x78787878


@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy has no reference counts: its collector decides when an object dies",
)
@pytest.mark.parametrize("error", [None, ValueError])
@pytest.mark.parametrize("kind", ["function", "loop", "method", "method in a loop"])
def test_arguments_live_until_the_call(way, kind, error):
    """An argument without other references lives until its deferred call, and
    not for long after (D1, D9).

    Mirrors issue24491a.go.
    """

    class Value:
        pass

    made, seen = [], []

    def setup():
        v = Value()
        made.append(weakref.ref(v))
        return v

    def function(*values):
        gc.collect()
        seen.append(values == tuple(ref() for ref in made))

    class S:
        def method(self, *values):
            function(*values)

    @way
    def f():
        if kind == "function":
            defer(function, setup(), setup())
        if kind == "method":
            defer(S().method, setup(), setup())
        while "loop" in kind:
            defer(S().method if "method" in kind else function, setup(), setup())
            break
        if error:
            raise error

    try:
        f()
    except ValueError as caught:
        traceback.clear_frames(caught.__traceback__)
    assert seen == [True]
    assert [ref() for ref in made] == [None, None]


# Functions that are nil


def test_a_method_of_nothing_panics_at_the_statement(way):
    """A callee that cannot be computed is an error at the `defer`: the body ends, and
    earlier calls run (D1, D2).

    Mirrors issue6055.go and issue15975.go.
    """
    events = []
    nothing = None

    @way
    def f():
        defer(gc.collect)
        defer(events.append, "deferred before")
        defer(nothing.close)
        events.append("never")

    with pytest.raises(AttributeError):
        f()
    assert events == ["deferred before"]


def test_a_nil_function_during_a_panic(way):
    """Calling a nil function because of a panic replaces the panic; a recovery
    leaves no trace (D7, P5).

    Mirrors issue8047b.go.
    """
    seen = []
    nothing = None

    @way
    def f():
        defer(nothing)
        panic(1)

    @way
    def main():
        def deferred():
            seen.append(recover())

        defer(deferred)
        f()

    main()
    (found,) = seen
    assert type(found) is TypeError
    assert value(found.__context__) == 1


# Garbage, and other panics, while a panic is on its way


def test_collecting_garbage_in_a_deferred_function(way):
    """A garbage collection in a deferred call changes nothing, even during nested panics (P5, D9).

    Mirrors issue8132.go, issue8048.go, issue10486.go and issue27518a.go.
    """
    seen = []

    @way
    def main():
        @way
        def failing(x):
            def deferred():
                seen.append(value(recover()))
                gc.collect()
                x.attribute  # noqa: B018

            defer(deferred)
            panic("first")

        def deferred():
            gc.collect()
            seen.append(type(recover()))
            gc.collect()

        defer(deferred)
        failing(None)

    main()
    assert seen == ["first", AttributeError]


def test_calls_after_a_recovered_double_panic_are_made(way):
    """Panics recovered further down do not keep a later panic from running the
    calls on its way (D2, P5).

    Mirrors issue48898.go.
    """
    seen = []

    def note():
        seen.append(value(recover()))

    @way
    def first():
        @way
        def recovering():
            @way
            def deferred():
                defer(squelch)
                defer(panic, 3)
                panic(2)

            defer(deferred)
            defer(squelch)
            panic(1)

        defer(int)
        recovering()

    @way
    def second(x):
        @way
        def failing():
            defer(int)
            panic(4)

        defer(seen.append, x)
        failing()

    @way
    def main():
        defer(note)
        first()
        second(123)

    main()
    assert seen == [123, 4]
