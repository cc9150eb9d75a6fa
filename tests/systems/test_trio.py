"""trio: lasting cancellation of a scope, Cancelled as a BaseException, and ExceptionGroups."""

import contextlib
import functools
import gc
import signal
import sys
import warnings

import pytest

from godefer import ausing, defer, errdefer, okdefer, recover, using

trio = pytest.importorskip("trio", reason="trio is not installed (the extra 'systems' has it)")


@pytest.fixture
def later(events):
    """Clean up by way of a checkpoint, and note whether it was passed."""

    async def later(name):
        try:
            await trio.sleep(0.001)
        except trio.Cancelled:
            events.append(f"{name} was interrupted")
            raise
        events.append(name)

    return later


@pytest.fixture
def shielded(later):
    async def shielded(name):
        with trio.CancelScope(shield=True):
            await later(name)

    return shielded


def test_cancelled_in_the_body(way, events, later, shielded):
    """Each awaited clean-up begins and, unless shielded, is interrupted at its first checkpoint;
    the scope then takes the exception (D5, P3).
    """

    @way
    async def work():
        okdefer(events.append, "returns")
        defer(later, "a")
        defer(shielded, "b")
        errdefer(later, "c")
        defer(lambda: events.append(recover()))
        await trio.sleep(60)

    async def main():
        with trio.move_on_after(0.005) as scope:
            await work()
        return scope.cancelled_caught

    assert trio.run(main) is True
    assert events == [None, "c was interrupted", "b", "a was interrupted"]


def test_cancelled_in_a_deferred_call_after_a_return(way, events, later):
    """A cancelled clean-up makes the function fail, and every later one still begins (D5, D10)."""

    @way
    async def work(scope):
        okdefer(events.append, "returns")
        errdefer(later, "a")
        defer(scope.cancel)
        okdefer(later, "b")
        return "result"

    @way
    async def interrupted(scope):
        okdefer(events.append, "returns")
        errdefer(events.append, "fails")
        defer(later, "c")
        defer(scope.cancel)
        return "result"

    async def main(fn):
        with trio.CancelScope() as scope:
            return await fn(scope)
        return scope.cancelled_caught

    # Cancelled, but no checkpoint comes after it: the function returns.
    assert trio.run(main, work) == "result"
    assert trio.run(main, interrupted) is True
    assert events == ["b", "returns", "c was interrupted", "fails"]


def test_cancelled_twice(way, events, later, shielded):
    """If a second scope is cancelled during the clean-up of the first, trio leaves the
    Cancelled to the outer one (D5).
    """

    @way
    async def work(outer):
        defer(later, "a")
        defer(shielded, "b")
        defer(outer.cancel)
        defer(shielded, "c")
        await trio.sleep(60)

    async def main():
        with trio.CancelScope() as outer:
            with trio.move_on_after(0.002) as inner:
                await work(outer)
            events.append("never")
        return inner.cancelled_caught, outer.cancelled_caught

    assert trio.run(main) == (False, True)
    assert events == ["c", "b", "a was interrupted"]


def test_a_clean_up_with_a_deadline_of_its_own(way, events, later):
    """A shield that expires interrupts its own clean-up only, and raises nothing; the
    cancellation goes on (D5).
    """

    async def at_most(seconds, fn, *args):
        with trio.move_on_after(seconds, shield=True) as scope:
            await fn(*args)
        events.append(scope.cancelled_caught)

    @way
    async def work():
        defer(later, "a")
        defer(at_most, 60, later, "b")
        defer(at_most, 0.002, trio.sleep, 60)
        await trio.sleep(60)

    async def main():
        with trio.move_on_after(0.002) as scope:
            await work()
        return scope.cancelled_caught

    assert trio.run(main) is True
    assert events == [True, "b", False, "a was interrupted"]


def test_recover_takes_exceptions_only(way, events):
    """`recover()` leaves a Cancelled, which is a BaseException;
    `recover(trio.Cancelled)` takes it (P3, P4).
    """

    @way
    async def work(*types):
        okdefer(events.append, "returns")
        defer(lambda: events.append(type(recover(*types))))
        await trio.sleep(60)

    async def main(*types):
        with trio.move_on_after(0.002) as scope:
            await work(*types)
            events.append("goes on")
        return scope.cancelled_caught

    assert not issubclass(trio.Cancelled, Exception)
    assert trio.run(main) is True
    assert trio.run(main, Exception) is True
    assert trio.run(main, trio.Cancelled) is False
    assert events == [type(None), type(None), trio.Cancelled, "returns", "goes on"]


def test_an_error_in_the_clean_up_of_a_cancelled_function(way, events):
    """An error replaces the Cancelled, its context; after its recovery the Cancelled goes on, as
    Go's Goexit does (P3, P5).
    """

    @way
    async def work(catch):
        defer(lambda: events.append(sys.exception().__class__))
        if catch:
            defer(lambda: events.append(type(recover())))
        defer({}.__getitem__, "key")
        await trio.sleep(60)

    async def main(catch):
        with trio.move_on_after(0.002) as scope:
            await work(catch)
            events.append("never")
        return scope.cancelled_caught

    with pytest.raises(KeyError) as caught:
        trio.run(main, False)
    assert isinstance(caught.value.__context__, trio.Cancelled)
    assert trio.run(main, True) is True
    assert events == [KeyError, KeyError, trio.Cancelled]


def test_scopes_of_the_function(way, events, later):
    """With `using(trio.move_on_after(…))` the function returns when time is up; `fail_after` makes
    it a TooSlowError (D11, P4).
    """

    @way
    async def gives_up():
        okdefer(events.append, "returns")
        defer(later, "outside")
        scope = using(trio.move_on_after(0.002))
        defer(lambda: events.append(scope.cancel_called))
        defer(later, "inside")
        await trio.sleep(60)

    @way
    async def fails():
        okdefer(events.append, "returns")
        defer(lambda: events.append(type(recover())))
        defer(later, "outside")
        using(trio.fail_after(0.002))
        await trio.sleep(60)

    @way
    async def shields_its_end():
        await trio.lowlevel.checkpoint()
        scope = using(trio.CancelScope())
        defer(later, "finished")
        defer(setattr, scope, "shield", True)
        await trio.sleep(60)

    async def main():
        with trio.move_on_after(0.002):
            await shields_its_end()
        return await gives_up(), await fails()

    assert trio.run(main) == (None, None)
    assert events == [
        "finished",
        "inside was interrupted",
        True,
        "outside",
        "returns",
        "outside",
        trio.TooSlowError,
        "returns",
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_a_nursery(way, events, later, shielded, fails):
    """A nursery entered by `ausing` waits for its tasks and their clean-ups; `recover` takes its
    ExceptionGroup (D11, P2).
    """

    @way
    async def child(n):
        defer(shielded, f"child {n} exits")
        await trio.sleep(0.001)
        if fails and n == 1:
            raise LookupError(n)
        await trio.sleep(60 if fails else 0)

    @way
    async def work():
        defer(later, "exits")
        defer(lambda: events.append(recover()))
        nursery = await ausing(trio.open_nursery())
        for n in range(3):
            nursery.start_soon(child, n)
        if fails:
            await trio.sleep(60)
        return "result"

    assert trio.run(work) == (None if fails else "result")
    assert sorted(events[:3]) == [f"child {n} exits" for n in range(3)]
    assert events[4:] == ["exits"]
    if fails:
        assert isinstance(events[3], ExceptionGroup)
        assert [error.args for error in events[3].exceptions] == [(1,)]
    else:
        assert events[3] is None


def test_a_group_that_recover_does_not_take(way, events):
    """`recover()` leaves a group with a BaseException in it, which is no Exception (P3)."""

    async def child():
        raise SystemExit(3)

    @way
    async def work():
        defer(lambda: events.append(recover()))
        nursery = await ausing(trio.open_nursery())
        nursery.start_soon(child)
        await trio.sleep(60)

    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(work)
    assert [type(error) for error in caught.value.exceptions] == [SystemExit]
    assert events == [None]


def test_a_nursery_in_a_cancelled_scope(way, events, shielded):
    """In a cancelled scope the tasks of a nursery clean up before the function that opened it,
    and the scope takes the cancellation (D2, D11).
    """

    @way
    async def child():
        defer(shielded, "child exits")
        await trio.sleep(60)

    @way
    async def work():
        defer(shielded, "exits")
        nursery = await ausing(trio.open_nursery())
        nursery.start_soon(child)
        nursery.start_soon(child)

    async def main():
        with trio.move_on_after(0.005) as scope:
            await work()
        return scope.cancelled_caught

    assert trio.run(main) is True
    assert events == ["child exits", "child exits", "exits"]


def test_streams_and_channels(way, events):
    """trio's `aclose` closes streams and channels although the function was cancelled, and the
    other side sees the end (D2, D6).
    """

    served = []

    @way
    async def serve(stream):
        defer(served.append, "saw the end")
        defer(stream.aclose)
        async for data in stream:
            await stream.send_all(data.upper())

    @way
    async def ask(port, answers):
        using(answers)
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        defer(events.append, "client is closed")
        defer(stream.aclose)
        await stream.send_all(b"one")
        await answers.send(await stream.receive_some())
        await trio.sleep(60)

    @way
    async def main():
        nursery = await ausing(trio.open_nursery())
        defer(nursery.cancel_scope.cancel)
        [listener] = await nursery.start(
            functools.partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
        )
        sender, receiver = trio.open_memory_channel(0)
        using(receiver)
        port = listener.socket.getsockname()[1]
        with trio.move_on_after(5) as scope:
            async with trio.open_nursery() as asking:
                asking.start_soon(ask, port, sender)
                events.append(await receiver.receive())
                scope.cancel()
        events.append("scope left")
        with trio.fail_after(10):
            while not served:
                await trio.sleep(0.001)
        try:
            await receiver.receive()
        except trio.EndOfChannel:
            events.append("end of channel")

    trio.run(main)
    assert events == [b"ONE", "client is closed", "scope left", "end of channel"]
    assert served == ["saw the end"]


@pytest.mark.parametrize("kept", [False, True])
def test_async_generators_that_nobody_closes(way, events, later, shielded, kept):
    """trio closes lost generators in a cancelled scope: every deferred call is made, and
    shielded ones finish (D2, D5).
    """

    @way
    async def numbers():
        defer(later, "a")
        defer(shielded, "b")
        defer(later, "c")
        yield 1
        yield 2

    generators = []

    async def main():
        generator = numbers()
        assert await anext(generator) == 1
        if kept:
            generators.append(generator)
        else:
            del generator
            gc.collect()
            with trio.fail_after(10):
                while len(events) < 3:
                    await trio.sleep(0.001)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        trio.run(main)
    assert events == ["c was interrupted", "b", "a was interrupted"]
    # trio names the function of the forgotten generator.
    messages = [str(warning.message) for warning in seen if warning.category is ResourceWarning]
    assert len(messages) == (0 if kept else 1)
    assert all(
        "test_async_generators_that_nobody_closes.<locals>.numbers" in message
        for message in messages
    )


def test_an_async_generator_that_is_closed(way, events, later):
    """`aclosing` closes a generator in its consumer, outside of any cancelled scope (D2, D11)."""

    @way
    async def numbers():
        defer(later, "generator exits")
        yield 1
        yield 2

    @way
    async def consume():
        generator = await ausing(contextlib.aclosing(numbers()))
        async for n in generator:
            return n

    assert trio.run(consume) == 1
    assert events == ["generator exits"]


@pytest.mark.parametrize("in_a_deferred_call", [False, True])
def test_ctrl_c(way, events, later, in_a_deferred_call):
    """Ctrl-C in the body, or in a deferred call, runs the others, and is
    not recovered (D2, D5, P3).
    """

    def interrupt():
        events.append("interrupt")
        signal.raise_signal(signal.SIGINT)
        events.append("never")

    @way
    async def work():
        defer(later, "a")
        defer(lambda: events.append((type(sys.exception()), recover())))
        if in_a_deferred_call:
            defer(interrupt)
        else:
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        trio.run(work)
    assert events == ["interrupt", (KeyboardInterrupt, None), "a"]


def test_protection_from_ctrl_c(way, events):
    """A function that trio protects from Ctrl-C stays protected when `@with_defers`
    is next to its `def` (A).
    """

    @trio.lowlevel.enable_ki_protection
    @way
    async def work():
        defer(events.append, "exits")
        defer(signal.raise_signal, signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        events.append("protected")

    async def main():
        await work()
        events.append("returned")
        await trio.lowlevel.checkpoint()
        events.append("never")

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert events[:2] == ["protected", "exits"]


def test_threads(way, events, later):
    """A decorated function runs in a worker thread, and its deferred calls can call trio (D4)."""

    @way
    def in_a_thread():
        defer(trio.from_thread.run, later, "back in trio")
        defer(events.append, "in the thread")
        raise LookupError

    @way
    async def work():
        defer(lambda: events.append(type(recover())))
        await trio.to_thread.run_sync(in_a_thread)

    trio.run(work)
    assert events == ["in the thread", "back in trio", LookupError]
