"""Go's own tests of `defer` (test/defer*.go, test/abi), in Python: rules D and N.

docs/go-cases.md lists Go's files, and those without a counterpart here. Functions with named
results are always compiled (R3), so they use `with_defers` itself.
"""

import contextlib
import gc
import io
import sys
import threading
import weakref

import pytest

from godefer import defer, explain, panic, recover, with_defers

# defer.go, deferprint.go, defernil.go, deferfin.go


@pytest.mark.parametrize("variadic", [True, False])
def test_calls_deferred_in_a_loop_run_backwards(way, variadic):
    """Ten calls deferred in a loop run last in, first out, each with its turn's value (D1, D2, D8).

    Mirrors defer.go.
    """
    result = []

    def add(i):
        result.append(str(i))

    def add_all(*numbers):
        result.extend(map(str, numbers))

    adds = add_all if variadic else add

    @way
    def f():
        for i in range(10):
            defer(adds, i)

    f()
    assert "".join(result) == "9876543210"


def test_builtin_functions_can_be_deferred(way):
    """`print` with many arguments of many types is a deferred call like any other (D1, D2).

    Mirrors deferprint.go.
    """

    @way
    def f():
        defer(print, 42, True, False, 1.5, "world", None, [], {}, ..., b"\xff")
        defer(print, *range(1, 21))
        defer(print, "printing:", end=" ")

    with contextlib.redirect_stdout(io.StringIO()) as out:
        f()
    assert out.getvalue().splitlines() == [
        "printing: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
        "42 True False 1.5 world None [] {} Ellipsis b'\\xff'",
    ]


@pytest.mark.parametrize("where", ["top", "loop"])
def test_a_nil_function_panics_when_it_is_called(way, where):
    """Deferring None is no error; calling it at the exit is, and a caller recovers that (D7).

    Mirrors defernil.go, and fixedbugs/issue8047.go with its loop in src/runtime/callers_test.go.
    """
    log = []
    nothing = None

    def stack(n):
        if n:
            stack(n - 1)

    @way
    def at_the_top():
        defer(nothing)
        stack(100)
        log.append("deferred")

    @way
    def in_a_loop():
        for _ in range(1):
            defer(nothing)
        stack(100)
        log.append("deferred")

    @way
    def main():
        def deferred():
            log.append(type(recover()))

        defer(deferred)
        at_the_top() if where == "top" else in_a_loop()

    main()
    assert log == ["deferred", TypeError]


@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy has no reference counts: its collector decides when an object dies",
)
def test_deferred_calls_keep_nothing_alive(way):
    """Objects that a deferred closure refers to can be collected after the
    exit, in threads too (D9).

    Mirrors deferfin.go.
    """

    class Value:
        pass

    values = []

    @way
    def f(done):
        defer(done.set)
        v = Value()
        values.append(weakref.ref(v))

        def deferred():
            if not isinstance(v, Value):
                panic("oops")

        defer(deferred)

    gc.disable()
    try:
        for _ in range(10):
            done = threading.Event()
            thread = threading.Thread(target=f, args=(done,))
            thread.start()
            thread.join()
            assert done.is_set()
        assert [v() for v in values] == [None] * 10
    finally:
        gc.enable()


# defererrcheck.go: open-coded statements


@with_defers
def after_a_loop():
    for _ in range(10):
        print("loop")
    defer(print, "defer")


@with_defers
def loop_then_defer(xs):
    while True:
        defer(print, "in the loop")
        if xs:
            break
    defer(print, "after it")


@with_defers
def defer_then_loop(xs):
    defer(print, "before the loop")
    while True:
        defer(print, "in it")
        if xs:
            break


@with_defers
def around_a_repeated_block(xs):
    defer(print, "before")
    while True:
        print("again")
        if xs:
            break


@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        (after_a_loop, ["inline"]),
        (loop_then_defer, ["list", "inline"]),
        (defer_then_loop, ["inline", "list"]),
        (around_a_repeated_block, ["inline"]),
    ],
)
def test_only_what_stands_in_a_loop_needs_a_list(function, kinds):
    """A `defer` is inlined unless a loop may execute it again; loops of other
    statements do not matter (R1).

    Mirrors defererrcheck.go, where a loop with a `defer` makes the compiler give up the
    others of the function, too.
    """
    explanation = explain(function)
    assert explanation.way == "open-coded"
    assert [line.rpartition(", ")[2] for line in str(explanation).splitlines()[1:]] == kinds


# abi/*.go: arguments and results


def test_captured_and_passed_arguments_arrive(way):
    """A deferred function sees its own arguments, and its function's parameters (D1).

    Mirrors abi/defer_aggregate.go.
    """
    seen = []

    @way
    def f(p0, p1, p2, p3, p4):
        def deferred(p0, p2):
            seen.append((p0, p1, p2))

        defer(deferred, p0, p2)
        p0 = p2 = None
        return p3, p4

    assert f("foo", 10101, 3030303, 505050505, 70707070707) == (505050505, 70707070707)
    assert seen == [("foo", 10101, 3030303)]


def test_all_results_are_there_after_a_recovery():
    """After a recovery each named result has the value assigned before the
    panic, else None (N, P4).

    Mirrors abi/defer_recover_results.go, and fixedbugs/issue16095.go.
    """
    a0, b0, c0, d0 = 10, "hello", (1, 2, 3, 4), [111, 222]

    @with_defers(result=("a", "b", "never", "c", "d"))
    def f(fault):
        a, b, c, d = a0, b0, c0, d0

        def squelch():
            recover()

        defer(squelch)
        fault()
        never = 1
        return a, b, never, c, d

    def fault():
        panic("XXX")

    assert f(fault) == (10, "hello", None, (1, 2, 3, 4), [111, 222])


def test_a_method_call_with_arguments_after_a_recovery(way):
    """After a recovery, a method deferred earlier gets the arguments of its `defer` (D1, P4).

    Mirrors abi/open_defer_1.go.
    """
    seen = []

    class T:
        def method(self, x, y, z):
            seen.append((self, x, y, z))

    t = T()

    @way
    def f(x, y, z):
        i = t
        defer(i.method, x, y, z)

        def squelch():
            recover()

        defer(squelch)
        i = x = y = z = None
        panic("XXX")

    f(-1, -2, -3)
    assert seen == [(t, -1, -2, -3)]


def test_an_argument_is_not_computed_again(way):
    """The argument keeps its value at the `defer`, whatever the same expression gives later (D1).

    Mirrors abi/wrapdefer_largetmp.go.
    """
    made = []
    seen = []

    def g():
        made.append([0] * 20 + [len(made) + 1])
        return made[-1]

    @way
    def f():
        b = g()
        defer(seen.append, b)
        b = g()
        return b[20]

    assert f() == 2
    assert seen == [[0] * 20 + [1]]
