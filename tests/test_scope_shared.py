"""Scopes used by several tasks or threads, from within, or at a bad moment (section S)."""

import asyncio
import contextlib
import gc
import sys
import threading
import time
import weakref

import pytest

from godefer import DeferError, defer, defer_scope, recover
from godefer._runtime.record import pool
from tests.faults.interrupts import FILES, Interrupts
from tests.helpers import drive, fail

# Elsewhere, threads that share a scope need a lock of their own: docs/exitstack.md.
only_with_the_gil = pytest.mark.skipif(
    sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="only the global lock keeps a scope's list whole while other threads run",
)


@pytest.fixture
def frequent_switches():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def pooled_twice():
    """Return the nodes that are in the pool more than once: two scopes would share them."""
    nodes = list(pool)
    return len(nodes) - len(set(map(id, nodes)))


# Closed from within


@pytest.mark.parametrize("first", ["recover", "close"])
def test_a_deferred_call_may_close_the_scope_and_recover(events, first):
    """A call that closes its own scope may recover, before and after closing it (S, P2)."""

    def call():
        if first == "close":
            defer.close()
        events.append(str(recover()))
        if first == "recover":
            defer.close()

    with defer_scope() as defer:
        defer(lambda: events.append(recover()))
        defer(call)
        raise ValueError("x")
    assert events == (["x", None] if first == "recover" else [None, "x"])


def test_a_context_managers_exit_may_close_the_scope_and_suppress(events):
    """An exit that closes its own scope can suppress the exception, too (S, D11)."""

    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, *details):
            defer.close()
            return True

    with defer_scope() as defer:
        defer(events.append, "last")
        defer.using(Manager())
        raise ValueError
    assert events == ["last"]


def test_a_call_that_closes_the_scope_and_fails_is_shown(events):
    """A failing call that has closed its own scope still shows its `defer` line (S, P6)."""

    def call():
        defer.close()
        fail("x")

    with pytest.raises(ValueError, match="x") as caught, defer_scope() as defer:
        defer(events.append, "last")
        defer(call)
    assert events == ["last"]
    assert "deferred at" in caught.value.__notes__[0]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_calls_deferred_during_close_run_next(events, asynchronous):
    """Calls deferred while `close` runs the calls run next, as at the end of a block (S, D2)."""
    scope = defer_scope()
    scope(events.append, "last")
    scope(lambda: scope(events.append, "added"))
    if asynchronous:
        drive(scope.aclose())
    else:
        scope.close()
    assert events == ["added", "last"]
    assert len(scope) == 0


def test_chain_of_close():
    """The calls of `close` chain as nested `try`/`finally`, and may recover (S, D5, P5)."""
    scope = defer_scope()
    scope(fail, "c")
    scope(fail, "b")
    scope(fail, "a")
    with pytest.raises(ValueError, match="c") as caught:
        scope.close()
    chain = [caught.value, caught.value.__context__, caught.value.__context__.__context__]
    assert list(map(str, chain)) == ["c", "b", "a"]
    assert chain[-1].__context__ is None
    scope(lambda: recover())
    scope(fail, "d")
    scope.close()


# Several tasks, several threads


def test_two_tasks_may_close_a_scope(events):
    """Two tasks that close a scope share its calls: each runs and is freed once (S, R5)."""

    async def wait(turns, name, *, fails=False):
        for _ in range(turns):
            await asyncio.sleep(0)
        events.append(name)
        if fails:
            fail(name)

    async def main():
        scope = defer_scope()
        scope(wait, 1, "d")
        scope(wait, 9, "c")
        scope(wait, 9, "b")
        scope(wait, 2, "a", fails=True)  # fails while the other task's call waits
        return await asyncio.gather(scope.aclose(), scope.aclose(), return_exceptions=True)

    outcomes = asyncio.run(main())
    assert sorted(events) == ["a", "b", "c", "d"]
    assert [str(outcome) for outcome in outcomes] == ["a", "None"]
    assert "deferred at" in outcomes[0].__notes__[0]
    assert pooled_twice() == 0


@only_with_the_gil
def test_threads_may_defer_on_a_scope(frequent_switches):
    """Calls that threads defer on one scope at once are all kept, each for its exit (S)."""
    count, threads = 1000, 4
    always, ok, err, entered = ([0] * threads for _ in range(4))

    def add(counts, i):
        counts[i] += 1

    class Manager:
        def __init__(self, i):
            self.i = i

        def __enter__(self):
            return self

        def __exit__(self, kind, *_):
            entered[self.i] += kind is None

    def work(i):
        for _ in range(count):
            defer.ok(add, ok, i)
            defer(add, always, i)
            defer.err(add, err, i)
            defer.using(Manager(i))

    with defer_scope() as defer:
        in_threads(*(lambda i=i: work(i) for i in range(threads)))
        assert len(defer) == 4 * count * threads
    assert (always, ok, err, entered) == (
        [count] * threads,
        [count] * threads,
        [0] * threads,
        [count] * threads,
    )


@only_with_the_gil
def test_threads_may_close_a_scope(frequent_switches):
    """Calls run once each if several threads close a scope at the same time (S, R5)."""
    count, ran = 5000, []

    def call(i):
        ran.append(i)
        if i % 7 == 0:
            fail("x")

    scope = defer_scope()
    for i in range(count):
        scope(call, i)

    def close():
        with contextlib.suppress(ValueError):
            scope.close()

    in_threads(close, close, close)
    assert sorted(ran) == list(range(count))
    assert pooled_twice() == 0


@only_with_the_gil
@pytest.mark.parametrize("leave", ["returns", "fails", "async_returns", "async_fails"])
def test_threads_that_defer_while_the_block_ends(frequent_switches, leave):
    """A call that a thread defers at the end of the block runs once or is refused (S, D5)."""

    def work(defer, deferred, ran, i):
        with contextlib.suppress(DeferError):
            for n in range(2000):
                defer(ran.append, (i, n))
                deferred.append((i, n))

    def body(defer, deferred, ran, threads):
        for i in range(3):
            threads.append(threading.Thread(target=work, args=(defer, deferred, ran, i)))
            threads[-1].start()
        while len(deferred) < 20:
            pass
        if "fails" in leave:
            raise KeyError

    def block(*args):
        with defer_scope() as defer:
            body(defer, *args)

    async def ablock(*args):
        async with defer_scope() as defer:
            body(defer, *args)

    for _ in range(15):
        deferred, ran, threads = [], [], []
        try:
            with contextlib.suppress(KeyError):
                drive(ablock(deferred, ran, threads)) if "async" in leave else block(
                    deferred, ran, threads
                )
        finally:
            for thread in threads:
                thread.join()
        assert sorted(ran) == sorted(deferred)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_deferred_at_the_last_moment(events, asynchronous, fails):
    """A call deferred when the exit has found none left still runs (S, D5)."""
    added = []

    def late(frame, event, _):
        name = frame.f_code.co_name
        if (
            event == "return"
            and name in {"deferreturn", "gopanic", "unwind", "aunwind"}
            and name not in added
        ):
            added.append(name)
            scope(events.append, name)

    def block():
        with scope:
            scope(fail, "call")
            sys.setprofile(late)
            if fails:
                raise KeyError

    async def ablock():
        async with scope:
            scope(fail, "call")
            sys.setprofile(late)
            if fails:
                raise KeyError

    scope = defer_scope()
    try:
        with pytest.raises(ValueError, match="call"):
            drive(ablock()) if asynchronous else block()
    finally:
        sys.setprofile(None)
    assert set(added) >= ({"aunwind"} if asynchronous else {"unwind"})
    assert sorted(events) == sorted(added)


# Entered too late


class Manager:
    """A context manager, sync and async, that ends a scope while it is entered."""

    def __init__(self, events, meanwhile):
        self.events, self.meanwhile = events, meanwhile

    def __enter__(self):
        self.meanwhile()
        self.events.append("entered")

    def __exit__(self, kind, error, tb):
        self.events.append((kind, sys.exception()))

    async def __aenter__(self):
        self.__enter__()

    async def __aexit__(self, *details):
        self.__exit__(*details)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_manager_that_is_entered_when_the_block_has_ended_is_left_again(events, asynchronous):
    """A manager entered while the block ends is exited again, with a DeferError (S, D11)."""
    scope = defer_scope()
    manager = Manager(events, lambda: scope.__exit__(None, None, None))
    with pytest.raises(DeferError, match=r"whose block has ended") as caught:
        drive(scope.ausing(manager)) if asynchronous else scope.using(manager)
    assert events == ["entered", (DeferError, caught.value)]


def test_an_asynchronous_manager_that_is_entered_when_a_with_block_began_is_left_again(events):
    """An async manager entered while a `with` block begins is exited again (S, D11)."""
    scope = defer_scope()
    with pytest.raises(DeferError, match=r"on the scope of a `with` block") as caught:
        drive(scope.ausing(Manager(events, scope.__enter__)))
    assert events == ["entered", (DeferError, caught.value)]
    scope.__exit__(None, None, None)


def test_a_scope_with_an_asynchronous_manager_is_not_entered_by_with(events):
    """`with` refuses a scope with an async manager at its beginning, and loses nothing (S)."""
    scope = defer_scope()
    drive(scope.ausing(Manager(events, lambda: None)))
    with pytest.raises(DeferError, match="the scope entered in .*await defer.aclose"), scope:
        events.append("block")
    drive(scope.aclose())
    assert events == ["entered", (None, None)]
    with scope:
        events.clear()
        scope(events.append, "as any other from then on")
    assert events == ["as any other from then on"]


def test_an_asynchronous_manager_moves_with_detach(events):
    """`detach` takes the exits to await along; the old scope is as any other (S)."""
    scope = defer_scope()
    drive(scope.ausing(Manager(events, lambda: None)))
    kept = scope.detach()
    scope(events.append, "left behind")
    scope.close()
    assert events == ["entered", "left behind"]
    with pytest.raises(DeferError, match="the scope closed in .*await defer.aclose"):
        kept.close()
    drive(kept.aclose())
    assert events == ["entered", "left behind", (None, None)]


# Nesting, recursion, generators


def test_nested_scopes(events):
    """Nested blocks run their own calls; uncaught exceptions reach the outer one (S, D4)."""
    with defer_scope() as outer:
        outer(lambda: events.append(("outer", str(recover()))))
        with defer_scope() as inner:
            inner(fail, "second")
            inner(lambda: events.append(("inner", str(recover()))))
            outer(events.append, "outer's, deferred in the inner block")
            raise ValueError("first")
    assert events == [
        ("inner", "first"),
        "outer's, deferred in the inner block",
        ("outer", "second"),
    ]


def test_recursion(events):
    """Every turn of a recursion has a scope of its own (S, D4)."""

    def block(n):
        with defer_scope() as defer:
            defer(events.append, n)
            if n:
                block(n - 1)
            else:
                fail("bottom")

    with pytest.raises(ValueError, match="bottom"):
        block(3)
    assert events == [0, 1, 2, 3]


def test_in_a_decorated_function(events, way):
    """A scope and a decorated function keep their calls apart, and recover apart (S, D4, P2)."""

    @way
    def f():
        defer(lambda: events.append(("function", str(recover()))))
        with defer_scope() as scope:
            scope(lambda: events.append(("block", str(recover()))))
            fail("block")
        events.append("between")
        with defer_scope() as scope:
            scope(defer_is_not_the_scopes)
        fail("function")

    def defer_is_not_the_scopes():
        with pytest.raises(DeferError):
            defer(int)

    f()
    assert events == [("block", "block"), "between", ("function", "function")]


@pytest.mark.parametrize("end", ["exhaust", "close", "throw", "drop"])
def test_generators(events, end):
    """A generator's scope ends its block on every exit, interleaved or not (S, D2, D4)."""

    def generator(name):
        with defer_scope() as defer:
            defer.err(lambda: events.append((name, type(sys.exception()))))
            defer(events.append, name)
            yield

    def run(g):
        if end == "exhaust":
            assert list(g) == []
        elif end == "close":
            g.close()
        elif end == "throw":
            with pytest.raises(KeyError):
                g.throw(KeyError)

    a, b = generator("a"), generator("b")
    next(a), next(b)
    run(a)
    del a
    gc.collect()
    run(b)
    del b
    gc.collect()
    error = {"exhaust": None, "close": GeneratorExit, "throw": KeyError, "drop": GeneratorExit}[end]
    assert events == (["a", "b"] if error is None else ["a", ("a", error), "b", ("b", error)])


# Detached, closed, abandoned


def test_detached_from_within(events):
    """A deferred call may detach the rest, which then does not run with the block (S)."""
    kept = []
    with defer_scope() as defer:
        defer(events.append, "rest")
        defer(lambda: kept.append(defer.detach()))
    assert events == []
    kept[0].close()
    assert events == ["rest"]


def test_detached_twice_and_closed_twice(events):
    """A call belongs to the last scope it moved to; a second `close` runs nothing (S)."""
    with defer_scope() as defer:
        defer(events.append, 1)
        first = defer.detach()
        second = first.detach()
        empty = defer.detach()
        first.close()
        empty.close()
        assert events == []
        second.close()
        second.close()
    assert events == [1]


@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy has no reference counts: its collector decides when an object dies",
)
def test_a_long_abandoned_scope_is_let_go_of():
    """A dropped scope with many calls runs none of them, and needs no deep stack (S, D8, D9)."""

    class Argument:
        pass

    argument = Argument()
    gone = weakref.ref(argument)
    scope = defer_scope()
    for _ in range(100_000):
        scope(fail, argument)
    del argument
    kept = scope.detach()
    del scope
    assert gone() is not None
    with pytest.warns(ResourceWarning, match="dropped with 100000 pending calls"):
        del kept
    assert gone() is None


def test_many_calls_that_fail():
    """The chain has the exception of each of many failing calls (S, D5, D8)."""
    count = 3000
    try:
        with defer_scope() as defer:
            for n in range(count):
                defer(fail, n)
    except ValueError as error:
        found = []
        while error is not None:
            found.append(error.args[0])
            error = error.__context__
    assert found == list(range(count))


def test_notes_are_kept():
    """An exception keeps its notes; the place of the `defer` comes after them (S, D5, P6)."""

    def noted():
        error = ValueError("x")
        error.add_note("mine")
        raise error

    with pytest.raises(ValueError, match="x") as caught, defer_scope() as defer:
        defer(noted)
    assert caught.value.__notes__[0] == "mine"
    assert len(caught.value.__notes__) == 2


# The end of the stack, and interrupts


def sync_block(registered, ran):
    with defer_scope() as defer:
        defer(ran.append, len(registered))
        registered.append(len(registered))
        sync_block(registered, ran)


async def async_block(registered, ran):
    async with defer_scope() as defer:
        defer(ran.append, len(registered))
        registered.append(len(registered))
        await async_block(registered, ran)


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="where PyPy's stack ends is not for a program to know"
)
@pytest.mark.parametrize("depth", range(6))
@pytest.mark.parametrize("block", [sync_block, async_block])
def test_the_end_of_the_stack(block, depth):
    """At the end of the stack, every deferred call of a recursion is made (S, D5)."""
    registered, ran = [], []

    def descend(n):
        if n:
            descend(n - 1)
        elif block is sync_block:
            block(registered, ran)
        else:
            block(registered, ran).send(None)

    with pytest.raises(RecursionError):
        descend(depth)
    assert len(registered) > 100
    assert sorted(ran) == registered


def returns(done, ran):
    with defer_scope() as defer:
        defer(ran.append, 0)
        done[0] = 1
        defer.ok(int)
        defer(ran.append, 1)
        done[1] = 1


def fails(done, ran):
    with defer_scope() as defer:
        defer(ran.append, 0)
        done[0] = 1
        defer(fail, "deferred")
        defer.err(ran.append, 1)
        done[1] = 1
        fail("block")


def recovers(done, ran):
    with defer_scope() as defer:
        defer(ran.append, 0)
        done[0] = 1
        defer(lambda: recover())
        defer(ran.append, 1)
        done[1] = 1
        fail("block")


def closes(done, ran):
    with defer_scope() as defer:
        defer(ran.append, 0)
        done[0] = 1
        defer(ran.append, 1)
        done[1] = 1
        defer.close()


async def async_returns(done, ran):
    async with defer_scope() as defer:
        defer(ran.append, 0)
        done[0] = 1
        defer(ran.append, 1)
        done[1] = 1


async def async_fails(done, ran):
    async with defer_scope() as defer:
        defer(ran.append, 0)
        done[0] = 1
        defer(ran.append, 1)
        done[1] = 1
        fail("block")


async def async_closes(done, ran):
    async with defer_scope() as defer:
        defer(ran.append, 0)
        done[0] = 1
        defer(ran.append, 1)
        done[1] = 1
        await defer.aclose()


def run(function, done, ran):
    coroutine = function(done, ran)
    if coroutine is not None:
        try:
            drive(coroutine)
        finally:
            coroutine.close()


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy has no function that marks a signal as arrived"
)
# A coroutine may be interrupted between its creation and its await.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize(
    "function",
    [returns, fails, recovers, closes, async_returns, async_fails, async_closes],
    ids=lambda f: f.__name__,
)
def test_interrupts(function):
    """An interrupt loses no call once the scope's exit has begun (S, D2)."""
    interrupts = Interrupts([*FILES, __file__])
    interrupts.warm_up(run, lambda: (function, [0, 0], []))
    at = struck = 0
    while True:
        done, ran = [0, 0], []
        interrupts.run({at + 1}, run, function, done, ran)
        if interrupts.count <= at:
            break
        at += 1
        struck += len(interrupts.landed)
        if any(not_begun(*where) for where in interrupts.landed):
            continue
        expected = [i for i in (1, 0) if done[i]]
        assert [i for i in ran if done[i]] == expected, interrupts.landed
        assert sorted(set(ran), reverse=True) == ran, interrupts.landed
    assert struck > 10


def not_begun(_file, name, line, instruction):
    """Return whether the exit has not begun: it is being called, by an `async with` perhaps."""
    if name in {"__exit__", "__aexit__"}:
        return line == getattr(defer_scope, name).__code__.co_firstlineno
    return name.startswith("async_") and line == globals()[name].__code__.co_firstlineno + 1


def test_called_by_no_python_code():
    """A thread may call a scope's statements without a Python function around them (S)."""
    import _thread

    ran, scope, problems = [], defer_scope(), []
    hook, sys.unraisablehook = sys.unraisablehook, problems.append
    try:
        calls = [(scope, "defer"), (scope.err, "err"), (scope.ok, "ok")]
        for number, (statement, name) in enumerate(calls, 1):
            _thread.start_new_thread(statement, (ran.append, name))
            deadline = time.monotonic() + 10
            while len(scope) < number and not problems:
                assert time.monotonic() < deadline
                time.sleep(0.001)
    finally:
        sys.unraisablehook = hook
    assert problems == []
    scope.close()
    assert ran == ["ok", "defer"]
