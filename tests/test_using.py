"""`using` equals `with`, and `ausing` equals `async with`: rule D11."""

import asyncio
import contextlib
import gc
import io
import sys
import threading

import pytest

from godefer import ausing, defer, errdefer, okdefer, panic, recover, using
from tests.helpers import chain, drive
from tests.managers import Manager, names


class NoBool:
    """A result that must not be tested for truth."""

    def __bool__(self):
        raise ZeroDivisionError("tested for truth")


def outcome(function, *args):
    """Return the call's result, or its exceptions with their chain."""
    try:
        return "returned", function(*args)
    except BaseException as e:
        return "raised", [(type(error), error.args) for error in chain(e)]


# The same function with `using` and with `with`. Both are called f, so that the frames agree.


def fails(error):
    if error is not None:
        raise error


def pair_of_functions(way):
    @way
    def f(manager, error):
        entered = using(manager)
        manager.events.append(entered)
        fails(error)
        return "result"

    deferring = f

    def f(manager, error):
        with manager as entered:
            manager.events.append(entered)
            fails(error)
            return "result"

    return deferring, f


def pair_of_coroutine_functions(way):
    @way
    async def f(manager, error):
        entered = await ausing(manager)
        manager.events.append(entered)
        fails(error)
        return "result"

    deferring = f

    async def f(manager, error):
        async with manager as entered:
            manager.events.append(entered)
            fails(error)
            return "result"

    return lambda *args: drive(deferring(*args)), lambda *args: drive(f(*args))


PAIRS = pytest.mark.parametrize(
    "pair", [pair_of_functions, pair_of_coroutine_functions], ids=["using", "ausing"]
)

CASES = {
    "returns": ({}, None),
    "returns, true result": ({"result": True}, None),
    "returns, result that has no truth": ({"result": NoBool()}, None),
    "returns, exit raises": ({"exit_raises": OSError("exit")}, None),
    "raises": ({}, LookupError("body")),
    "raises, false result": ({"result": 0}, LookupError("body")),
    "raises, true result": ({"result": "yes"}, LookupError("body")),
    "raises, result that has no truth": ({"result": NoBool()}, LookupError("body")),
    "raises, exit raises": ({"exit_raises": OSError("exit")}, LookupError("body")),
    "enter raises": ({"enter_raises": OSError("enter")}, None),
    "exits": ({}, SystemExit(3)),
    "exits, true result": ({"result": True}, SystemExit(3)),
    "is interrupted, true result": ({"result": 1}, KeyboardInterrupt()),
    "is closed, true result": ({"result": 1}, GeneratorExit()),
    "is cancelled": ({}, asyncio.CancelledError("stop")),
    "is cancelled, true result": ({"result": True}, asyncio.CancelledError("stop")),
}


@PAIRS
@pytest.mark.parametrize("inside_except", [False, True], ids=["", "inside an except of the caller"])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_statement(way, pair, case, inside_except):
    """`using` has the entry, exit arguments, suppression and chain of `with` (D11)."""
    options, error = CASES[case]

    def both():
        results = []
        for function in pair(way):
            if error is not None:
                error.__context__ = error.__traceback__ = None
            for failure in ("enter_raises", "exit_raises"):
                if options.get(failure):
                    options[failure].__context__ = options[failure].__traceback__ = None
            events = []
            results.append((outcome(function, Manager(events, **options), error), events))
        return results

    if inside_except:
        try:
            raise KeyError("handled by the caller")
        except KeyError:
            ours, theirs = both()
    else:
        ours, theirs = both()
    assert ours == theirs


@PAIRS
def test_the_exit_gets_the_details_of_the_exception(way, pair):
    """The exit gets type, exception and traceback, while the exception is handled (D11)."""
    events = []
    error = LookupError("body")
    with pytest.raises(LookupError):
        pair(way)[0](Manager(events), error)
    assert events == ["enter cm", "entered", ("exit cm", LookupError, error, ["f", "fails"], error)]


@PAIRS
def test_the_exit_gets_none_on_the_normal_exit(way, pair):
    """On a normal exit the exit gets None three times, and no exception is handled (D11)."""
    events = []
    assert pair(way)[0](Manager(events), None) == "result"
    assert events == ["enter cm", "entered", ("exit cm", None, None, [], None)]


@pytest.mark.parametrize("error", [None, ValueError()], ids=["returns", "raises"])
def test_using_takes_turns_with_the_other_statements(way, error):
    """`using` enters now; its exit runs in order with the deferred calls (D11, D2)."""
    events = []

    @way
    def f():
        defer(events.append, "defer 1")
        using(Manager(events, "a"))
        errdefer(events.append, "errdefer")
        okdefer(events.append, "okdefer")
        second = using(Manager(events, "b", value="value of b"))
        defer(events.append, second)
        fails(error)

    with pytest.raises(ValueError) if error else contextlib.nullcontext():
        f()
    middle = "errdefer" if error else "okdefer"
    assert names(events) == [
        "enter a",
        "enter b",
        "value of b",
        "exit b",
        middle,
        "exit a",
        "defer 1",
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_an_exit_that_a_context_manager_has_replaced_is_over(way, fails):
    """An exit that a manager's exception has replaced is over, as after `with` (D11, P3)."""
    found = []

    @way
    def f():
        defer(lambda: found.append(type(recover())))
        using(Manager([], exit_raises=KeyError()))
        if fails:
            defer(panic, "before it")
        raise SystemExit

    @way
    async def g():
        defer(lambda: found.append(type(recover())))
        await ausing(Manager([], exit_raises=KeyError()))
        if fails:
            defer(panic, "before it")
        raise SystemExit

    assert f() is None
    assert asyncio.run(g()) is None
    assert found == [KeyError, KeyError]


def test_ausing_takes_turns_with_the_other_statements(way):
    """In an async function sync and async managers and calls share one order (D11, D2)."""
    events = []

    async def later(name):
        await asyncio.sleep(0)
        events.append(name)

    @way
    async def f():
        defer(later, "defer 1")
        first = await ausing(Manager(events, "a", value="value of a"))
        using(Manager(events, "b"))
        await ausing(Manager(events, "c"))
        defer(later, first)

    asyncio.run(f())
    assert names(events) == [
        "enter a",
        "enter b",
        "enter c",
        "value of a",
        "exit c",
        "exit b",
        "exit a",
        "defer 1",
    ]


def test_in_a_loop_and_a_condition(way):
    """`using` may be anywhere, and enters once more each time it runs (D11, D8)."""
    events = []

    @way
    def f(n):
        for i in range(n):
            if i != 1:
                using(Manager(events, i))
        return "result"

    assert f(3) == "result"
    assert names(events) == ["enter 0", "enter 2", "exit 2", "exit 0"]


def test_ausing_in_a_loop_and_a_condition(way):
    """`await ausing` may be anywhere, and enters once more each time it runs (D11, D8)."""
    events = []

    @way
    async def f(n):
        for i in range(n):
            if i != 1:
                await ausing(Manager(events, i))
        return "result"

    assert asyncio.run(f(3)) == "result"
    assert names(events) == ["enter 0", "enter 2", "exit 2", "exit 0"]


def test_after_a_true_result_the_function_returns(way):
    """After a suppression the function returns its evaluated result (D11, P4).

    The remaining calls run as on a normal return.
    """
    events = []

    def fail():
        raise ValueError("deferred")

    @way
    def f():
        defer(lambda: events.append(sys.exception()))
        using(Manager(events, "outer"))
        okdefer(events.append, "okdefer")
        errdefer(events.append, "errdefer")
        using(Manager(events, "inner", result=True))
        defer(fail)
        return "evaluated"

    assert f() == "evaluated"
    assert names(events[:4]) == ["enter outer", "enter inner", "exit inner", "okdefer"]
    assert events[4:] == [("exit outer", None, None, [], None), None]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_suppressed_exception_ends_the_exit_it_replaced(way, error):
    """Suppressing an exception also ends the exit that it had replaced, as after `with` (D11)."""

    def fail():
        raise ValueError("deferred")

    @way
    def f():
        using(contextlib.suppress(ValueError))
        defer(fail)
        raise error

    def by_hand():
        with contextlib.suppress(ValueError):
            try:
                raise error
            finally:
                fail()

    assert outcome(f) == outcome(by_hand) == ("returned", None)


def test_an_exception_of_entering_leaves_the_function(way):
    """If its entry fails, a manager is not exited; the earlier deferred calls run (D11)."""
    events = []

    @way
    def f():
        defer(events.append, "deferred before")
        using(Manager(events, enter_raises=OSError("enter")))
        defer(events.append, "never reached")

    with pytest.raises(OSError, match="enter"):
        f()
    assert events == ["enter cm", "deferred before"]


def test_the_standard_librarys_context_managers(way, tmp_path):
    """Files, locks, `contextmanager` functions, `closing` and stacks work as in `with` (D11)."""
    lock = threading.Lock()
    events = []

    @contextlib.contextmanager
    def block(name):
        events.append(f"enter {name}")
        try:
            yield name
        except LookupError as e:
            events.append(f"{name} handles {e!r}")
            raise
        finally:
            events.append(f"exit {name}")

    path = tmp_path / "text"

    @way
    def f():
        file = using(path.open("w"))
        using(lock)
        buffer = using(contextlib.closing(io.StringIO()))
        stack = using(contextlib.ExitStack())
        stack.callback(events.append, "stack")
        value = using(block("a"))
        events.append(value)
        file.write("written")
        events.append(lock.locked())
        kept.append((file, buffer))
        raise LookupError("body")

    kept = []
    with pytest.raises(LookupError):
        f()
    assert events == ["enter a", "a", True, "a handles LookupError('body')", "exit a", "stack"]
    assert not lock.locked()
    assert all(thing.closed for thing in kept[0])
    assert path.read_text() == "written"


def test_in_a_generator(way):
    """A generator's context manager stays entered between values and exits at its end (D11, D2)."""
    events = []

    @way
    def g():
        value = using(Manager(events))
        yield value
        yield 2

    generator = g()
    assert [next(generator), next(generator)] == ["entered", 2]
    assert events == ["enter cm"]
    assert list(generator) == []
    assert names(events) == ["enter cm", "exit cm"]


def test_closing_a_generator(way):
    """The exit gets the GeneratorExit of a closed generator and may suppress it (D11)."""

    @way
    def g(manager):
        using(manager)
        yield

    deferring = g

    def g(manager):
        with manager:
            yield

    for result in [None, True]:
        logs = []
        for function in (deferring, g):
            events = []
            generator = function(Manager(events, result=result))
            next(generator)
            generator.close()
            logs.append([(e[0], e[1], e[3]) if isinstance(e, tuple) else e for e in events])
        assert logs[0] == logs[1] == ["enter cm", ("exit cm", GeneratorExit, ["g"])]


@pytest.mark.parametrize("error", [None, ValueError()])
def test_the_result_of_an_asynchronous_exit_is_dropped_before_the_next_call(way, error):
    """The result of `__aexit__` is freed before the next call runs, as after `async with` (D11)."""
    events = []

    class Answer:
        def __await__(self):
            return iter(())

        def __del__(self):
            events.append("dropped")

    class Leaves:
        async def __aenter__(self):
            return self

        def __aexit__(self, *details):
            return Answer()

    def next_call():
        gc.collect()  # where references are not counted
        events.append("next")

    @way
    async def f():
        defer(next_call)
        await ausing(Leaves())
        if error:
            raise error

    if error:
        with pytest.raises(ValueError):
            asyncio.run(f())
    else:
        asyncio.run(f())
    assert events == ["dropped", "next"]


def test_ausing_in_an_async_generator(way):
    """In an async generator `ausing` works as in a coroutine function (D11)."""
    events = []

    @way
    async def g():
        value = await ausing(Manager(events))
        yield value
        yield 2

    async def main(stop_early):
        generator = g()
        async for value in generator:
            events.append(value)
            if stop_early:
                await generator.aclose()

    for stop_early, last, kind in [(False, [2], None), (True, [], GeneratorExit)]:
        events.clear()
        asyncio.run(main(stop_early))
        assert events[:-1] == ["enter cm", "entered", *last]
        assert events[-1][:2] == ("exit cm", kind)


def test_a_cancelled_task_exits_its_context_managers(way):
    """On cancellation an exit gets the CancelledError, and may still await (D11, D2)."""
    events = []

    @way
    async def f():
        await ausing(Manager(events))
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(f())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert names(events) == ["enter cm", "exit cm"]
    assert events[-1][1] is asyncio.CancelledError


@pytest.mark.parametrize("method", ["__aenter__", "__aexit__"])
@pytest.mark.parametrize("error", [None, LookupError("body")], ids=["returns", "raises"])
def test_an_async_context_manager_whose_methods_are_not_async(way, method, error):
    """A method with no awaitable result fails in the words of `async with` (D11)."""

    class Half(Manager):
        pass

    setattr(Half, method, lambda *args: 7)

    @way
    async def f():
        await ausing(Half([]))
        fails(error)

    async def by_hand():
        async with Half([]):
            fails(error)

    def both():
        for function in (f, by_hand):
            if error is not None:
                error.__context__ = None
            yield outcome(lambda function=function: asyncio.run(function()))

    ours, theirs = both()
    assert ours == theirs


@pytest.mark.parametrize("result", [None, True], ids=["raises", "suppresses"])
def test_nothing_of_the_context_manager_is_kept(way, result):
    """After the exit nothing keeps the context manager or its entered value alive (D11, D9)."""
    alive = []

    class Counted(Manager):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            alive.append(self.name)

        def __del__(self):
            alive.remove(self.name)

    @way
    def f():
        using(Counted([], "a", result=result))
        raise LookupError

    with pytest.raises(LookupError) if result is None else contextlib.nullcontext():
        f()
    gc.collect()  # the Manager's own list of events holds tracebacks
    assert alive == []
