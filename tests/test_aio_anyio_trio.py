"""godefer.aio on trio, and under anyio's cancel scopes on its backends (X)."""

import asyncio
import contextlib
import sys

import pytest

from godefer import defer, errdefer, okdefer, recover
from godefer.aio import shielded, shielded_for
from tests.helpers import CleanUp, cancelling, until
from tests.systems.conftest import backend, interruptible, run  # fixtures

# anyio, on each of its backends
# ==============================


@pytest.fixture
def later(events):
    anyio = pytest.importorskip(
        "anyio", reason="anyio is not installed (the extra 'systems' has it)"
    )

    async def later(name, seconds=0.02):
        try:
            await anyio.sleep(seconds)
        except anyio.get_cancelled_exc_class():
            events.append(f"{name} was interrupted")
            raise
        events.append(name)
        return name

    return later


@pytest.mark.parametrize("scopes", [1, 100])
def test_cancelled_scopes(way, backend, events, later, scopes):
    """Scopes cancelled while the call waits do not interrupt it, and take their
    cancellation after it (X).
    """
    import anyio

    async def wait(name):
        while not cancelled:
            await anyio.sleep(0.001)
        await later(name)

    @way
    async def work():
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        defer(shielded, later, "a")
        defer(shielded, wait, "b")

    cancelled = []

    async def cancel(all_scopes):
        await anyio.sleep(0.001)
        for scope in all_scopes:
            scope.cancel()
            await anyio.sleep(0)
        cancelled.append(True)

    async def main():
        async with anyio.create_task_group() as group:
            all_scopes = [anyio.CancelScope() for _ in range(scopes)]
            with contextlib.ExitStack() as stack:
                for scope in all_scopes:
                    stack.enter_context(scope)
                group.start_soon(cancel, all_scopes)
                await work()
                events.append("never")
        await anyio.sleep(0.001)
        return all_scopes[0].cancelled_caught, cancelling(backend)

    assert backend(main) == (True, 0)
    assert events == ["b", "a", "fails"]


def test_a_scope_cancelled_before(way, backend, events, later):
    """In a cancelled scope shielded calls finish one after the other, with their results (X)."""
    import anyio

    async def clean_up():
        events.append(await shielded(later, "a"))
        await shielded_for(60, later, "b")

    @way
    async def work():
        defer(later, "d", 60)
        defer(shielded, later, "c")
        defer(clean_up)
        await anyio.sleep(60)

    async def main():
        with anyio.move_on_after(0.002) as scope:
            await work()
            events.append("never")
        await anyio.sleep(0.001)
        return scope.cancelled_caught, cancelling(backend)

    assert backend(main) == (True, 0)
    assert events == ["a", "a", "b", "c", "d was interrupted"]


def test_fail_after_around_it(backend, events, later):
    """`anyio.fail_after` around the call raises its TimeoutError when the call has ended (X)."""
    import anyio

    async def main():
        with pytest.raises(TimeoutError):
            with anyio.fail_after(60) as scope:

                async def clean_up():
                    scope.deadline = anyio.current_time()
                    await later("finished")

                await shielded(clean_up)
        await anyio.sleep(0.001)
        return cancelling(backend)

    assert backend(main) == 0
    assert events == ["finished"]


def test_scopes_in_the_call(backend, events, later):
    """The call's own scopes, task groups and locks work, also when the
    scope around is cancelled (X).
    """
    import anyio

    async def close(around):
        around.cancel()
        lock = anyio.Lock()
        async with lock:
            with anyio.move_on_after(0.002) as scope:
                await later("limited", 60)
            events.append(scope.cancelled_caught)
        async with anyio.create_task_group() as group:
            group.start_soon(later, "child")
            await later("host", 0.001)
        await anyio.to_thread.run_sync(events.append, "thread")

    async def main():
        with anyio.CancelScope() as scope:
            await shielded(close, scope)
            events.append("never")
        await anyio.sleep(0.001)
        return scope.cancelled_caught, cancelling(backend)

    assert backend(main) == (True, 0)
    assert events == ["limited was interrupted", True, "host", "child", "thread"]


def test_a_sibling_that_fails_in_anyio(backend, events, later):
    """An anyio task group with a failed task waits for the shielded calls (X)."""
    import anyio

    async def wait(group, name):
        while not group.cancel_scope.cancel_called:
            await anyio.sleep(0.001)
        await later(name)

    async def fails():
        await anyio.sleep(0.001)
        raise LookupError("sibling")

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with anyio.create_task_group() as group:
                group.start_soon(shielded, wait, group, "task")
                group.start_soon(fails)
                await shielded(wait, group, "body")
                events.append("never")
        await anyio.sleep(0.001)
        return [repr(e) for e in caught.value.exceptions], cancelling(backend)

    assert backend(main) == (["LookupError('sibling')"], 0)
    assert sorted(events) == ["body", "task"]


def test_time_limit_in_a_cancelled_scope(way, backend, events, later):
    """The limit holds in a cancelled scope, and its TimeoutError can be recovered; the
    cancellation goes on (X, P3).
    """
    import anyio

    @way
    async def work():
        defer(shielded, later, "a")
        defer(lambda: events.append(str(recover(TimeoutError))))
        defer(shielded_for, 0.005, later, "hangs", 60)
        await anyio.sleep(60)

    async def main():
        with anyio.move_on_after(0.002) as scope:
            await work()
        with pytest.raises(TimeoutError, match="did not end within 0.002 seconds"):
            await shielded_for(0.002, later, "hangs", 60)
        return scope.cancelled_caught, cancelling(backend)

    assert backend(main) == (True, 0)
    message = f"{later.__qualname__} did not end within 0.005 seconds and was cancelled"
    assert events == ["hangs was interrupted", message, "a", "hangs was interrupted"]


def test_an_error_in_a_cancelled_scope(backend, events, later):
    """The error of the call leaves a scope that was cancelled meanwhile (X)."""
    import anyio

    async def fails(scope):
        scope.cancel()
        await later("finished")
        raise LookupError

    async def main():
        with pytest.raises(LookupError), anyio.CancelScope() as scope:
            await shielded(fails, scope)
        await anyio.sleep(0.001)
        return scope.cancelled_caught, cancelling(backend)

    assert backend(main) == (False, 0)
    assert events == ["finished"]


def test_natively_cancelled_under_anyio(run, events):
    """On asyncio, `task.cancel()` does not interrupt the call either, alone or
    together with a scope (X).
    """
    anyio = pytest.importorskip(
        "anyio", reason="anyio is not installed (the extra 'systems' has it)"
    )

    async def work(with_scope, clean_up):
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await shielded(clean_up)
            events.append("never")
        events.append("never")

    async def main():
        outcomes = []
        for with_scope in (False, True):
            clean_up = CleanUp(events)
            task = asyncio.create_task(work(with_scope, clean_up))
            await until(lambda: clean_up.begun)
            for _ in range(100):
                if with_scope:
                    scopes[-1].cancel()
                task.cancel()
                await asyncio.sleep(0)
            clean_up.go_on.set()
            await asyncio.wait([task])
            outcomes.append((task.cancelled(), task.cancelling()))
        return outcomes

    scopes = []
    assert run(main()) == [(True, 100), (True, 100)]
    assert events == ["finished", "finished"]


# trio
# ====


def test_trio(way, events):
    """On trio the call finishes in a scope cancelled meanwhile, then Cancelled is
    raised; other tasks go on (X).
    """
    trio = pytest.importorskip("trio", reason="trio is not installed (the extra 'systems' has it)")

    async def later(scope):
        scope.cancel()
        await trio.sleep(0.02)
        events.append("finished")

    @way
    async def work(scope):
        errdefer(lambda: events.append(type(sys.exception())))
        defer(shielded, later, scope)

    async def main():
        with trio.CancelScope() as scope:
            await work(scope)
            events.append("never")
        assert await shielded(trio.sleep, 0) is None
        with pytest.raises(TimeoutError, match="sleep did not end within 0.002 seconds"):
            await shielded_for(0.002, trio.sleep, 60)
        return scope.cancelled_caught

    assert trio.run(main) is True
    assert events == ["finished", trio.Cancelled]


def test_trio_as_a_guest(events):
    """A trio that is a guest in asyncio's loop has trio's shield, and asyncio's tasks
    beside it have theirs (X).
    """
    trio = pytest.importorskip("trio", reason="trio is not installed (the extra 'systems' has it)")

    async def later(scope):
        scope.cancel()
        await trio.sleep(0.02)

    async def in_trio():
        with trio.CancelScope() as scope:
            await shielded(later, scope)
        events.append(("trio", scope.cancelled_caught))

    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        trio.lowlevel.start_guest_run(
            in_trio,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
        )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await shielded(asyncio.sleep, 0.005)
        events.append("asyncio")
        (await done).unwrap()

    asyncio.run(main())
    assert events == ["asyncio", ("trio", True)]
