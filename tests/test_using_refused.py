"""`using` and `ausing` find the methods as `with` does, and refuse the same objects: rule D11."""

import asyncio

import pytest

from godefer import DeferError, ausing, defer, using, with_defers
from tests.managers import Manager, names

# The lookup of the special methods


class Descriptor:
    """A special method that notes its lookup and its call."""

    def __init__(self, events, result=None):
        self.events = events
        self.result = result

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, thing, owner):
        self.events.append(f"look up {self.name}")

        def call(*args):
            self.events.append(f"call {self.name}")
            return self.result

        return call


def test_the_special_methods_are_looked_up_as_by_with(way):
    """Both methods are looked up once, in order, before entering, on the class (D11)."""

    def log(function):
        events = []

        class Instrumented:
            __enter__ = Descriptor(events)
            __exit__ = Descriptor(events)

            def __getattr__(self, name):
                raise AssertionError(f"{name} was looked up on the instance")

        manager = Instrumented()
        manager.__dict__["__enter__"] = manager.__dict__["__exit__"] = None
        function(manager)
        return events

    @way
    def ours(manager):
        using(manager)

    def theirs(manager):
        with manager:
            pass

    assert log(ours) == log(theirs)


class EntersOnly:
    def __enter__(self):
        raise AssertionError("entered")

    async def __aenter__(self):
        raise AssertionError("entered")


class ExitsOnly:
    def __exit__(self, *details):
        raise AssertionError("exited")

    async def __aexit__(self, *details):
        raise AssertionError("exited")


class OnInstance:
    def __init__(self):
        self.__enter__ = self.__aenter__ = lambda: None
        self.__exit__ = self.__aexit__ = lambda *details: None


class SyncOnly:
    def __enter__(self):
        raise AssertionError("entered")

    def __exit__(self, *details):
        raise AssertionError("exited")


class AsyncOnly:
    async def __aenter__(self):
        raise AssertionError("entered")

    async def __aexit__(self, *details):
        raise AssertionError("exited")


class Disabled(Manager):
    __enter__ = __aenter__ = None


NO_MANAGERS = [None, 7, object(), Manager, EntersOnly(), ExitsOnly(), OnInstance(), Disabled([])]


def name_of(thing):
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


@pytest.mark.parametrize("thing", [*NO_MANAGERS, AsyncOnly()], ids=name_of)
def test_an_object_that_is_no_context_manager(way, thing):
    """A wrong object gives the TypeError of `with`; earlier deferred calls run (D11)."""
    ran = []

    @way
    def f():
        defer(ran.append, "deferred before")
        using(thing)

    def by_hand():
        with thing:
            pass

    with pytest.raises(TypeError) as expected:
        by_hand()
    with pytest.raises(TypeError) as caught:
        f()
    assert caught.value.args == expected.value.args
    assert ran == ["deferred before"]


@pytest.mark.parametrize("thing", [*NO_MANAGERS, SyncOnly()], ids=name_of)
def test_an_object_that_is_no_async_context_manager(way, thing):
    """A wrong object gives the TypeError of `async with`; earlier deferred calls run (D11)."""
    ran = []

    @way
    async def f():
        defer(ran.append, "deferred before")
        await ausing(thing)

    async def by_hand():
        async with thing:
            pass

    with pytest.raises(TypeError) as expected:
        asyncio.run(by_hand())
    with pytest.raises(TypeError) as caught:
        asyncio.run(f())
    assert caught.value.args == expected.value.args
    assert ran == ["deferred before"]


# `ausing` in the wrong place, or at the wrong time


@pytest.mark.parametrize("kind", ["function", "generator"])
def test_ausing_in_a_function_that_is_not_async(kind):
    """In a sync function `ausing` is a DeferError with advice, and enters nothing (D11)."""
    events = []

    @with_defers
    def connect():
        defer(events.append, "deferred before")
        ausing(Manager(events))

    @with_defers
    def generate():
        defer(events.append, "deferred before")
        ausing(Manager(events))
        yield

    with pytest.raises(DeferError) as caught:
        connect() if kind == "function" else next(generate())
    message = str(caught.value)
    function = connect if kind == "function" else generate
    assert function.__qualname__ in message
    assert f"{__file__}:{function.__wrapped__.__code__.co_firstlineno + 3}" in message
    assert "async def" in message
    assert "using()" in message
    assert events == ["deferred before"]


def test_ausing_that_is_awaited_when_the_function_has_exited():
    """An `ausing` at the wrong time is a DeferError that names the manager (D11).

    The manager is never entered.
    """
    events = []

    @with_defers
    async def f():
        return ausing(Manager(events))

    async def main():
        late = await f()
        await late

    with pytest.raises(DeferError, match="Manager") as caught:
        asyncio.run(main())
    assert "await ausing" in str(caught.value)
    assert events == []


def test_ausing_whose_function_exits_while_it_enters():
    """A manager entered by another task after the exit is exited, with a DeferError (D11)."""
    events = []

    class Slow(Manager):
        async def __aenter__(self):
            for _ in range(5):
                await asyncio.sleep(0)
            return await super().__aenter__()

    @with_defers
    async def f():
        task = asyncio.create_task(_awaited(ausing(Slow(events))))
        await asyncio.sleep(0)
        return task

    async def _awaited(awaitable):
        return await awaitable

    async def main():
        task = await f()
        assert events == []
        await task

    with pytest.raises(DeferError, match="Slow") as caught:
        asyncio.run(main())
    assert names(events) == ["enter cm", "exit cm"]
    assert events[-1][1:3] == (DeferError, caught.value)


def test_ausing_entered_concurrently():
    """Managers entered at the same time are all exited when the function exits (D11)."""
    events = []

    @with_defers
    async def f():
        values = await asyncio.gather(*[ausing(Manager(events, i, value=i)) for i in range(3)])
        events.append("body")
        return values

    assert asyncio.run(f()) == [0, 1, 2]
    assert sorted(names(events)[:3]) == ["enter 0", "enter 1", "enter 2"]
    assert events[3] == "body"
    assert sorted(names(events)[4:]) == ["exit 0", "exit 1", "exit 2"]
