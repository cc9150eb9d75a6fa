"""A deferred generator function would never run its body, which is an error: rule D6 (b)."""

import asyncio
import functools
import gc
import weakref

import pytest

from godefer import defer, defer_scope, errdefer
from tests.helpers import later


def generate():
    raise AssertionError("the body has begun")
    yield


async def generate_later():
    raise AssertionError("the body has begun")
    yield


class Device:
    def rotate(self):
        raise AssertionError("the body has begun")
        yield

    async def rotate_later(self):
        raise AssertionError("the body has begun")
        yield

    def __call__(self):
        raise AssertionError("the body has begun")
        yield

    @classmethod
    def rotate_all(cls):
        raise AssertionError("the body has begun")
        yield


def logged(fn):
    @functools.wraps(fn)
    def call():
        return fn()

    return call


GENERATOR_FUNCTIONS = {
    "generate": generate,
    "generate_later": generate_later,
    "Device.rotate": Device().rotate,
    "Device.rotate_later": Device().rotate_later,
    "Device.__call__": Device(),
    "Device.rotate_all": Device.rotate_all,
    "generate, in a partial": functools.partial(generate),
    "generate, decorated": logged(generate),
    "generate_later, decorated": logged(generate_later),
    "Device.rotate, in a partial": functools.partial(functools.partial(Device.rotate), Device()),
}


def run_sync(way, callee, ran):
    @way
    def f():
        defer(ran.append, 1)
        defer(callee)
        defer(ran.append, 2)

    f()


def run_sync_failing(way, callee, ran):
    @way
    def f():
        defer(ran.append, 1)
        errdefer(callee)
        defer(ran.append, 2)
        raise LookupError

    f()


def run_sync_loop(way, callee, ran):
    @way
    def f():
        for call in (functools.partial(ran.append, 1), callee, functools.partial(ran.append, 2)):
            defer(call)

    f()


def run_generator(way, callee, ran):
    @way
    def f():
        defer(ran.append, 1)
        defer(callee)
        defer(ran.append, 2)
        yield

    list(f())


def run_scope(way, callee, ran):
    with defer_scope() as scope:
        scope(ran.append, 1)
        scope(callee)
        scope(ran.append, 2)


def run_async(way, callee, ran):
    @way
    async def f():
        defer(ran.append, 1)
        defer(callee)
        defer(ran.append, 2)

    asyncio.run(f())


def run_async_failing_loop(way, callee, ran):
    @way
    async def f():
        for call in (functools.partial(ran.append, 1), callee, functools.partial(ran.append, 2)):
            defer(call)
        raise LookupError

    asyncio.run(f())


def run_async_scope(way, callee, ran):
    async def f():
        async with defer_scope() as scope:
            scope(ran.append, 1)
            scope(callee)
            scope(ran.append, 2)
            raise LookupError

    asyncio.run(f())


RUNS = {name: run for name, run in list(globals().items()) if name.startswith("run_")}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", GENERATOR_FUNCTIONS)
def test_a_deferred_generator_function(way, name, run):
    """A deferred generator function is a TypeError that names it, since its body has not run;
    the other calls run (D6).
    """
    ran = []
    with pytest.raises(TypeError) as caught:
        RUNS[run](way, GENERATOR_FUNCTIONS[name], ran)
    message = str(caught.value)
    assert name.partition(",")[0] in message
    assert ("async generator function" in message) == ("later" in name)
    assert ran == [2, 1]


def test_a_generator_function_that_is_decorated_itself(way):
    """A deferred generator function with defers of its own is refused as well (D6)."""

    @way
    def inner():
        defer(print)
        yield

    @way
    async def inner_later():
        defer(print)
        yield

    @way
    def f(callee):
        defer(callee)

    @way
    async def g(callee):
        defer(callee)

    for callee in (inner, inner_later):
        with pytest.raises(TypeError, match="inner"):
            f(callee)
        with pytest.raises(TypeError, match="inner"):
            asyncio.run(g(callee))


def test_a_nested_generator_function_under_defer(way):
    """`@defer` above a nested generator function is refused as well (D6, D12)."""

    @way
    def f():
        @defer
        def clean_up():
            yield

    @way
    async def g():
        @defer
        async def clean_up():
            yield

    with pytest.raises(TypeError, match=r"clean_up is a generator function"):
        f()
    with pytest.raises(TypeError, match=r"clean_up is an async generator function"):
        asyncio.run(g())


def test_generators_from_elsewhere(way):
    """A generator that has begun, or that another function made, is dropped (D6)."""
    ran = []

    def numbers():
        ran.append("begun")
        yield 1
        yield 2

    @functools.wraps(numbers)
    def primed():
        generator = numbers()
        next(generator)
        return generator

    def make():
        return numbers()

    stored = {"key": numbers()}

    @way
    def f():
        defer(make)
        defer(primed)
        defer(stored.pop, "key")
        return 7

    @way
    async def g():
        defer(make)
        defer(primed)
        return 8

    assert f() == 7
    assert asyncio.run(g()) == 8
    assert ran == ["begun"] * 2


def test_a_chain_of_decorators_that_is_a_circle(way):
    """A deferred function whose `__wrapped__` leads back to itself runs like any other (D6)."""

    def make():
        return (n for n in ())

    make.__wrapped__ = make

    @way
    def f():
        defer(make)
        return 7

    assert f() == 7


@pytest.mark.parametrize("callee", [generate, generate_later, later])
def test_the_error_keeps_nothing_alive(way, callee):
    """The TypeError for a result does not keep the arguments of the refused call alive (D6, D9)."""

    class Argument:
        pass

    alive = []

    def make_callee(argument):
        def refused(_):
            yield argument

        async def refused_later(_):
            yield argument

        async def coroutine(_):
            pass

        return {generate: refused, generate_later: refused_later, later: coroutine}[callee]

    @way
    def f():
        argument = Argument()
        alive.append(weakref.ref(argument))
        defer(make_callee(argument), argument)
        del argument

    with pytest.raises(TypeError) as caught:
        f()
    gc.collect()
    assert caught.value.__traceback__ is not None
    assert alive[0]() is None
