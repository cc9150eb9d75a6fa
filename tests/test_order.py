"""The time and order of deferred calls: rule D2."""

import asyncio
import contextlib
import gc

import pytest

from godefer import defer
from tests.helpers import Log


def test_last_in_first_out(way):
    """Deferred calls run in the reverse of the order in which their statements ran (D2)."""
    log = Log()

    @way
    def f():
        defer(log, 1)
        defer(log, 2)
        log("body")
        defer(log, 3)

    f()
    assert log == ["body", 3, 2, 1]


EXITS = {
    "falls off the end": (None, None),
    "returns": ("value", None),
    "returns early": ("early", None),
    "raises": (None, ValueError),
    "raises a BaseException": (None, KeyboardInterrupt),
}


@pytest.mark.parametrize("how", EXITS)
def test_every_exit_of_a_function(way, how):
    """The calls run when the function returns, falls off its end or raises anything at all (D2)."""
    log = Log()

    @way
    def f(how):
        defer(log, 1)
        if how == "returns early":
            return log.value("result", "early")
        defer(log, 2)
        if how == "raises":
            raise ValueError
        if how == "raises a BaseException":
            raise KeyboardInterrupt
        if how == "returns":
            return log.value("result", "value")
        log("end")

    value, error = EXITS[how]
    with pytest.raises(error) if error else contextlib.nullcontext():
        assert f(how) == value
    first = {
        "returns": ["result", 2],
        "returns early": ["result"],
        "falls off the end": ["end", 2],
    }.get(how, [2])
    assert log == [*first, 1]


@pytest.mark.parametrize("how", EXITS)
def test_every_exit_of_a_coroutine_function(way, how):
    """An async function evaluates its result, then runs the calls, at each exit (D2)."""
    log = Log()

    @way
    async def f(how):
        defer(log, 1)
        await asyncio.sleep(0)
        if how == "returns early":
            return log.value("result", "early")
        defer(log, 2)
        await asyncio.sleep(0)
        if how == "raises":
            raise ValueError
        if how == "raises a BaseException":
            raise KeyboardInterrupt
        if how == "returns":
            return log.value("result", "value")
        log("end")

    value, error = EXITS[how]
    with pytest.raises(error) if error else contextlib.nullcontext():
        assert asyncio.run(f(how)) == value
    first = {
        "returns": ["result", 2],
        "returns early": ["result"],
        "falls off the end": ["end", 2],
    }.get(how, [2])
    assert log == [*first, 1]


def test_a_cancelled_coroutine(way):
    """Cancelling a task runs the calls of the coroutine function it runs (D2)."""
    log = Log()

    @way
    async def f():
        defer(log, 1)
        defer(log, 2)
        log("waiting")
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(f())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert log == ["waiting", 2, 1]


def test_a_closed_coroutine(way):
    """`close()` of a suspended coroutine runs its calls (D2)."""
    log = Log()

    class Pause:
        def __await__(self):
            yield

    @way
    async def f():
        defer(log, 1)
        defer(log, 2)
        await Pause()

    coroutine = f()
    coroutine.send(None)
    assert log == []
    coroutine.close()
    assert log == [2, 1]


def test_a_coroutine_that_never_started_has_deferred_nothing(way):
    """A coroutine closed before its first step runs no statement, so no call (D2)."""
    log = Log()

    @way
    async def f():
        defer(log, 1)

    f().close()
    assert log == []


GENERATOR_EXITS = ["exhausted", "returns", "closed", "dropped", "thrown into", "raises"]


@pytest.mark.parametrize("how", GENERATOR_EXITS)
def test_every_exit_of_a_generator(way, how):
    """A generator runs its calls when it ends, closed, dropped or thrown into too (D2)."""
    log = Log()

    @way
    def g(how):
        defer(log, 1)
        yield "a"
        defer(log, 2)
        yield "b"
        if how == "returns":
            return log.value("result", "value")
        if how == "raises":
            raise ValueError("from the body")
        log("end")

    generator = g(how)
    assert [next(generator), next(generator)] == ["a", "b"]
    assert log == []
    if how == "exhausted":
        assert list(generator) == []
        assert log == ["end", 2, 1]
    elif how == "returns":
        with pytest.raises(StopIteration) as caught:
            next(generator)
        assert caught.value.value == "value"
        assert log == ["result", 2, 1]
    else:
        if how == "closed":
            generator.close()
        elif how == "dropped":
            del generator
            gc.collect()  # where references are not counted
        elif how == "thrown into":
            with pytest.raises(KeyError, match="thrown"):
                generator.throw(KeyError("thrown"))
        else:
            with pytest.raises(ValueError, match="from the body"):
                next(generator)
        assert log == [2, 1]


@pytest.mark.parametrize("how", ["exhausted", "closed", "thrown into", "raises"])
def test_every_exit_of_an_async_generator(way, how):
    """An async generator runs its calls when it ends, closed or thrown into too (D2)."""
    log = Log()

    @way
    async def g(how):
        defer(log, 1)
        yield "a"
        defer(log, 2)
        await asyncio.sleep(0)
        yield "b"
        if how == "raises":
            raise ValueError("from the body")
        log("end")

    async def main():
        generator = g(how)
        assert [await anext(generator), await anext(generator)] == ["a", "b"]
        assert log == []
        if how == "exhausted":
            assert [x async for x in generator] == []
            assert log == ["end", 2, 1]
            return
        if how == "closed":
            await generator.aclose()
        elif how == "thrown into":
            with pytest.raises(KeyError, match="thrown"):
                await generator.athrow(KeyError("thrown"))
        else:
            with pytest.raises(ValueError, match="from the body"):
                await anext(generator)
        assert log == [2, 1]

    asyncio.run(main())


def test_a_generator_that_catches_a_thrown_exception(way):
    """A generator that catches a thrown exception runs its calls at its real end (D2)."""
    log = Log()

    @way
    def g():
        defer(log, "deferred")
        while True:
            try:
                yield "waiting"
            except KeyError as e:
                log(e.args[0])
                yield "caught"

    generator = g()
    assert next(generator) == "waiting"
    assert generator.throw(KeyError("one")) == "caught"
    assert next(generator) == "waiting"
    assert log == ["one"]
    generator.close()
    assert log == ["one", "deferred"]


def test_finally_and_with_blocks_of_the_body_end_before_the_deferred_calls(way):
    """`finally` and `with` blocks of the body end before the calls run (D2)."""
    log = Log()

    @way
    def f():
        with contextlib.ExitStack() as stack:
            stack.callback(log, "with")
            try:
                defer(log, "deferred")
                return log.value("result", 1)
            finally:
                log("finally")

    assert f() == 1
    assert log == ["result", "finally", "with", "deferred"]


def test_the_result_is_evaluated_before_the_calls_run(way):
    """`return` evaluates its value before the calls can change the variable (D2)."""

    @way
    def f():
        n = 1

        def change():
            nonlocal n
            n = 2

        defer(change)
        return n

    assert f() == 1


def test_the_calls_have_run_when_the_caller_goes_on(way):
    """The calls of an invocation have run when its caller goes on (D2)."""
    log = Log()

    @way
    def inner(name):
        defer(log, f"inner {name} deferred")
        return name

    @way
    def outer():
        defer(log, "outer deferred")
        log(inner("a"))
        log(inner("b"))

    outer()
    assert log == ["inner a deferred", "a", "inner b deferred", "b", "outer deferred"]


def test_a_deferred_function_has_defers_of_its_own(way):
    """A deferred function's own calls run before the next call of the outer one (D2)."""
    log = Log()

    @way
    def inner():
        defer(log, "inner 1")
        defer(log, "inner 2")
        log("inner")

    @way
    def outer():
        defer(log, "outer 1")
        defer(inner)
        defer(log, "outer 2")

    outer()
    assert log == ["outer 2", "inner", "inner 2", "inner 1", "outer 1"]
