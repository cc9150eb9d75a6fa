"""Every deferred call runs, whatever the others do: rule D5."""

import asyncio
import contextlib
import itertools
import sys

import pytest

from godefer import defer, errdefer, okdefer, using

OUTCOMES = list(itertools.product([False, True], repeat=4))  # which of four calls fail


def _runner(way, kind):
    """Return a callable that runs a decorated function of this kind.

    The function defers *calls*, then raises *error* or returns 7.
    """

    @way
    def function(calls, error):
        for call in calls:
            defer(call)
        if error is not None:
            raise error
        return 7

    @way
    def generator(calls, error):
        for call in calls:
            defer(call)
        yield
        if error is not None:
            raise error
        return 7

    @way
    async def coroutine(calls, error):
        for call in calls:
            defer(call)
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return 7

    @way
    async def async_generator(calls, error):
        for call in calls:
            defer(call)
        yield
        if error is not None:
            raise error

    def run_generator(calls, error):
        g = generator(calls, error)
        next(g)
        try:
            next(g)
        except StopIteration as stop:
            return stop.value

    def run_coroutine(calls, error):
        return asyncio.run(coroutine(calls, error))

    def run_async_generator(calls, error):
        async def main():
            async for _ in async_generator(calls, error):
                pass
            return 7

        return asyncio.run(main())

    return {
        "function": function,
        "generator": run_generator,
        "coroutine": run_coroutine,
        "async generator": run_async_generator,
    }[kind]


KINDS = ["function", "generator", "coroutine", "async generator"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [None, LookupError("body")], ids=["returns", "raises"])
def test_all_calls_run_whichever_of_them_fail(way, kind, body):
    """With four calls, some of them failing, all run in order, and the
    last exception leaves (D5).
    """
    run = _runner(way, kind)
    for failing in OUTCOMES:
        ran = []

        def call(i, failing=failing, ran=ran):
            def deferred():
                ran.append(i)
                if failing[i]:
                    raise ValueError(i)

            return deferred

        try:
            assert run([call(i) for i in range(4)], body) == 7
            left = None
        except (ValueError, LookupError) as e:
            left = e.args[0]
        assert ran == [3, 2, 1, 0]
        expected = failing.index(True) if any(failing) else body and "body"
        assert left == expected, failing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, MemoryError]
)
def test_no_exception_of_a_call_stops_the_others(way, kind, error):
    """The calls that remain run even if one raises a BaseException (D5)."""
    run = _runner(way, kind)
    ran = []

    def fail():
        ran.append("fails")
        raise error

    with pytest.raises(error):
        run([lambda: ran.append("first"), fail, lambda: ran.append("last")], None)
    assert ran == ["last", "fails", "first"]


def test_stop_iteration_from_a_deferred_call_of_a_function(way):
    """StopIteration is an exception like any other when a deferred call of
    a function raises it (D5).
    """
    ran = []

    @way
    def f():
        defer(ran.append, 1)
        defer(next, iter(()))
        defer(ran.append, 2)

    with pytest.raises(StopIteration):
        f()
    assert ran == [2, 1]


def test_stop_iteration_from_a_deferred_call_of_a_generator(way):
    """In a generator a StopIteration leaves as RuntimeError (PEP 479), after the
    other calls have run (D5).
    """
    ran = []

    @way
    def g():
        defer(ran.append, 1)
        defer(next, iter(()))
        defer(ran.append, 2)
        yield

    generator = g()
    next(generator)
    with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
        next(generator)
    assert type(caught.value.__cause__) is StopIteration
    assert ran == [2, 1]


def test_stop_iteration_from_a_deferred_call_of_a_coroutine(way):
    """In a coroutine a StopIteration leaves as RuntimeError (PEP 479), after the
    other calls have run (D5).
    """
    ran = []

    @way
    async def f():
        defer(ran.append, 1)
        defer(next, iter(()))
        defer(ran.append, 2)

    with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
        asyncio.run(f())
    assert ran == [2, 1]


def test_statements_of_every_kind_run_among_failing_ones(way):
    """After a failed call, those of `defer` and `errdefer` run, and no `okdefer` (D5, D10)."""
    ran = []

    def fail(name):
        ran.append(name)
        raise ValueError(name)

    @contextlib.contextmanager
    def block():
        try:
            yield
        finally:
            fail("using")

    @way
    def f():
        defer(ran.append, "defer")
        errdefer(fail, "errdefer")
        using(block())
        okdefer(ran.append, "okdefer, not run: failing by now")
        errdefer(ran.append, "errdefer, run: failing by now")
        okdefer(fail, "okdefer")
        errdefer(ran.append, "errdefer, not run: returning still")

    with pytest.raises(ValueError, match="^errdefer"):
        f()
    assert ran == ["okdefer", "errdefer, run: failing by now", "using", "errdefer", "defer"]


def test_the_calls_of_every_function_on_the_way_run(way):
    """An exception that passes several functions, with failing deferred calls in
    each, leaves no call out (D5).
    """
    ran = []

    def fail(name):
        ran.append(name)
        raise ValueError(name)

    @way
    def inner():
        defer(ran.append, "inner 1")
        defer(fail, "inner 2")
        raise KeyError

    @way
    def middle():
        defer(fail, "middle 1")
        inner()

    @way
    def outer():
        defer(ran.append, "outer 1")
        defer(fail, "outer 2")
        middle()

    with pytest.raises(ValueError, match="outer 2"):
        outer()
    assert ran == ["inner 2", "inner 1", "middle 1", "outer 2", "outer 1"]


def test_calls_run_when_a_callee_is_not_callable(way):
    """The other calls run if a callee is not callable or does not take its arguments (D5, D7)."""
    ran = []

    @way
    def f():
        defer(ran.append, 1)
        defer(None)
        defer(ran.append, 2, "one argument too many")
        defer(ran.append, 3)

    with pytest.raises(TypeError):
        f()
    assert ran == [3, 1]


def deeper(levels, fn):
    """Call *fn*, *levels* Python calls further down."""
    if levels:
        deeper(levels - 1, fn)
    else:
        fn()


# The stack ends in the body, in `defer` or in a deferred call, depending on how deep the function
# is called: try several depths. Some calls of C functions need room on it too, so a hand-written
# `finally` may already lose the innermost call.


overflowing = pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy, out of stack, skips some hand-written `finally` blocks, and from then on "
    "takes the RecursionError to be in flight",
)


def runaway(f, deferred, ran, *, lost_by_hand=0):
    """Return the largest number of deferred calls that did not run, for
    several depths to start from.
    """
    lost = 0
    for depth in range(10):
        deferred.clear()
        ran.clear()
        with pytest.raises(RecursionError):
            deeper(depth, lambda: f(0))
        assert len(deferred) > 20
        missing = len(deferred) - len(ran)
        assert ran == deferred[::-1][missing:], f"started at depth {depth}"
        lost = max(lost, missing)
    assert lost <= lost_by_hand
    return lost


@overflowing
def test_calls_run_when_the_stack_overflows(way):
    """Each call deferred by a runaway recursion runs when the RecursionError
    passes its function (D5).
    """
    deferred, ran = [], []

    @way
    def f(n):
        defer(ran.append, n)
        deferred.append(n)
        f(n + 1)

    def by_hand(n):
        call, argument = ran.append, n
        try:
            deferred.append(n)
            by_hand(n + 1)
        finally:
            call(argument)

    runaway(f, deferred, ran, lost_by_hand=runaway(by_hand, deferred, ran, lost_by_hand=1))


@overflowing
def test_calls_run_when_a_call_beside_them_overflows_the_stack(way):
    """If a deferred call finds no room on the stack, those that need none still run (D5)."""
    deferred, ran = [], []

    @way
    def f(n):
        defer(ran.append, n)
        deferred.append(n)
        defer(deeper, 30, int)
        defer(deeper, 3, int)
        f(n + 1)

    def by_hand(n):
        call, argument = ran.append, n
        try:
            deferred.append(n)
            try:
                by_hand(n + 1)
            finally:
                deeper(30, int)
        finally:
            call(argument)

    runaway(f, deferred, ran, lost_by_hand=runaway(by_hand, deferred, ran, lost_by_hand=1))
