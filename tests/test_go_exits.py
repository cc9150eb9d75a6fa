"""Go's tests of exits and of panics that end a program (src/runtime/crash_test.go, test/fixedbugs).

Rules P3 and P5: `runtime.Goexit` is SystemExit here. docs/go-cases.md lists Go's files, and those
without a counterpart here.
"""

import queue
import sys
import threading
import traceback

import pytest

from godefer import Panic, defer, panic, recover
from tests.helpers import chain
from tests.mirrored import Log, value


def values(error):
    return [value(e) for e in chain(error)]


# Panics after panics


def test_a_panic_that_wraps_another(way):
    """A deferred function panics with a value made from the recovered panic; a
    caller recovers it (P2, P5).

    Mirrors TestRecursivePanic.
    """
    log = Log()

    @way
    def wraps():
        def deferred():
            if (error := recover()) is not None:
                panic(f"wrap: {value(error)}")

        defer(deferred)
        panic("bad")

    @way
    def recovers():
        defer(log.note, "recovers")
        wraps()

    recovers()
    assert log == [("recovers", "wrap: bad")]


def test_a_recovery_and_a_new_panic_in_two_calls(way):
    """One deferred call recovers, the next panics again, with no trace of the first panic (P4, P5).

    Mirrors TestRecursivePanic2.
    """
    log = Log()
    raised = []

    @way
    def panics_anew():
        defer(panic, "second panic")
        defer(log.note, "first")
        panic("first panic")

    @way
    def recovers():
        def deferred():
            raised.append(recover())

        defer(deferred)
        panics_anew()

    recovers()
    assert log == [("first", "first panic")]
    assert values(*raised) == ["second panic"]


def test_the_first_panic_goes_on_after_the_second_was_recovered(way):
    """A panic recovered inside a deferred function leaves the outer one in flight (P2, P5).

    Mirrors TestRecursivePanic3.
    """
    log = Log()

    @way
    def f():
        @way
        def deferred():
            defer(log.note, "inner")
            panic("second panic")

        defer(deferred)
        panic("first panic")

    with pytest.raises(Panic) as caught:
        f()
    assert caught.value.value == "first panic"
    assert log == [("inner", "second panic")]


def test_one_call_recovers_and_panics(way):
    """A deferred function that recovers and raises another exception makes the recovered
    exception the context (P5, D5).

    Mirrors TestRecursivePanic4.
    """

    @way
    def f():
        def deferred():
            recover()
            panic("second panic")

        defer(deferred)
        panic("first panic")

    with pytest.raises(Panic) as caught:
        f()
    assert values(caught.value) == ["second panic", "first panic"]


def test_calls_are_left_where_it_is_recovered_and_above(way):
    """After a recovery the function's remaining call runs, and its caller, with a call of
    its own, goes on (P4, D2).

    Mirrors TestRecursivePanic5.
    """
    log = Log()

    @way
    def three():
        def panics_anew():
            log.note("panics anew")
            log.append(value(recover()))
            panic("second panic")

        defer(log.append, "left")
        defer(log.note, "recovers")
        defer(panics_anew)
        panic("first panic")

    @way
    def two():
        defer(log.append, "above")
        three()
        log.append("goes on")

    def one():
        two()
        panic("third panic")

    with pytest.raises(Panic) as caught:
        one()
    assert values(caught.value) == ["third panic"]
    assert log == [
        ("panics anew", None),
        "first panic",
        ("recovers", "second panic"),
        "left",
        "goes on",
        "above",
    ]


def test_three_panics_in_two_functions(way):
    """A panic that replaced two others shows all three and their places (P5, P6).

    Mirrors TestPanicTraceback.
    """

    @way
    def pt2():
        defer(panic, "panic pt2")
        panic("hello")

    @way
    def pt1():
        defer(panic, "panic pt1")
        pt2()

    with pytest.raises(Panic) as caught:
        pt1()
    assert values(caught.value) == ["panic pt1", "panic pt2", "hello"]
    shown = "".join(traceback.format_exception(caught.value))
    first, second, third = (
        shown.index(f"Panic: {name}\n") for name in ("hello", "panic pt2", "panic pt1")
    )
    assert first < second < third


# Exits


@pytest.mark.parametrize("function", ["main", "thread"])
def test_an_exit_runs_deferred_calls_that_find_nothing_to_recover(way, function):
    """An exit runs every function's deferred calls, last in, first out, and their
    `recover` is None (P3, D2).

    Mirrors TestGoexitDefer.
    """
    log = Log()

    @way
    def inner():
        defer(log.note, "inner")
        sys.exit(5)

    @way
    def f():
        defer(log.note, "last")
        defer(log.note, "first")
        inner()
        log.append("never")

    def run():
        with pytest.raises(SystemExit) as caught:
            f()
        log.append(caught.value.code)

    if function == "main":
        run()
    else:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert log == [("inner", None), ("first", None), ("last", None), 5]


def test_an_exit_during_a_panic(way):
    """An exit in a deferred function replaces the panic (P3, P5). Mirrors TestGoexitInPanic."""
    log = Log()

    @way
    def f():
        def deferred():
            sys.exit(6)

        defer(log.note, "remaining")
        defer(deferred)
        panic("hello")

    with pytest.raises(SystemExit) as caught:
        f()
    assert caught.value.code == 6
    assert log == [("remaining", None)]


def test_a_panic_during_an_exit(way):
    """A panic in a deferred function replaces the exit, if nothing recovers it (P5).

    Mirrors TestPanicAfterGoexit.
    """

    @way
    def f():
        defer(panic, "hello")
        sys.exit(7)

    with pytest.raises(Panic) as caught:
        f()
    assert caught.value.value == "hello"
    assert type(caught.value.__context__) is SystemExit


@pytest.mark.parametrize("where", ["in the deferred function", "in the next call", "below a loop"])
def test_an_exit_goes_on_after_a_panic_was_recovered(way, where):
    """A recovered panic does not make an exit disappear, wherever it is recovered (P3).

    Mirrors TestRecoveredPanicAfterGoexit, TestRecoverBeforePanicAfterGoexit and
    TestRecoverBeforePanicAfterGoexit2.
    """
    log = Log()

    @way
    def f():
        @way
        def recovers_itself():
            defer(log.note, "recovers")
            panic("hello")

        if where == "below a loop":
            for i in range(2):
                defer(log.append, i)
        if where == "in the deferred function":
            defer(recovers_itself)
        else:
            defer(log.note, "recovers")
            defer(panic, "hello")
        sys.exit(8)

    with pytest.raises(SystemExit) as caught:
        f()
    assert caught.value.code == 8
    assert log == [("recovers", "hello"), *([1, 0] if where == "below a loop" else [])]


def test_an_exit_from_a_function_that_has_recovered(way):
    """A deferred function may recover and then end its thread; no trace of the panic is left (P3).

    Mirrors issue8158.go.
    """
    done = queue.SimpleQueue()

    @way
    def f():
        def deferred():
            done.put(value(recover()))
            sys.exit()

        defer(done.put, "after the exit")
        defer(deferred)
        panic("p")

    def run():
        with pytest.raises(SystemExit):
            f()

    for _ in range(2):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert [done.get(timeout=10) for _ in range(4)] == ["p", "after the exit"] * 2


def test_an_exit_runs_the_deferred_calls(way):
    """An exit at the top of a program runs the calls deferred there, in order (P3, D2).

    Mirrors issue5963.go.
    """
    done = []

    @way
    def f():
        defer(done.append, 0)
        sys.exit(3)

    with pytest.raises(SystemExit) as caught:
        f()
    assert caught.value.code == 3
    assert done == [0]
