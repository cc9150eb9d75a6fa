"""Go's tests of fixed bugs in results (test/fixedbugs), in Python: rules N and P4.

docs/go-cases.md lists Go's files, and those without a counterpart here. Functions with named
results are always compiled (R3), so these use `with_defers` itself.
"""

import pytest

from godefer import Panic, defer, panic, recover, with_defers
from tests.mirrored import squelch


def test_a_deferred_function_reads_what_is_returned():
    """`return 42` has assigned the named result when the deferred call runs (N).

    Mirrors issue9738.go.
    """
    seen = []

    @with_defers(result="x")
    def f():
        x = 7

        def deferred():
            seen.append(x)

        defer(deferred)
        return 42

    assert f() == 42
    assert seen == [42]


def test_a_callee_that_a_call_returns():
    """The callee is computed at the `defer`, by a call too; its captured variables are
    read when it runs (D1, N).

    Mirrors issue32175.go.
    """
    events = []

    @with_defers(result="x")
    def f():
        x = 7

        def make():
            events.append("made")
            return lambda: events.append(x)

        defer(make())
        events.append("body")
        return 42

    assert f() == 42
    assert events == ["made", "body", 42]


def test_nothing_is_returned_by_accident(way):
    """A function that recovers before any `return` returns None, not the
    value of an earlier call (P4).

    Mirrors bug266.go.
    """

    @way
    def f():
        def given():
            return 12345

        defer(squelch)
        given()
        panic("oops")

    assert f() is None


@pytest.mark.parametrize("how", ["assigned", "returned", "call returned"])
def test_a_deferred_function_changes_one_of_two_results(how):
    """Results that came from a call in the `return` are changed like those that were assigned (N).

    Mirrors bug293.go.
    """

    def two():
        return 4, False

    @with_defers(result=("a", "b"))
    def f():
        a = b = None

        def increase():
            nonlocal a
            a += 1

        defer(increase)
        if how == "call returned":
            return two()
        if how == "returned":
            return 4, False
        a, b = two()
        return

    assert f() == (5, False)


@pytest.mark.parametrize("kind", ["assignment", "return"])
def test_results_that_could_not_be_computed_were_not_set(way, kind):
    """If one value of an assignment or a `return` cannot be computed, none of them is set (N, P4).

    Mirrors issue43835.go.
    """

    def fault():
        return None.attribute

    @with_defers(result=("bad", "n"))
    def named():
        bad = n = False
        defer(squelch)
        if kind == "return":
            return True, fault()
        bad, n = True, fault()
        return

    @way
    def unnamed():
        defer(squelch)
        return True, fault()

    assert named() == (False, False)
    assert unnamed() is None


def test_the_result_before_a_panic_in_an_endless_loop():
    """If a call panics and the function recovers, it returns the latest value of
    the named result (N, P4).

    Mirrors issue4066.go.
    """
    calls = []

    def fail():
        calls.append(1)
        if len(calls) == 3:
            panic("third")

    @with_defers(result="val")
    def f():
        val = 0
        defer(squelch)
        while True:
            val += 2
            fail()

    assert f() == 6


@pytest.mark.parametrize("where", ["loop", "top", "condition", "nowhere"])
def test_panic_with_nil(where):
    """`panic(None)` is a panic that a deferred function recovers, and it sets the result (P2, N).

    Mirrors issue14725.go and bug301.go.
    """
    seen = []

    @with_defers(result="x")
    def f():
        x = None

        def deferred():
            nonlocal x
            seen.append(recover())
            x = 1

        while where == "loop":
            defer(deferred)
            panic(None)
        defer(deferred)
        if where == "condition":
            panic(None)
        if where == "nowhere":
            return
        panic(None)

    assert f() == 1
    (found,) = seen
    if where == "nowhere":
        assert found is None
    else:
        # In Go before 1.21 `recover` gave nil, as without a panic.
        assert (type(found), found.value) == (Panic, None)


def test_each_call_of_a_recursion_reads_its_own_results():
    """In a recursion each deferred call reads the named results of its own call (D4, N).

    Mirrors issue16249.go.
    """
    seen = []

    @with_defers(result=("res", "err"))
    def f(n):
        res, err = 0, None

        def look(n):
            seen.append((n, res, err))

        defer(look, n)
        if n < 0:
            err = "negative"
            return
        if n <= 1:
            res = n
            return
        res, err = f(n - 1)
        res += 1
        return

    assert f(100) == (100, None)
    assert seen == [(n, n, None) for n in range(1, 101)]
    assert f(-1) == (0, "negative")


def test_a_fault_becomes_an_error_result():
    """A deferred function turns a recovered exception into an error that is returned (N).

    Mirrors issue19359.go.
    """

    @with_defers(result="err")
    def put(mapping, key):
        err = None

        def deferred():
            nonlocal err
            if (r := recover()) is not None:
                err = f"failed: {type(r).__name__}"

        defer(deferred)
        mapping[key] = None

    mapping = {}
    assert put(mapping, [1, 2, 3]) == "failed: TypeError"
    assert put(mapping, "abc") is None
    assert mapping == {"abc": None}
