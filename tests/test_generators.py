"""A decorated generator function runs its deferred calls at every end of its generator (D2, A)."""

import asyncio
import gc
import inspect
import sys
import types

import pytest

from godefer import defer, errdefer, okdefer, recover, with_defers


@pytest.fixture
def gen(way, events):
    """Yield 1 and 2, echo each value sent, and note how the generator exits."""

    @way
    def gen():
        defer(events.append, "exits")
        errdefer(lambda: events.append(type(sys.exception())))
        okdefer(events.append, "returns")
        got = yield 1
        events.append(got)
        got = yield 2
        events.append(got)
        return "result"

    return gen


def test_exhaustion(gen, events):
    """The deferred calls of a generator run when it is exhausted, and not at a `yield` (D2)."""
    g = gen()
    assert [next(g), next(g)] == [1, 2]
    assert events == [None]
    assert next(g, "over") == "over"
    assert events == [None, None, "returns", "exits"]


def test_return_value(gen, events):
    """The value that a generator returns is in its StopIteration and `yield from`, after
    the deferred calls (D2, A).
    """

    def outer():
        result = yield from gen()
        events.append(result)

    assert list(outer()) == [1, 2]
    assert events == [None, None, "returns", "exits", "result"]


def test_send(gen, events):
    """A value sent to a decorated generator arrives at its `yield` (A)."""
    g = gen()
    next(g)
    assert g.send("a") == 2
    with pytest.raises(StopIteration, match="result"):
        g.send("b")
    assert events == ["a", "b", "returns", "exits"]


def test_send_before_the_start(gen, events):
    """A value sent to a generator that has not started is Python's own
    error, and starts nothing (A).
    """
    g = gen()
    with pytest.raises(TypeError, match="can't send non-None value to a just-started generator"):
        g.send(1)
    assert events == []
    assert list(g) == [1, 2]


def test_close(gen, events):
    """Closing a generator exits it by GeneratorExit: its deferred calls run,
    `errdefer` too (D2, D10).
    """
    g = gen()
    next(g)
    g.close()
    assert events == [GeneratorExit, "exits"]
    g.close()
    assert list(g) == []
    assert events == [GeneratorExit, "exits"]


def test_throw(gen, events):
    """An exception thrown into a generator, and not caught, exits the
    generator and leaves it (D2).
    """
    g = gen()
    next(g)
    thrown = KeyError("thrown")
    with pytest.raises(KeyError) as caught:
        g.throw(thrown)
    assert caught.value is thrown
    assert events == [KeyError, "exits"]


def test_throw_an_exception_class(gen, events):
    """A class thrown into a generator is instantiated there, as in an undecorated generator (A)."""
    g = gen()
    next(g)
    with pytest.raises(KeyError):
        g.throw(KeyError)
    assert events == [KeyError, "exits"]


def test_throw_that_the_body_catches(way, events):
    """An exception that the body catches does not exit the generator (D2)."""

    @way
    def gen():
        defer(events.append, "exits")
        try:
            yield 1
        except KeyError as e:
            events.append(e.args)
            yield 2
        events.append(sys.exception())
        yield 3

    g = gen()
    next(g)
    assert g.throw(KeyError("thrown")) == 2
    assert events == [("thrown",)]
    assert list(g) == [3]
    assert events == [("thrown",), None, "exits"]


@pytest.mark.parametrize("end", ["close", "throw"])
def test_ended_before_the_start(gen, events, end):
    """A generator ended before its first step has deferred nothing, and
    its body does not run (D2).
    """
    g = gen()
    if end == "close":
        g.close()
    else:
        with pytest.raises(KeyError):
            g.throw(KeyError)
    assert list(g) == []
    assert events == []


def test_never_started(gen, events):
    """A generator that is dropped before its first step runs nothing (D2)."""
    g = gen()
    del g
    gc.collect()
    assert events == []


def test_dropped_half_way(gen, events):
    """A generator dropped half-way is closed by the interpreter, and
    its deferred calls run (D2).
    """
    g = gen()
    next(g)
    del g
    gc.collect()
    assert events == [GeneratorExit, "exits"]


def test_dropped_by_a_loop(gen, events):
    """Leaving a `for` loop over a decorated generator by `break` drops it, and
    its deferred calls run (D2).
    """
    for _ in gen():
        break
    gc.collect()
    assert events == [GeneratorExit, "exits"]


def test_close_that_the_body_answers_by_returning(way, events):
    """A generator that catches GeneratorExit and returns is returning: `okdefer` runs,
    `errdefer` does not (D10).
    """

    @way
    def gen():
        defer(lambda: events.append(sys.exception()))
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        try:
            yield 1
        except GeneratorExit:
            return "result"

    g = gen()
    next(g)
    # close() gives the value that the generator returned since 3.13, and None before.
    assert g.close() == ("result" if sys.version_info >= (3, 13) else None)
    assert events == ["returns", None]


def test_close_that_the_body_answers_by_another_exception(way, events):
    """If a generator answers GeneratorExit by another exception, it fails, and
    close() raises that (D2, D10).
    """

    @way
    def gen():
        defer(events.append, "exits")
        errdefer(lambda: events.append(type(sys.exception())))
        try:
            yield 1
        except GeneratorExit:
            raise KeyError("instead") from None

    g = gen()
    next(g)
    with pytest.raises(KeyError, match="instead"):
        g.close()
    assert events == [KeyError, "exits"]


def test_close_that_the_body_ignores(way, events):
    """A generator that yields after GeneratorExit has not exited: close() complains, its
    deferred calls wait (D2).
    """

    @way
    def gen():
        defer(events.append, "exits")
        okdefer(events.append, "returns")
        try:
            yield 1
        except GeneratorExit:
            events.append("ignored")
            yield 2
        events.append("goes on")
        defer(events.append, "deferred late")
        yield 3

    g = gen()
    next(g)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        g.close()
    assert events == ["ignored"]
    assert list(g) == [3]
    assert events == ["ignored", "goes on", "deferred late", "returns", "exits"]


def test_close_when_a_deferred_call_raises(way, events):
    """If a deferred call raises while the generator is being closed, close()
    raises its exception (D5).
    """

    def bad():
        raise KeyError("bad")

    @way
    def gen():
        defer(events.append, "exits")
        defer(bad)
        yield 1

    g = gen()
    next(g)
    with pytest.raises(KeyError, match="bad") as caught:
        g.close()
    assert isinstance(caught.value.__context__, GeneratorExit)
    assert events == ["exits"]


def test_exhaustion_when_a_deferred_call_raises(way, events):
    """If a deferred call raises when the generator is exhausted, the last step
    raises its exception (D5).
    """

    def bad():
        raise KeyError("bad")

    @way
    def gen():
        defer(events.append, "exits")
        defer(bad)
        yield 1

    g = gen()
    next(g)
    with pytest.raises(KeyError, match="bad"):
        next(g)
    assert events == ["exits"]
    assert list(g) == []


def test_recover(way, events):
    """A generator that recovers ends, as a function returns to its caller (P4)."""

    def rescue():
        events.append(recover())

    error = KeyError("body")

    @way
    def gen():
        defer(events.append, "exits")
        defer(rescue)
        yield 1
        raise error

    assert list(gen()) == [1]
    assert events == [error, "exits"]


def test_stop_iteration_raised_in_the_body(way, events):
    """The deferred calls see the body's own StopIteration, the caller a
    RuntimeError (PEP 479, D10).
    """
    stop = StopIteration("mine")

    @way
    def gen():
        errdefer(lambda: events.append(sys.exception()))
        yield 1
        raise stop

    g = gen()
    next(g)
    with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
        next(g)
    assert events == [stop]
    assert caught.value.__cause__ is stop
    assert caught.value.__context__ is stop


def test_stop_iteration_raised_by_a_deferred_call(way, events):
    """A StopIteration from a deferred call does not end the generator as a
    return would (PEP 479, D5).
    """

    @way
    def gen():
        defer(events.append, "exits")
        defer(next, iter(()))
        yield 1

    g = gen()
    next(g)
    with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
        next(g)
    assert isinstance(caught.value.__cause__, StopIteration)
    assert events == ["exits"]


def test_stop_iteration_thrown_in(way, events):
    """A StopIteration thrown in and not caught comes out as RuntimeError (PEP 479, D2)."""
    stop = StopIteration("thrown")

    @way
    def gen():
        errdefer(lambda: events.append(sys.exception()))
        yield 1

    g = gen()
    next(g)
    with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
        g.throw(stop)
    assert events == [stop]
    assert caught.value.__cause__ is stop


def test_a_runtime_error_of_the_body_is_left_alone(way, events):
    """A RuntimeError that the body itself raises from a StopIteration is not
    taken for PEP 479's (D5).
    """
    error = RuntimeError("the source ran dry")

    @way
    def gen():
        errdefer(lambda: events.append(sys.exception()))
        yield 1
        try:
            next(iter(()))
        except StopIteration as e:
            raise error from e

    with pytest.raises(RuntimeError) as caught:
        list(gen())
    assert caught.value is error
    assert events == [error]


def test_yield_from_a_decorated_generator(way, events):
    """Of two decorated generators, one delegating to the other, the inner exits first; each
    has its own calls (D2, D4).
    """

    @way
    def inner():
        defer(events.append, "inner exits")
        got = yield 1
        events.append(got)
        return "result"

    @way
    def outer():
        defer(events.append, "outer exits")
        events.append((yield from inner()))
        yield 2

    g = outer()
    assert next(g) == 1
    assert g.send("sent") == 2
    assert events == ["sent", "inner exits", "result"]
    assert list(g) == []
    assert events == ["sent", "inner exits", "result", "outer exits"]


@pytest.mark.parametrize("end", ["close", "throw"])
def test_end_through_yield_from(way, events, end):
    """close() and throw() go through `yield from` to the inner
    generator, which exits first (D2).
    """

    @way
    def inner():
        defer(events.append, "inner exits")
        errdefer(lambda: events.append(type(sys.exception())))
        yield 1

    @way
    def outer():
        defer(events.append, "outer exits")
        errdefer(lambda: events.append(type(sys.exception())))
        yield from inner()

    g = outer()
    next(g)
    if end == "close":
        g.close()
        kind = GeneratorExit
    else:
        kind = KeyError
        with pytest.raises(KeyError):
            g.throw(KeyError("thrown"))
    assert events == [kind, "inner exits", kind, "outer exits"]


def test_yield_from_in_the_body(way, events):
    """`yield from` of anything that can be iterated works in a decorated generator (A)."""

    @way
    def gen():
        defer(events.append, "exits")
        yield from "ab"
        yield from (n for n in range(2))

    assert list(gen()) == ["a", "b", 0, 1]
    assert events == ["exits"]


def test_defers_between_yields(way, events):
    """Calls deferred between two steps run with the others, last in, first out (D2, D8)."""

    @way
    def gen(n):
        for i in range(n):
            defer(events.append, i)
            yield i

    assert list(gen(4)) == [0, 1, 2, 3]
    assert events == [3, 2, 1, 0]


def test_the_callers_exception_is_not_lost(way, events):
    """A resumed generator sees its caller's handled exception, as an undecorated one does (A)."""

    def plain():
        events.append(repr(sys.exception()))
        yield
        events.append(repr(sys.exception()))

    @way
    def decorated():
        defer(lambda: events.append(repr(sys.exception())))
        events.append(repr(sys.exception()))
        yield
        events.append(repr(sys.exception()))

    for gen in (plain, decorated):
        g = gen()
        next(g)
        try:
            raise KeyError("handled by the caller")
        except KeyError:
            next(g, None)
    assert events == ["None", "KeyError('handled by the caller')"] * 2 + [
        "KeyError('handled by the caller')"
    ]


def test_generator_state(gen):
    """`inspect` sees a decorated generator created, suspended and
    closed, under its own name (A).
    """
    g = gen()
    states = [inspect.getgeneratorstate(g)]
    next(g)
    states.append(inspect.getgeneratorstate(g))
    g.close()
    states.append(inspect.getgeneratorstate(g))
    assert states == [inspect.GEN_CREATED, inspect.GEN_SUSPENDED, inspect.GEN_CLOSED]
    assert g.__name__ == "gen"
    assert g.__qualname__ == "gen.<locals>.gen"


def test_a_generator_that_resumes_itself(way, events):
    """A generator that tries to resume itself gets Python's ValueError, and its
    deferred calls still run (A, D2).
    """

    @way
    def gen():
        defer(events.append, "exits")
        yield next(g)

    g = gen()
    with pytest.raises(ValueError, match="generator already executing"):
        next(g)
    assert events == ["exits"]


def test_types_coroutine(way, events):
    """A generator under `types.coroutine` can be awaited, decorated above or below,
    and has its own defers (A).
    """

    # types.coroutine changes the function's code, so the function may run either way.
    @with_defers
    @types.coroutine
    def below():
        defer(events.append, "below exits")
        yield from asyncio.sleep(0).__await__()
        return "below"

    @types.coroutine
    @way
    def above():
        defer(events.append, "above exits")
        yield from asyncio.sleep(0).__await__()
        return "above"

    async def main():
        return [await below(), await above()]

    assert asyncio.run(main()) == ["below", "above"]
    assert events == ["below exits", "above exits"]
    for fn in (below, above):
        made = fn()
        assert inspect.isawaitable(made)
        made.close()
