"""A `defer` may stand anywhere in the body, and runs once for each time
it was executed: rule D8.
"""

import asyncio
import contextlib
import gc
import time

import pytest

from godefer import defer
from tests.helpers import Log

# D8: anywhere in the body, once for each time it was executed


def test_loops(way):
    """A statement in a loop defers one call for each turn, with the values of that turn (D8)."""
    log = Log()

    @way
    def f():
        for i in range(3):
            defer(log, ("for", i))
            if i == 1:
                continue
            for j in "ab":
                if j == "b":
                    break
                defer(log, ("inner", i, j))
        n = 2
        while n:
            defer(log, ("while", n))
            n -= 1
        else:
            defer(log, "else")

    f()
    expected = ["else", ("while", 1), ("while", 2)]
    expected += [("inner", 2, "a"), ("for", 2), ("for", 1), ("inner", 0, "a"), ("for", 0)]
    assert log == expected


@pytest.mark.parametrize(
    ("n", "expected"), [(0, ["end"]), (1, ["one", "end"]), (2, ["two", "end"]), (3, ["end"])]
)
def test_conditions(way, n, expected):
    """A statement in a branch that was not taken defers nothing (D8)."""
    log = Log()

    @way
    def f(n):
        defer(log, "end")
        if n == 1:
            defer(log, "one")
        elif n == 2:
            defer(log, "two")

    f(n)
    assert log == expected


@pytest.mark.parametrize("error", [None, KeyError, ValueError])
def test_try(way, error):
    """Statements in the parts of a `try` defer to the exit of the
    function, not of the `try` (D8).
    """
    log = Log()

    @way
    def f(error):
        try:
            defer(log, "try")
            if error:
                raise error
        except KeyError:
            defer(log, "except")
        else:
            defer(log, "else")
        finally:
            defer(log, "finally")
        log("after")

    if error is ValueError:
        with pytest.raises(ValueError):
            f(error)
        assert log == ["finally", "try"]
    else:
        f(error)
        assert log == ["after", "finally", "except" if error else "else", "try"]


def test_try_star(way):
    """A statement in an `except*` block defers to the exit of the function (D8)."""
    log = Log()

    @way
    def f():
        try:
            raise ExceptionGroup("two", [KeyError("k"), ValueError("v")])
        except* KeyError:
            defer(log, "keys")
        except* ValueError:
            defer(log, "values")
        log("after")

    f()
    assert log == ["after", "values", "keys"]


def test_with(way):
    """A statement in a `with` block defers to the exit of the function,
    after the block's exit (D8).
    """
    log = Log()

    @way
    def f():
        with contextlib.ExitStack() as stack:
            stack.callback(log, "with ends")
            defer(log, "deferred in with")
        log("after")

    f()
    assert log == ["with ends", "after", "deferred in with"]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [([1, 2], ["pair 1 2"]), ({"k": 3}, ["key 3"]), ("x", ["other x"]), (7, [])],
)
def test_match(way, subject, expected):
    """A statement in a `case` block defers with the values bound by the pattern,
    if the case is taken (D8).
    """
    log = Log()

    @way
    def f(subject):
        match subject:
            case [a, b]:
                defer(log, f"pair {a} {b}")
            case {"k": v}:
                defer(log, f"key {v}")
            case str() as s if s:
                defer(log, f"other {s}")

    f(subject)
    assert log == expected


def test_async_for_and_async_with(way):
    """Statements in `async for` and `async with` blocks defer to the exit
    of the async function (D8).
    """
    log = Log()

    async def numbers():
        for i in range(2):
            await asyncio.sleep(0)
            yield i

    @contextlib.asynccontextmanager
    async def block():
        yield
        log("async with ends")

    @way
    async def f():
        async with block():
            async for i in numbers():
                defer(log, i)
        log("after")

    asyncio.run(f())
    assert log == ["async with ends", "after", 1, 0]


def test_one_statement_executed_twice_runs_twice_with_the_values_of_each_time(way):
    """A statement that a retry loop executes again defers once more, and
    each call runs once (D8).
    """
    log = Log()

    @way
    def f():
        tries = 0
        while True:
            tries += 1
            try:
                defer(log, tries)
                if tries < 3:
                    raise ConnectionError
            except ConnectionError:
                continue
            break

    f()
    assert log == [3, 2, 1]


# D8: very many pending calls


def _pending(way):
    @way
    def plain(n, fn, error):
        for i in range(n):
            defer(fn, i)
        if error:
            raise ValueError

    @way
    def generator(n, fn, error):
        for i in range(n):
            defer(fn, i)
        yield
        if error:
            raise ValueError

    @way
    async def coroutine(n, fn, error):
        for i in range(n):
            defer(fn, i)
        if error:
            raise ValueError

    return {
        "function": plain,
        "generator": lambda *args: list(generator(*args)),
        "coroutine": lambda *args: asyncio.run(coroutine(*args)),
    }


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
@pytest.mark.parametrize("error", [False, True], ids=["returns", "raises"])
def test_a_million_pending_calls(way, kind, error):
    """A million pending calls of one invocation run in order, without recursion; so do 50,000 at
    each exit of the other kinds of function (D8).
    """
    run = _pending(way)[kind]
    n = 1_000_000 if kind == "function" and not error else 50_000  # also too many for a recursion
    seen = []
    with pytest.raises(ValueError) if error else contextlib.nullcontext():
        run(n, seen.append, error)
    assert seen == list(range(n - 1, -1, -1))


@pytest.mark.parametrize("error", [False, True], ids=["returns", "raises"])
def test_time_is_linear_in_the_pending_calls(way, error):
    """Ten times the pending calls take less than fifty times as long; in quadratic time it would
    be a hundred (D8).
    """
    run = _pending(way)["function"]

    def seconds(n):
        started = time.process_time()
        with pytest.raises(ValueError) if error else contextlib.nullcontext():
            run(n, int, error)
        return time.process_time() - started

    # The numbers are large, so that neither a cache nor PyPy's nursery holds all calls. The
    # collector is off, since it would walk all objects of the tests.
    gc.collect()
    gc.disable()
    try:
        few = min(seconds(100_000) for _ in range(3))
        many = min(seconds(1_000_000) for _ in range(2))
    finally:
        gc.enable()
    assert many < 10 * few * 5


@pytest.mark.parametrize("error", [False, True], ids=["returns", "raises"])
def test_memory_is_flat_per_pending_call(way, error):
    """A pending call takes the same memory however many there are, and gives it back (D8)."""
    tracemalloc = pytest.importorskip("tracemalloc", reason="PyPy has no tracemalloc")
    run = _pending(way)["function"]

    def traced(n):
        """Return the bytes in use at the peak, and afterwards."""
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            with pytest.raises(ValueError) if error else contextlib.nullcontext():
                run(n, int, error)
            after, peak = tracemalloc.get_traced_memory()
            return peak - before, after - before
        finally:
            tracemalloc.stop()

    traced(5_000)  # fills the pool
    small, _ = traced(10_000)
    large, left = traced(50_000)
    assert large < 5 * small * 1.25
    assert large / 50_000 < 400
    assert left < large / 10


def test_many_pending_calls_that_all_fail_do_not_recurse(way):
    """Thousands of calls that all raise still run, each with the previous
    exception in flight (D8, D5).
    """
    n = 3_000
    seen = []

    def fail(i):
        seen.append(i)
        raise ValueError(i)

    @way
    def f():
        for i in range(n):
            defer(fail, i)

    with pytest.raises(ValueError) as caught:
        f()
    assert seen == list(range(n - 1, -1, -1))
    chain = []
    e = caught.value
    while e is not None:
        chain.append(e.args[0])
        e = e.__context__
    assert chain == list(range(n))
