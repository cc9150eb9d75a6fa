"""`@defer` above a nested function defers that function: rule D12.

Its *host* is the decorated function around it.
"""

import asyncio
import contextlib
import sys

import pytest

from godefer import (
    ausing,
    defer,
    errdefer,
    okdefer,
    recover,
    using,
)
from tests.helpers import drive, made, pause

# Shapes


def test_inline(way):
    """A function below `@defer` runs, without arguments, when its host exits (D12)."""
    log = []

    @way
    def f():
        @defer
        def cleanup(*args, **kwargs):
            log.append(("cleanup", args, kwargs))

        log.append("body")
        return "value"

    assert f() == "value"
    assert log == ["body", ("cleanup", (), {})]


def test_alone_in_its_function(way):
    """The deferred function may be the whole body of its host (D12)."""
    log = []

    @way
    def f():
        @defer
        def cleanup():
            log.append("cleanup")

    assert f() is None
    assert log == ["cleanup"]


def test_the_function_does_not_run_at_the_statement(way):
    """The statement runs the `def`; the function itself runs at the exit, a
    failing one too (D2, D12).
    """
    log = []

    @way
    def f():
        @defer
        def cleanup(default=log.append("def")):
            log.append("cleanup")

        log.append("body")
        raise KeyError(1)

    with pytest.raises(KeyError):
        f()
    assert log == ["def", "body", "cleanup"]


@pytest.mark.parametrize("reached", [True, False])
def test_under_if(way, reached):
    """Under an `if`, a function is deferred if the statement was executed (D8, D12)."""
    log = []

    @way
    def f(reached):
        if reached:

            @defer
            def cleanup():
                log.append("cleanup")

            log.append(cleanup)
        log.append("body")

    f(reached)
    assert log == ([None, "body", "cleanup"] if reached else ["body"])


@pytest.mark.parametrize(("value", "expected"), [(1, ["one"]), ((2, 3), ["pair 5"]), ("x", [])])
def test_under_match(way, value, expected):
    """In a `case`, a function is deferred if the case was taken, and sees the
    pattern's names (D8, D12).
    """
    log = []

    @way
    def f(value):
        match value:
            case 1:

                @defer
                def one():
                    log.append("one")

            case (a, b):

                @defer
                def pair():
                    log.append(f"pair {a + b}")

    f(value)
    assert log == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, ["body", "finally", "else", "try"]),
        (KeyError, ["body", "finally", "except", "try"]),
    ],
)
def test_under_try(way, error, expected):
    """In each block of a `try`, a function is deferred if the block got to it (D8, D12)."""
    log = []

    @way
    def f():
        try:

            @defer
            def tried():
                log.append("try")

            if error is not None:
                raise error
        except KeyError:

            @defer
            def caught():
                log.append("except")

        else:

            @defer
            def succeeded():
                log.append("else")

        finally:

            @defer
            def left():
                log.append("finally")

        log.append("body")

    f()
    assert log == expected


def test_under_with(way):
    """In a `with` block, a deferred function runs when its host exits, not when
    the block does (D2, D12).
    """
    log = []

    @contextlib.contextmanager
    def block():
        yield
        log.append("block")

    @way
    def f():
        with block():

            @defer
            def cleanup():
                log.append("cleanup")

        log.append("body")

    f()
    assert log == ["block", "body", "cleanup"]


def test_in_a_for_loop(way):
    """In a loop, every turn defers a function of its own, last in, first out (D2, D8, D12)."""
    log = []

    @way
    def f(n):
        for i in range(n):

            @defer
            def cleanup(i=i):
                log.append(i)

        log.append(cleanup)

    f(3)
    assert log == [None, 2, 1, 0]


def test_in_a_while_loop_that_is_left(way):
    """A loop that is left early keeps the functions that its turns deferred (D8, D12)."""
    log = []

    @way
    def f(end):
        i = 0
        while True:
            i += 1
            if i == 2:
                continue

            @defer
            def cleanup(i=i):
                log.append(i)

            if i == 4:
                if end is not None:
                    raise end
                break

    f(None)
    assert log == [4, 3, 1]
    with pytest.raises(KeyError):
        f(KeyError)
    assert log == [4, 3, 1] * 2


def test_more_than_can_be_nested(way):
    """Thirty functions can be deferred in one host (D8, D12)."""
    defs = "".join(f"    @defer\n    def c{i}():\n        log.append({i})\n" for i in range(30))
    log = []
    f = way(made(f"def f():\n{defs}    return c0, c29\n", log=log, defer=defer))
    assert f() == (None, None)
    assert log == [*reversed(range(30))]


def test_many_in_a_loop(way):
    """Thousands of functions can be deferred in one invocation (D8, D12)."""
    log = []

    @way
    def f():
        for i in range(5000):

            @defer
            def cleanup(i=i):
                log.append(i)

    f()
    assert log == [*reversed(range(5000))]


def test_order_among_other_statements(way):
    """A deferred function takes turns with the other statements: the last one
    executed runs first (D2, D12).
    """
    log = []

    @contextlib.contextmanager
    def block():
        yield
        log.append("using")

    @way
    def f():
        defer(log.append, "first")

        @defer
        def second():
            log.append("second")

        using(block())

        @okdefer
        def fourth():
            log.append("fourth")

        if log == []:

            @defer
            def fifth():
                log.append("fifth")

            defer(log.append, "sixth")
        for i in (7, 8):

            @defer
            def turn(i=i):
                log.append(i)

    f()
    assert log == [8, 7, "sixth", "fifth", "fourth", "using", "second", "first"]


def test_each_invocation_has_its_own(way):
    """Each invocation, of a recursion too, defers a function of its own (D4, D12)."""
    log = []

    @way
    def f(n):
        @defer
        def cleanup():
            log.append(n)

        if n:
            f(n - 1)

    f(3)
    assert log == [0, 1, 2, 3]


# errdefer and okdefer


@pytest.mark.parametrize(("fails", "expected"), [(True, ["error"]), (False, ["ok"])])
@pytest.mark.parametrize("conditional", [False, True])
def test_errdefer_and_okdefer(way, conditional, fails, expected):
    """A function below `@errdefer` runs if its host fails, below `@okdefer`
    if it returns (D10, D12).
    """
    log = []

    @way
    def inline():
        @errdefer
        def failed():
            log.append("error" if isinstance(sys.exc_info()[1], KeyError) else sys.exc_info())

        @okdefer
        def returned():
            log.append("ok")

        if fails:
            raise KeyError

    @way
    def in_blocks():
        if log == []:

            @errdefer
            def failed():
                log.append("error" if isinstance(sys.exc_info()[1], KeyError) else sys.exc_info())

        for _ in "x":

            @okdefer
            def returned():
                log.append("ok")

        if fails:
            raise KeyError

    with pytest.raises(KeyError) if fails else contextlib.nullcontext():
        (in_blocks if conditional else inline)()
    assert log == expected


def test_the_way_is_decided_at_its_turn(way):
    """The host's state at a function's turn decides whether the function runs (D10, D12)."""
    log = []

    @way
    def f():
        @okdefer
        def returned():
            log.append("returned")

        @errdefer
        def failed_early():
            log.append("never")

        @defer
        def rescue():
            log.append(recover())

        @errdefer
        def failed():
            log.append("failed")

        raise KeyError("x")

    assert f() is None
    assert [str(entry) for entry in log] == ["failed", "'x'", "returned"]


# Async functions and generators


def test_async_def_in_an_async_function(way):
    """An async function below `@defer` is awaited in its turn (D6, D12)."""
    log = []

    @way
    async def f(fails):
        @okdefer
        async def returned():
            await pause()
            log.append("returned")

        @defer
        async def first():
            await pause()
            log.append("first")

        if log == []:

            @defer
            def plain():
                log.append("plain")

        for i in range(2):

            @errdefer
            async def failed(i=i):
                await pause()
                log.append(i)

        await pause()
        log.append("body")
        if fails:
            raise KeyError
        return first, returned

    assert drive(f(False)) == (None, None)
    assert log == ["body", "plain", "first", "returned"]
    log.clear()
    with pytest.raises(KeyError):
        drive(f(True))
    assert log == ["body", 1, 0, "plain", "first"]


def test_async_def_when_the_task_is_cancelled(way):
    """A cancelled task runs its deferred `async def`, which may await (D2, D12)."""
    log = []

    @way
    async def f():
        @errdefer
        async def failed():
            await asyncio.sleep(0)
            log.append("failed")

        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(f())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log == ["failed"]


def test_async_def_in_an_async_generator(way):
    """An async generator awaits its deferred `async def` when it is
    exhausted or closed (D2, D6, D12).
    """
    log = []

    @way
    async def numbers():
        @defer
        async def cleanup():
            await pause()
            log.append("cleanup")

        for i in range(2):

            @defer
            async def turn(i=i):
                await pause()
                log.append(i)

            yield i

    async def exhaust():
        return [i async for i in numbers()]

    async def close():
        generator = numbers()
        await anext(generator)
        await generator.aclose()

    assert drive(exhaust()) == [0, 1]
    assert log == [1, 0, "cleanup"]
    log.clear()
    drive(close())
    assert log == [0, "cleanup"]


def test_async_def_beside_ausing(way):
    """A deferred `async def` runs in its turn among `ausing`'s exits (D11, D12)."""
    log = []

    @contextlib.asynccontextmanager
    async def block(name):
        yield name
        log.append(name)

    @way
    async def f():
        await ausing(block("outer"))

        @defer
        async def cleanup():
            await pause()
            log.append("cleanup")

        name = await ausing(block("inner"))
        return name

    assert drive(f()) == "inner"
    assert log == ["inner", "cleanup", "outer"]


@pytest.mark.parametrize("end", ["exhausted", "closed", "thrown into"])
def test_in_a_generator(way, end):
    """A generator runs its deferred function when it is exhausted, closed
    or thrown into (D2, D12).
    """
    log = []

    @way
    def numbers():
        @defer
        def cleanup():
            log.append("cleanup")

        @errdefer
        def failed():
            log.append(sys.exc_info()[0])

        for i in range(2):

            @defer
            def turn(i=i):
                log.append(i)

            yield i

    generator = numbers()
    if end == "exhausted":
        assert list(generator) == [0, 1]
        assert log == [1, 0, "cleanup"]
        return
    assert next(generator) == 0
    if end == "closed":
        generator.close()
        assert log == [0, GeneratorExit, "cleanup"]
    else:
        with pytest.raises(KeyError):
            generator.throw(KeyError)
        assert log == [0, KeyError, "cleanup"]


def test_async_def_in_a_sync_function_is_an_error(way):
    """A deferred `async def` in a sync function is a TypeError that names it (D6, D12)."""
    log = []

    @way
    def f():
        defer(log.append, "others run")

        @defer
        async def cleanup():
            log.append("never")

    with pytest.raises(TypeError, match=r"cleanup is a coroutine function deferred in sync code"):
        f()
    assert log == ["others run"]
