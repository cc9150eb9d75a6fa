"""`recover`: the functions that may recover, of every kind: rule P2. Go is the reference."""

import asyncio
import contextlib
import functools
import threading

import pytest

from godefer import Panic, defer, panic, recover, with_defers
from tests.helpers import Seen

# P2: the places where recover() returns an exception


def test_a_deferred_function_recovers(way):
    """Called directly by a deferred function, `recover` stops the exception and returns it (P2)."""
    seen = []
    error = ValueError("body")

    @way
    def f():
        def deferred():
            seen.append(recover())

        defer(deferred)
        raise error

    assert f() is None
    assert seen == [error]


def test_the_second_time_it_returns_none(way):
    """A second `recover()` of the same deferred function returns None (P2)."""
    seen = []

    @way
    def f():
        def deferred():
            seen.append(recover())
            seen.append(recover())

        defer(deferred)
        panic("p")

    f()
    assert [seen[0].value, seen[1]] == ["p", None]


def test_the_next_deferred_call_has_nothing_left_to_recover(way):
    """After a recovery `recover()` is None in the remaining calls (P2, P4)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover)
        defer(seen.recover)
        panic("p")

    f()
    assert seen.values() == ["p", None]


def test_on_the_normal_exit_it_returns_none(way):
    """Without an exception in flight `recover()` returns None (P2)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover)
        return 7

    assert f() == 7
    assert seen == [None]


def test_in_the_body_it_returns_none(way):
    """In the body of a function `recover()` returns None, inside an `except` too (P2)."""
    seen = []

    @way
    def f():
        defer(int)
        seen.append(recover())
        try:
            raise ValueError
        except ValueError:
            seen.append(recover())
        with contextlib.suppress(ValueError):
            try:
                raise ValueError
            finally:
                seen.append(recover())

    f()
    assert seen == [None, None, None]


def test_outside_of_decorated_functions_it_returns_none():
    """Without any deferred call `recover()` returns None (P2)."""
    assert recover() is None
    try:
        raise ValueError
    except ValueError:
        assert recover() is None


def test_a_helper_of_a_deferred_function_gets_none(way):
    """A helper of the deferred function recovers nothing, and the exception goes on (P2)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover_one_below)
        panic("p")

    with pytest.raises(Panic):
        f()
    assert seen == [None]


def test_a_lambda_that_calls_recover_is_direct(way):
    """A lambda is a deferred function like any other (P2)."""

    @way
    def f():
        defer(lambda: recover())
        panic("p")

    f()


def test_a_comprehension_in_a_deferred_function_is_direct(way):
    """A comprehension counts as part of its deferred function, on every Python (P2, D3)."""
    seen = []

    def deferred():
        seen.extend([recover() for _ in range(2)])

    @way
    def f():
        defer(deferred)
        panic("p")

    f()
    assert [seen[0].value, seen[1]] == ["p", None]


def test_a_generator_expression_in_a_deferred_function_is_not_direct(way):
    """A generator expression is a function of its own: it gets None (P2, D3)."""
    seen = []

    def deferred():
        seen.extend(recover() for _ in range(2))

    @way
    def f():
        defer(deferred)
        panic("p")

    with pytest.raises(Panic):
        f()
    assert seen == [None, None]


class Recoverer:
    """Has callables of every shape that call `recover` directly."""

    def __init__(self):
        self.seen = []

    def method(self, *_):
        self.seen.append(recover())

    def __call__(self, *_):
        self.seen.append(recover())

    @classmethod
    def class_method(cls, self):
        self.seen.append(recover())

    @staticmethod
    def static_method(self):
        self.seen.append(recover())


def plain(self):
    self.seen.append(recover())


DIRECT = {
    "function": lambda r: (plain, (r,)),
    "bound method": lambda r: (r.method, ()),
    "unbound method": lambda r: (Recoverer.method, (r,)),
    "class method": lambda r: (r.class_method, (r,)),
    "static method": lambda r: (r.static_method, (r,)),
    "callable object": lambda r: (r, ()),
    "bound __call__": lambda r: (r.__call__, ()),
    "partial of a function": lambda r: (functools.partial(plain, r), ()),
    "partial of a method": lambda r: (functools.partial(r.method, 1, 2), ()),
    "partial of a partial": lambda r: (functools.partial(functools.partial(plain), r), ()),
    "partial of a callable object": lambda r: (functools.partial(r, 1), ()),
    "cached function": lambda r: (functools.cache(plain), (r,)),
    "sort key": lambda r: ([1].sort, (), {"key": r.method}),
    "class whose __init__ recovers": lambda r: (
        type("Class", (), {"__init__": lambda self: r.seen.append(recover())}),
        (),
    ),
}


@pytest.mark.parametrize("shape", DIRECT)
@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
def test_callables_that_count_as_direct(way, shape, kind):
    """Bound methods, partials and C callables are transparent: their function is direct (P2)."""
    recoverer = Recoverer()
    callee, args, *kwargs = DIRECT[shape](recoverer)
    kwargs = kwargs[0] if kwargs else {}

    @way
    def function():
        defer(callee, *args, **kwargs)
        panic("p")

    @way
    def generator():
        defer(callee, *args, **kwargs)
        yield
        panic("p")

    @way
    async def coroutine():
        defer(callee, *args, **kwargs)
        panic("p")

    if kind == "function":
        assert function() is None
    elif kind == "generator":
        assert list(generator()) == [None]
    else:
        assert asyncio.run(coroutine()) is None
    assert [p.value for p in recoverer.seen] == ["p"]


def test_a_function_under_a_decorator_of_python_is_not_direct(way):
    """The wrapper of another decorator is the deferred function, as in Go (P2)."""
    seen = Seen()

    def decorator(fn):
        @functools.wraps(fn)
        def between(*args):
            return fn(*args)

        return between

    @way
    def f():
        defer(decorator(seen.recover))
        panic("p")

    with pytest.raises(Panic):
        f()
    assert seen == [None]


def test_an_exception_that_is_not_the_reason_is_not_recovered(way):
    """A function that a deferred one calls, and that returns, recovers nothing (P2)."""
    seen = Seen()

    @way
    def called():
        defer(seen.recover)

    def deferred():
        called()

    @way
    def f():
        defer(seen.recover)
        defer(deferred)
        panic("p")

    f()
    assert seen.values() == [None, "p"]


def test_an_exception_further_up_is_not_recovered(way):
    """A deferred call does not recover an exception that a caller is handling (P2)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover)

    with pytest.raises(ValueError):
        try:
            raise ValueError
        finally:
            f()
    assert seen == [None]


# P2: a deferred function that is itself decorated


def test_a_decorated_deferred_function_recovers(way):
    """A decorated deferred function calls `recover` as directly as any other (P2)."""
    seen = []

    @way
    def deferred():
        defer(seen.append, "its own")
        seen.append(recover().value)

    @way
    def f():
        defer(deferred)
        panic("p")

    f()
    assert seen == ["p", "its own"]


def test_a_decorated_deferred_function_that_defers_nothing_recovers(way):
    """Being decorated changes nothing for a deferred function that defers nothing (P2)."""
    seen = []

    @with_defers
    def deferred():
        seen.append(recover().value)

    @way
    def f():
        defer(deferred)
        panic("p")

    f()
    assert seen == ["p"]


def test_a_decorated_method_recovers(way):
    """A decorated method that is deferred recovers, bound or in a partial (P2)."""
    seen = []

    class Resource:
        @way
        def close(self):
            defer(seen.append, "its own")
            seen.append(recover().value)

    @way
    def f(callee):
        defer(callee)
        panic("p")

    f(Resource().close)
    f(functools.partial(Resource.close, Resource()))
    assert seen == ["p", "its own"] * 2


def test_a_helper_of_a_decorated_deferred_function_gets_none(way):
    """A decorated helper recovers nothing: its own frame counts, although godefer's do not (P2)."""
    seen = Seen()

    @way
    def helper():
        defer(int)
        seen.append(recover())

    @way
    def deferred():
        defer(int)
        helper()

    @way
    def f():
        defer(deferred)
        panic("p")

    with pytest.raises(Panic):
        f()
    assert seen == [None]


def test_the_own_deferred_calls_of_a_deferred_function_get_none(way):
    """A call deferred by a deferred function that returns does not recover the outer panic (P2)."""
    seen = Seen()

    @way
    def deferred():
        defer(seen.recover)

    @way
    def f():
        defer(deferred)
        panic("p")

    with pytest.raises(Panic):
        f()
    assert seen == [None]


def test_a_decorated_deferred_function_recovers_after_its_helper(way):
    """A decorated deferred function can still recover the outer panic after its helper has
    recovered one of the helper's own (P2).
    """
    seen = Seen()

    @way
    def inner():
        defer(seen.recover)
        panic("inner")

    @way
    def deferred():
        defer(int)
        inner()
        seen.append(recover())

    @way
    def f():
        defer(deferred)
        panic("outer")

    f()
    assert seen.values() == ["inner", "outer"]


def test_a_deferred_function_that_recovers_and_then_fails(way):
    """An exception raised after the recovery is in flight; the recovered one is over (P2, P5)."""
    seen = Seen()

    def deferred():
        seen.append(recover())
        panic("again")

    @way
    def f():
        defer(seen.recover)
        defer(deferred)
        panic("first")

    f()
    assert seen.values() == ["first", "again"]


def test_a_deferred_function_that_recovers_fails_and_recovers_that(way):
    """If a deferred function recovers, then fails and recovers its own failure, the first
    recovery holds (P2).
    """
    seen = Seen()

    @way
    def deferred():
        defer(seen.recover)
        seen.append(recover())
        panic("second")

    @way
    def f():
        defer(seen.recover)
        defer(deferred)
        panic("first")

    f()
    assert seen.values() == ["first", "second", None]


def test_a_deferred_function_whose_own_deferred_call_recovers_twice(way):
    """A deferred function's own call recovers that function's panic, never the outer one (P2)."""
    seen = Seen()

    def twice():
        seen.append(recover())
        seen.append(recover())

    @way
    def deferred():
        defer(twice)
        panic("second")

    @way
    def f():
        defer(seen.recover)
        defer(deferred)
        panic("first")

    f()
    assert seen.values() == ["second", None, "first"]


# P2: defer(recover)


def test_deferring_recover_does_not_stop_the_functions_own_panic():
    """As in Go, `defer(recover)` does not stop the panic of the function that has it (P2)."""

    @with_defers
    def f():
        defer(recover)
        panic("p")

    with pytest.raises(Panic):
        f()


def test_deferring_recover_in_a_deferred_function_recovers():
    """`defer(recover)` recovers if its function is the deferred function, as in Go (P2)."""

    @with_defers
    def deferred():
        defer(recover)

    @with_defers
    def f():
        defer(deferred)
        panic("p")

    assert f() is None


def test_deferring_recover_in_a_deferred_function_that_fails_itself():
    """`defer(recover)` does not stop its own function's panic, as in Go (P2, P5).

    That panic replaces the outer one.
    """
    seen = Seen()

    @with_defers
    def deferred():
        defer(recover)
        panic("second")

    @with_defers
    def f():
        defer(seen.recover)
        defer(deferred)
        panic("first")

    f()
    assert seen.values() == ["second"]


def test_deferring_recover_in_a_deferred_function_that_has_recovered_its_own():
    """`defer(recover)` recovers the outer panic once its function's own is recovered (P2)."""
    seen = Seen()

    @with_defers
    def deferred():
        defer(recover)
        defer(seen.recover)
        panic("second")

    @with_defers
    def f():
        defer(seen.recover)
        defer(deferred)
        panic("first")

    f()
    assert seen.values() == ["second", None]


def test_deferring_recover_in_a_helper_of_a_deferred_function():
    """In a helper of the deferred function `defer(recover)` has no effect (P2)."""

    @with_defers
    def helper():
        defer(recover)

    def deferred():
        helper()

    @with_defers
    def f():
        defer(deferred)
        panic("p")

    with pytest.raises(Panic):
        f()


def test_deferring_recover_with_types():
    """`defer(recover, Type)` follows the same rule as `defer(recover)` (P2, P3)."""

    @with_defers
    def deferred(kind):
        defer(recover, kind)

    @with_defers
    def f(kind):
        defer(deferred, kind)
        raise SystemExit

    assert f(SystemExit) is None
    with pytest.raises(SystemExit):
        f(ValueError)


# P2: async functions and generators


def test_a_deferred_coroutine_function_recovers(way):
    """A deferred coroutine function recovers, before and after it has waited (P2)."""
    seen = []

    async def at_once():
        seen.append(recover())
        await asyncio.sleep(0)

    async def later():
        await asyncio.sleep(0)
        seen.append(recover())

    @way
    async def f(callee):
        defer(callee)
        await asyncio.sleep(0)
        panic("p")

    assert asyncio.run(f(at_once)) is None
    assert asyncio.run(f(later)) is None
    assert [p.value for p in seen] == ["p", "p"]


def test_a_decorated_deferred_coroutine_function_recovers(way):
    """A decorated deferred coroutine function recovers, with and without own defers (P2)."""
    seen = []

    @way
    async def with_its_own():
        defer(seen.append, "its own")
        await asyncio.sleep(0)
        seen.append(recover().value)

    @with_defers
    async def without():
        await asyncio.sleep(0)
        seen.append(recover().value)

    @way
    async def f(callee):
        defer(callee)
        panic("p")

    asyncio.run(f(with_its_own))
    asyncio.run(f(without))
    assert seen == ["p", "its own", "p"]


def test_helpers_of_a_deferred_coroutine_function_get_none(way):
    """A helper that a deferred coroutine function awaits or starts as a task gets None (P2)."""
    seen = []

    async def helper():
        await asyncio.sleep(0)
        seen.append(recover())

    async def deferred():
        await helper()
        await asyncio.create_task(helper())

    @way
    async def f():
        defer(deferred)
        panic("p")

    with pytest.raises(Panic):
        asyncio.run(f())
    assert seen == [None, None]


def test_a_function_deferred_in_an_async_function_recovers(way):
    """A sync function recovers if an async function or async generator deferred it (P2)."""
    seen = Seen()

    @way
    async def f():
        defer(seen.recover)
        panic("coroutine")

    @way
    async def g():
        defer(seen.recover)
        yield 1
        panic("async generator")

    async def main():
        return await f(), [x async for x in g()]

    assert asyncio.run(main()) == (None, [1])
    assert seen.values() == ["coroutine", "async generator"]


def test_deferring_recover_in_an_async_deferred_function():
    """`defer(recover)` in an async deferred function recovers; it never stops the panic of its own
    function (P2).
    """

    @with_defers
    async def deferred():
        await asyncio.sleep(0)
        defer(recover)

    @with_defers
    async def f(callee):
        defer(callee)
        panic("p")

    assert asyncio.run(f(deferred)) is None
    with pytest.raises(Panic):
        asyncio.run(f(recover))


def test_a_recovered_generator_ends(way):
    """A generator that recovered is exhausted, with None or its evaluated result (P2, P4)."""
    seen = Seen()

    @way
    def g(late):
        defer(seen.recover)
        if late:
            defer(panic, "late")
        yield 1
        if late:
            return "evaluated"
        panic("body")

    for late, value in [(False, None), (True, "evaluated")]:
        generator = g(late)
        assert next(generator) == 1
        with pytest.raises(StopIteration) as caught:
            next(generator)
        assert caught.value.value == value
        assert list(generator) == []
    assert seen.values() == ["body", "late"]


def test_an_exception_thrown_into_a_generator_is_recovered(way):
    """An exception thrown into a generator can be recovered: `throw` then sees the end (P2)."""
    seen = Seen()
    error = KeyError("thrown")

    @way
    def g():
        defer(seen.recover)
        yield 1

    generator = g()
    next(generator)
    with pytest.raises(StopIteration):
        generator.throw(error)
    assert seen == [error]


def test_threads_recover_their_own(way):
    """Threads that fail in the same function at once each recover their own exception (P2, D4)."""
    barrier = threading.Barrier(2)
    seen = {}

    @way
    def f(name):
        def deferred():
            barrier.wait(10)
            seen[name] = recover().value

        defer(deferred)
        barrier.wait(10)
        panic(name)

    threads = [threading.Thread(target=f, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == {"a": "a", "b": "b"}
