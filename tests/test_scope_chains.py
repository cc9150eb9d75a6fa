"""Chains of exceptions in `async with defer_scope()`: those of nested `try/finally` (D5, S)."""

import asyncio
import contextlib
import gc
import random
import traceback
import types

import pytest

from godefer import defer, defer_scope
from tests.helpers import chain

# The calls, by name. Each is made in a scope, by a decorated function, and in a hand-written
# `finally`. An async one waits; the driver resumes it by an exception, if its name says "thrown".


def links(error):
    return [(type(e), e.args, e.__suppress_context__) for e in chain(error)]


@types.coroutine
def wait(how):
    return (yield how)


def passes(name):
    pass


def fails(name):
    raise OSError(name)


async def waits(name):
    await wait("send")


async def waits_then_fails(name):
    await wait("send")
    raise LookupError(name)


async def thrown(name):
    await wait(ConnectionResetError(name))


async def thrown_twice(name):
    try:
        await wait(ConnectionResetError(name))
    finally:
        await wait(BrokenPipeError(name))


async def thrown_and_handled(name):
    try:
        await wait(ConnectionResetError(name))
    except ConnectionResetError:
        pass


async def thrown_and_replaced(name):
    try:
        await wait(ConnectionResetError(name))
    except ConnectionResetError:
        raise ValueError(name) from None


CALLS = [
    passes,
    fails,
    waits,
    waits_then_fails,
    thrown,
    thrown_twice,
    thrown_and_handled,
    thrown_and_replaced,
]


async def body_returns():
    pass


async def body_fails():
    raise KeyError("body")


async def body_thrown():
    await wait(TimeoutError("body"))


BODIES = [body_returns, body_fails, body_thrown]


async def by_hand(body, calls):
    """Run *calls* as nested `try/finally` statements would, each written out."""
    lines = ["async def nested(body, calls):"]
    for depth in range(len(calls)):
        lines.append("    " * (depth + 1) + "try:")
    lines.append("    " * (len(calls) + 1) + "await body()")
    for depth in reversed(range(len(calls))):
        lines.append("    " * (depth + 1) + "finally:")
        asynchronous = "await " if calls[depth].__code__.co_flags & 0x80 else ""
        lines.append("    " * (depth + 2) + f"{asynchronous}calls[{depth}]({str(depth)!r})")
    namespace = {}
    exec("\n".join(lines), namespace)
    await namespace["nested"](body, calls)


def decorated(way):
    @way
    async def run(body, calls):
        for depth, call in enumerate(calls):
            defer(call, str(depth))
        await body()

    return run


async def scoped(body, calls):
    async with defer_scope() as scope:
        for depth, call in enumerate(calls):
            scope(call, str(depth))
        await body()


def outcome(coroutine):
    """Drive *coroutine*, and return the chain of the exception that leaves it."""
    steps, resume = [], "send"
    try:
        while True:
            resume = coroutine.send(None) if resume == "send" else coroutine.throw(resume)
            steps.append(repr(resume))
    except StopIteration:
        return steps, None
    except BaseException as error:
        return steps, links(error)


def drives(seed, count):
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.choice(BODIES), [rng.choice(CALLS) for _ in range(rng.randrange(1, 6))]


def described(body, calls):
    return body.__name__, [call.__name__ for call in calls]


def test_a_scope_s_chain_of_a_call_that_the_loop_fails(way):
    """A call's failure keeps the exception that the loop threw into it, and the block's (S, D5)."""

    async def flush(future):
        await future

    def close():
        raise OSError("close")

    async def with_a_scope(future):
        async with defer_scope() as scope:
            scope(close)
            scope(flush, future)
            raise LookupError("block")

    @way
    async def with_defers_(future):
        defer(close)
        defer(flush, future)
        raise LookupError("block")

    async def main(run):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_exception, ConnectionResetError("flush"))
        await run(future)

    for run in (with_a_scope, with_defers_):
        with pytest.raises(OSError, match="close") as caught:
            asyncio.run(main(run))
        names = [kind.__name__ for kind, _, _ in links(caught.value)]
        assert names == ["OSError", "ConnectionResetError", "LookupError"]


def test_random_scopes_chain_as_nested_try_statements(way):
    """A scope chains as nested `try/finally`, with any failures and resumptions (S, D5)."""
    run = decorated(way)
    for body, calls in drives(1, 1500):
        expected = outcome(by_hand(body, calls))
        assert outcome(scoped(body, calls)) == expected, described(body, calls)
        assert outcome(run(body, calls)) == expected, described(body, calls)


def test_random_scopes_inside_of_a_handler(way):
    """The chain is the same if the function handles an exception and the block fails (S, D5)."""
    run = decorated(way)

    async def handling(run, body, calls):
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            await run(body, calls)

    for body, calls in drives(2, 1500):
        if body is body_returns:
            body = body_fails  # a block that returns here is among the limits: docs/limits.md
        expected = outcome(handling(by_hand, body, calls))
        assert outcome(handling(scoped, body, calls)) == expected, described(body, calls)
        assert outcome(handling(run, body, calls)) == expected, described(body, calls)


def test_random_scopes_in_async_generators():
    """The chain is the same in an async generator resumed by an exception (S, D5)."""

    async def generate(run, body, calls):
        yield 1
        await run(body, calls)

    async def use(run, body, calls):
        async for _ in generate(run, body, calls):
            pass

    async def generate_scoped(body, calls):
        yield 1
        async with defer_scope() as scope:
            for depth, call in enumerate(calls):
                scope(call, str(depth))
            await body()

    async def use_scoped(body, calls):
        async for _ in generate_scoped(body, calls):
            pass

    for body, calls in drives(3, 500):
        expected = outcome(use(by_hand, body, calls))
        assert outcome(use_scoped(body, calls)) == expected, described(body, calls)


@contextlib.asynccontextmanager
async def as_a_context_manager():
    async with defer_scope() as scope:
        yield scope


class Delegating:
    """A context manager that ignores the result of the scope's `__aexit__`."""

    def __init__(self):
        self.scope = defer_scope()

    async def __aenter__(self):
        return await self.scope.__aenter__()

    async def __aexit__(self, *details):
        await self.scope.__aexit__(*details)


async def by_a_stack(calls):
    async with contextlib.AsyncExitStack() as stack:
        scope = await stack.enter_async_context(defer_scope())
        for call in calls:
            scope(call, "")
        raise KeyError


async def by_delegating(calls):
    async with Delegating() as scope:
        for call in calls:
            scope(call, "")
        raise KeyError


async def by_a_generator(calls):
    async with as_a_context_manager() as scope:
        for call in calls:
            scope(call, "")
        raise KeyError


async def by_another_scope(calls):
    async with defer_scope() as outer:
        scope = await outer.ausing(defer_scope())
        for call in calls:
            scope(call, "")
        raise KeyError


@pytest.mark.parametrize("run", [by_a_stack, by_delegating, by_a_generator, by_another_scope])
def test_an_exception_of_a_call_leaves_any_caller_of_the_exit(run):
    """The exception of a call is raised for any kind of caller of `__aexit__` (S, D5)."""
    _, links = outcome(run([fails, thrown]))
    assert links[0][0] is OSError


def test_an_exception_of_a_call_while_the_coroutine_is_closed():
    """`close()` raises the exception of a call if the exit is closed while it waits (S, D5)."""

    async def run():
        async with defer_scope() as scope:
            scope(fails, "last")
            scope(fails, "first")
            scope(waits, "")
            raise KeyError

    coroutine = run()
    coroutine.send(None)
    with pytest.raises(OSError, match="last"):
        coroutine.close()
    coroutine = run()
    coroutine.send(None)
    with pytest.raises(OSError, match="last"):
        coroutine.throw(GeneratorExit)


def test_a_chain_kept_leaves_nothing_behind():
    """A kept exception of a scope has at most one frame of godefer, and no cycle (S, P6, D9)."""

    async def run():
        async with defer_scope() as scope:
            scope(fails, "")
            scope(waits, "")
            raise KeyError

    gc.collect()
    gc.disable()
    try:
        coroutine = run()
        coroutine.send(None)
        with pytest.raises(OSError) as caught:
            coroutine.throw(ConnectionResetError())
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)[1:]]
        assert names in (["run", "__bool__", "run", "fails"], ["run", "run", "fails"]), names
        del caught, coroutine
        assert gc.collect() == 0
    finally:
        gc.enable()
