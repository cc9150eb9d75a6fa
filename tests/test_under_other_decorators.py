"""`with_defers` below and above other decorators: it looks through transparent ones (A)."""

import asyncio
import contextlib
import functools
import gc
import inspect

import pytest

import godefer
from godefer import DeferError, defer, errdefer, recover, with_defers
from tests.helpers import transparent


def hiding(fn):
    """Decorate without a trace of the called function."""

    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


def retrying(tries):
    """Decorate with a wrapper that calls the function again if it fails."""

    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            for _ in range(tries - 1):
                with contextlib.suppress(ConnectionError):
                    return fn(*args, **kwargs)
            return fn(*args, **kwargs)

        return wrapper

    return decorate


def test_wraps_decorator(way, events):
    """A decorator made with `functools.wraps` may be below or above (A)."""

    @way
    @transparent
    def below(x):
        defer(events.append, "below exits")
        events.append("below")
        return x

    @transparent
    @way
    def above(x):
        defer(events.append, "above exits")
        events.append("above")
        return x

    assert [below(1), above(2)] == [1, 2]
    assert events == ["below", "below exits", "above", "above exits"]


def test_a_pile_of_wraps_decorators(way, events):
    """Through any number of transparent decorators, the function at the bottom is decorated (A)."""

    @way
    @transparent
    @functools.lru_cache
    @transparent
    def f(x):
        defer(events.append, "exits")
        return x

    assert f(1) == 1
    assert events == ["exits"]


def test_a_function_that_another_decorator_kept(way, events):
    """A function that a decorator has put into a registry is decorated there as well (A)."""
    registry = {}

    def register(fn):
        registry[fn.__name__] = fn
        return transparent(fn)

    @way
    @register
    def handler(x):
        defer(events.append, "exits")
        return x

    assert registry["handler"](1) == handler(1) == 1
    assert events == ["exits", "exits"]


@pytest.mark.parametrize("cache", [functools.cache, functools.lru_cache(maxsize=2)])
def test_cache(way, events, cache):
    """A cache may be below or above: it has its methods, and a hit runs no deferred call (A)."""

    @way
    @cache
    def below(x):
        defer(events.append, ("below exits", x))
        return -x

    @cache
    @way
    def above(x):
        defer(events.append, ("above exits", x))
        return -x

    for f in (below, above):
        assert [f(1), f(1), f(2)] == [-1, -1, -2]
        assert f.cache_info().hits == 1
        f.cache_clear()
        assert f.cache_info().currsize == 0
    assert events == [
        ("below exits", 1),
        ("below exits", 2),
        ("above exits", 1),
        ("above exits", 2),
    ]


def test_contextmanager(way, events):
    """`contextlib.contextmanager` may be below or above: the calls run at the block's end (A)."""

    @way
    @contextlib.contextmanager
    def below():
        defer(events.append, "below exits")
        yield 1

    @contextlib.contextmanager
    @way
    def above():
        defer(events.append, "above exits")
        errdefer(events.append, "above fails")
        yield 2

    with below() as value:
        events.append(value)
    with pytest.raises(KeyError), above() as value:
        events.append(value)
        raise KeyError("block")
    assert events == [1, "below exits", 2, "above fails", "above exits"]


def test_contextmanager_that_recovers(way, events):
    """A context manager with a recovering call suppresses the block's exception (A, P4)."""

    def rescue():
        events.append(recover())

    @way
    @contextlib.contextmanager
    def suppressing():
        defer(rescue)
        yield

    error = KeyError("block")
    with suppressing():
        raise error
    assert events == [error]


def test_singledispatch(way, events):
    """`functools.singledispatch` may be below or above; implementations have own defers (A)."""

    @way
    @functools.singledispatch
    def below(x):
        defer(events.append, "below exits")
        return "object"

    @functools.singledispatch
    @way
    def above(x):
        defer(events.append, "above exits")
        return "object"

    for f in (below, above):

        @f.register
        @way
        def _(x: int):
            defer(events.append, "int exits")
            return "int"

        assert [f("x"), f(1)] == ["object", "int"]
    assert events == ["below exits", "int exits", "above exits", "int exits"]


def test_singledispatchmethod(way, events):
    """`functools.singledispatchmethod` may be above (A)."""

    class Thing:
        @functools.singledispatchmethod
        @way
        def kind(self, x):
            defer(events.append, "object exits")
            return self, "object"

        @kind.register
        @way
        def _(self, x: int):
            defer(events.append, "int exits")
            return self, "int"

    thing = Thing()
    assert [thing.kind("x"), thing.kind(1)] == [(thing, "object"), (thing, "int")]
    assert events == ["object exits", "int exits"]


@pytest.mark.parametrize("above", [True, False])
def test_each_try_has_its_own_defers(way, events, above):
    """Under a retrying decorator, the deferred calls run at the end of each try (A, D4)."""
    tries = iter([1, 2, 3])

    def connect(host):
        n = next(tries)
        defer(events.append, f"try {n} exits")
        errdefer(events.append, f"try {n} fails")
        events.append(f"try {n}")
        if n < 3:
            raise ConnectionError(host)
        return n

    connect = way(retrying(3)(connect)) if above else retrying(3)(way(connect))
    assert connect("host") == 3
    assert events == [
        "try 1",
        "try 1 fails",
        "try 1 exits",
        "try 2",
        "try 2 fails",
        "try 2 exits",
        "try 3",
        "try 3 exits",
    ]


def test_retrying_coroutine_function(way, events):
    """Each try of a retrying decorator of coroutine functions has its own defers (A, D4)."""
    tries = iter([1, 2])

    def retry_once(fn):
        @functools.wraps(fn)
        async def wrapper():
            try:
                return await fn()
            except ConnectionError:
                return await fn()

        return wrapper

    async def cleanup(n):
        await asyncio.sleep(0)
        events.append(f"try {n} exits")

    @way
    @retry_once
    async def connect():
        n = next(tries)
        defer(cleanup, n)
        await asyncio.sleep(0)
        if n == 1:
            raise ConnectionError
        return n

    assert asyncio.run(connect()) == 2
    assert events == ["try 1 exits", "try 2 exits"]


def deferring(events):
    """Return a decorator with a wrapper that defers."""

    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args):
            defer(events.append, "wrapper exits")
            events.append("wrapper")
            return fn(*args)

        return wrapper

    return decorate


def test_a_wrapper_that_defers(way, events):
    """If another decorator's wrapper defers, the wrapper is decorated, not the function (A)."""

    def plain(x):
        events.append("plain")
        return x

    code = plain.__code__
    decorated = way(deferring(events)(plain))
    assert decorated(1) == 1
    assert events == ["wrapper", "plain", "wrapper exits"]
    assert plain.__code__ is code
    assert not hasattr(plain, "__wrapped__")
    assert inspect.unwrap(decorated) is plain
    assert decorated.__name__ == "plain"


def test_a_wrapper_that_defers_around_a_decorated_function(way, events):
    """A deferring wrapper around a decorated function is decorated too (A, D4).

    Each of the two exits with its own calls.
    """

    @way
    @deferring(events)
    @way
    def f(x):
        defer(events.append, "function exits")
        return x

    assert f(1) == 1
    assert events == ["wrapper", "function exits", "wrapper exits"]


def test_a_wrapper_that_defers_around_a_function_that_defers(way, events):
    """If wrapper and function both defer, one @with_defers decorates the wrapper (A, D3).

    The error of the function's `defer` says so.
    """

    @way
    @deferring(events)
    def f(x):
        defer(events.append, "never")

    with pytest.raises(DeferError, match="@with_defers"):
        f(1)
    assert events == ["wrapper", "wrapper exits"]


def test_hiding_decorator(events):
    """Under a hiding decorator, the error says to put @with_defers next to the `def` (A)."""

    def body():
        @with_defers
        @hiding
        def f(x): defer(events.append, x)  # fmt: skip

        return f

    f = body()
    with pytest.raises(
        DeferError, match="put @with_defers on the line right above its own `def`"
    ) as caught:
        f(1)
    message = str(caught.value)
    assert "test_hiding_decorator.<locals>.body.<locals>.f" in message
    assert f"{__file__}:{body.__code__.co_firstlineno + 3}" in message
    assert events == []


def test_hiding_decorator_above(way, events):
    """A decorator that hides its function may be above (A)."""

    @hiding
    @way
    def f(x):
        defer(events.append, "exits")
        return x

    assert f(1) == 1
    assert events == ["exits"]


def through_the_module():
    godefer.defer(print, "exits")


def through_an_import():
    import godefer as go

    go.defer(print, "exits")


def in_a_comprehension():
    return [defer(print, text) for text in ("exits",)]


@pytest.mark.parametrize("body", [through_the_module, through_an_import, in_a_comprehension])
def test_every_way_to_say_defer_below_a_decorator(body, capsys):
    """A `defer` of any spelling is found under a transparent decorator (A, D3)."""
    with_defers(transparent(body))()
    assert capsys.readouterr().out == "exits\n"


def test_a_body_that_names_defer_under_a_closure_variable(way, events):
    """`with_defers` finds a `defer` of an enclosing function under a transparent decorator (A)."""
    later = defer

    @way
    @transparent
    def f():
        later(events.append, "exits")

    f()
    assert events == ["exits"]


def test_cache_twice(way, events):
    """Decorating a cached function above and below its cache decorates it once (A)."""

    @way
    @way
    @functools.cache
    @way
    def f():
        defer(events.append, "exits")

    f()
    assert events == ["exits"]


def test_wraps_above_the_decorator():
    """`functools.wraps` above `@with_defers` replaces `__wrapped__`; the body still runs (A)."""
    events = []

    def timed(fn):
        @functools.wraps(fn)
        @with_defers
        def wrapper(*args):
            locals()  # no open coding: only the runtime way has a wrapper
            defer(events.append, "exits")
            return fn(*args)

        return wrapper

    @timed
    def double(n):
        return 2 * n

    gc.collect()
    assert double(4) == 8
    assert events == ["exits"]
    assert double.__name__ == "double"
