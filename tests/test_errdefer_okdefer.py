"""`errdefer` and `okdefer` run on their own kinds of exit: rule D10."""

import asyncio
import contextlib
import sys

import pytest

from godefer import defer, errdefer, okdefer, recover, using


def test_they_take_turns_with_defer_last_in_first_out(way):
    """The three statements share one order, and each runs on its own kind of exit (D10, D2)."""
    ran = []

    @way
    def f(error):
        defer(ran.append, "defer 1")
        errdefer(ran.append, "errdefer 1")
        okdefer(ran.append, "okdefer 1")
        defer(ran.append, "defer 2")
        okdefer(ran.append, "okdefer 2")
        errdefer(ran.append, "errdefer 2")
        if error:
            raise error
        return 7

    assert f(None) == 7
    assert ran == ["okdefer 2", "defer 2", "okdefer 1", "defer 1"]
    ran.clear()
    with pytest.raises(ValueError):
        f(ValueError())
    assert ran == ["errdefer 2", "defer 2", "errdefer 1", "defer 1"]


@pytest.mark.parametrize("kind", ["generator", "coroutine", "async generator"])
def test_in_every_kind_of_function(way, kind):
    """Generators, coroutine functions and async generators return and fail like functions (D10)."""
    ran = []

    @way
    def generator(error):
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        yield
        if error:
            raise error

    @way
    async def coroutine(error):
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        await asyncio.sleep(0)
        if error:
            raise error

    @way
    async def async_generator(error):
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        yield
        if error:
            raise error

    async def iterate(error):
        async for _ in async_generator(error):
            pass

    def run(error):
        if kind == "generator":
            list(generator(error))
        else:
            asyncio.run(coroutine(error) if kind == "coroutine" else iterate(error))

    run(None)
    assert ran == ["okdefer"]
    with pytest.raises(ValueError):
        run(ValueError())
    assert ran == ["okdefer", "errdefer"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, BaseException]
)
def test_every_base_exception_is_a_failure(way, error):
    """KeyboardInterrupt and its like are failures as much as any Exception (D10)."""
    ran = []

    @way
    def f():
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        raise error

    with pytest.raises(error):
        f()
    assert ran == ["errdefer"]


def test_a_closed_generator_fails(way):
    """Closing a generator is a failure: its body leaves by GeneratorExit (D10)."""
    ran = []

    @way
    def g():
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        yield

    generator = g()
    next(generator)
    generator.close()
    assert ran == ["errdefer"]


def test_a_generator_that_answers_close_by_returning_returns(way):
    """A generator that answers GeneratorExit by returning is returning (D10)."""
    ran = []

    @way
    def g():
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        try:
            yield
        except GeneratorExit:
            return

    generator = g()
    next(generator)
    generator.close()
    assert ran == ["okdefer"]


@pytest.mark.parametrize("catches", [False, True], ids=["left by GeneratorExit", "returned"])
def test_a_closed_async_generator(way, catches):
    """An async generator that is closed fails, unless its body catches
    GeneratorExit and returns (D10).
    """
    ran = []

    @way
    async def g():
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        try:
            yield
        except GeneratorExit:
            if not catches:
                raise

    async def main():
        generator = g()
        await anext(generator)
        await generator.aclose()

    asyncio.run(main())
    assert ran == ["okdefer" if catches else "errdefer"]


def test_a_cancelled_task_fails(way):
    """Cancelling a task is a failure of the coroutine function that it runs (D10)."""
    ran = []

    @way
    async def f():
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(f())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert ran == ["errdefer"]


def test_an_exception_that_the_body_handles_is_no_failure(way):
    """An exception that does not leave the body changes nothing (D10)."""
    ran = []

    @way
    def f():
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        try:
            raise ValueError
        except ValueError:
            return

    f()
    assert ran == ["okdefer"]


def test_returning_inside_an_except_of_the_caller_is_no_failure(way):
    """An exception that the caller handles does not make a returning function fail (D10)."""
    ran = []

    @way
    def f():
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")

    try:
        raise ValueError
    except ValueError:
        f()
    assert ran == ["okdefer"]


def _recover():
    recover()


def _fail():
    raise ValueError("deferred")


def test_after_a_recovery_it_is_returning(way):
    """After a recovery, the calls that remain see a function that returns (D10)."""
    ran = []

    @way
    def f():
        errdefer(ran.append, "errdefer after")
        okdefer(ran.append, "okdefer after")
        defer(_recover)
        errdefer(ran.append, "errdefer before")
        okdefer(ran.append, "okdefer before")
        raise LookupError

    f()
    assert ran == ["errdefer before", "okdefer after"]


def test_after_a_failing_call_it_is_failing(way):
    """After a deferred call has raised, the calls that remain see a function that fails (D10)."""
    ran = []

    @way
    def f():
        errdefer(ran.append, "errdefer after")
        okdefer(ran.append, "okdefer after")
        defer(_fail)
        errdefer(ran.append, "errdefer before")
        okdefer(ran.append, "okdefer before")

    with pytest.raises(ValueError):
        f()
    assert ran == ["okdefer before", "errdefer after"]


def test_the_state_can_change_more_than_once(way):
    """Failing, recovered, failing, recovered: each call sees the state at its own turn (D10)."""
    ran = []

    @way
    def f():
        errdefer(ran.append, "errdefer 4")
        okdefer(ran.append, "okdefer 4")
        defer(_recover)
        errdefer(ran.append, "errdefer 3")
        okdefer(ran.append, "okdefer 3")
        defer(_fail)
        errdefer(ran.append, "errdefer 2")
        okdefer(ran.append, "okdefer 2")
        defer(_recover)
        errdefer(ran.append, "errdefer 1")
        okdefer(ran.append, "okdefer 1")
        raise LookupError

    f()
    assert ran == ["errdefer 1", "okdefer 2", "errdefer 3", "okdefer 4"]


def test_after_a_context_manager_suppressed_it_is_returning(way):
    """A context manager of `using` that suppresses makes the function return (D10, D11)."""
    ran = []

    @way
    def f():
        errdefer(ran.append, "errdefer")
        okdefer(ran.append, "okdefer")
        using(contextlib.suppress(LookupError))
        raise LookupError

    f()
    assert ran == ["okdefer"]


def test_an_okdefer_call_that_fails(way):
    """If an `okdefer` call raises, the function fails, and the earlier
    `errdefer` calls run (D10, D5).
    """
    ran = []

    @way
    def f():
        errdefer(ran.append, "rollback")
        okdefer(_fail)
        return 7

    with pytest.raises(ValueError, match="deferred"):
        f()
    assert ran == ["rollback"]


def test_an_errdefer_call_that_recovers(way):
    """An `errdefer` call is a deferred call like another: it may recover (D10, P2)."""
    ran = []

    @way
    def f():
        okdefer(ran.append, "okdefer")
        errdefer(_recover)
        raise LookupError

    f()
    assert ran == ["okdefer"]


def test_an_okdefer_call_has_nothing_to_recover(way):
    """An `okdefer` call runs only where there is nothing to recover (D10, P2)."""
    ran = []

    @way
    def f():
        okdefer(lambda: ran.append(recover()))

    f()
    assert ran == [None]


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
def test_the_exception_in_flight(way, kind):
    """`sys.exception()` is the exception in flight in an `errdefer` call, and never
    in an `okdefer` call (D10).
    """
    seen = []

    def note():
        seen.append(sys.exception())

    @way
    def function(error):
        errdefer(note)
        okdefer(note)
        if error:
            raise error

    @way
    def generator(error):
        errdefer(note)
        okdefer(note)
        yield
        if error:
            raise error

    @way
    async def coroutine(error):
        errdefer(note)
        okdefer(note)
        if error:
            raise error

    def run(error):
        if kind == "function":
            function(error)
        elif kind == "generator":
            list(generator(error))
        else:
            with contextlib.suppress(StopIteration):
                coroutine(error).send(None)

    run(None)
    error = ValueError()
    with pytest.raises(ValueError):
        run(error)
    assert seen == [None, error]


def test_the_exception_in_flight_is_the_newest(way):
    """After a deferred call raised, `sys.exception()` in an `errdefer` call is
    the new exception (D10, P5).
    """
    seen = []

    @way
    def f():
        errdefer(lambda: seen.append(sys.exception()))
        defer(_fail)
        raise LookupError

    with pytest.raises(ValueError) as caught:
        f()
    assert seen == [caught.value]


def test_in_a_loop_and_a_condition(way):
    """The statements may stand anywhere and take their arguments as `defer` does (D10, D1, D8)."""
    ran = []

    @way
    def f(error):
        for i in range(3):
            errdefer(ran.append, ("err", i))
            if i:
                okdefer(ran.append, ("ok", i))
        if error:
            raise error

    f(None)
    assert ran == [("ok", 2), ("ok", 1)]
    ran.clear()
    with pytest.raises(ValueError):
        f(ValueError())
    assert ran == [("err", 2), ("err", 1), ("err", 0)]


def test_keyword_arguments(way):
    """`errdefer` and `okdefer` pass keyword arguments on, whatever they are called (D10, D1)."""
    ran = []

    def take(*args, **kwargs):
        ran.append((args, kwargs))

    @way
    def f(error):
        errdefer(take, 1, fn=2, when=3)
        okdefer(take, 4, statement=5, args=6)
        if error:
            raise error

    f(None)
    with pytest.raises(ValueError):
        f(ValueError())
    assert ran == [((4,), {"statement": 5, "args": 6}), ((1,), {"fn": 2, "when": 3})]
