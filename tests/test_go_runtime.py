"""Tests of Go's runtime about panics (src/runtime), in Python: rules D, P and N.

docs/go-cases.md lists Go's files, and those without a counterpart here.
"""

import pytest

from godefer import Panic, defer, panic, recover, with_defers
from tests.mirrored import Log, value

# defer_test.go


def test_an_unconditional_panic(way):
    """Deferred calls run in a function that never returns (D2, P2).

    Mirrors TestUnconditionalPanic.
    """
    log = Log()

    @way
    def f():
        defer(log.note)
        panic("unconditional")

    f()
    assert log == [("unconditional",)]


@pytest.mark.parametrize("first", ["loop", "inline"])
def test_inline_and_listed_calls_recover_their_own(way, first):
    """A call deferred in a loop and an inlined one, in two functions, each recover
    their own panic (P2, R3).

    Mirrors TestOpenAndNonOpenDefers and TestNonOpenAndOpenDefers.
    """
    log = Log()

    @way
    def inline(n):
        defer(log.note, "inline", 4)
        if n > 2:
            panic("in inline")

    @way
    def looping():
        if first == "inline":
            inline(47)
        for _ in range(9):
            defer(log.note, "loop", 3)
            break
        if first == "loop":
            inline(47)
        panic("in looping")

    looping()
    assert log == [("inline", 4, "in inline"), ("loop", 3, "in looping")]


@pytest.mark.parametrize(("n", "calls"), [(8, [4, 2, 1]), (9, [3, 2, 1]), (5, [1])])
def test_conditional_calls(way, n, calls):
    """Calls deferred in the branches that were taken run, last in, first out (D2, D8).

    Mirrors TestConditionalDefers.
    """
    numbers = []

    @way
    def f():
        defer(numbers.append, 1)
        if n > 5:
            defer(numbers.append, 2)
            if n > 8:
                defer(numbers.append, 3)
            else:
                defer(numbers.append, 4)
        panic("conditional")

    with pytest.raises(Panic):
        f()
    assert numbers == calls


def test_a_statement_that_the_compiler_removes(way):
    """A `defer` in code that is never compiled defers nothing, in whichever place (R1, D2).

    Mirrors TestDisappearingDefer, fixedbugs/issue47712.go, issue48459.go and issue51839.go.
    """
    events = []

    @way
    def f():
        if not __debug__:
            defer(events.append, "if")
        while False:
            defer(events.append, "while")
        defer(events.append, "kept")
        return 1
        defer(events.append, "after the return")

    @way
    def inner():
        if False:

            @with_defers
            def never():
                defer(events.append, "in a function")

            never()
        defer(events.append, "kept")

    assert f() == 1
    inner()
    assert events == ["kept", "kept"]


def test_an_aborted_panic_is_gone(way):
    """A panic that a panicking deferred call has replaced cannot be
    recovered after the new one (P5).

    Mirrors TestAbortedPanic.
    """
    log = Log()

    @way
    def f():
        defer(log.note, "last")
        defer(log.note, "next")
        defer(panic, "panic2")
        panic("panic1")

    f()
    assert log == [("next", "panic2"), ("last", None)]


def test_calls_that_a_deferred_function_defers_do_not_match(way):
    """A call that a deferred function defers runs because that returns, so it
    cannot recover the panic (P2).

    Mirrors TestRecoverMatching.
    """
    log = Log()

    @way
    def f():
        @way
        def deferred():
            defer(log.note, "inner")

        defer(log.note, "outer")
        defer(deferred)
        panic("panic1")

    f()
    assert log == [("inner", None), ("outer", "panic1")]


def test_arguments_are_computed_once(way):
    """Calls, displays, attributes and attributes of calls are computed once,
    when the `defer` runs (D1).

    Mirrors TestNonSSAableArgs.
    """
    log = []

    class Part:
        def __init__(self, name):
            self.name = name

        def __str__(self):
            return self.name

        @property
        def element(self):
            log.append(f"{self.name}.element")
            return self.name

    def computed(x):
        log.append(f"computed {x}")
        return x

    @way
    def f():
        part = Part("part")
        defer(log.append, computed("one"))
        defer(log.append, [1, 2, computed("two")])
        defer(log.append, part.element)
        defer(log.append, computed(Part("other")).element)
        part.name = "changed"
        log.append("body")

    f()
    assert log == [
        "computed one",
        "computed two",
        "part.element",
        "computed other",
        "other.element",
        "body",
        "other",
        "part",
        [1, 2, "two"],
        "one",
    ]


def test_a_function_without_an_exit(way):
    """Deferred calls run when a panic leaves a function that ends in an endless loop (D2, P2).

    Mirrors TestDeferForFuncWithNoExit, and fixedbugs/issue40629.go.
    """
    log = Log()

    def fail():
        panic("from a call")

    @way
    def f():
        def deferred():
            log.append(condition)
            log.append(value(recover()))

        condition = 1
        defer(deferred)
        condition = 2
        fail()
        while True:
            pass

    f()
    assert log == [2, "from a call"]


def test_a_function_that_only_an_exception_leaves(way):
    """A function with nothing after its endless loop can be decorated, and its calls run (D2, R1).

    Mirrors cmd/compile's deferNoReturn_test.go.
    """
    events = []

    @way
    def f(limit):
        defer(events.append, "left")
        while True:
            limit -= 1
            events.append(10 // limit)

    with pytest.raises(ZeroDivisionError):
        f(3)
    assert events == [5, 10, "left"]


@pytest.mark.parametrize(("levels", "target"), [(6, 2), (5, 1), (6, 3)])
def test_panics_handed_up_level_by_level(way, levels, target):
    """Each level recovers and panics again until the right one stops it; no trace is left (P2, P5).

    Mirrors TestDeferWithRepeatedRepanics.
    """
    log = []

    @way
    def interpreter(level):
        def deferred():
            error = recover()
            if error is None:
                log.append((level, None))
            elif value(error) != level:
                log.append((level, "again"))
                panic(error)
            else:
                log.append((level, "recovered"))

        defer(deferred)
        if level + 1 < levels:
            interpreter(level + 1)
        else:
            panic(target)

    @way
    def afterwards(depth):
        def squelch():
            log.append(value(recover()))

        def recurse(n):
            if n == 0:
                panic("at the bottom")
            recurse(n - 1)

        defer(squelch)
        recurse(depth)

    interpreter(0)
    afterwards(10)
    expected = [(level, "again") for level in range(levels - 1, target, -1)]
    expected += [
        (target, "recovered"),
        *((level, None) for level in range(target - 1, -1, -1)),
        "at the bottom",
    ]
    assert log == expected


def test_records_are_not_mixed_up(way):
    """Functions that defer in loops, inline, and with many arguments, below each
    other, share nothing (D4, R5).

    Mirrors TestIssue37688.
    """

    class T:
        def __init__(self):
            self.calls = []

        def method1(self):
            self.calls.append(1)

        def method2(self):
            self.calls.append(2)

    seen = []

    @way
    def failing(t, *numbers):
        def deferred(t, *numbers):
            seen.append((value(recover()), t, numbers))

        defer(t.method1)
        defer(deferred, t, *numbers)
        panic("failing")

    def recurse(n):
        if n:
            recurse(n - 1)

    @way
    def inner():
        t = T()
        for _ in range(1):
            defer(t.method1)
        defer(t.method2)
        defer(t.method1)
        failing(t, *range(9))
        recurse(200)
        return t

    @way
    def outer():
        defer(seen.append, "outer")
        return inner()

    for _ in range(10):
        seen.clear()
        for t in (inner(), outer()):
            assert t.calls == [1, 1, 2, 1]
        (_, first, _), (_, second, _), _ = seen
        assert first is not second
        assert seen == [
            ("failing", first, tuple(range(9))),
            ("failing", second, tuple(range(9))),
            "outer",
        ]


def test_a_panic_recovered_in_a_deferred_function_of_a_listing_function(way):
    """The panic of a function with calls in a loop survives another one,
    recovered below it (P2, P5).

    Mirrors TestIssue43921.
    """
    log = Log()

    @way
    def main():
        @way
        def failing():
            @way
            def deferred():
                defer(log.note, "inner")
                panic(4)

            while True:
                defer(int)
                break
            defer(deferred)
            panic(1)

        defer(log.note, "main")
        failing()

    main()
    assert log == [("inner", 4), ("main", 1)]


def test_deferred_panics_that_replace_each_other(way):
    """`defer(panic, …)` replaces the exception in flight, at each depth; the first panic stays
    in flight above (P2, P5).

    Mirrors TestIssue43920.
    """
    log = Log()

    @way
    def main():
        @way
        def deferred():
            @way
            def inner():
                def fails():
                    panic(4)

                defer(log.note, "inner")
                defer(panic, 5)
                fails()

            defer(inner)
            defer(log.note, "deferred")
            defer(panic, 3)

        @way
        def failing():
            defer(log.append, "step")
            panic(1)

        defer(log.note, "main")
        defer(deferred)
        failing()

    main()
    assert log == ["step", ("deferred", 3), ("inner", 5), ("main", 1)]


def test_calls_left_after_recoveries_run_in_order(way):
    """After recovered panics below it a function goes on, and later panics run every
    pending call (D2, D5, P4).

    Mirrors TestIssue43941, and fixedbugs/issue48898.go.
    """
    log = Log()

    @way
    def first():
        @way
        def recovering():
            @way
            def deferred():
                defer(log.note, "of two")
                defer(panic, 3)
                panic(2)

            defer(deferred)
            defer(log.note, "of one")
            defer(panic, 1)

        recovering()
        defer(int)
        defer(int)
        defer(log.append, 10)
        defer(log.append, 9)
        log.append(8)

    @way
    def second():
        @way
        def failing():
            defer(log.append, 11)
            panic(4)

        defer(log.append, 13)
        defer(log.append, 12)
        failing()
        defer(int)
        defer(panic, -1)
        defer(log.append, "never")

    @way
    def main():
        defer(log.note, "main")
        first()
        second()

    main()
    assert log == [("of one", 1), ("of two", 3), 8, 9, 10, 11, 12, 13, ("main", 4)]
