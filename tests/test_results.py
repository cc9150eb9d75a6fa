"""Results of deferred calls are dropped, refused or awaited: rule D6."""

import asyncio
import functools
import gc
import types

import pytest

from godefer import defer, errdefer, okdefer


class Pause:
    """Suspend once, passing *value* to the driver of the coroutine."""

    def __init__(self, value=None):
        self.value = value

    def __await__(self):
        yield self.value


# Dropped


def test_a_result_is_dropped(way):
    """The result of a deferred call never becomes the function's result (D6)."""
    ran = []

    @way
    def f():
        defer(lambda: ran.append(1) or "dropped")
        defer(lambda: ran.append(2) or [])
        defer(lambda: ran.append(3))
        return "result"

    assert f() == "result"
    assert ran == [3, 2, 1]


def test_a_result_is_dropped_before_the_next_call(way):
    """The result is freed before the next call runs, as after a call statement (D6)."""
    events = []

    class Value:
        def __del__(self):
            events.append("dropped")

    @way
    def f(error):
        defer(events.append, "next")
        defer(gc.collect)  # where references are not counted
        defer(Value)
        if error:
            raise error

    f(None)
    with pytest.raises(ValueError):
        f(ValueError())
    assert events == ["dropped", "next"] * 2


def test_a_result_is_not_looked_into(way):
    """The value is neither compared nor tested for truth (D6)."""
    ran = []

    class Touchy:
        def __bool__(self):
            raise AssertionError("tested for truth")

        def __eq__(self, other):
            raise AssertionError("compared")

        def __len__(self):
            raise AssertionError("measured")

        def __iter__(self):
            raise AssertionError("iterated")

        __hash__ = None

    @way
    def f(error):
        defer(ran.append, 1)
        defer(Touchy)
        if error:
            raise error

    @way
    async def g(error):
        defer(ran.append, 2)
        defer(Touchy)
        if error:
            raise error

    f(None)
    asyncio.run(g(None))
    for call in [lambda: f(KeyError()), lambda: asyncio.run(g(KeyError()))]:
        with pytest.raises(KeyError):
            call()
    assert ran == [1, 2, 1, 2]


def test_other_objects_that_could_be_awaited_or_iterated_are_dropped_in_a_function(way):
    """Futures and foreign awaitables, iterators and generators are dropped (D6)."""
    ran = []

    def generate():
        ran.append("never started")
        yield

    async def generate_later():
        ran.append("never started")
        yield

    @way
    def f(future):
        defer(ran.append, "end")
        defer(lambda: future)
        defer(Pause)
        defer(lambda: generate())
        defer(lambda: generate_later())
        defer(map, ran.append, [1])
        return 7

    loop = asyncio.new_event_loop()
    try:
        assert f(loop.create_future()) == 7
    finally:
        loop.close()
    assert ran == ["end"]


# Refused: a coroutine object in a function or generator that is not async


async def close_connection():
    raise AssertionError("a coroutine that nobody awaits has run")


class Connection:
    async def close(self):
        raise AssertionError("a coroutine that nobody awaits has run")

    async def __call__(self):
        raise AssertionError("a coroutine that nobody awaits has run")


@types.coroutine
def old_style():
    raise AssertionError("a coroutine that nobody awaits has run")
    yield


COROUTINE_CALLEES = {
    "close_connection": close_connection,
    "Connection.close": Connection().close,
    "Connection.__call__": Connection(),
    "old_style": old_style,
    "a partial of close_connection": functools.partial(close_connection),
    "a lambda that calls close_connection": lambda: close_connection(),
}


@pytest.mark.parametrize("name", COROUTINE_CALLEES)
@pytest.mark.parametrize("kind", ["function", "generator"])
def test_a_coroutine_deferred_in_a_function_that_is_not_async(way, name, kind):
    """A sync function closes a coroutine and raises a TypeError with advice (D6).

    The other calls run.
    """
    ran = []

    @way
    def function(callee):
        defer(ran.append, 1)
        defer(callee)
        defer(ran.append, 2)

    @way
    def generator(callee):
        defer(ran.append, 1)
        defer(callee)
        defer(ran.append, 2)
        yield

    with pytest.raises(TypeError) as caught:
        if kind == "function":
            function(COROUTINE_CALLEES[name])
        else:
            list(generator(COROUTINE_CALLEES[name]))
    message = str(caught.value)
    assert message == (
        f"{name.split()[-1]} is a coroutine function deferred in sync code, "
        "so nothing would await it. Make the "
        "function `async def` (or the scope `async with`), or defer a function that runs it."
    )
    assert ran == [2, 1]


def test_the_coroutine_object_is_closed(way):
    """The coroutine object is closed at once, so no warning comes later (D6)."""
    made = []

    def make():
        made.append(close_connection())
        return made[-1]

    @way
    def f():
        defer(make)

    with pytest.raises(TypeError, match="close_connection"):
        f()
    assert made[0].cr_frame is None
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        made[0].send(None)


@pytest.mark.parametrize("statement", ["errdefer", "okdefer"])
def test_a_coroutine_deferred_by_the_other_statements(way, statement):
    """`errdefer` and `okdefer` refuse a coroutine in a sync function as `defer` does (D6, D10)."""

    @way
    def failing():
        errdefer(close_connection)
        raise LookupError("body")

    @way
    def returning():
        okdefer(close_connection)

    with pytest.raises(TypeError, match="close_connection is a coroutine function") as caught:
        failing() if statement == "errdefer" else returning()
    context = caught.value.__context__
    assert (context.args if context else None) == (("body",) if statement == "errdefer" else None)


def test_the_error_chains_to_the_exception_in_flight(way):
    """The TypeError has the exception in flight as its context (D6, D5)."""

    @way
    def f():
        defer(close_connection)
        raise LookupError("body")

    with pytest.raises(TypeError) as caught:
        f()
    assert type(caught.value.__context__) is LookupError


# Awaited: in async functions and async generators


@pytest.mark.parametrize("error", [None, ValueError], ids=["returns", "raises"])
@pytest.mark.parametrize("kind", ["coroutine", "async generator"])
def test_each_awaitable_is_awaited_before_the_next_call(way, error, kind):
    """Each awaitable result is awaited to its end before the next call runs (D6)."""
    events = []

    async def later(name):
        events.append(f"{name} starts")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        events.append(f"{name} ends")

    @types.coroutine
    def later_in_the_old_style():
        yield from later("old style").__await__()

    class Later:
        def __await__(self):
            yield from later("object").__await__()

    def future():
        events.append("future made")
        made = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(
            lambda: (events.append("future done"), made.set_result(None))
        )
        return made

    @way
    async def coroutine():
        defer(later, "coroutine")
        defer(events.append, "plain")
        defer(later_in_the_old_style)
        defer(lambda: asyncio.create_task(later("task")))
        defer(Later)
        defer(future)
        defer(functools.partial(later, "partial"))
        events.append("body")
        if error:
            raise error

    @way
    async def async_generator():
        defer(later, "coroutine")
        defer(events.append, "plain")
        defer(later_in_the_old_style)
        defer(lambda: asyncio.create_task(later("task")))
        defer(Later)
        defer(future)
        defer(functools.partial(later, "partial"))
        yield
        events.append("body")
        if error:
            raise error

    async def main():
        if kind == "coroutine":
            await coroutine()
        else:
            async for _ in async_generator():
                pass

    if error:
        with pytest.raises(error):
            asyncio.run(main())
    else:
        asyncio.run(main())
    expected = ["body", "partial starts", "partial ends", "future made", "future done"]
    for name in ["object", "task", "old style"]:
        expected += [f"{name} starts", f"{name} ends"]
    assert events == [*expected, "plain", "coroutine starts", "coroutine ends"]


def test_errdefer_and_okdefer_await_too(way):
    """`errdefer` and `okdefer` await results as `defer` does (D6, D10)."""
    events = []

    async def later(name):
        await asyncio.sleep(0)
        events.append(name)

    @way
    async def f(error):
        errdefer(later, "errdefer")
        okdefer(later, "okdefer")
        if error:
            raise error

    asyncio.run(f(None))
    with pytest.raises(ValueError):
        asyncio.run(f(ValueError()))
    assert events == ["okdefer", "errdefer"]


def test_the_value_of_an_awaitable_is_dropped(way):
    """The value of an awaited call is dropped, and not awaited in turn (D6)."""

    async def inner():
        raise AssertionError("awaited in turn")

    made = []

    async def outer():
        made.append(inner())
        return made[0]

    @way
    async def f():
        defer(outer)
        return "result"

    assert asyncio.run(f()) == "result"
    made[0].close()


def test_deferred_calls_suspend_the_function(way):
    """The driver of the coroutine gets the values that an awaited call yields (D6)."""

    async def pause(value):
        await Pause(value)

    @way
    async def f():
        defer(pause, "first deferred")
        defer(pause, "second deferred")
        await Pause("body")
        return 7

    coroutine = f()
    assert [coroutine.send(None) for _ in range(3)] == ["body", "second deferred", "first deferred"]
    with pytest.raises(StopIteration) as caught:
        coroutine.send(None)
    assert caught.value.value == 7


def test_an_awaitable_that_fails(way):
    """An exception of an awaited call replaces the one in flight; the other calls run (D6, D5)."""
    ran = []

    async def fail():
        await asyncio.sleep(0)
        raise ValueError("deferred")

    @way
    async def f():
        defer(ran.append, 1)
        defer(fail)
        defer(ran.append, 2)
        raise LookupError("body")

    with pytest.raises(ValueError, match="deferred") as caught:
        asyncio.run(f())
    assert type(caught.value.__context__) is LookupError
    assert ran == [2, 1]


def test_a_future_that_holds_an_exception(way):
    """A deferred call that returns a failed future fails with the future's exception (D6)."""
    ran = []

    @way
    async def f():
        defer(ran.append, 1)
        future = asyncio.get_running_loop().create_future()
        future.set_exception(KeyError("from the future"))
        defer(lambda: future)

    with pytest.raises(KeyError, match="from the future"):
        asyncio.run(f())
    assert ran == [1]


def test_an_object_whose_await_is_broken(way):
    """A result with a broken `__await__` fails as in a hand-written `await` (D6)."""
    ran = []

    class Broken:
        def __await__(self):
            return 1

    @way
    async def f():
        defer(ran.append, 1)
        defer(Broken)

    async def by_hand():
        await Broken()

    with pytest.raises(TypeError) as expected:
        asyncio.run(by_hand())
    with pytest.raises(TypeError) as caught:
        asyncio.run(f())
    assert caught.value.args == expected.value.args
    assert ran == [1]


def test_a_plain_value_is_dropped_in_an_async_function(way):
    """An async function drops results that it cannot await, foreign generators too (D6)."""
    ran = []

    async def generate():
        ran.append("never started")
        yield

    @way
    async def f():
        defer(ran.append, "end")
        defer(lambda: generate())
        defer(int, "7")
        defer(lambda: iter(()))
        return "result"

    assert asyncio.run(f()) == "result"
    assert ran == ["end"]
