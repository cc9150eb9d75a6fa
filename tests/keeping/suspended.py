"""Generators, coroutines and async generators that are suspended when an exception comes."""

import asyncio
import contextlib

from godefer import ausing, defer, errdefer, okdefer
from tests.helpers import drive, pause
from tests.keeping.arguments import (
    A,
    abad,
    aclean,
    arescue,
    bad,
    case,
    clean,
    kept,
    rescue,
)


@case
def gen_close(w):
    @w
    def g(c=1):
        defer(clean, A())
        okdefer(clean, A())
        defer(bad, A())
        yield

    def f():
        x = g()
        next(x)
        x.close()

    return f


@case
def gen_caught(w):
    @w
    def g(c=1):
        defer(clean, A())
        okdefer(clean, A())
        try:
            yield
        except KeyError as e:
            kept.append(e)

    def f():
        x = g()
        next(x)
        x.throw(KeyError())

    return f


@case
def co_raise(w):
    @w
    async def f(c=1):
        defer(aclean, A(), k=A())
        okdefer(aclean, A(), k=A())
        errdefer(aclean, A(), k=A())
        await pause()
        raise KeyError

    return lambda: drive(f())


@case
def co_bad(w):
    @w
    async def f(c=1):
        defer(aclean, A(), k=A())
        defer(abad, A(), k=A())
        defer(aclean, A(), k=A())
        return A()

    return lambda: drive(f())


@case
def co_bad_loop(w):
    @w
    async def f(c=1):
        for i in range(2):
            defer(aclean, A(), k=A())
            defer(abad, A(), k=A())
            defer(aclean, A(), k=A())
        return A()

    return lambda: drive(f())


@case
def co_recover(w):
    @w
    async def f(c=1):
        defer(aclean, A(), k=A())
        defer(arescue, A())
        defer(abad, A(), k=A())
        return A()

    return lambda: drive(f())


@case
def co_caught(w):
    @w
    async def f(c=1):
        defer(aclean, A(), k=A())
        try:
            raise KeyError
        except KeyError as e:
            kept.append(e)

    return lambda: drive(f())


@case
def co_close_in_deferred(w):
    @w
    async def f(c=1):
        defer(aclean, A(), k=A())
        defer(aclean, A(), k=A())
        raise KeyError

    def run():
        c = f()
        c.send(None)
        c.throw(GeneratorExit())
        drive(c)

    return run


@case
def co_close_in_deferred_loop(w):
    @w
    async def f(c=1):
        for i in range(2):
            defer(aclean, A(), k=A())
        raise KeyError

    def run():
        c = f()
        c.send(None)
        c.throw(ValueError())
        drive(c)

    return run


@case
def async_using(w):
    @w
    async def f(flag=True):
        defer(aclean, A())
        await ausing(A())
        if flag:
            await ausing(A())
        defer(abad, A())
        raise KeyError

    return lambda: drive(f())


@case
def a_coroutine_cancelled(w):
    @w
    async def f():
        defer(aclean, A())
        defer(rescue, A())
        await pause()

    def run():
        coroutine = f()
        coroutine.send(None)
        coroutine.throw(asyncio.CancelledError())
        drive(coroutine)

    return run


@case
def an_async_generator_closed(w):
    @w
    async def g():
        defer(aclean, A())
        defer(abad, A())
        yield

    async def run():
        generator = g()
        await anext(generator)
        await generator.aclose()

    return lambda: drive(run())


@case
def an_async_generator_thrown_into(w):
    @w
    async def g():
        defer(aclean, A())
        defer(arescue, A())
        for _ in range(2):
            defer(abad, A())
        yield

    async def run():
        generator = g()
        await anext(generator)
        with contextlib.suppress(StopAsyncIteration):
            await generator.athrow(KeyError())

    return lambda: drive(run())


@case
def an_async_generator_exhausted(w):
    @w
    async def g():
        defer(aclean, A())
        okdefer(abad, A())
        yield

    async def run():
        async for _ in g():
            pass

    return lambda: drive(run())
