"""godefer.aio in the deferred calls of functions, scopes and generators (X)."""

import asyncio
import contextlib
import gc
import sys

import pytest

from godefer import defer, defer_scope, errdefer, okdefer, recover
from godefer.aio import shielded, shielded_for
from tests.helpers import CleanUp, until
from tests.systems.conftest import backend, interruptible, run  # fixtures


def test_deferred(way, run, events):
    """`defer(shielded, …)` finishes in its turn, the other calls run, and the function exits by the
    cancellation (X, D5, D10).
    """

    @way
    async def work(clean_up):
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        defer(lambda: events.append(recover()))
        defer(shielded, clean_up)
        defer(events.append, "body exits")
        return "result"

    async def main():
        clean_up = CleanUp(events)
        task = asyncio.create_task(work(clean_up))
        await until(lambda: clean_up.begun)
        task.cancel()
        await asyncio.sleep(0)
        clean_up.go_on.set()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main())
    assert events == ["body exits", "finished", None, "fails"]


def test_deferred_in_a_cancelled_function(way, run, events):
    """In a cancelled function, shielded calls finish one after the other, and the
    cancellation goes on (X, D5).
    """

    async def later(name):
        await asyncio.sleep(0.002)
        events.append(name)
        assert isinstance(sys.exception(), asyncio.CancelledError)

    @way
    async def work():
        defer(shielded, later, "a")
        defer(shielded_for, 60, later, "b")
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0.001)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        return task.cancelling()

    assert run(main()) == 1
    assert events == ["b", "a"]


def test_time_limit_that_is_recovered(way, run, events):
    """After a deferred call's TimeoutError is recovered, the task is still cancelled by the
    earlier cancellation (X, P3).
    """

    @way
    async def work():
        defer(events.append, "exits")
        defer(lambda: events.append(type(recover(TimeoutError))))
        defer(shielded_for, 0.002, asyncio.sleep, 60)
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main())
    assert events == [TimeoutError, "exits"]


def test_deferred_in_a_scope(run, events):
    """A shielded call deferred on a scope finishes in its turn, though its task is cancelled
    (X, S).
    """

    async def work(clean_up):
        async with defer_scope() as scope:
            scope(events.append, "block exits")
            scope(shielded, clean_up)
            scope(shielded_for, 60, events.append, "at once")

    async def main():
        clean_up = CleanUp(events)
        task = asyncio.create_task(work(clean_up))
        await until(lambda: clean_up.begun)
        task.cancel()
        await asyncio.sleep(0)
        clean_up.go_on.set()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main())
    assert events == ["at once", "finished", "block exits"]


def test_deferred_in_a_generator(way, run, events):
    """An async generator that is closed finishes its shielded calls (X, D2)."""

    async def later():
        await asyncio.sleep(0.001)
        events.append("finished")

    @way
    async def numbers():
        defer(shielded, later)
        yield 1

    async def main():
        async with contextlib.aclosing(numbers()) as generator:
            await anext(generator)

    run(main())
    assert events == ["finished"]


def test_in_a_synchronous_function(way):
    """A deferred `shielded` in a synchronous function is a TypeError that names it (D6)."""

    @way
    def work():
        defer(shielded, print)

    with pytest.raises(TypeError, match="shielded is a coroutine function"):
        work()


def test_without_an_event_loop(events):
    """Without an event loop, the call is simply awaited (X)."""

    class Step:
        def __await__(self):
            events.append((yield "step"))

    for coroutine in (shielded(Step), shielded_for(60, Step)):
        assert coroutine.send(None) == "step"
        with pytest.raises(StopIteration):
            coroutine.send("sent")
    assert events == ["sent", "sent"]


def test_no_cycles(run):
    """Neither a call that fails, nor a cancellation, leaves a reference cycle (X, D9)."""

    class Held:
        pass

    async def fails(held):
        await asyncio.sleep(0)
        raise LookupError

    async def main():
        for _ in range(3):
            with contextlib.suppress(LookupError):
                await shielded(fails, Held())
            with contextlib.suppress(LookupError):
                try:
                    raise ValueError
                finally:
                    await shielded(fails, Held())
        task = asyncio.create_task(shielded(asyncio.sleep, 0.002, Held()))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        del task
        await asyncio.sleep(0)
        return [thing for thing in gc.get_objects() if isinstance(thing, Held)]

    gc.collect()
    gc.disable()
    try:
        assert run(main()) == [] or sys.implementation.name == "pypy"
    finally:
        gc.enable()


def test_closed_while_it_waits(events):
    """Closing a coroutine while it waits cancels the call, which nobody awaits any more (X, D2)."""

    async def main():
        clean_up = CleanUp(events)

        async def waits():
            await shielded(clean_up)

        coroutine = waits()

        class Hand:
            """Awaits one step of the coroutine in this task, then closes it."""

            def __await__(self):
                future = coroutine.send(None)
                future._asyncio_future_blocking = False
                future.add_done_callback(lambda _: None)
                yield from asyncio.sleep(0.001).__await__()
                coroutine.close()

        await Hand()
        await asyncio.sleep(0.001)

    asyncio.run(main())
    assert events == ["interrupted"]


def test_what_a_container_hands_back_is_dropped(way):
    """A future, or the task itself, that a container hands back is not waited for (X, D6)."""
    running = {}

    @way
    async def work():
        running["me"] = asyncio.current_task()
        running["never"] = asyncio.get_running_loop().create_future()
        for name in ("me", "never"):
            defer(shielded_for, 5, running.pop, name)
            running[name + " again"] = running[name]
            defer(shielded, running.pop, name + " again")
        return 5

    assert asyncio.run(asyncio.wait_for(work(), 2)) == 5
    assert running == {}


def test_a_call_that_waits_for_its_own_caller_ends_at_its_limit(way):
    """A call that waits for the task that has deferred it is given up at its limit (X)."""
    tasks = []

    async def drain():
        for task in tasks:
            await task

    @way
    async def work():
        tasks.append(asyncio.current_task())
        defer(shielded_for, 0.05, drain)

    with pytest.raises(TimeoutError, match="drain did not end within 0.05 seconds"):
        asyncio.run(asyncio.wait_for(work(), 2))
