"""`recover`: who may recover what, and what happens then: rules P2, P3 and P4. Go is the reference."""

import asyncio
import contextlib
import functools
import sys
import threading

import pytest

from godefer import Panic, defer, errdefer, okdefer, panic, recover, using, with_defers


class Seen(list):
    """What `recover` gave, in order."""

    def recover(self):
        self.append(recover())

    def recover_one_below(self):
        self.recover()

    def __call__(self):
        self.append(recover())

    def values(self):
        """The values of the panics, or what else it was."""
        return [e.value if isinstance(e, Panic) else e for e in self]


# P2: where recover() returns an exception


def test_a_deferred_function_recovers(way):
    """Called directly by a deferred function, `recover` returns the exception in flight and stops it (P2)."""
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
    """An exception is recovered once: the second `recover()` of the same deferred function returns None (P2)."""
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
    """After a recovery the calls that remain run as on a normal exit, where `recover()` is None (P2, P4)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover)
        defer(seen.recover)
        panic("p")

    f()
    assert seen.values() == ["p", None]


def test_on_the_normal_exit_it_returns_none(way):
    """Where nothing is in flight, `recover()` returns None (P2)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover)
        return 7

    assert f() == 7
    assert seen == [None]


def test_in_the_body_it_returns_none(way):
    """In the body of a function, outside of deferred calls, `recover()` returns None, inside an `except` too (P2)."""
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
    """Where nobody defers, `recover()` returns None (P2)."""
    assert recover() is None
    try:
        raise ValueError
    except ValueError:
        assert recover() is None


def test_a_helper_of_a_deferred_function_gets_none(way):
    """A helper called by the deferred function recovers nothing, and the exception goes on (P2)."""
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
    """A list comprehension counts as part of its deferred function on every Python version (P2, D3)."""
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
    """A generator expression is a function of its own, and so is not called by the deferred machinery (P2, D3)."""
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
    """Callables that call `recover` directly, in every shape."""

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
    """Bound methods, partials and other C callables are transparent: the Python function below them is direct (P2)."""
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
    """Where another decorator's function stands between, that one is the deferred function, as in Go (P2)."""
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
    """A function called by a deferred one and returning normally runs its own calls, which recover nothing (P2)."""
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
    """A deferred call recovers only what is leaving its own function, not what a caller is handling (P2)."""
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
    """A deferred function that is decorated itself calls `recover` as directly as any (P2)."""
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
    """A decorated helper is a helper all the same: godefer's frames do not count, its own does (P2)."""
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
    """When a deferred function returns normally, its own deferred calls recover nothing of the outer panic (P2)."""
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


def test_an_undecorated_function_inside_a_decorated_deferred_function(way):
    """The body of a decorated deferred function recovers after it has called others that did not (P2)."""
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
    """What fails after the recovery is in flight, and the recovered exception is over (P2, P5)."""
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
    """A deferred function that recovers, fails and has that recovered by its own deferred call has recovered (P2)."""
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
    """The deferred call of a deferred function recovers that function's panic, never the outer one too (P2)."""
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
    """`defer(recover)` has no effect on the panic of the function that says it, as in Go (P2)."""

    @with_defers
    def f():
        defer(recover)
        panic("p")

    with pytest.raises(Panic):
        f()


def test_deferring_recover_in_a_deferred_function_recovers():
    """`defer(recover)` recovers where the function that says it is itself the deferred function, as in Go (P2)."""

    @with_defers
    def deferred():
        defer(recover)

    @with_defers
    def f():
        defer(deferred)
        panic("p")

    assert f() is None


def test_deferring_recover_in_a_deferred_function_that_fails_itself():
    """There it has no effect on that function's own panic, which replaces the outer one, as in Go (P2, P5)."""
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
    """There it recovers the outer panic once the function's own has been recovered, as in Go (P2)."""
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
    """A deferred coroutine function that is decorated recovers, with and without defers of its own (P2)."""
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
    """A helper that a deferred coroutine function awaits, or a task that it starts, recovers nothing (P2)."""
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
    """A function that is not async recovers when an async function or an async generator deferred it (P2)."""
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
    """`defer(recover)` recovers in a deferred function that is async, and not for itself (P2)."""

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
    """After a recovery a generator is exhausted, with None or what `return` had evaluated as its value (P2, P4)."""
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


def test_what_was_thrown_into_a_generator_is_recovered(way):
    """An exception thrown into a generator that leaves its body can be recovered: `throw` then sees the end (P2)."""
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
    """Two threads that fail in the same function at the same time each recover their own exception (P2, D4)."""
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


# P3: what is recovered

GOES_ON = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, BaseException]


@pytest.mark.parametrize("error", GOES_ON)
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_what_is_no_exception_goes_on(way, error, kind):
    """`recover()` takes Exceptions only: anything else goes on, with every deferred call run, as Go's Goexit (P3)."""
    seen = Seen()

    @way
    def function():
        defer(seen.recover)
        defer(seen.append, "middle")
        defer(seen.recover)
        raise error

    @way
    async def coroutine():
        defer(seen.recover)
        defer(seen.append, "middle")
        defer(seen.recover)
        raise error

    with pytest.raises(error) as caught:
        function() if kind == "function" else coroutine().send(None)
    assert type(caught.value) is error
    assert seen == [None, "middle", None]


def test_a_group_of_exceptions_that_are_not_goes_on(way):
    """A BaseExceptionGroup is no Exception, an ExceptionGroup is (P3)."""
    seen = Seen()

    @way
    def f(error):
        defer(seen.recover)
        raise error

    group = ExceptionGroup("group", [ValueError()])
    f(group)
    with pytest.raises(BaseExceptionGroup):
        f(BaseExceptionGroup("group", [KeyboardInterrupt()]))
    assert seen == [group, None]


@pytest.mark.parametrize("error", [*GOES_ON, ValueError])
def test_naming_a_type_takes_it(way, error):
    """`recover(Type)` takes an exception of that type or of a subtype, a BaseException included (P3)."""
    seen = []

    @way
    def f(*types):
        def deferred():
            seen.append(type(recover(*types)))

        defer(deferred)
        raise error
        return "never"

    assert f(error) is None
    assert f(BaseException) is None
    assert f(ZeroDivisionError, error) is None
    assert seen == [error] * 3


def test_another_type_is_not_stopped(way):
    """`recover(Type)` leaves an exception of another type in flight, for another `recover` to take (P3)."""
    seen = []
    error = ValueError("body")

    @way
    def f():
        def deferred():
            seen.append(recover(KeyError, OSError))
            seen.append(recover(SystemExit))

        def last():
            seen.append(recover(KeyError))
            seen.append(recover(LookupError, ValueError))
            seen.append(recover(ValueError))

        defer(last)
        defer(deferred)
        raise error

    f()
    assert seen == [None, None, None, error, None]


def test_naming_a_type_replaces_exception(way):
    """Once a type is named, other Exceptions are not taken (P3)."""

    @way
    def f():
        def deferred():
            recover(SystemExit)

        defer(deferred)
        raise ValueError

    with pytest.raises(ValueError):
        f()


@pytest.mark.parametrize(
    "bad", [int, 7, "ValueError", None, ValueError("instance"), (ValueError, KeyError), list[int]]
)
def test_what_is_no_exception_type(way, bad):
    """Something that is no exception type is a TypeError that names it, whatever is in flight (P3)."""
    with pytest.raises(TypeError) as caught:
        recover(bad)
    assert repr(bad) in str(caught.value)
    assert "exception type" in str(caught.value)
    with pytest.raises(TypeError):
        recover(ValueError, bad)

    @way
    def f():
        def deferred():
            recover(ValueError, bad)

        defer(deferred)
        raise ValueError("body")

    with pytest.raises(TypeError) as caught:
        f()
    assert caught.value.__context__.args == ("body",)


@pytest.mark.parametrize("error", GOES_ON)
@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
def test_an_exit_goes_on_when_what_replaced_it_is_recovered(way, error, kind):
    """An exit that a failing deferred call had replaced is still on its way once that failure is recovered (P3)."""
    seen = Seen()

    @way
    def function():
        defer(seen.recover)
        defer(seen.append, "after the recovery")
        defer(seen.recover)
        defer(panic, "in a deferred call")
        raise error

    @way
    def generator():
        defer(seen.recover)
        defer(seen.append, "after the recovery")
        defer(seen.recover)
        defer(panic, "in a deferred call")
        yield
        raise error

    @way
    async def coroutine():
        defer(seen.recover)
        defer(seen.append, "after the recovery")
        defer(seen.recover)
        defer(panic, "in a deferred call")
        raise error

    calls = {
        "function": function,
        "generator": lambda: list(generator()),
        "coroutine": lambda: coroutine().send(None),
    }
    with pytest.raises(error) as caught:
        calls[kind]()
    assert type(caught.value) is error
    assert seen.values() == ["in a deferred call", "after the recovery", None]


def test_an_exit_goes_on_through_several_replacements(way):
    """Two failures, each recovered, or one replacing the other, do not stop the exit that came first (P3)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover)
        defer(panic, 4)
        defer(panic, 3)
        defer(seen.recover)
        defer(panic, 2)
        defer(seen.recover)
        defer(panic, 1)
        raise SystemExit("exit")

    with pytest.raises(SystemExit, match="exit"):
        f()
    assert seen.values() == [1, 2, 4]


def test_an_exit_in_a_deferred_call_replaces_an_exception(way):
    """An exit that a deferred call raises replaces the exception in flight, and goes on (P3, P5)."""
    seen = Seen()

    @way
    def f():
        defer(seen.recover)
        defer(sys.exit, 3)
        panic("p")

    with pytest.raises(SystemExit) as caught:
        f()
    assert caught.value.code == 3
    assert seen == [None]


def test_an_exit_that_was_replaced_and_goes_on_fails_the_function(way):
    """For `errdefer` and `okdefer` a function whose exit goes on is failing (P3, D10)."""
    seen = Seen()

    @way
    def f():
        errdefer(seen.append, "errdefer")
        okdefer(seen.append, "okdefer")
        defer(seen.recover)
        defer(panic, "in a deferred call")
        raise SystemExit

    with pytest.raises(SystemExit):
        f()
    assert seen.values() == ["in a deferred call", "errdefer"]


def test_an_exit_that_is_named_ends(way):
    """An exit that `recover(Type)` has taken is over, and does not come back (P3)."""
    seen = Seen()

    @way
    def f():
        def take():
            recover(SystemExit)

        defer(seen.recover)
        defer(panic, "later")
        defer(take)
        raise SystemExit

    assert f() is None
    assert seen.values() == ["later"]


def test_an_exit_that_a_deferred_call_raises_again_ends_when_it_is_named(way):
    """An exit that a deferred call has raised again replaces nothing, so it is over where `recover(Type)` takes it (P3)."""
    found = []

    @way
    def f():
        def again():
            raise sys.exception()

        defer(lambda: found.append(recover(SystemExit)))
        defer(again)
        raise SystemExit(3)

    assert f() is None
    assert found[0].code == 3


def test_an_exit_that_is_named_ends_although_its_taker_fails(way):
    """An exit that `recover(Type)` has taken is over where the same call then panics, and that is recovered (P3)."""
    seen = Seen()

    @way
    def f():
        def take_and_fail():
            recover(SystemExit)
            panic("later")

        defer(seen.recover)
        defer(take_and_fail)
        raise SystemExit

    assert f() is None
    assert seen.values() == ["later"]


def test_an_exception_that_replaced_no_exit_is_left_as_it_is(way):
    """What replaces or follows an exception that is no exit has no attributes of godefer's, but a note (P3, P6)."""

    @way
    def f():
        defer(panic, "later")
        raise LookupError

    with pytest.raises(Panic) as caught:
        f()
    assert vars(caught.value).keys() - {"__notes__"} == {"value"}


def test_an_exit_replaced_inside_a_deferred_function_goes_on(way):
    """An exit in a caller is not touched by panics that deferred functions raise and recover among themselves (P3)."""
    seen = Seen()

    @way
    def deferred():
        defer(seen.recover)
        panic("inner")

    @way
    def f():
        defer(seen.recover)
        defer(deferred)
        raise SystemExit

    with pytest.raises(SystemExit):
        f()
    assert seen.values() == ["inner", None]


def test_an_exit_that_was_replaced_goes_on_where_the_caller_recovers(way):
    """It goes on, too, from the function of a caller that recovers what had replaced it, as in Go (P3)."""
    seen = Seen()

    @way
    def inner():
        defer(panic, "in a deferred call")
        raise SystemExit("exit")

    @way
    def outer():
        defer(seen.append, "outer deferred")
        defer(seen.recover)
        inner()
        seen.append("never reached")

    with pytest.raises(SystemExit, match="exit"):
        outer()
    assert seen.values() == ["in a deferred call", "outer deferred"]


def test_an_exit_inside_a_deferred_function_replaces_the_outer_exception(way):
    """An exit that a deferred function's own calls could not stop replaces what was in flight, as in Go (P3, P5)."""
    seen = Seen()

    @way
    def deferred():
        defer(seen.recover)
        defer(panic, "second")
        raise SystemExit("exit")

    @way
    def f():
        defer(seen.recover)
        defer(deferred)
        panic("first")

    with pytest.raises(SystemExit, match="exit"):
        f()
    assert seen.values() == ["second", None]


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
def test_an_exit_that_an_except_clause_has_dealt_with_is_over(way, error):
    """An exit that the body or a deferred call caught in an `except` clause of its own does not come back (P3)."""
    seen = Seen()

    def catches():
        try:
            raise error
        except error:
            raise ValueError("instead") from None

    @way
    def body():
        defer(seen.recover)
        try:
            raise error
        except error:
            raise ValueError("instead")

    @way
    def deferred():
        defer(seen.recover)
        defer(catches)

    assert body() is None
    assert deferred() is None
    assert [e.args for e in seen] == [("instead",), ("instead",)]


# P4: after a recovery


def test_the_function_returns_to_its_caller(way):
    """After a recovery the function returns, and its caller goes on (P4)."""
    seen = Seen()

    @way
    def inner():
        defer(seen.recover)
        panic("p")
        seen.append("never reached")

    @way
    def outer():
        defer(seen.append, "outer deferred")
        result = inner()
        seen.append(("outer goes on", result))
        return "result"

    assert outer() == "result"
    assert seen.values() == ["p", ("outer goes on", None), "outer deferred"]


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_the_value_after_a_recovery(way, kind):
    """The value is what a `return` had already evaluated, else None; a failing `finally` discards it first (P4)."""
    seen = Seen()

    @way
    def function(where):
        defer(seen.recover)
        if where == "deferred call":
            defer(panic, where)
            return "evaluated"
        if where == "finally":
            try:
                return "evaluated"
            finally:
                panic(where)
        panic(where)

    @way
    async def coroutine(where):
        defer(seen.recover)
        if where == "deferred call":
            defer(panic, where)
            return "evaluated"
        if where == "finally":
            try:
                return "evaluated"
            finally:
                panic(where)
        panic(where)

    def value(where):
        return function(where) if kind == "function" else asyncio.run(coroutine(where))

    assert value("body") is None
    assert value("deferred call") == "evaluated"
    assert value("finally") is None
    assert seen.values() == ["body", "deferred call", "finally"]


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine", "async generator"])
@pytest.mark.parametrize("inside_except", [False, True], ids=["", "inside an except of the caller"])
def test_the_remaining_calls_run_as_on_a_normal_return(way, kind, inside_except):
    """The calls that remain see what the caller sees as `sys.exception()`, and chain to no recovered exception (P4)."""
    seen = []

    def note():
        seen.append(sys.exception())

    def handles_its_own():
        try:
            raise KeyError
        except KeyError as e:
            seen.append(e.__context__)

    @way
    def function():
        defer(note)
        defer(handles_its_own)
        defer(lambda: seen.append(recover()))
        panic("p")

    @way
    def generator():
        defer(note)
        defer(handles_its_own)
        defer(lambda: seen.append(recover()))
        yield
        panic("p")

    @way
    async def coroutine():
        defer(note)
        defer(handles_its_own)
        defer(lambda: seen.append(recover()))
        panic("p")

    @way
    async def async_generator():
        defer(note)
        defer(handles_its_own)
        defer(lambda: seen.append(recover()))
        yield
        panic("p")

    async def iterate():
        async for _ in async_generator():
            pass

    def drive(coroutine):
        with contextlib.suppress(StopIteration):
            coroutine.send(None)

    calls = {
        "function": function,
        "generator": lambda: list(generator()),
        "coroutine": lambda: drive(coroutine()),
        "async generator": lambda: drive(iterate()),
    }
    handled = None
    if inside_except:
        try:
            raise OSError("handled by the caller")
        except OSError as e:
            handled = e
            calls[kind]()
    else:
        calls[kind]()
    assert seen[0].value == "p"
    assert seen[1:] == [handled, handled]


def test_a_new_exception_after_a_recovery_is_not_chained(way):
    """A deferred call that fails after a recovery leaves with no trace of the recovered exception (P4, D5)."""

    @way
    def f():
        defer(panic, "new")
        defer(lambda: recover())
        panic("recovered")

    with pytest.raises(Panic, match="new") as caught:
        f()
    assert caught.value.__context__ is None


def test_a_context_manager_after_a_recovery(way):
    """A context manager of `using` whose turn comes after a recovery gets None three times (P4, D11)."""
    seen = []

    class Manager:
        def __enter__(self):
            pass

        def __exit__(self, *details):
            seen.append(details)

    @way
    def f():
        using(Manager())
        defer(lambda: recover())
        panic("p")

    f()
    assert seen == [(None, None, None)]


def test_the_recovered_exception_is_left_alone(way):
    """A recovered exception keeps its context, cause and notes, and can be raised again later (P4, D5)."""
    seen = []

    @way
    def f():
        defer(lambda: seen.append(recover()))
        try:
            raise KeyError("context")
        except KeyError:
            error = ValueError("body")
            error.add_note("note")
            raise error from OSError("cause")

    f()
    (error,) = seen
    assert error.__context__.args == ("context",)
    assert error.__cause__.args == ("cause",)
    assert error.__notes__ == ["note"]
    with pytest.raises(ValueError):
        raise error


def test_raising_the_recovered_exception_again(way):
    """A deferred function may recover, decide, and raise the same exception again (P4, P5)."""

    @way
    def f(error):
        def deferred():
            e = recover()
            if isinstance(e, ValueError):
                raise e

        defer(deferred)
        raise error

    error = ValueError()
    with pytest.raises(ValueError) as caught:
        f(error)
    assert caught.value is error
    assert error.__context__ is None
    assert f(KeyError()) is None
