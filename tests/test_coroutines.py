"""A decorated coroutine function runs its deferred calls at every end of its coroutine (D2, A)."""

import asyncio
import gc
import inspect
import sys

import pytest

from godefer import defer, errdefer, okdefer, recover
from tests.helpers import pause


@pytest.fixture
def work(way, events):
    """Pause twice, and note how the coroutine exits."""

    @way
    async def work():
        defer(events.append, "exits")
        errdefer(lambda: events.append(type(sys.exception())))
        okdefer(events.append, "returns")
        events.append(await pause(1))
        events.append(await pause(2))
        return "result"

    return work


def test_return(work, events):
    """A coroutine's deferred calls run when it returns, not when it is suspended; the
    caller gets its value (D2).
    """
    coro = work()
    assert [coro.send(None), coro.send("a")] == [1, 2]
    assert events == ["a"]
    with pytest.raises(StopIteration) as stop:
        coro.send("b")
    assert stop.value.value == "result"
    assert events == ["a", "b", "returns", "exits"]


def test_awaiting_a_decorated_coroutine(way, events):
    """Of two decorated coroutine functions, one awaiting the other, the
    inner exits first (D2, D4).
    """

    @way
    async def inner():
        defer(events.append, "inner exits")
        await asyncio.sleep(0)
        return "result"

    @way
    async def outer():
        defer(events.append, "outer exits")
        events.append(await inner())
        await asyncio.sleep(0)

    asyncio.run(outer())
    assert events == ["inner exits", "result", "outer exits"]


def test_raise(way, events):
    """A coroutine that raises runs its deferred calls, and its caller gets the exception (D2)."""
    error = KeyError("body")

    @way
    async def work():
        defer(events.append, "exits")
        errdefer(lambda: events.append(sys.exception()))
        await asyncio.sleep(0)
        raise error

    async def main():
        try:
            await work()
        except KeyError as e:
            return e

    assert asyncio.run(main()) is error
    assert events == [error, "exits"]


def test_throw(work, events):
    """An exception thrown into a suspended coroutine exits it (D2)."""
    coro = work()
    coro.send(None)
    thrown = KeyError("thrown")
    with pytest.raises(KeyError) as caught:
        coro.throw(thrown)
    assert caught.value is thrown
    assert events == [KeyError, "exits"]


def test_throw_that_the_body_catches(way, events):
    """An exception that the body catches around an `await` does not exit the coroutine (D2)."""

    @way
    async def work():
        defer(events.append, "exits")
        try:
            await pause(1)
        except KeyError:
            events.append("caught")
        await pause(2)

    coro = work()
    coro.send(None)
    assert coro.throw(KeyError("thrown")) == 2
    assert events == ["caught"]
    with pytest.raises(StopIteration):
        coro.send(None)
    assert events == ["caught", "exits"]


def test_cancel(way, events):
    """A cancelled coroutine fails with CancelledError: its calls run, `errdefer` too; it
    stays cancelled (D2, D10).
    """

    @way
    async def work():
        defer(events.append, "exits")
        errdefer(lambda: events.append(type(sys.exception())))
        okdefer(events.append, "returns")
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(main())
    assert events == [asyncio.CancelledError, "exits"]


def test_cancel_that_the_body_answers_by_returning(way, events):
    """A coroutine that catches its cancellation and returns is returning (D10)."""

    @way
    async def work():
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "result"

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) == "result"
    assert events == ["returns"]


def test_cancel_before_the_start(work, events):
    """A task that is cancelled before its first step has deferred nothing (D2)."""

    async def main():
        task = asyncio.create_task(work())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert events == []


def test_cancelled_task_awaits_in_its_deferred_calls(way, events):
    """The deferred coroutine functions of a cancelled task are awaited to their end, one
    after the other (D2, D6).
    """

    async def cleanup(name):
        events.append(f"{name} begins")
        await asyncio.sleep(0.001)
        events.append(f"{name} ends")

    @way
    async def work():
        defer(cleanup, "first")
        defer(cleanup, "second")
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert events == ["second begins", "second ends", "first begins", "first ends"]


def test_cancel_in_a_deferred_call(way, events):
    """A task cancelled while it awaits a deferred call goes on with the
    others, and is cancelled (D5).
    """
    started = []

    async def slow():
        started.append(True)
        await asyncio.sleep(60)
        events.append("never")

    async def cleanup():
        await asyncio.sleep(0)
        events.append("cleanup")

    @way
    async def work():
        defer(cleanup)
        errdefer(lambda: events.append(type(sys.exception())))
        defer(slow)
        return "result"

    async def main():
        task = asyncio.create_task(work())
        while not started:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(main())
    assert events == [asyncio.CancelledError, "cleanup"]


def test_timeout(way, events):
    """Under `asyncio.timeout` the deferred calls run before the TimeoutError leaves (D2)."""

    async def cleanup():
        await asyncio.sleep(0)
        events.append("cleanup")

    @way
    async def work():
        defer(cleanup)
        await asyncio.sleep(60)

    async def main():
        try:
            async with asyncio.timeout(0.01):
                await work()
        except TimeoutError:
            events.append("timeout")

    asyncio.run(main())
    assert events == ["cleanup", "timeout"]


def test_timeout_inside(way, events):
    """A timeout in the body of a decorated coroutine function is caught
    there, and exits nothing (D2).
    """

    @way
    async def work():
        okdefer(events.append, "returns")
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        except TimeoutError:
            events.append("timeout")

    asyncio.run(work())
    assert events == ["timeout", "returns"]


def test_task_group(way, events):
    """When a task of a group fails, its cancelled siblings run their deferred calls
    before the group ends (D2, D4).
    """

    async def cleanup(name):
        await asyncio.sleep(0)
        events.append(name)

    @way
    async def sibling():
        defer(cleanup, "sibling")
        await asyncio.sleep(60)

    @way
    async def failing():
        defer(cleanup, "failing")
        await asyncio.sleep(0)
        raise KeyError("body")

    async def main():
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(sibling())
                group.create_task(failing())
        except* KeyError:
            events.append("group ends")

    asyncio.run(main())
    assert events == ["failing", "sibling", "group ends"]


def test_close(work, events):
    """Closing a suspended coroutine exits it by GeneratorExit, and its
    deferred calls run (D2, D10).
    """
    coro = work()
    coro.send(None)
    coro.close()
    assert events == [GeneratorExit, "exits"]
    coro.close()
    assert events == [GeneratorExit, "exits"]
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)


def test_close_before_the_start(work, events):
    """A coroutine closed before its first step has deferred nothing (D2)."""
    work().close()
    assert events == []


def test_close_that_the_body_answers_by_returning(way, events):
    """A coroutine that catches GeneratorExit and returns is returning: `okdefer` runs,
    `errdefer` does not (D10).
    """

    @way
    async def work():
        defer(lambda: events.append(sys.exception()))
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        try:
            await pause()
        except GeneratorExit:
            return

    coro = work()
    coro.send(None)
    coro.close()
    assert events == ["returns", None]


def test_close_that_the_body_ignores(way, events):
    """A coroutine that awaits after GeneratorExit has not exited: close() complains, its
    deferred calls wait (D2).
    """

    @way
    async def work():
        defer(events.append, "exits")
        okdefer(events.append, "returns")
        try:
            await pause(1)
        except GeneratorExit:
            events.append("ignored")
            await pause(2)
        events.append("goes on")

    coro = work()
    coro.send(None)
    with pytest.raises(RuntimeError, match="coroutine ignored GeneratorExit"):
        coro.close()
    assert events == ["ignored"]
    with pytest.raises(StopIteration):
        coro.send(None)
    assert events == ["ignored", "goes on", "returns", "exits"]


def test_close_when_a_deferred_call_has_to_wait(way, events):
    """A deferred call that suspends while the coroutine is being closed ignores
    GeneratorExit, as in a `finally` (D2).
    """

    async def cleanup():
        await pause()
        events.append("cleanup")

    async def by_hand():
        try:
            await pause()
        finally:
            await cleanup()

    @way
    async def work():
        defer(cleanup)
        await pause()

    for function in (by_hand, work):
        coro = function()
        coro.send(None)
        with pytest.raises(RuntimeError, match="coroutine ignored GeneratorExit"):
            coro.close()
        with pytest.raises(GeneratorExit):
            coro.send(None)
        assert events.pop() == "cleanup"


def test_close_while_a_deferred_call_waits(way, events):
    """If the coroutine is closed while one deferred call of a loop waits, the others run, and
    `close()` raises their exception (D2, D5).
    """

    async def waits():
        try:
            await pause()
        finally:
            events.append("closed")

    def fails():
        events.append(type(sys.exception()))
        raise OSError

    @way
    async def work():
        for call in (lambda: events.append("first"), fails, waits):
            defer(call)
        raise LookupError

    coro = work()
    coro.send(None)
    with pytest.raises(OSError) as caught:
        coro.close()
    assert events == ["closed", GeneratorExit, "first"]
    assert type(caught.value.__context__) is GeneratorExit


def test_dropped_half_way(work, events):
    """The interpreter closes a dropped coroutine, and its deferred calls
    run; PyPy closes none (D2).
    """
    coro = work()
    coro.send(None)
    del coro
    gc.collect()
    assert events == ([GeneratorExit, "exits"] if sys.implementation.name == "cpython" else [])


def test_never_awaited(work, events):
    """A decorated coroutine that is never awaited has a warning under its own name,
    and deferred nothing (A).
    """
    with pytest.warns(
        RuntimeWarning, match=r"coroutine 'work\.<locals>\.work' was never awaited"
    ) as warned:
        work()
        gc.collect()
    assert len(warned) == 1
    assert events == []


def test_wrong_arguments(way):
    """Wrong arguments fail at the call: no coroutine exists that would warn
    of not being awaited (A).
    """

    @way
    async def work(a, *, b):
        defer(print, a, b)

    with pytest.raises(TypeError, match=r"work\(\) missing 1 required keyword-only argument: 'b'"):
        work(1)
    gc.collect()


def test_stop_iteration_raised_in_the_body(way, events):
    """The deferred calls see the body's own StopIteration, the caller a
    RuntimeError (PEP 479, D10).
    """
    stop = StopIteration("mine")

    @way
    async def work():
        errdefer(lambda: events.append(sys.exception()))
        raise stop

    with pytest.raises(RuntimeError, match="coroutine raised StopIteration") as caught:
        work().send(None)
    assert events == [stop]
    assert caught.value.__cause__ is stop


def test_recover(way, events):
    """A coroutine that recovers returns None to its caller (P4)."""

    def rescue():
        events.append(type(recover()))

    @way
    async def work():
        defer(events.append, "exits")
        defer(rescue)
        await asyncio.sleep(0)
        raise KeyError("body")

    assert asyncio.run(work()) is None
    assert events == [KeyError, "exits"]


def test_await_statements_of_every_kind(way, events):
    """`async with`, `async for` and async comprehensions work in a
    decorated coroutine function (A).
    """

    class Manager:
        async def __aenter__(self):
            events.append("enter")

        async def __aexit__(self, *exc_info):
            events.append("exit")

    async def numbers():
        for n in range(2):
            await asyncio.sleep(0)
            yield n

    @way
    async def work():
        defer(events.append, "exits")
        async with Manager():
            async for n in numbers():
                events.append(n)
        return [n async for n in numbers()]

    assert asyncio.run(work()) == [0, 1]
    assert events == ["enter", 0, 1, "exit", "exits"]


def test_the_callers_exception_is_not_lost(way, events):
    """A coroutine sees its caller's handled exception, as an undecorated one does (A)."""

    async def plain():
        events.append(repr(sys.exception()))
        await asyncio.sleep(0)
        events.append(repr(sys.exception()))

    @way
    async def decorated():
        defer(lambda: events.append(repr(sys.exception())))
        events.append(repr(sys.exception()))
        await asyncio.sleep(0)
        events.append(repr(sys.exception()))

    async def main():
        for function in (plain, decorated):
            try:
                raise KeyError("handled")
            except KeyError:
                await function()

    asyncio.run(main())
    assert events == ["KeyError('handled')"] * 5


def test_coroutine_state(work):
    """`inspect` sees a decorated coroutine created, suspended and
    closed, under its own name (A).
    """
    coro = work()
    states = [inspect.getcoroutinestate(coro)]
    coro.send(None)
    states.append(inspect.getcoroutinestate(coro))
    coro.close()
    states.append(inspect.getcoroutinestate(coro))
    assert states == [inspect.CORO_CREATED, inspect.CORO_SUSPENDED, inspect.CORO_CLOSED]
    assert coro.__name__ == "work"
    assert coro.__qualname__ == "work.<locals>.work"


def test_awaited_twice(work, events):
    """Awaiting one coroutine a second time is Python's own error, and runs no
    deferred call again (D2).
    """
    coro = work()
    coro.send(None)
    coro.send(None)
    with pytest.raises(StopIteration):
        coro.send(None)
    events.clear()
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)
    assert events == []


# Closed while it waits in a deferred call, and another call waits as well


class Waiting:
    """An awaitable that suspends once."""

    def __await__(self):
        yield "waits"


async def waits(events, name):
    try:
        await Waiting()
    except GeneratorExit:
        events.append(f"{name} closed")
        raise
    events.append(f"{name} done")


async def two_statements(events, fails):
    defer(waits, events, 1)
    defer(waits, events, 2)
    if fails:
        raise KeyError


async def a_loop(events, fails):
    for i in (1, 2):
        defer(waits, events, i)
    if fails:
        raise KeyError


async def by_hand(events, fails):
    try:
        try:
            if fails:
                raise KeyError
        finally:
            await waits(events, 2)
    finally:
        await waits(events, 1)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("fn", [two_statements, a_loop])
def test_close_while_a_further_call_waits(way, fn, fails):
    """If a call waits although the coroutine was closed, `close()` complains, and the
    coroutine can be resumed (D2, D5).
    """

    def closed(function):
        events = []
        coroutine = function(events, fails)
        assert coroutine.send(None) == "waits"
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            coroutine.close()
        with pytest.raises(GeneratorExit):
            coroutine.send(None)
        return events

    assert closed(way(fn)) == closed(by_hand) == ["2 closed", "1 done"]
