"""Jobs for the load tests: functions that exit in every way, with their expected calls.

A job calls a decorated function once, and gives it a new list for the names of its deferred calls.
It returns whether the list is right: no call lost, none made twice, none of another thread or task.
"""

import asyncio
import contextlib

from godefer import ausing, defer, errdefer, okdefer, panic, recover, using


class Manager:
    """A context manager, sync and async, that notes its exit."""

    def __init__(self, events):
        self.events = events

    def __enter__(self):
        return self.events

    def __exit__(self, *details):
        self.events.append("left")

    async def __aenter__(self):
        return self.events

    async def __aexit__(self, *details):
        await asyncio.sleep(0)
        self.events.append("left")


def bad(events, name):
    events.append(name)
    raise LookupError(name)


def rescue(events):
    events.append(type(recover()).__name__)


async def later(events, name):
    await asyncio.sleep(0)
    events.append(name)


async def bad_later(events, name):
    await asyncio.sleep(0)
    bad(events, name)


def threaded(way):
    """Return the jobs for threads, made with the decorator *way*."""

    @way
    def returns(events):
        defer(events.append, 1)
        errdefer(events.append, 2)
        okdefer(events.append, 3)
        defer(events.append, 4)
        return 5

    def job_return():
        events = []
        return returns(events) == 5 and events == [4, 3, 1]

    @way
    def raises(events):
        defer(events.append, 1)
        errdefer(events.append, 2)
        okdefer(events.append, 3)
        raise KeyError

    def job_exception():
        events = []
        with contextlib.suppress(KeyError):
            raises(events)
        return events == [2, 1]

    @way
    def recovers(events):
        okdefer(events.append, 1)
        defer(rescue, events)
        defer(bad, events, 2)
        errdefer(events.append, 3)
        panic("panic")

    def job_recovery():
        events = []
        recovers(events)
        return events == [3, 2, "LookupError", 1]

    @way
    def all_fail(events):
        for n in range(3):
            defer(bad, events, n)
        defer(bad, events, name=3)

    def job_all_fail():
        events = []
        with contextlib.suppress(LookupError):
            all_fail(events)
        return events == [3, 2, 1, 0]

    @way
    def loops(events, fails):
        for n in range(20):
            if n % 4 == 3:
                errdefer(events.append, n)
            else:
                defer(events.append, n)
        if fails:
            raise KeyError

    def job_loop():
        events = []
        loops(events, fails=False)
        return events == [n for n in reversed(range(20)) if n % 4 != 3]

    def job_loop_that_fails():
        events = []
        with contextlib.suppress(KeyError):
            loops(events, fails=True)
        return events == list(reversed(range(20)))

    @way
    def conditional(events, flag):
        if flag:
            defer(events.append, 1)
        try:
            okdefer(events.append, 2)
        finally:
            defer(events.append, 3)

    def job_condition():
        events = []
        conditional(events, flag=True)
        conditional(events, flag=False)
        return events == [3, 2, 1, 3, 2]

    @way
    def manages(events):
        entered = using(Manager(events))
        entered.append("entered")
        defer(events.append, 1)
        raise KeyError

    def job_context_manager():
        events = []
        with contextlib.suppress(KeyError):
            manages(events)
        return events == ["entered", 1, "left"]

    @way
    def recursive(events, n):
        defer(events.append, n)
        if n:
            defer(recursive, events, n - 1)

    def job_recursion():
        events = []
        recursive(events, 4)
        return events == [0, 1, 2, 3, 4]

    def job_decorated_anew():
        events = []

        @way
        def new():
            defer(events.append, 1)

        new()
        return events == [1]

    @way
    def generates(events):
        defer(events.append, 1)
        yield
        errdefer(events.append, 2)
        yield

    def job_generator_exhausted():
        events = []
        return list(generates(events)) == [None, None] and events == [1]

    def job_generator_closed():
        events = []
        generator = generates(events)
        next(generator), next(generator)
        generator.close()
        return events == [2, 1]

    def job_generator_dropped():
        events = []
        next(generates(events))
        return events == [1]

    def job_generator_thrown_into():
        events = []
        generator = generates(events)
        next(generator), next(generator)
        with contextlib.suppress(KeyError):
            generator.throw(KeyError())
        return events == [2, 1]

    return [job for name, job in locals().items() if name.startswith("job_")]


def asynchronous(way):
    """Return the jobs for tasks: coroutine functions, made with the decorator *way*."""

    @way
    async def works(events, fails):
        entered = await ausing(Manager(events))
        entered.append("entered")
        defer(later, events, 1)
        errdefer(later, events, 2)
        okdefer(later, events, 3)
        await asyncio.sleep(0)
        if fails:
            raise KeyError

    async def job_return():
        events = []
        await works(events, fails=False)
        return events == ["entered", 3, 1, "left"]

    async def job_exception():
        events = []
        with contextlib.suppress(KeyError):
            await works(events, fails=True)
        return events == ["entered", 2, 1, "left"]

    @way
    async def recovers(events):
        defer(later, events, 1)
        defer(rescue, events)
        for n in range(3):
            defer(bad_later, events, n)
        await asyncio.sleep(0)

    async def job_recovery():
        events = []
        await recovers(events)
        return events == [2, 1, 0, "LookupError", 1]

    @way
    async def waits(events):
        defer(later, events, 1)
        errdefer(later, events, 2)
        defer(rescue, events)
        await asyncio.Event().wait()

    async def job_cancellation():
        events = []
        task = asyncio.create_task(waits(events))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled() and events == ["NoneType", 2, 1]

    @way
    async def generates(events):
        defer(later, events, 1)
        yield
        defer(bad_later, events, 2)
        yield

    async def job_async_generator_exhausted():
        events = []
        with contextlib.suppress(LookupError):
            async for _ in generates(events):
                pass
        return events == [2, 1]

    async def job_async_generator_closed():
        events = []
        generator = generates(events)
        await anext(generator)
        await generator.aclose()
        return events == [1]

    return [job for name, job in locals().items() if name.startswith("job_")]
