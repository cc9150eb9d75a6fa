"""Go's tests of stacks and line numbers (src/runtime/callers_test.go,
test/fixedbugs): rules P4 to P6.

docs/go-cases.md lists Go's files, and those without a counterpart here.
"""

import sys
import traceback
from pathlib import Path

import pytest

from godefer import Panic, defer, panic, recover

LINES = Path(__file__).read_text(encoding="utf-8").splitlines()


def line_of(mark):
    """Return the number of the line that ends in that comment."""
    return next(i for i, line in enumerate(LINES, 1) if line.endswith(f"  # {mark}"))


# The traceback in deferred functions


def in_flight():
    """Return the handled exception: its value, and the functions in its traceback."""
    error = sys.exception()
    if error is None:
        return None
    names = [
        frame.name
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == __file__
    ]
    return error.value if isinstance(error, Panic) else type(error), names


def test_the_way_that_a_panic_has_come(way):
    """Before and after it recovers, the deferred function sees a traceback of all functions below
    its own, none twice (P6).

    Mirrors TestCallersPanic.
    """
    seen = []

    def f3():
        panic("f3")

    @way
    def f2():
        defer(int)
        f3()

    def f1():
        f2()

    @way
    def f():
        def deferred():
            seen.append(in_flight())
            recover()
            seen.append(in_flight())

        defer(deferred)
        f1()

    f()
    assert seen == [("f3", ["f", "f1", "f2", "f3"])] * 2


def test_a_panic_in_a_deferred_function_that_recovered(way):
    """A call deferred by the panicking deferred function sees the new panic, and the
    recovered one behind it (P5, P6).

    Mirrors TestCallersDoublePanic.
    """
    seen = []

    @way
    def f():
        @way
        def deferred():
            def inner():
                seen.append(in_flight())
                seen.append(recover().__context__.value)

            defer(inner)
            recover()
            panic(2)

        defer(deferred)
        panic(1)

    f()
    assert seen == [(2, ["deferred"]), 1]


@pytest.mark.parametrize("kind", ["one panic", "replaced", "replaced in a caller"])
def test_calls_after_a_recovery_see_no_panic(way, kind):
    """After a recovery, even of a panic that had replaced another, the remaining calls
    see none in flight (P4, P5).

    Mirrors TestCallersAfterRecovery, TestCallersAbortedPanic and TestCallersAbortedPanic2.
    """
    seen = []

    def recovers():
        seen.append(recover().value)

    def look():
        seen.append((in_flight(), recover()))

    @way
    def inner():
        defer(panic, "panic2")
        panic("panic1")

    @way
    def middle():
        defer(recovers)
        inner()

    @way
    def f():
        defer(look)
        if kind == "replaced in a caller":
            middle()
            return
        defer(recovers)
        if kind == "replaced":
            defer(panic, "panic2")
        panic("panic1")

    f()
    assert seen == ["panic1" if kind == "one panic" else "panic2", (None, None)]


@pytest.mark.parametrize("kind", [AttributeError, ZeroDivisionError])
def test_faults_of_the_interpreter_show_the_function_alone(way, kind):
    """A fault in the body shows that function, and no code that makes the deferred calls (P6).

    Mirrors TestCallersNilPointerPanic and TestCallersDivZeroPanic.
    """
    seen = []

    @way
    def f(nothing=None, zero=0):
        def deferred():
            seen.append(in_flight())
            recover()

        defer(deferred)
        if kind is AttributeError:
            return nothing.attribute
        return 5 // zero

    f()
    assert seen == [(kind, ["f"])]


# Where it happened


class Wrapper:
    def __init__(self, items):
        self.items = items

    def get(self, i):
        return self.items[i]  # fault in a method


def fault_in_a_loop_head(x):
    for each in x.items:  # fault in a loop head
        print(each)


def fault_in_a_match(x):
    match x.val:  # fault in a match
        case 0:
            print("0")
        case 1:
            print("1")


def fault_in_a_lower_line(x):
    y = x
    y = [11]
    y[12] = (  # fault in an item assignment
        13
    )
    return y


def fault_in_an_index(x):
    wrapper = Wrapper([0, 1, 2])
    wrapper.get(0)
    wrapper.get(2)
    return wrapper.get(3)  # calls a fault


def fault_in_an_argument(x):
    return len(x.items)  # fault in an argument


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        (fault_in_a_loop_head, ["fault in a loop head"]),
        (fault_in_a_match, ["fault in a match"]),
        (fault_in_a_lower_line, ["fault in an item assignment"]),
        (fault_in_an_index, ["calls a fault", "fault in a method"]),
        (fault_in_an_argument, ["fault in an argument"]),
    ],
)
def test_a_deferred_function_finds_the_line_of_the_fault(way, fault, lines):
    """The recovered exception's traceback leads from the function's call to the failed
    line, and no further (P6).

    Mirrors bug347.go, bug348.go, issue4562.go, issue5856.go, issue17381.go, issue19799.go,
    issue22083.go, issue27201.go, issue29504.go, issue33724.go and issue34123.go, which look at the
    stack instead: in Python that is gone by then.
    """
    seen = []

    @way
    def f():
        def deferred():
            found = sys.exception()
            seen.append(traceback.extract_tb(found.__traceback__))
            seen.append(recover() is found)

        defer(deferred)
        fault(None)  # the call

    f()
    stack, same = seen
    assert same
    assert [(frame.filename, frame.lineno) for frame in stack] == [
        (__file__, line_of(mark)) for mark in ["the call", *lines]
    ]


def test_a_failing_deferred_call_shows_its_statement(way):
    """A traceback has the line of the `defer`, where Go has the line at
    which the function ends (P6).

    Mirrors issue14646.go.
    """

    def fail():
        panic("deferred")

    @way
    def f(events):
        defer(fail)  # the statement
        events.append(1)
        events.append(2)

    with pytest.raises(Panic) as caught:
        f([])
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(caught.value.__traceback__)
        if frame.name == "f"
    ]
    if way.name == "open-coded":
        assert lines == [line_of("the statement")]
    else:
        (note,) = caught.value.__notes__
        assert f":{line_of('the statement')} in " in note
