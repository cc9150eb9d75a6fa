"""anyio on asyncio, uvloop and trio: scopes, task groups, threads and streams behave the same."""

import contextlib
import sys

import pytest

from godefer import ausing, defer, errdefer, okdefer, recover, using
from tests.helpers import cancelling

anyio = pytest.importorskip("anyio", reason="anyio is not installed (the extra 'systems' has it)")


@pytest.fixture
def later(events):
    async def later(name, seconds=0.001):
        try:
            await anyio.sleep(seconds)
        except anyio.get_cancelled_exc_class():
            events.append(f"{name} was interrupted")
            raise
        events.append(name)

    return later


@pytest.fixture
def shielded(later):
    async def shielded(name):
        with anyio.CancelScope(shield=True):
            await later(name)

    return shielded


def test_cancelled_in_the_body(way, backend, events, later, shielded):
    """Each clean-up is interrupted at its first checkpoint unless shielded; the scope takes the
    cancellation in the end (D5, P3).
    """

    @way
    async def work():
        okdefer(events.append, "returns")
        defer(later, "a", 60)
        defer(shielded, "b")
        errdefer(later, "c", 60)
        defer(lambda: events.append(recover()))
        await anyio.sleep(60)

    async def main():
        with anyio.move_on_after(0.005) as scope:
            await work()
        await anyio.sleep(0.001)
        return scope.cancelled_caught, cancelling(backend)

    assert backend(main) == (True, 0)
    assert events == [None, "c was interrupted", "b", "a was interrupted"]


def test_cancelled_in_a_deferred_call(way, backend, events, later, shielded):
    """A scope cancelled during an awaited clean-up interrupts it, and the function
    fails from then on (D5, D10).
    """

    @way
    async def work(scope):
        okdefer(events.append, "returns")
        errdefer(shielded, "fails")
        defer(later, "a", 60)
        defer(scope.cancel)
        return "result"

    async def main():
        with anyio.CancelScope() as scope:
            await work(scope)
        await anyio.sleep(0.001)
        return scope.cancelled_caught, cancelling(backend)

    assert backend(main) == (True, 0)
    assert events == ["a was interrupted", "fails"]


def test_cancelled_twice(way, backend, events, later, shielded):
    """If a second scope is cancelled during the clean-up of the first, each takes
    its own cancellation (D5).
    """

    @way
    async def work(outer):
        defer(later, "a", 60)
        defer(shielded, "b")
        defer(outer.cancel)
        defer(shielded, "c")
        await anyio.sleep(60)

    async def main():
        with anyio.CancelScope() as outer:
            with anyio.move_on_after(0.002) as inner:
                await work(outer)
            events.append("inner scope left")
            await anyio.sleep(60)
            events.append("never")
        await anyio.sleep(0.001)
        return inner.cancel_called, outer.cancelled_caught, cancelling(backend)

    assert backend(main) == (True, True, 0)
    assert events[:3] == ["c", "b", "a was interrupted"]
    assert "never" not in events


def test_a_clean_up_with_a_deadline_of_its_own(way, backend, events, later):
    """A shield that expires interrupts its own clean-up only, and raises nothing; the
    cancellation goes on (D5).
    """

    async def at_most(seconds, fn, *args):
        with anyio.move_on_after(seconds, shield=True) as scope:
            await fn(*args)
        events.append(scope.cancelled_caught)

    @way
    async def work():
        defer(later, "a", 60)
        defer(at_most, 60, later, "b")
        defer(at_most, 0.002, anyio.sleep, 60)
        await anyio.sleep(60)

    async def main():
        with anyio.move_on_after(0.002) as scope:
            await work()
        await anyio.sleep(0.001)
        return scope.cancelled_caught, cancelling(backend)

    assert backend(main) == (True, 0)
    assert events == [True, "b", False, "a was interrupted"]


def test_a_scope_for_the_end_of_the_function(way, backend, events, later):
    """If the function's scope is shielded when the body ends, every clean-up
    below it finishes (D2, D11).
    """

    @way
    async def work():
        scope = using(anyio.CancelScope())
        defer(later, "a")
        defer(later, "b")
        defer(setattr, scope, "shield", True)
        await anyio.sleep(60)

    async def main():
        with anyio.move_on_after(0.002) as scope:
            await work()
            events.append("never")
        await anyio.sleep(0.001)
        return scope.cancelled_caught, cancelling(backend)

    assert backend(main) == (True, 0)
    assert events == ["b", "a"]


@pytest.mark.parametrize("closed", [False, True])
def test_async_generators(way, backend, events, shielded, closed):
    """A generator closed by `aclosing`, or by the loop's shutdown, makes all its calls;
    shielded ones finish (D2, D5).
    """

    @way
    async def numbers():
        defer(shielded, "a")
        defer(shielded, "b")
        yield 1
        yield 2

    @way
    async def first(generator):
        if closed:
            await ausing(contextlib.aclosing(generator))
        async for n in generator:
            return n

    async def main():
        kept.append(numbers())
        events.append(await first(kept[0]))
        events.append("main exits")

    kept = []
    backend(main)
    assert events == ([1, "main exits", "b", "a"], ["b", "a", 1, "main exits"])[closed]


def test_recover_and_cancellation(way, backend, events):
    """`recover()` leaves a cancellation alone; `recover(anyio.get_cancelled_exc_class())` stops it,
    and the function returns (P3, P4).
    """

    @way
    async def work(*types):
        okdefer(events.append, "returns")
        defer(lambda: events.append(recover(*types) is not None))
        await anyio.sleep(60)

    async def main():
        with anyio.move_on_after(0.002) as first:
            await work()
        with anyio.move_on_after(0.002) as second:
            await work(anyio.get_cancelled_exc_class())
            events.append("goes on")
        await anyio.sleep(0.001)
        return first.cancelled_caught, second.cancelled_caught

    assert backend(main) == (True, False)
    assert events == [False, True, "returns", "goes on"]


def test_an_error_that_is_recovered_in_a_cancelled_function(way, backend, events):
    """An error in the clean-up has the cancellation as context; after its recovery the
    cancellation goes on (P3, P5).
    """

    @way
    async def work():
        defer(lambda: seen.append(sys.exception()))
        defer(lambda: seen.append(recover()))
        defer({}.__getitem__, "key")
        await anyio.sleep(60)

    seen = []

    async def main():
        with anyio.move_on_after(0.002) as scope:
            await work()
            events.append("never")
        await anyio.sleep(0.001)
        cancelled = anyio.get_cancelled_exc_class()
        return scope.cancelled_caught, cancelling(backend), type(seen[1]) is cancelled

    assert backend(main) == (True, 0, True)
    assert (type(seen[0]), seen[0].__context__, events) == (KeyError, seen[1], [])


def test_scopes_of_the_function(way, backend, events, later):
    """With `using(anyio.move_on_after(…))` the function returns when time is up; `fail_after` makes
    it a TimeoutError (D11, P4).
    """

    @way
    async def gives_up():
        okdefer(events.append, "returns")
        defer(later, "outside")
        using(anyio.move_on_after(0.002))
        defer(later, "inside", 60)
        await anyio.sleep(60)

    @way
    async def fails():
        defer(lambda: events.append(type(recover())))
        defer(later, "outside")
        using(anyio.fail_after(0.002))
        await anyio.sleep(60)

    async def main():
        return await gives_up(), await fails(), cancelling(backend)

    assert backend(main) == (None, None, 0)
    assert events == ["inside was interrupted", "outside", "returns", "outside", TimeoutError]


@pytest.mark.parametrize("fails", [False, True])
def test_a_task_group(way, backend, events, later, shielded, fails):
    """A task group waits for its tasks and their clean-ups before earlier deferred calls run;
    `recover` takes its ExceptionGroup (D11, P2).
    """

    @way
    async def child(n):
        defer(shielded, f"child {n} exits")
        await anyio.sleep(0.001)
        if fails and n == 1:
            raise LookupError(n)
        await anyio.sleep(60 if fails else 0)

    @way
    async def work():
        defer(later, "exits")
        defer(lambda: events.append(recover()))
        group = await ausing(anyio.create_task_group())
        for n in range(3):
            group.start_soon(child, n)
        if fails:
            await anyio.sleep(60)
        return "result"

    async def main():
        return await work(), cancelling(backend)

    assert backend(main) == (None if fails else "result", 0)
    assert sorted(events[:3]) == [f"child {n} exits" for n in range(3)]
    assert events[4:] == ["exits"]
    if fails:
        assert isinstance(events[3], ExceptionGroup)
        assert [error.args for error in events[3].exceptions] == [(1,)]
    else:
        assert events[3] is None


def test_a_service_that_is_started_and_stopped(way, backend, events, shielded):
    """`await group.start(…)` returns when the decorated function says so; cancelling the group's
    scope cleans it up (D2, D11).
    """

    @way
    async def service(task_status):
        defer(shielded, "service exits")
        task_status.started("address")
        await anyio.sleep(60)

    @way
    async def main():
        defer(events.append, "main exits")
        group = await ausing(anyio.create_task_group())
        defer(group.cancel_scope.cancel)
        return await group.start(service)

    assert backend(main) == "address"
    assert events == ["service exits", "main exits"]


def test_streams(way, backend, events):
    """A deferred `aclose` closes a stream although the function was cancelled, and the other
    side sees the end (D2, D6).
    """

    served = []

    @way
    async def serve(stream):
        defer(served.append, "saw the end")
        defer(stream.aclose)
        async for data in stream:
            await stream.send(data.upper())

    @way
    async def ask(port, scope):
        stream = await anyio.connect_tcp("127.0.0.1", port)
        defer(events.append, "client is closed")
        defer(stream.aclose)
        await stream.send(b"one")
        events.append(await stream.receive())
        scope.cancel()
        await anyio.sleep(60)

    @way
    async def main():
        # The listener is closed last, after the group's tasks, which use it.
        listener = await ausing(await anyio.create_tcp_listener(local_host="127.0.0.1"))
        group = await ausing(anyio.create_task_group())
        defer(group.cancel_scope.cancel)
        group.start_soon(listener.serve, serve)
        with anyio.CancelScope() as scope:
            await ask(listener.extra(anyio.abc.SocketAttribute.local_port), scope)
        events.append("scope left")
        with anyio.fail_after(10):
            while not served:
                await anyio.sleep(0.001)

    backend(main)
    assert events == [b"ONE", "client is closed", "scope left"]
    assert served == ["saw the end"]


def test_locks(way, backend):
    """anyio's locks and limiters are free after a cancellation, of a holder or
    of a waiter (D2, D8, D11).
    """

    @way
    async def hold(lock, entered):
        if entered:
            await ausing(lock)
        else:
            await lock.acquire()
            defer(lock.release)
        await anyio.sleep(60)

    async def main():
        lock, limiter = anyio.Lock(), anyio.CapacityLimiter(1)
        for entered in (False, True):
            for one in (lock, limiter):
                with anyio.move_on_after(0.005):
                    async with anyio.create_task_group() as group:
                        group.start_soon(hold, one, entered)
                        group.start_soon(hold, one, entered)
        return lock.locked(), limiter.borrowed_tokens

    assert backend(main) == (False, 0)


def test_threads(way, backend, events, later):
    """A decorated function runs in a worker thread, and its deferred calls can
    call the event loop (D4).
    """

    @way
    def in_a_thread():
        defer(anyio.from_thread.run, later, "back on the loop")
        defer(events.append, "in the thread")
        raise LookupError

    @way
    async def work():
        defer(lambda: events.append(type(recover())))
        await anyio.to_thread.run_sync(in_a_thread)

    backend(work)
    assert events == ["in the thread", "back on the loop", LookupError]


def test_processes(way, backend):
    """A cancelled function kills its process and waits for it, in a shield, before it ends
    (D2, D6).
    """
    processes = []

    async def reap(process):
        with anyio.CancelScope(shield=True):
            await process.wait()

    @way
    async def work(scope):
        command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
        process = await anyio.open_process(command)
        processes.append(process)
        defer(process.aclose)
        defer(reap, process)
        errdefer(process.kill)
        await process.stdout.receive()
        scope.cancel()
        await anyio.sleep(60)

    async def main():
        with anyio.CancelScope() as scope:
            await work(scope)
        return scope.cancelled_caught

    assert backend(main) is True
    assert [process.returncode for process in processes] == [-9]
