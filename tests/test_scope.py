"""defer_scope: deferred calls of a block, and of helpers that get its scope (section S)."""

import asyncio
import contextlib
import gc
import random
import sys
import traceback
import weakref

import pytest

from godefer import DeferError, defer_scope, panic, recover
from tests.helpers import chain, drive, fail, pause, run


def links(error):
    return [(type(e), e.args, type(e.__cause__), e.__suppress_context__) for e in chain(error)]


class Manager:
    """A context manager, sync and async, that notes its entry and exit."""

    def __init__(self, events, name, suppresses=False):
        self.events, self.name, self.suppresses = events, name, suppresses

    def __enter__(self):
        self.events.append(f"enter {self.name}")
        return self

    def __exit__(self, kind, error, tb):
        self.events.append((f"exit {self.name}", kind, error))
        return self.suppresses

    async def __aenter__(self):
        await pause()
        return self.__enter__()

    async def __aexit__(self, *details):
        await pause()
        return self.__exit__(*details)


def test_order_and_arguments(events):
    """The calls run at the block's end, last in, first out, with the arguments of the
    `defer` (S, D1, D2).
    """
    x = 1
    with defer_scope() as defer:
        defer(events.append, x)
        x = 2
        defer(events.append, x)
        defer(events.extend, [], *[])
        defer(lambda *a, **k: events.append((a, k)), 3, key=4)
        events.append("block")
    assert events == ["block", ((3,), {"key": 4}), 2, 1]


def test_each_turn_of_a_loop(events):
    """A block in a loop has its own calls in each turn (S)."""
    for i in range(3):
        with defer_scope() as defer:
            defer(events.append, ("exit", i))
            events.append(("turn", i))
    assert events == [(what, i) for i in range(3) for what in ("turn", "exit")]


def test_helpers_may_defer(events):
    """Undecorated functions can defer on a scope that is passed to them (S)."""

    def opened(defer, name):
        defer(events.append, name)
        return name

    with defer_scope() as defer:
        assert [opened(defer, name) for name in "ab"] == ["a", "b"]
        assert events == []
    assert events == ["b", "a"]


@pytest.mark.parametrize("error", [None, KeyError("body"), KeyboardInterrupt()])
def test_err_and_ok(events, error):
    """`err` runs while an exception is in flight at its turn, `ok` otherwise (S, D10)."""

    def block():
        with defer_scope() as defer:
            defer.err(lambda: events.append(("err", sys.exception())))
            defer.ok(events.append, "ok", *[])
            defer(events.append, "always")
            if error:
                raise error

    assert run(block) is error
    assert events == ["always", ("err", error) if error else "ok"]


def test_a_failing_ok_call_makes_the_block_fail(events):
    """An `ok` call that raises makes the later `err` calls run (S, D5, D10)."""

    def block():
        with defer_scope() as defer:
            defer.err(events.append, "err")
            defer.ok(fail, "ok")

    assert str(run(block)) == "ok"
    assert events == ["err"]


@pytest.mark.parametrize("suppresses", [False, True])
@pytest.mark.parametrize("error", [None, KeyError("body")])
def test_using(events, error, suppresses):
    """`using` enters now; its exit gets the exception and may suppress it (S, D11)."""

    def block():
        with defer_scope() as defer:
            defer(lambda: events.append(("later", recover())))
            manager = defer.using(Manager(events, "m", suppresses))
            assert manager.name == "m"
            defer(events.append, "earlier")
            if error:
                raise error
        return "after"

    result = run(block)
    kind = type(error) if error else None
    later = None if error is None or suppresses else error
    assert result == "after"
    assert events == ["enter m", "earlier", ("exit m", kind, error), ("later", later)]


def test_using_an_object_that_is_no_context_manager():
    """An object that is no manager gives the TypeError of `with`, and defers nothing (S, D11)."""
    with defer_scope() as defer:
        with pytest.raises(TypeError, match="context manager"):
            defer.using(3)
        assert len(defer) == 0


def test_recovering(events):
    """After a recovery the block ends, and the other calls run as on a normal exit (S, P2, P4)."""
    with defer_scope() as defer:
        defer.ok(events.append, "ok")
        defer.err(events.append, "err")
        defer(lambda: events.append(str(recover())))
        panic("p")
    events.append("after")
    assert events == ["p", "ok", "after"]


def test_recovering_is_for_the_deferred_function_itself(events):
    """A helper of the deferred function recovers nothing; types are respected (S, P2, P3)."""

    def helper():
        return recover()

    def block():
        with defer_scope() as defer:
            defer(lambda: events.append(recover()))
            defer(lambda: events.append(recover(KeyError)))
            defer(lambda: events.append(helper()))
            raise KeyboardInterrupt

    assert type(run(block)) is KeyboardInterrupt
    assert events == [None, None, None]


def test_an_exception_after_a_recovery_is_not_chained_to_it():
    """After a recovery, a failing call gets the context from around the block (S, P4)."""

    def block():
        with defer_scope() as defer:
            defer(fail, "new")
            defer(recover_all)
            raise KeyError("old")

    def recover_all():
        recover()

    error = run(block)
    assert (str(error), error.__context__) == ("new", None)
    outer = LookupError("outer")
    try:
        raise outer
    except LookupError:
        error = run(block)
    assert (str(error), error.__context__) == ("new", outer)


# Chains, against nested statements


def raises_from():
    try:
        raise KeyError("inner")
    except KeyError as e:
        raise ValueError("from") from e


def raises_the_handled_one():
    if sys.exception() is not None:
        raise sys.exception()


CALLS = [int, lambda: fail("a"), lambda: fail("b"), raises_from, raises_the_handled_one]


def by_hand(calls, error):
    if not calls:
        if error is not None:
            raise error("body")
        return
    try:
        by_hand(calls[1:], error)
    finally:
        calls[0]()


def by_scope(calls, error):
    with defer_scope() as defer:
        for call in calls:
            defer(call)
        if error is not None:
            raise error("body")


async def by_async_scope(calls, error):
    async with defer_scope() as defer:
        for call in calls:
            defer(call)
        if error is not None:
            raise error("body")


@pytest.mark.parametrize("inside", [False, True])
def test_chains(inside):
    """Calls chain as nested `try`/`finally` on every exit (S, D5, cpython#102201).

    ExitStack loses exceptions on the normal exit.
    """
    choose = random.Random(6)

    def outcome(function, *args):
        if not inside:
            return links(run(function, *args))
        try:
            raise LookupError("outer")
        except LookupError:
            return links(run(function, *args))

    for _ in range(400):
        calls, error = (
            choose.choices(CALLS, k=choose.randrange(1, 7)),
            choose.choice([None, TypeError]),
        )
        expected = outcome(by_hand, calls, error)
        assert outcome(by_scope, calls, error) == expected
        assert outcome(lambda *a: drive(by_async_scope(*a)), calls, error) == expected


def test_tracebacks():
    """A failing call shows its `defer` line and at most one frame of godefer (S, P6)."""

    def helper(defer):
        defer(fail, "x")

    def block(error):
        with defer_scope() as defer:
            helper(defer)
            if error:
                raise error

    for error in (None, KeyError()):
        failed = run(block, error)
        names = [frame.name for frame in traceback.extract_tb(failed.__traceback__)]
        assert names == ["run", "block", "__exit__", "helper", "fail"]
        assert failed.__notes__ == [
            f"deferred at {__file__}:{helper.__code__.co_firstlineno + 1} in {helper.__qualname__}"
        ]


def test_results(events):
    """Results are dropped; `with` refuses coroutines, and `async with` awaits them (S, D6)."""

    async def later(name):
        await pause()
        events.append(name)

    def block():
        with defer_scope() as defer:
            defer(later, "never")

    async def block_of_an_async_function():
        block()

    for failed in run(block), run(drive, block_of_an_async_function()):
        assert type(failed) is TypeError
        assert "later is a coroutine function deferred in sync code" in str(failed)
        assert "the scope `async with`" in str(failed)

    async def ablock():
        async with defer_scope() as defer:
            defer(later, "a")
            defer(events.append, "b")
            assert (await defer.ausing(Manager(events, "m"))).name == "m"
            defer.using(Manager(events, "n"))

    drive(ablock())
    assert events == [
        "enter m",
        "enter n",
        ("exit n", None, None),
        ("exit m", None, None),
        "b",
        "a",
    ]


def test_cancelled(events):
    """A cancelled task's block runs and awaits its calls; the task stays cancelled (S, D2)."""

    async def later():
        await pause()
        events.append("cleaned")

    async def work():
        async with defer_scope() as defer:
            defer(later)
            await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert events == ["cleaned"]


@pytest.mark.parametrize("error", [None, KeyError("body")])
def test_closed_while_a_call_is_awaited(events, error):
    """A coroutine closed while a call of its block waits runs the other calls (S, D2, D5)."""

    async def work():
        async with defer_scope() as defer:
            defer(events.append, "last")
            defer(pause)
            defer(events.append, "first")
            if error:
                raise error

    coroutine = work()
    coroutine.send(None)
    coroutine.close()
    assert events == ["first", "last"]


# len, detach, close


def test_len(events):
    """`len` counts the pending calls; a scope without any is still true (S)."""
    with defer_scope() as defer:
        assert (len(defer), bool(defer)) == (0, True)
        defer(events.append, 1)
        defer.ok(events.append, 2)
        assert len(defer) == 2


def test_detach(events):
    """`detach` moves the calls to a new scope, to be closed or entered (S; ExitStack's pop_all)."""
    with defer_scope() as defer:
        defer(events.append, 1)
        defer(events.append, 2)
        kept = defer.detach()
        assert (len(defer), len(kept)) == (0, 2)
        defer(events.append, "here")
    assert events == ["here"]
    with kept as again:
        assert again is kept
        again(events.append, 3)
    assert events == ["here", 3, 2, 1]


def test_detached_only_if_all_went_well(events):
    """A function can keep its resources if all of them opened, and clean up otherwise (S)."""

    def opened(names):
        with defer_scope() as defer:
            for name in names:
                if name == "bad":
                    raise OSError(name)
                defer(events.append, name)
            return defer.detach()

    assert type(run(opened, ["a", "b", "bad"])) is OSError
    assert events == ["b", "a"]
    events.clear()
    scope = opened(["a", "b"])
    assert events == []
    scope.close()
    assert events == ["b", "a"]


def test_close(events):
    """`close` runs the calls now; the block can go on deferring (S)."""
    with defer_scope() as defer:
        defer(events.append, 1)
        defer.close()
        assert events == [1]
        defer(events.append, 2)
    assert events == [1, 2]


def test_close_that_fails(events):
    """`close` runs every call and then raises their exception (S, D5)."""
    scope = defer_scope()
    scope(events.append, "last")
    scope(fail, "x")
    assert str(run(scope.close)) == "x"
    assert events == ["last"]


def test_aclose(events):
    """`await aclose()` runs the calls as an `async with` block does; `close` refuses to (S)."""

    async def main():
        scope = defer_scope()
        await scope.ausing(Manager(events, "m"))
        with pytest.raises(DeferError, match=r"await defer.aclose\(\)"):
            scope.close()
        scope(pause)
        await scope.aclose()

    drive(main())
    assert events == ["enter m", ("exit m", None, None)]


def test_a_deferred_call_may_defer(events):
    """Calls deferred while the block is ending run next (S, as ExitStack's callbacks)."""
    with defer_scope() as defer:
        defer(events.append, "first")
        defer(lambda: defer(events.append, "added"))
    assert events == ["added", "first"]


def test_abandoned(events):
    """A scope that is never closed runs nothing, as an ExitStack, but warns (S)."""
    scope = defer_scope()
    scope(events.append, 1)
    gone = weakref.ref(scope)
    with pytest.warns(ResourceWarning, match="a scope was dropped with a pending call"):
        del scope
        gc.collect()
    assert (gone(), events) == (None, [])


# Misuse


def test_use_after_the_end():
    """After its block each use of a scope is a DeferError; a statement's names its place (S)."""
    with defer_scope() as defer:
        pass
    for use in (
        lambda: defer(int),
        lambda: defer.err(int),
        lambda: defer.ok(int),
        lambda: defer.using(contextlib.nullcontext()),
    ):
        with pytest.raises(DeferError, match=f"<lambda> .*{__file__}.*whose block has ended"):
            use()
    for use in (defer.detach, defer.close):
        with pytest.raises(DeferError, match="whose block has ended"):
            use()
    with pytest.raises(DeferError, match="whose block has ended"):
        drive(defer.aclose())
    with pytest.raises(DeferError, match="whose block has ended"):
        drive(defer.ausing(contextlib.nullcontext()))


def test_entered_twice():
    """A scope can be entered only once (S)."""
    with defer_scope() as defer:
        with pytest.raises(DeferError, match="entered a second time"):
            defer.__enter__()
    with pytest.raises(DeferError, match="entered a second time"), defer:
        pass


def test_ausing_on_a_with_block(events):
    """The scope of a `with` block refuses an async context manager before entering it (S)."""

    async def main():
        with defer_scope() as defer:
            with pytest.raises(DeferError, match="async with defer_scope"):
                await defer.ausing(Manager(events, "m"))

    drive(main())
    assert events == []


# Memory


@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy has no reference counts: its collector decides when an object dies",
)
@pytest.mark.parametrize("leave", ["return", "raise", "fail", "recover"])
def test_nothing_is_kept(leave):
    """After the block nothing of it is alive, without a cycle (S, D9)."""

    class Argument:
        pass

    def block(argument):
        with defer_scope() as defer:
            defer(lambda _: recover() if leave == "recover" else None, argument)
            defer((lambda _: fail("x")) if leave == "fail" else id, argument)
            if leave != "return":
                raise KeyError

    run(block, Argument())
    gc.collect()
    gc.disable()
    try:
        alive = []
        for _ in range(100):
            argument = Argument()
            alive.append(weakref.ref(argument))
            run(block, argument)
        del argument
        assert [ref for ref in alive if ref() is not None] == []
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_million_calls():
    """A million pending calls run in a loop, without recursion (S, D8)."""
    count = 0

    def step():
        nonlocal count
        count += 1

    with defer_scope() as defer:
        for _ in range(1_000_000):
            defer(step)
    assert count == 1_000_000
