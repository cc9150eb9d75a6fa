"""Go's own tests of `recover` (test/recover.go to recover5.go), in Python: rules P2 to P5 and N.

docs/go-cases.md lists Go's files, and those without a counterpart here. Functions with named
results are always compiled (R3), so they use `with_defers` itself.
"""

import pytest

from godefer import defer, panic, recover, with_defers
from tests.mirrored import Log, sub_call, value

# recover.go: direct and indirect callers of recover


def test_only_the_deferred_function_itself_recovers_and_once(way):
    """Only the deferred function recovers, once: its sub-calls, recursive calls and
    successors find nothing (P2).

    Mirrors recover.go, test1.
    """
    log = Log()

    @way
    def f():
        defer(log.note, "too late")
        defer(log.thrice, "itself")
        defer(log.below, "below")
        defer(log.recursive, "recursive")
        panic(1)

    f()
    assert log == [
        ("recursive", None),
        ("below", None),
        ("itself", None, 1, None),
        ("too late", None),
    ]


def test_closures_recover_as_other_functions_do(way):
    """Closures recover, whatever they capture (P2).

    Mirrors recover.go, test1WithClosures.
    """
    log = Log()

    @way
    def f(name):
        def too_late():
            log.append((name, recover()))

        def itself(wanted):
            log.append((name, sub_call(), value(recover()) == wanted))

        def below():
            log.append((name, sub_call()))

        defer(too_late)
        defer(itself, 1)
        defer(below)
        panic(1)

    f("f")
    assert log == [("f", None), ("f", None, True), ("f", None)]


def test_recover_that_is_itself_deferred_is_too_early(way):
    """`defer(recover)` leaves the panic of its own function to the call deferred before it (P2).

    Mirrors recover.go, test2.
    """
    log = Log()

    @way
    def f():
        defer(log.thrice, "itself")
        defer(recover)
        panic(2)

    f()
    assert log == [("itself", None, 2, None)]


def test_a_recovery_whose_result_is_dropped_counts(way):
    """Calling `recover` stops the panic, even if its result is dropped (P2).

    Mirrors recover.go, test3, and recover1.go, test4.
    """
    log = Log()

    @way
    def f():
        def squelch():
            recover()

        defer(log.note, "too late")
        defer(squelch)
        panic(3)

    f()
    assert log == [("too late", None)]


def test_a_deferred_function_that_defers_recover_stops_the_panic(way):
    """`defer(recover)` in a deferred function recovers, as if that function itself called it (P2).

    Mirrors recover.go, test4, and recover1.go, test5.
    """
    log = Log()

    @way
    def f():
        @way
        def squelch():
            defer(recover)

        defer(log.note, "too late")
        defer(squelch)
        panic(4)

    f()
    assert log == [("too late", None)]


@pytest.mark.parametrize("how", ["returned", "assigned"])
def test_a_deferred_function_sets_the_result(how):
    """The recovering function sets the named result, however it was set before (N, P4).

    Mirrors recover.go, test5.
    """

    @with_defers(result="x")
    def attempt(g, default):
        def result_is_what_was_recovered():
            nonlocal x
            if (r := recover()) is not None:
                x = value(r)

        defer(result_is_what_was_recovered)
        defer(g)
        if how == "returned":
            return default
        x = default
        return

    assert attempt(lambda: panic(5), 55) == 5
    assert attempt(lambda: None, "hi") == "hi"


def test_what_was_deferred_before_the_recovering_call_runs(way):
    """A recovery ends the panic, not the deferred calls (P4).

    Mirrors recover.go, test7.
    """
    events = []
    log = Log()

    @way
    def f():
        defer(events.append, "ok")
        defer(log.thrice, "itself")
        panic(7)

    f()
    assert log == [("itself", None, 7, None)]
    assert events == ["ok"]


@pytest.mark.parametrize(
    ("fails", "numbers", "result"), [(True, (1, 2, 3), 106), (False, (4, 5, 6), 15)]
)
def test_a_variadic_deferred_function_recovers(fails, numbers, result):
    """A function of any number of arguments recovers, and only if there is a panic (P2, D1).

    Mirrors recover.go, test8.
    """

    def total(change, *numbers):
        change(sum(numbers))
        if recover() is not None:
            change(100)

    @with_defers(result="r")
    def f():
        r = 0

        def change(by):
            nonlocal r
            r += by

        defer(total, change, *numbers)
        if fails:
            panic(0)

    assert f() == result


# recover1.go: panics during panics


def test_each_panic_is_recovered_where_it_happened(way):
    """If a deferred function panics and recovers that, the first panic is still there
    for the next call (P2, P5).

    Mirrors recover1.go, test1.
    """
    log = Log()

    @way
    def f():
        @way
        def deferred():
            defer(log.thrice, "inner")
            panic(2)

        defer(log.thrice, "outer")
        defer(deferred)
        panic(1)

    f()
    assert log == [("inner", None, 2, None), ("outer", None, 1, None)]


@pytest.mark.parametrize("picky", [True, False])
def test_one_panic_after_the_other(way, picky):
    """A deferred function may recover, panic again and recover that too;
    nothing is left (P2, P4, P5).

    Mirrors recover1.go, test2 and test3.
    """
    log = Log()

    @way
    def f():
        @way
        def deferred():
            if picky:
                log.append(value(recover()))
            else:
                recover()
            defer(log.thrice, "second")
            panic(3)

        defer(log.note, "too late")
        defer(deferred)
        panic(2)

    f()
    assert log == [2] * picky + [("second", None, 3, None), ("too late", None)]


def test_deferred_recover_after_the_own_panic_was_recovered(way):
    """Once its function is returning, `defer(recover)` acts as called by it and
    takes the outer panic (P2).

    Mirrors recover1.go, test6.
    """
    log = Log()

    @way
    def f():
        @way
        def deferred():
            defer(recover)
            defer(log.thrice, "own")
            panic(3)

        defer(log.note, "too late")
        defer(deferred)
        panic(2)

    f()
    assert log == [("own", None, 3, None), ("too late", None)]


def test_deferred_recover_during_the_own_panic(way):
    """`defer(recover)` during its function's own panic takes neither that
    panic nor the outer one (P2).

    Mirrors recover1.go, test7.
    """
    log = Log()

    @way
    def f():
        @way
        def deferred():
            defer(log.thrice, "own")
            defer(recover)
            panic(3)

        defer(log.thrice, "outer")
        defer(deferred)
        panic(2)

    f()
    assert log == [("own", None, 3, None), ("outer", None, 2, None)]


# recover2.go, recover3.go: run-time errors are panics

RUNTIME_ERRORS = {
    "index": (lambda: list(range(9))[123], IndexError),
    "index of a string": (lambda: str(12)[2], IndexError),
    "slice": (lambda: bytes(10)[5:15:0], ValueError),
    "key": (lambda: {}["key"], KeyError),
    "conversion": (lambda: float("hi"), ValueError),
    "type": (lambda: 1 + "1", TypeError),
    "comparison": (lambda: 1 < "1", TypeError),
    "hash": (lambda: {[]: 1}, TypeError),
    "attribute of None": (lambda: None.attribute, AttributeError),
    "missing method": (lambda: (1).method(), AttributeError),
    "division by zero": (lambda: 1 // 0, ZeroDivisionError),
    "modulo zero": (lambda: 1 % 0, ZeroDivisionError),
    "a large number": (lambda: float(10) ** 999, OverflowError),
}


@pytest.mark.parametrize("name", RUNTIME_ERRORS)
def test_run_time_errors_are_recovered(way, name):
    """An exception of the interpreter is a panic like any other, and `recover` returns it (P1, P2).

    Mirrors recover2.go and recover3.go.
    """
    fault, kind = RUNTIME_ERRORS[name]
    seen = []

    @way
    def f():
        def deferred():
            seen.append(recover())

        defer(deferred)
        fault()

    f()
    (found,) = seen
    assert type(found) is kind


# recover4.go: the latest values of variables


def test_a_deferred_function_sees_the_latest_values():
    """If a fault ends a loop half-way, deferred calls and the caller see its progress (N, P4).

    Mirrors recover4.go.
    """

    @with_defers(result=("n", "error"))
    def copy(target, source):
        n = 0
        error = None

        def keep_error():
            nonlocal error
            error = recover()

        defer(keep_error)
        for i in range(len(target)):
            target[i] = source[i]
            n += 1
        return n, None

    class WithHole(list):
        def __getitem__(self, i):
            if i == 5:
                raise MemoryError
            return super().__getitem__(i)

    target = [0] * 8
    n, error = copy(target, WithHole(range(1, 9)))
    assert (n, type(error)) == (5, MemoryError)
    assert target == [1, 2, 3, 4, 5, 0, 0, 0]
    assert copy([0, 0], [1, 2]) == (2, None)


def test_a_variable_that_is_no_result_is_seen_at_its_latest(way):
    """A deferred closure sees a variable's value at the fault, not at the `defer` (P2).

    Mirrors recover4.go, and fixedbugs/issue1304.go.
    """
    seen = []

    @way
    def f(a):
        def deferred():
            recover()
            seen.append(a)

        defer(deferred)
        a = 2
        a = 4 // (a - a)
        a = 3

    f(1)
    assert seen == [2]


# recover5.go: arguments of recover


@pytest.mark.parametrize("arguments", [(1,), (1, 2)])
def test_recover_with_something_else_is_an_error(arguments):
    """`recover` takes no arguments, or exception types; a value is an error (P3).

    Mirrors recover5.go.
    """
    assert recover() is None
    with pytest.raises(TypeError, match="exception type"):
        recover(*arguments)
