"""A decorated async generator function runs its deferred calls at every end
of its generator (D2, A).
"""

import asyncio
import contextlib
import gc
import inspect
import sys

import pytest

from godefer import defer, errdefer, okdefer, recover
from tests.helpers import pause


@pytest.fixture
def agen(way, events):
    """Yield 1 and 2, await in between, and note how the async generator exits."""

    async def cleanup():
        await asyncio.sleep(0)
        events.append("exits")

    @way
    async def agen():
        defer(cleanup)
        errdefer(lambda: events.append(type(sys.exception())))
        okdefer(events.append, "returns")
        await asyncio.sleep(0)
        events.append((yield 1))
        await asyncio.sleep(0)
        events.append((yield 2))

    return agen


def test_exhaustion(agen, events):
    """The deferred calls of an async generator are awaited when it is exhausted,
    not at a `yield` (D2, D6).
    """

    async def main():
        g = agen()
        assert [await anext(g), await anext(g)] == [1, 2]
        assert events == [None]
        assert await anext(g, "over") == "over"
        assert events == [None, None, "returns", "exits"]

    asyncio.run(main())


def test_asend(agen, events):
    """A value sent to a decorated async generator arrives at its `yield` (A)."""

    async def main():
        g = agen()
        await anext(g)
        assert await g.asend("a") == 2
        with pytest.raises(StopAsyncIteration):
            await g.asend("b")

    asyncio.run(main())
    assert events == ["a", "b", "returns", "exits"]


def test_asend_before_the_start(agen, events):
    """A value sent to an async generator before its start is Python's own
    error, and starts nothing (A).
    """

    async def main():
        g = agen()
        with pytest.raises(
            TypeError, match="can't send non-None value to a just-started async generator"
        ):
            await g.asend(1)
        assert events == []
        assert [item async for item in g] == [1, 2]

    asyncio.run(main())


def test_aclose(agen, events):
    """Closing an async generator exits it by GeneratorExit: its deferred calls
    are awaited (D2, D6, D10).
    """

    async def main():
        g = agen()
        await anext(g)
        await g.aclose()
        assert events == [GeneratorExit, "exits"]
        await g.aclose()
        assert [item async for item in g] == []

    asyncio.run(main())
    assert events == [GeneratorExit, "exits"]


def test_athrow(agen, events):
    """An exception thrown into an async generator, and not caught, exits the
    generator and leaves it (D2).
    """
    thrown = KeyError("thrown")

    async def main():
        g = agen()
        await anext(g)
        with pytest.raises(KeyError) as caught:
            await g.athrow(thrown)
        assert caught.value is thrown
        assert [item async for item in g] == []

    asyncio.run(main())
    assert events == [KeyError, "exits"]


def test_athrow_that_the_body_catches(way, events):
    """An exception that the body catches does not exit the async generator (D2)."""

    @way
    async def agen():
        defer(events.append, "exits")
        try:
            yield 1
        except KeyError as e:
            events.append(e.args)
            yield 2
        events.append(sys.exception())
        yield 3

    async def main():
        g = agen()
        await anext(g)
        assert await g.athrow(KeyError("thrown")) == 2
        assert events == [("thrown",)]
        assert [item async for item in g] == [3]

    asyncio.run(main())
    assert events == [("thrown",), None, "exits"]


@pytest.mark.parametrize("end", ["aclose", "athrow"])
def test_ended_before_the_start(agen, events, end):
    """An async generator that is ended before its first step has deferred nothing (D2)."""

    async def main():
        g = agen()
        if end == "aclose":
            await g.aclose()
        else:
            with pytest.raises(KeyError):
                await g.athrow(KeyError("thrown"))
        assert [item async for item in g] == []

    asyncio.run(main())
    assert events == []


def test_aclose_that_the_body_answers_by_returning(way, events):
    """An async generator that catches GeneratorExit and returns is returning (D10)."""

    @way
    async def agen():
        defer(lambda: events.append(sys.exception()))
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        try:
            yield 1
        except GeneratorExit:
            return

    async def main():
        g = agen()
        await anext(g)
        await g.aclose()

    asyncio.run(main())
    assert events == ["returns", None]


def test_aclose_that_the_body_ignores(way, events):
    """An async generator that yields after GeneratorExit has not exited: aclose()
    complains, its calls wait (D2).
    """

    @way
    async def agen():
        defer(events.append, "exits")
        okdefer(events.append, "returns")
        try:
            yield 1
        except GeneratorExit:
            events.append("ignored")
            yield 2
        events.append("goes on")

    async def main():
        g = agen()
        await anext(g)
        with pytest.raises(RuntimeError, match="async generator ignored GeneratorExit"):
            await g.aclose()
        assert events == ["ignored"]
        del g
        gc.collect()

    asyncio.run(main())
    assert events == ["ignored", "exits"]


def test_aclose_when_a_deferred_call_raises(way, events):
    """If a deferred call raises while the async generator is being closed, aclose()
    raises its exception (D5).
    """

    async def bad():
        await asyncio.sleep(0)
        raise KeyError("bad")

    @way
    async def agen():
        defer(events.append, "exits")
        defer(bad)
        yield 1

    async def main():
        g = agen()
        await anext(g)
        with pytest.raises(KeyError, match="bad") as caught:
            await g.aclose()
        assert isinstance(caught.value.__context__, GeneratorExit)

    asyncio.run(main())
    assert events == ["exits"]


def test_break_out_of_a_loop(agen, events):
    """After `break`, the deferred calls run at the end of the `aclosing`
    block around the loop (D2).
    """

    async def main():
        async with contextlib.aclosing(agen()) as g:
            async for item in g:
                events.append(item)
                break
            events.append("block ends")
        events.append("block ended")

    asyncio.run(main())
    assert events == [1, "block ends", GeneratorExit, "exits", "block ended"]


def test_dropped_half_way(agen, events):
    """The event loop closes an async generator dropped half-way, and awaits its deferred calls
    (D2).
    """

    async def main():
        g = agen()
        await anext(g)
        del g
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        return events.copy()

    assert asyncio.run(main()) == [GeneratorExit, "exits"]


def test_dropped_without_an_event_loop(way, events):
    """Without an event loop, a dropped async generator runs its calls at once if none of them
    waits (D2).
    """

    @way
    async def agen():
        defer(events.append, "exits")
        yield 1

    g = agen()
    with pytest.raises(StopIteration):
        anext(g).send(None)
    del g
    gc.collect()
    assert events == ["exits"]


def test_never_started(agen, events):
    """An async generator dropped before its first step runs nothing and warns of nothing (D2)."""
    agen()
    gc.collect()
    assert events == []


def test_shutdown_asyncgens(agen, events):
    """A loop that shuts down closes a suspended async generator and
    awaits its deferred calls (D2).
    """
    kept = []

    async def main():
        g = agen()
        kept.append(g)
        await anext(g)

    asyncio.run(main())
    assert events == [GeneratorExit, "exits"]


def test_the_loop_knows_one_generator(agen, events):
    """The event loop learns of the caller's generator, once, and of no other (A)."""
    told = []

    async def main():
        hooks = sys.get_asyncgen_hooks()

        def firstiter(g):
            told.append(g)
            hooks.firstiter(g)

        sys.set_asyncgen_hooks(firstiter=firstiter)
        try:
            g = agen()
            assert told == []
            items = [item async for item in g]
            assert sys.get_asyncgen_hooks().firstiter is firstiter
        finally:
            sys.set_asyncgen_hooks(*hooks)
        assert len(told) == 1
        assert told[0] is g
        return items

    assert asyncio.run(main()) == [1, 2]
    assert events == [None, None, "returns", "exits"]


def test_nested_async_generators(way, events):
    """Of two decorated async generators, one iterating the other, each
    exits at its own end (D2, D4).
    """

    @way
    async def inner():
        defer(events.append, "inner exits")
        yield 1
        yield 2

    @way
    async def outer():
        defer(events.append, "outer exits")
        async for item in inner():
            yield item * 10
        events.append("loop over")

    async def main():
        return [item async for item in outer()]

    assert asyncio.run(main()) == [10, 20]
    assert events == ["inner exits", "loop over", "outer exits"]


def test_raise(way, events):
    """An exception in the body of an async generator runs its deferred calls,
    and leaves the step (D2).
    """
    error = KeyError("body")

    @way
    async def agen():
        defer(events.append, "exits")
        errdefer(lambda: events.append(sys.exception()))
        yield 1
        raise error

    async def main():
        g = agen()
        await anext(g)
        with pytest.raises(KeyError) as caught:
            await anext(g)
        assert caught.value is error

    asyncio.run(main())
    assert events == [error, "exits"]


def test_recover(way, events):
    """An async generator that recovers ends (P4)."""

    async def rescue():
        events.append(type(recover()))

    @way
    async def agen():
        defer(events.append, "exits")
        defer(rescue)
        yield 1
        raise KeyError("body")

    async def main():
        return [item async for item in agen()]

    assert asyncio.run(main()) == [1]
    assert events == [KeyError, "exits"]


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_stop_iteration_raised_in_the_body(way, events, kind):
    """The deferred calls see the body's own Stop(Async)Iteration, the caller a
    RuntimeError (PEP 479, D10).
    """
    stop = kind("mine")

    @way
    async def agen():
        errdefer(lambda: events.append(sys.exception()))
        yield 1
        raise stop

    async def main():
        g = agen()
        await anext(g)
        with pytest.raises(RuntimeError, match=f"async generator raised {kind.__name__}") as caught:
            await anext(g)
        assert caught.value.__cause__ is stop

    asyncio.run(main())
    assert events == [stop]


def test_cancel(way, events):
    """Cancelling a task exits the async generator that it awaits by CancelledError (D2, D10)."""

    async def cleanup():
        await asyncio.sleep(0)
        events.append("cleanup")

    @way
    async def agen():
        defer(cleanup)
        errdefer(lambda: events.append(type(sys.exception())))
        yield 1
        await asyncio.sleep(60)
        yield 2

    async def main():
        async def drain():
            async for item in agen():
                events.append(item)

        task = asyncio.create_task(drain())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert events == [1, asyncio.CancelledError, "cleanup"]


def test_async_context_manager(way, events):
    """Under `contextlib.asynccontextmanager` an async generator runs its calls
    at the block's end (A, D2).
    """

    @contextlib.asynccontextmanager
    @way
    async def manager():
        defer(events.append, "exits")
        errdefer(lambda: events.append(type(sys.exception())))
        yield "value"

    async def main():
        async with manager() as value:
            events.append(value)
        with contextlib.suppress(KeyError):
            async with manager():
                raise KeyError("block")

    asyncio.run(main())
    assert events == ["value", "exits", KeyError, "exits"]


def test_two_steps_at_once(way, events):
    """A second step during the first is Python's own error, and the first goes on (A)."""

    @way
    async def agen():
        defer(events.append, "exits")
        await pause()
        yield 1

    g = agen()
    first = anext(g)
    first.send(None)
    with pytest.raises(RuntimeError, match="asynchronous generator is already running"):
        anext(g).send(None)
    with pytest.raises(StopIteration) as step:
        first.send(None)
    assert step.value.value == 1
    with pytest.raises(StopIteration):
        g.aclose().send(None)
    assert events == ["exits"]


def test_wrong_arguments(way):
    """Wrong arguments to an async generator function fail at the call,
    not at the first step (A).
    """

    @way
    async def agen(a, *, b):
        defer(print, a, b)
        yield

    with pytest.raises(TypeError, match=r"agen\(\) missing 1 required keyword-only argument: 'b'"):
        agen(1)


def test_names(agen):
    """A decorated async generator object has its function's name (A)."""
    g = agen()
    assert inspect.isasyncgen(g)
    assert g.__name__ == "agen"
    assert g.__qualname__ == "agen.<locals>.agen"


def test_collected_in_a_cycle(way):
    """The event loop closes an async generator collected in a cycle, and awaits its
    `finally` blocks too (D2).
    """
    events = []

    @way
    async def agen():
        async def cleanup():
            await asyncio.sleep(0)
            events.append("deferred")

        defer(cleanup)
        try:
            yield 1
        finally:
            events.append("finally")
            await asyncio.sleep(0)
            events.append("end of finally")

    async def main():
        box = []
        a = agen()
        box += [a, box]
        await a.__anext__()
        del a, box
        gc.collect()
        for _ in range(20):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert events == ["finally", "end of finally", "deferred"]
