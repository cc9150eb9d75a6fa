"""When deferred calls run, how often, and in which order: rules D1, D2 and D8."""

import asyncio
import contextlib
import gc
import time

import pytest

from godefer import defer


class Log(list):
    """An ordered list of events; each of its methods adds one."""

    def __call__(self, event):
        self.append(event)

    def value(self, name, value):
        self.append(name)
        return value

    def take(self, /, *args, **kwargs):
        self.append((args, kwargs))


# D1: evaluation


def test_callee_and_arguments_are_evaluated_at_the_statement_from_left_to_right_once(way):
    """The callee, then every argument, stars too, is evaluated when the statement runs, in order, once (D1)."""
    log = Log()

    @way
    def f():
        log("before")
        defer(
            log.value("callee", log.take),
            log.value("first", 1),
            *log.value("stars", [2, 3]),
            log.value("last", 4),
            key=log.value("keyword", 5),
            **log.value("double stars", {"more": 6}),
        )
        log("after")

    f()
    assert log == [
        "before",
        "callee",
        "first",
        "stars",
        "last",
        "keyword",
        "double stars",
        "after",
        ((1, 2, 3, 4), {"key": 5, "more": 6}),
    ]


def test_names_rebound_later_do_not_change_the_call(way):
    """Rebinding a variable that was the callee or an argument does not change what was deferred (D1)."""
    log = Log()

    @way
    def f(fn, value, *, key):
        defer(fn, value, key=key)
        fn, value, key = None, None, None

    f(log.take, 1, key=2)
    assert log == [((1,), {"key": 2})]


def test_names_deleted_later_do_not_change_the_call(way):
    """Deleting a variable that was an argument does not change what was deferred (D1)."""
    log = Log()

    @way
    def f(value):
        defer(log, value)
        del value

    f("kept")
    assert log == ["kept"]


def test_a_closure_variable_as_argument_is_evaluated_at_the_statement(way):
    """An argument that an inner function changes later keeps the value it had at the statement (D1)."""
    log = Log()

    @way
    def f():
        n = 1

        def change():
            nonlocal n
            n = 2

        defer(log, n)
        change()
        log(n)

    f()
    assert log == [2, 1]


def test_a_method_is_looked_up_at_the_statement(way):
    """`obj.method` as callee is looked up when the statement runs, on the object that it then was (D1)."""
    log = Log()

    class Resource:
        def close(self):
            log("the class's")

    @way
    def f(resource):
        defer(resource.close)
        resource.close = lambda: log("set later")
        resource = None

    f(Resource())
    assert log == ["the class's"]


def test_arguments_are_passed_by_reference(way):
    """The argument itself is passed, not a copy: what the body adds to it later is seen by the call (D1)."""
    log = Log()

    @way
    def f():
        items = []
        defer(log, items)
        items.append(1)
        return items

    items = f()
    assert log == [[1]]
    assert log[0] is items


@pytest.mark.parametrize("star", ["positional", "keyword"])
def test_star_arguments_are_copied_at_the_statement(way, star):
    """`*items` and `**items` are spread when the statement runs, so later changes to them change nothing (D1)."""
    log = Log()

    @way
    def positional(items):
        defer(log.take, *items)
        items.append(2)

    @way
    def keyword(items):
        defer(log.take, **items)
        items["b"] = 2

    if star == "positional":
        positional([1])
        assert log == [((1,), {})]
    else:
        keyword({"a": 1})
        assert log == [((), {"a": 1})]


def test_keyword_names_that_the_library_could_claim_go_to_the_callee(way):
    """Every keyword belongs to the callee, whatever the parameters of `defer` itself are called (D1)."""
    log = Log()

    @way
    def f():
        defer(log.take, fn=1, self=2, args=3, kwargs=4, sp=5, frame=6, result=7)

    f()
    assert log == [
        ((), {"fn": 1, "self": 2, "args": 3, "kwargs": 4, "sp": 5, "frame": 6, "result": 7})
    ]


def test_an_argument_that_cannot_be_evaluated_defers_nothing(way):
    """An exception while an argument is evaluated leaves that call out, and earlier ones run (D1)."""
    log = Log()

    @way
    def f():
        defer(log, "first")
        defer(log, 1 / 0)
        defer(log, "never reached")

    with pytest.raises(ZeroDivisionError):
        f()
    assert log == ["first"]


# D2: exits


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
    """The calls of an async function run at each of its exits, the result being evaluated before (D2)."""
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
    """A coroutine that is closed before its first step has run no statement, so no call (D2)."""
    log = Log()

    @way
    async def f():
        defer(log, 1)

    f().close()
    assert log == []


GENERATOR_EXITS = ["exhausted", "returns", "closed", "dropped", "thrown into", "raises"]


@pytest.mark.parametrize("how", GENERATOR_EXITS)
def test_every_exit_of_a_generator(way, how):
    """The calls run when a generator is exhausted, returns, raises, is closed, dropped or thrown into, not before (D2)."""
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
    """The calls run when an async generator is exhausted, raises, is closed or thrown into, not before (D2)."""
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


def test_what_is_thrown_into_a_generator_and_caught_there_ends_nothing(way):
    """A generator that catches what was thrown into it goes on, and its calls run at its real end (D2)."""
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
    """`finally` and `with` blocks belong to the body, so they end before the calls run (D2)."""
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
    """`return` evaluates its value first, so a call that changes the variable does not change the result (D2)."""

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
    """The calls belong to the invocation that deferred them and are over when the caller has its result (D2)."""
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
    """The defers of a deferred function run when that one exits, before the next call of the outer one (D2)."""
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


# D8: anywhere in the body, once for each time it was executed


def test_loops(way):
    """A statement in a loop defers one call for each time round, with the values of that round (D8)."""
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
    """Statements in the parts of a `try` defer to the exit of the function, not of the `try` (D8)."""
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
    """A statement in a `with` block defers to the exit of the function, which is after the block's (D8)."""
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
    """A statement in a `case` block defers with what the pattern bound, if that case was taken (D8)."""
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
    """Statements in `async for` and `async with` blocks defer to the exit of the async function (D8)."""
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
    """A statement that control comes back to in a retry loop defers once more, and each call runs once (D8)."""
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
    """A million calls pending in one invocation all run, in order, without recursion, whatever its kind and exit (D8)."""
    run = _pending(way)[kind]
    n = (
        1_000_000 if kind == "function" and not error else 50_000
    )  # no recursion is that deep either
    seen = []
    with pytest.raises(ValueError) if error else contextlib.nullcontext():
        run(n, seen.append, error)
    assert seen == list(range(n - 1, -1, -1))


@pytest.mark.parametrize("error", [False, True], ids=["returns", "raises"])
def test_time_is_linear_in_the_pending_calls(way, error):
    """Ten times the pending calls take about ten times as long, far from the hundred of quadratic time (D8)."""
    run = _pending(way)["function"]

    def seconds(n):
        started = time.process_time()
        with pytest.raises(ValueError) if error else contextlib.nullcontext():
            run(n, int, error)
        return time.process_time() - started

    # Enough calls that neither a cache nor PyPy's nursery holds them all; and the collector off,
    # since it would walk all objects of the tests.
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
        """Bytes at the peak, and after."""
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            with pytest.raises(ValueError) if error else contextlib.nullcontext():
                run(n, int, error)
            after, peak = tracemalloc.get_traced_memory()
            return peak - before, after - before
        finally:
            tracemalloc.stop()

    traced(5_000)  # the pool is filled
    small, _ = traced(10_000)
    large, left = traced(50_000)
    assert large < 5 * small * 1.25
    assert large / 50_000 < 400
    assert left < large / 10


def test_many_pending_calls_that_all_fail_do_not_recurse(way):
    """Thousands of calls that all raise still all run, each seeing the one before it in flight (D8, D5)."""
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
