"""After an exceptional exit nothing of godefer keeps anything alive: rule D9."""

import asyncio
import contextlib
import gc
import sys
import weakref

import pytest

from godefer import DeferError, ausing, defer, errdefer, okdefer, panic, recover, using
from godefer._runtime.invocation import live
from godefer._runtime.record import _defer, pool
from tests.helpers import drive, fail, pause

N = 1000
COUNTS_REFERENCES = sys.implementation.name == "cpython"


class Argument:
    """An argument for a deferred call; `kept` has a weak reference to each."""

    kept = []

    def __init__(self):
        self.kept.append(weakref.ref(self))


def clean_up(argument=None, key=None):
    pass


def stop(argument):
    raise SystemExit(argument)


def recovers(argument):
    recover()


def recovers_and_fails(argument):
    error = recover()
    raise KeyError(argument) from error


async def later(argument):
    await pause()


async def fail_later(argument):
    await pause()
    raise ValueError(argument)


async def recovers_later(argument):
    await pause()
    recover()


class Manager:
    """A context manager that is also an argument."""

    def __init__(self, argument, result=None, error=None):
        self.argument = argument
        self.result = result
        self.error = error

    def __enter__(self):
        return self.argument

    def __exit__(self, *details):
        if self.error:
            raise self.error(self.argument)
        return self.result

    async def __aenter__(self):
        await pause()
        return self.argument

    async def __aexit__(self, *details):
        await pause()
        return self.__exit__(*details)


def helper(argument):
    defer(clean_up, argument)


# Each of these makes a function that calls a decorated function once. That function exits in its
# own way.


def raises(way):
    @way
    def f(argument):
        defer(clean_up, argument, key=argument)
        raise ValueError(argument)

    return f


def raises_with_every_statement(way):
    @way
    def f(argument):
        for _ in range(3):
            defer(clean_up, argument)
        errdefer(clean_up, argument)
        okdefer(clean_up, argument)
        value = using(Manager(argument))
        defer(clean_up, value)
        raise ValueError(argument)

    return f


def raises_deep_down(way):
    @way
    def inner(argument):
        defer(clean_up, argument)
        raise ValueError(argument)

    @way
    def outer(argument):
        defer(clean_up, argument)
        inner(argument)

    return outer


def raises_in_a_recursion(way):
    @way
    def f(argument, n=5):
        defer(clean_up, argument)
        if n:
            f(argument, n - 1)
        raise ValueError(argument)

    return f


def a_deferred_call_fails(way):
    @way
    def f(argument):
        defer(clean_up, argument)
        defer(fail, argument)

    return f


def deferred_calls_and_the_body_fail(way):
    @way
    def f(argument):
        defer(fail, argument)
        defer(clean_up, argument)
        defer(fail, argument)
        raise KeyError(argument)

    return f


def an_exit_replaced_and_going_on(way):
    @way
    def f(argument):
        defer(recovers, argument)
        defer(fail, argument)
        raise SystemExit(argument)

    return f


def an_exit_in_a_deferred_call(way):
    @way
    def f(argument):
        defer(recovers, argument)
        defer(stop, argument)
        raise ValueError(argument)

    return f


def an_exception_raised_again_by_a_deferred_call(way):
    def again(argument):
        raise sys.exception()

    @way
    def f(argument):
        defer(clean_up, argument)
        defer(again, argument)
        raise ValueError(argument)

    return f


def recovered(way):
    @way
    def f(argument):
        defer(clean_up, argument)
        defer(recovers, argument)
        raise ValueError(argument)

    return f


def recovered_with_a_value(way):
    @way
    def f(argument):
        defer(recovers, argument)
        defer(fail, argument)
        return argument

    return f


def recovered_and_failed_again(way):
    @way
    def f(argument):
        defer(clean_up, argument)
        defer(recovers_and_fails, argument)
        panic(argument)

    return f


def recovered_by_a_decorated_function(way):
    @way
    def deferred(argument):
        defer(recovers, argument)
        recover()
        panic(argument)

    @way
    def f(argument):
        defer(deferred, argument)
        panic(argument)

    return f


def suppressed_by_a_context_manager(way):
    @way
    def f(argument):
        value = using(Manager(argument, result=True))
        defer(clean_up, value)
        raise ValueError(argument)

    return f


def failed_in_a_context_manager(way):
    @way
    def f(argument):
        using(Manager(argument, error=KeyError))
        raise ValueError(argument)

    return f


def not_callable(way):
    @way
    def f(argument):
        defer(clean_up, argument)
        defer(None, argument)

    return f


def wrong_arguments(way):
    @way
    def f(argument):
        defer(clean_up, argument, argument, argument)

    return f


def a_coroutine_dropped(way):
    @way
    def f(argument):
        defer(later, argument)
        raise ValueError(argument)

    return f


def misplaced(way):
    @way
    def f(argument):
        defer(clean_up, argument)
        helper(argument)

    return f


def a_generator_raises(way):
    @way
    def g(argument):
        defer(clean_up, argument)
        yield argument
        raise ValueError(argument)

    return lambda argument: list(g(argument))


def a_generator_closed(way):
    @way
    def g(argument):
        defer(clean_up, argument)
        errdefer(clean_up, argument)
        yield argument

    def f(argument):
        generator = g(argument)
        next(generator)
        generator.close()

    return f


def a_generator_dropped(way):
    @way
    def g(argument):
        defer(clean_up, argument)
        yield argument

    return lambda argument: next(g(argument))


def a_generator_that_returns_when_closed(way):
    @way
    def g(argument):
        defer(clean_up, argument)
        try:
            yield argument
        except GeneratorExit:
            return

    def f(argument):
        generator = g(argument)
        next(generator)
        generator.close()

    return f


def a_generator_closed_with_a_failing_call(way):
    @way
    def g(argument):
        defer(fail, argument)
        yield argument

    def f(argument):
        generator = g(argument)
        next(generator)
        generator.close()

    return f


def a_generator_thrown_into(way):
    @way
    def g(argument):
        defer(clean_up, argument)
        defer(recovers, argument)
        defer(fail, argument)
        yield argument

    def f(argument):
        generator = g(argument)
        next(generator)
        with contextlib.suppress(StopIteration):
            generator.throw(KeyError(argument))

    return f


def a_coroutine_raises(way):
    @way
    async def f(argument):
        defer(later, argument)
        await pause()
        raise ValueError(argument)

    return lambda argument: drive(f(argument))


def a_coroutine_whose_deferred_calls_fail(way):
    @way
    async def f(argument):
        defer(fail_later, argument)
        defer(fail, argument)
        defer(fail_later, argument)
        raise KeyError(argument)

    return lambda argument: drive(f(argument))


def a_coroutine_recovered(way):
    @way
    async def f(argument):
        defer(later, argument)
        defer(recovers_later, argument)
        raise ValueError(argument)

    return lambda argument: drive(f(argument))


def a_coroutine_with_context_managers(way):
    @way
    async def f(argument):
        value = await ausing(Manager(argument))
        defer(later, value)
        raise ValueError(argument)

    return lambda argument: drive(f(argument))


def a_coroutine_with_a_suppressing_context_manager(way):
    @way
    async def f(argument):
        value = await ausing(Manager(argument, result=True))
        defer(later, value)
        raise ValueError(argument)

    return lambda argument: drive(f(argument))


def a_coroutine_cancelled(way):
    @way
    async def f(argument):
        defer(later, argument)
        defer(recovers, argument)
        await pause()

    def run(argument):
        coroutine = f(argument)
        coroutine.send(None)
        coroutine.throw(asyncio.CancelledError())
        drive(coroutine)

    return run


def a_coroutine_closed(way):
    @way
    async def f(argument):
        defer(clean_up, argument)
        await pause()

    def run(argument):
        coroutine = f(argument)
        coroutine.send(None)
        coroutine.close()

    return run


def an_async_generator_closed(way):
    @way
    async def g(argument):
        defer(later, argument)
        yield argument

    async def iterate(argument):
        generator = g(argument)
        await anext(generator)
        await generator.aclose()

    return lambda argument: drive(iterate(argument))


def an_async_generator_raises(way):
    @way
    async def g(argument):
        defer(fail_later, argument)
        yield argument
        raise KeyError(argument)

    async def iterate(argument):
        async for _ in g(argument):
            pass

    return lambda argument: drive(iterate(argument))


EXITS = [
    raises,
    raises_with_every_statement,
    raises_deep_down,
    raises_in_a_recursion,
    a_deferred_call_fails,
    deferred_calls_and_the_body_fail,
    an_exit_replaced_and_going_on,
    an_exit_in_a_deferred_call,
    an_exception_raised_again_by_a_deferred_call,
    recovered,
    recovered_with_a_value,
    recovered_and_failed_again,
    recovered_by_a_decorated_function,
    suppressed_by_a_context_manager,
    failed_in_a_context_manager,
    not_callable,
    wrong_arguments,
    a_coroutine_dropped,
    misplaced,
    a_generator_raises,
    a_generator_closed,
    a_generator_dropped,
    a_generator_that_returns_when_closed,
    a_generator_closed_with_a_failing_call,
    a_generator_thrown_into,
    a_coroutine_raises,
    a_coroutine_whose_deferred_calls_fail,
    a_coroutine_recovered,
    a_coroutine_with_context_managers,
    a_coroutine_with_a_suppressing_context_manager,
    a_coroutine_cancelled,
    a_coroutine_closed,
    an_async_generator_closed,
    an_async_generator_raises,
]

EXPECTED = (ValueError, KeyError, TypeError, RuntimeError, SystemExit, asyncio.CancelledError)


def call(function):
    """Call *function* with a new Argument, and keep nothing of its exception."""
    try:
        function(Argument())
    except EXPECTED:
        pass


# CPython frees unreferenced objects at once, and its collector counts the objects in cycles. PyPy
# frees both only when it collects, and counts nothing. So the tests there require only that the
# objects are gone after a collection.


def alive():
    """Return the arguments that are still alive."""
    # The next collection frees the objects that a finalizer has dropped.
    for _ in range(0 if COUNTS_REFERENCES else 3):
        gc.collect()
    return [argument for ref in Argument.kept if (argument := ref()) is not None]


def found_in_cycles():
    found = gc.collect()
    return found if COUNTS_REFERENCES else 0


@contextlib.contextmanager
def collector_disabled():
    gc.collect()
    if not COUNTS_REFERENCES:
        yield
        return
    gc.disable()
    pool.clear()  # a cycle through a frozen node would never be found
    gc.freeze()  # leave older objects out of the next collections
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("make", EXITS, ids=lambda make: make.__name__)
def test_a_thousand_exits_leave_nothing(way, make):
    """A thousand exits leave no garbage, free their arguments and empty their nodes (D9)."""
    function = make(way)
    # Other tests leave entries: threads that never end, and coroutines that PyPy never closes.
    before = dict(live)
    call(function)
    Argument.kept.clear()
    with collector_disabled():
        for _ in range(N):
            call(function)
        assert len(Argument.kept) == N
        assert alive() == []
        assert found_in_cycles() == 0

        Argument.kept.clear()
        errors = []
        try:
            function(Argument())
        except EXPECTED as e:
            errors.append(e)
        errors.clear()
        assert alive() == [], "an exception that was kept for a while is in a cycle"

    clean = _defer()
    assert pool or way.name == "open-coded"
    for node in pool:
        for field in set(_defer.__slots__) - {"pc"}:
            assert getattr(node, field) == getattr(clean, field)
    assert live == before


def test_a_thousand_cancelled_tasks_leave_no_cycle(way):
    """A thousand tasks cancelled while they wait leave nothing to the garbage collector (D9)."""

    async def later(argument):
        await asyncio.sleep(0)

    @way
    async def f(argument):
        defer(later, argument)
        defer(recovers, argument)
        await asyncio.Event().wait()

    async def cancel_one():
        task = asyncio.create_task(f(Argument()))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        del task
        await asyncio.sleep(0)  # the event loop, too, frees the task

    async def main():
        await cancel_one()
        Argument.kept.clear()
        with collector_disabled():
            for _ in range(N):
                await cancel_one()
            assert len(Argument.kept) == N
            assert alive() == []
            assert found_in_cycles() == 0

    asyncio.run(main())


def test_a_normal_exit_leaves_no_cycle(way):
    """A normal exit of a function, generator or coroutine leaves no garbage either (D9)."""

    @way
    def f(argument):
        defer(clean_up, argument, key=argument)
        value = using(Manager(argument))
        okdefer(clean_up, value)
        return argument

    @way
    def g(argument):
        defer(clean_up, argument)
        yield argument

    @way
    async def h(argument):
        defer(later, argument)
        await pause()
        return argument

    def once():
        f(Argument())
        list(g(Argument()))
        drive(h(Argument()))

    once()
    Argument.kept.clear()
    with collector_disabled():
        for _ in range(N):
            once()
        assert len(Argument.kept) == 3 * N
        assert alive() == []
        assert found_in_cycles() == 0


def test_the_recovered_exception_is_released(way):
    """While the remaining calls run, nothing keeps a recovered exception alive (D9, P4)."""
    references, seen = [], []

    class Error(Exception):
        pass

    def refer():
        references.append(weakref.ref(sys.exception()))

    def look():
        if not COUNTS_REFERENCES:
            gc.collect()
        seen.append(references[0]() is not None)

    @way
    def f(argument):
        defer(look)
        defer(recovers, argument)
        defer(look)
        defer(refer)
        raise Error(argument)

    with collector_disabled():
        f(Argument())
    assert seen == [True, False]


@pytest.mark.parametrize("error", [None, KeyError()])
def test_a_call_made_in_a_loop_is_let_go_of_before_the_next_one(way, error):
    """A deferred call of a loop is freed before the next call runs (D8, D9)."""
    events = []

    class Callee:
        def __init__(self, number):
            self.number = number

        def __call__(self, _):
            gc.collect()  # where references are not counted
            events.append(self.number)

        def __del__(self):
            events.append(f"{self.number} is free")

    @way
    def f():
        for number in range(3):
            defer(Callee(number), None)
        if error:
            raise error

    with contextlib.suppress(KeyError):
        f()
    gc.collect()
    assert events == [2, "2 is free", 1, "1 is free", 0, "0 is free"]


def test_a_returned_exception(way):
    """A function that returns an exception of its own body leaves no reference cycle (D9)."""

    @way
    def f(argument):
        defer(str)
        defer(str)
        try:
            raise KeyError(argument)
        except KeyError as error:
            return "failed", error

    with collector_disabled():
        f(Argument())
        Argument.kept.clear()
        assert found_in_cycles() == 0


def test_a_misplaced_statement_keeps_nothing():
    """A statement that fails outside of decorated functions keeps no argument alive (D9, D3)."""
    before = dict(live)
    with contextlib.suppress(DeferError):
        helper(Argument())
    Argument.kept.clear()
    with collector_disabled():
        for _ in range(N):
            with contextlib.suppress(DeferError):
                helper(Argument())
        assert alive() == []
        assert found_in_cycles() == 0
    assert live == before
