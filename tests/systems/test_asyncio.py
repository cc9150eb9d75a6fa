"""asyncio, with eager tasks too, and uvloop: cancellation, timeouts, task groups, loop shutdown."""

import asyncio
import contextlib
import contextvars
import gc
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from godefer import ausing, defer, errdefer, okdefer, recover
from godefer.aio import shielded
from tests.helpers import until


@pytest.fixture
def later(events):
    """Clean up slowly, and note whether it could finish."""

    async def later(name, seconds=0.002):
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            events.append(f"{name} was interrupted")
            raise
        events.append(name)

    return later


def test_cancelled_in_the_body(way, run, events, later):
    """One cancellation interrupts the body and no awaited clean-up; afterwards the task
    is cancelled (D2, D6, P3).
    """

    @way
    async def work():
        okdefer(events.append, "returns")
        defer(later, "a")
        errdefer(later, "b")
        defer(lambda: events.append(recover()))
        events.append("body")
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await until(lambda: events)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        return task.cancelled(), task.cancelling()

    assert run(main()) == (True, 1)
    assert events == ["body", None, "b", "a"]


def test_cancelled_before_it_begins(way, run, events):
    """A task cancelled before its first step has deferred nothing; eager
    tasks have begun by then (D2).
    """

    @way
    async def work():
        events.append("begins")
        defer(events.append, "exits")
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main()) is True
    assert events in ([], ["begins", "exits"])


def test_cancelled_in_a_deferred_call_after_a_return(way, run, events, later):
    """A cancelled clean-up makes the function fail: from then on errdefer runs, and
    okdefer does not (D5, D10).
    """

    @way
    async def work():
        okdefer(events.append, "returns")
        errdefer(later, "fails")
        defer(later, "long", 60)
        okdefer(later, "returned")
        return "result"

    async def main():
        task = asyncio.create_task(work())
        await until(lambda: events)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main()) is True
    assert events == ["returned", "long was interrupted", "fails"]


def test_cancelled_twice(way, run, events, later):
    """A second cancellation interrupts only the clean-up that is awaited then; its context is that
    of nested `finally`s (D5).
    """

    @way
    async def work():
        defer(later, "a")
        defer(later, "long", 60)
        defer(later, "b")
        events.append("body")
        await asyncio.sleep(60)

    async def by_hand():
        try:
            try:
                try:
                    events.append("body")
                    await asyncio.sleep(60)
                finally:
                    await later("b")
            finally:
                await later("long", 60)
        finally:
            await later("a")

    async def main(fn):
        events.clear()
        task = asyncio.create_task(fn())
        await until(lambda: events)
        task.cancel("first")
        await until(lambda: "b" in events)
        await asyncio.sleep(0.002)
        task.cancel("second")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        context = caught.value.__context__
        return caught.value.args, context and context.args, events[:]

    result = run(main(work))
    assert result == run(main(by_hand))
    # PyPy sets no context on an exception that had None assigned as its
    # context, as its asyncio does.
    context = ("first",) if sys.implementation.name == "cpython" else None
    assert result == (("second",), context, ["body", "b", "long was interrupted", "a"])


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_cancelled_again_and_again(way, run, events, later, in_a_loop):
    """Each clean-up begins once, in its turn, however often the task is cancelled (D5, D8)."""
    if in_a_loop:

        @way
        async def work():
            for n in range(4):
                defer(later, n, 60)
            await asyncio.sleep(60)
    else:

        @way
        async def work():
            defer(later, 0, 60)
            defer(later, 1, 60)
            defer(later, 2, 60)
            defer(later, 3, 60)
            await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0.001)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0.001)
        return task.cancelled(), task.cancelling()

    assert run(main()) == (True, 5)
    assert events == [f"{n} was interrupted" for n in (3, 2, 1, 0)]


@pytest.mark.parametrize("in_the_body", [False, True])
@pytest.mark.parametrize("times", [1, 3])
def test_a_clean_up_that_must_finish(way, run, events, later, in_the_body, times):
    """A shielded clean-up finishes however often its task is cancelled; then the task is
    cancelled (D2, D5, D10, X).
    """
    begun = []

    @way
    async def work(clean_up):
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        defer(later, "a")
        defer(shielded, clean_up)
        if in_the_body:
            begun.append("body")
            await asyncio.sleep(60)
        return "result"

    async def main():
        go_on = asyncio.Event()

        async def clean_up():
            begun.append("clean-up")
            await go_on.wait()
            events.append("b")

        task = asyncio.create_task(work(clean_up))
        if in_the_body:
            await until(lambda: begun)
            task.cancel("first")
        await until(lambda: "clean-up" in begun)
        for n in range(times):
            task.cancel(str(n))
            await asyncio.sleep(0.001)
        events.append("cancelled")
        go_on.set()
        await asyncio.wait([task])
        return task.cancelled(), task.cancelling()

    assert run(main()) == (True, times + in_the_body)
    assert events == ["cancelled", "b", "a", "fails"]


def test_a_shield_alone_does_not_wait(way, run, events):
    """`asyncio.shield` protects a clean-up, but the function ends before
    it: hence `shielded` (D6).
    """

    @way
    async def work(clean_up):
        defer(events.append, "exits")
        defer(asyncio.shield, clean_up)
        defer(events.append, "begun")

    async def main():
        go_on = asyncio.Event()
        clean_up = asyncio.create_task(go_on.wait())
        task = asyncio.create_task(work(clean_up))
        await until(lambda: events)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        done = clean_up.done()
        go_on.set()
        return task.cancelled(), done, await clean_up

    assert run(main()) == (True, False, True)
    assert events == ["begun", "exits"]


def test_a_clean_up_that_must_finish_and_fails(way, run, events):
    """An error of the shielded clean-up replaces the cancellation, which
    becomes its context (D5).
    """

    @way
    async def work(clean_up):
        defer(shielded, clean_up)
        defer(events.append, "begun")

    async def main():
        go_on = asyncio.Event()

        async def clean_up():
            await go_on.wait()
            raise LookupError("clean-up")

        task = asyncio.create_task(work(clean_up))
        await until(lambda: events)
        await asyncio.sleep(0)
        task.cancel("enough")
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(LookupError, match="clean-up") as caught:
            await task
        return type(caught.value.__context__), caught.value.__context__.args

    assert run(main()) == (asyncio.CancelledError, ("enough",))


def test_a_clean_up_that_must_finish_when_the_loop_ends(way, run, events, later):
    """At the end of the loop each cancelled task finishes its shielded clean-up first, awaited by
    the main function or not (D5, X).
    """

    @way
    async def work(name):
        defer(shielded, later, name, 0.005)
        defer(begun.append, name)

    async def main():
        task = asyncio.create_task(work("clean-up"))
        await until(lambda: begun)
        await asyncio.sleep(0)
        if waited_for:
            await asyncio.wait([task])

    for waited_for in (True, False):
        begun = []
        run(main())
    assert events == ["clean-up", "clean-up"]


def test_a_clean_up_with_a_deadline_of_its_own(way, run, events, later):
    """A timeout around a clean-up interrupts only that; once its TimeoutError is recovered, the
    cancellation goes on (D5, P3).
    """

    async def at_most(seconds, fn, *args):
        async with asyncio.timeout(seconds):
            await fn(*args)

    @way
    async def work():
        defer(later, "a")
        defer(lambda: events.append(type(recover(TimeoutError))))
        defer(at_most, 0.005, later, "long", 60)
        events.append("body")
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await until(lambda: events)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), task.cancelling()

    assert run(main()) == (True, 1)
    assert events == ["body", "long was interrupted", TimeoutError, "a"]


def test_recover_does_not_take_a_cancellation(way, run, events):
    """`recover()` leaves a CancelledError alone; `recover(CancelledError)` stops it, and the
    function returns (P3, P4).
    """

    @way
    async def work(*types):
        okdefer(events.append, "returns")
        defer(lambda: events.append(type(recover(*types))))
        await asyncio.Event().wait()

    async def main(*types):
        task = asyncio.create_task(work(*types))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main()) is True
    assert run(main(Exception)) is True
    assert run(main(asyncio.CancelledError)) is False
    assert events == [type(None), type(None), asyncio.CancelledError, "returns"]


def test_a_timeout_around_the_function(way, run, events, later):
    """A timeout around the function awaits the clean-up to its end; then comes
    the TimeoutError (D2, D6).
    """

    @way
    async def work():
        defer(later, "a", 0.02)
        errdefer(lambda: events.append(sys.exception().__class__))
        await asyncio.sleep(60)

    async def main(guard):
        with pytest.raises(TimeoutError):
            await guard()
        return asyncio.current_task().cancelling()

    async def block():
        async with asyncio.timeout(0.005):
            await work()

    assert run(main(block)) == 0
    assert run(main(lambda: asyncio.wait_for(work(), 0.005))) == 0
    assert events == [asyncio.CancelledError, "a"] * 2


def test_a_timeout_of_the_function(way, run, events):
    """`await ausing(asyncio.timeout(…))` is a deadline for the rest of the function; earlier
    deferred calls see a TimeoutError (D11).
    """

    @way
    async def work(catch):
        okdefer(events.append, "returns")
        if catch:
            defer(lambda: events.append(type(recover())))
        errdefer(lambda: events.append(type(sys.exception())))
        await ausing(asyncio.timeout(0.005))
        errdefer(lambda: events.append(type(sys.exception())))
        await asyncio.sleep(60)

    async def main():
        with pytest.raises(TimeoutError):
            await work(catch=False)
        return await work(catch=True), asyncio.current_task().cancelling()

    assert run(main()) == (None, 0)
    seen = [asyncio.CancelledError, TimeoutError]
    assert events == [*seen, *seen, TimeoutError, "returns"]


def test_a_timeout_that_takes_in_the_clean_up(way, run, events, later):
    """A timeout entered by `ausing` also interrupts the calls deferred after it; calls deferred
    earlier run without it (D11).
    """

    @way
    async def work():
        defer(later, "outside", 0.01)
        await ausing(asyncio.timeout(0.01))
        defer(later, "inside", 60)
        return "result"

    async def main():
        with pytest.raises(TimeoutError):
            await work()

    run(main())
    assert events == ["inside was interrupted", "outside"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_task_group(way, run, events, later, fails):
    """A task group entered by `ausing` waits for its tasks, and their clean-ups, before earlier
    deferred calls run (D11, D4).
    """

    @way
    async def child(n):
        defer(later, f"child {n} exits")
        await asyncio.sleep(0.001)
        if fails and n == 1:
            raise LookupError(n)
        await asyncio.sleep(60 if fails else 0)

    @way
    async def work():
        defer(later, "exits")
        defer(lambda: events.append(recover()))
        group = await ausing(asyncio.TaskGroup())
        defer(events.append, "body exits")
        for n in range(3):
            group.create_task(child(n))
        if fails:
            await asyncio.sleep(60)
        return "result"

    assert run(work()) == (None if fails else "result")
    assert sorted(events[:4]) == ["body exits", *(f"child {n} exits" for n in range(3))]
    assert events[5:] == ["exits"]
    if fails:
        assert isinstance(events[4], ExceptionGroup)
        assert [error.args for error in events[4].exceptions] == [(1,)]
    else:
        assert events[4] is None


def test_a_group_that_recover_does_not_take(way, run, events):
    """`recover()` leaves a BaseExceptionGroup, which is no Exception;
    `recover(BaseExceptionGroup)` takes it (P3).
    """

    class Goodbye(BaseException):
        pass

    async def child():
        # The group is waiting by then. On 3.12, if an eager task fails in create_task(), the group
        # leaves a cancellation behind in its parent.
        await asyncio.sleep(0)
        raise Goodbye

    @way
    async def work(*types):
        defer(lambda: events.append(recover(*types)))
        group = await ausing(asyncio.TaskGroup())
        group.create_task(child())

    async def main():
        with pytest.raises(BaseExceptionGroup) as caught:
            await work()
        await work(BaseExceptionGroup)
        return [type(error) for error in caught.value.exceptions]

    assert run(main()) == [Goodbye]
    assert events[0] is None
    assert [type(error) for error in events[1].exceptions] == [Goodbye]


def test_a_task_group_that_is_cancelled_from_outside(way, run, events, later):
    """In a cancelled function the tasks clean up first, then the function; it
    stays cancelled (D2, D11).
    """

    @way
    async def child():
        defer(later, "child exits")
        events.append("begun")
        await asyncio.sleep(60)

    @way
    async def work():
        defer(later, "exits")
        group = await ausing(asyncio.TaskGroup())
        group.create_task(child())
        group.create_task(child())

    async def main():
        task = asyncio.create_task(work())
        await until(lambda: len(events) == 2)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main()) is True
    assert events == ["begun", "begun", "child exits", "child exits", "exits"]


def test_tasks_that_are_left_when_the_loop_ends(way, run, events, later):
    """Tasks that nobody awaited are cancelled when the main function ends, and their
    clean-ups are awaited (D2).
    """

    @way
    async def work():
        defer(later, "exits")
        await asyncio.sleep(60)

    async def main():
        kept.append(asyncio.create_task(work()))
        await asyncio.sleep(0.001)

    kept = []
    run(main())
    assert (events, kept[0].cancelled()) == (["exits"], True)


@pytest.mark.parametrize("kept", [False, True])
def test_async_generators_that_nobody_closes(way, run, events, later, kept):
    """The loop closes a generator that nothing refers to, or at its shutdown, and awaits
    the deferred calls (D2, D6).
    """

    @way
    async def numbers():
        defer(later, "a")
        defer(lambda: events.append(asyncio.get_running_loop() is loops[0]))
        defer(later, "b")
        for n in range(10):
            defer(later, n)
            yield n

    async def main():
        loops.append(asyncio.get_running_loop())
        generator = numbers()
        async for n in generator:
            if n == 1:
                break
        if kept:
            generators.append(generator)
        else:
            del generator
            gc.collect()
            await until(lambda: "a" in events)

    loops, generators = [], []
    run(main())
    assert events == [1, 0, "b", True, "a"]


def test_an_async_generator_that_is_cancelled(way, run, events, later):
    """A cancellation while a generator awaits exits the generator, then its consumer (D2)."""

    @way
    async def numbers():
        defer(later, "generator exits")
        yield 1
        await asyncio.sleep(60)

    @way
    async def consume():
        defer(later, "consumer exits")
        generator = await ausing(contextlib.aclosing(numbers()))
        async for n in generator:
            events.append(n)

    async def main():
        task = asyncio.create_task(consume())
        await until(lambda: events)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main()) is True
    assert events == [1, "generator exits", "consumer exits"]


def test_context_variables(way, run, events):
    """A deferred call runs in its task's context: it can reset a variable there, and other
    tasks see no change (D4).
    """
    user = contextvars.ContextVar("user", default="nobody")

    async def check():
        await asyncio.sleep(0)
        events.append(user.get())

    @way
    async def work(name):
        defer(check)
        defer(user.reset, user.set(name))
        defer(check)
        await asyncio.sleep(0.001)
        return user.get()

    async def main():
        return await asyncio.gather(work("a"), work("b")), user.get()

    assert run(main()) == (["a", "b"], "nobody")
    assert sorted(events) == ["a", "b", "nobody", "nobody"]


def test_threads_of_a_cancelled_task(way, run, events):
    """A function in a thread runs on when its awaiting task is cancelled; its deferred
    calls run in that thread (D4).
    """
    go_on, started = threading.Event(), threading.Event()

    @way
    def in_a_thread():
        defer(
            lambda: events.append(
                ("thread exits", threading.current_thread() is threading.main_thread())
            )
        )
        started.set()
        go_on.wait(30)

    @way
    async def work():
        defer(go_on.set)
        defer(events.append, "task exits")
        await asyncio.to_thread(in_a_thread)

    async def main():
        task = asyncio.create_task(work())
        await until(started.is_set)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: len(events) == 2)
        return task.cancelled()

    assert run(main()) is True
    assert events == ["task exits", ("thread exits", False)]


INTERRUPTED = """
    import asyncio, sys
    from godefer import defer, explain, recover, with_defers

    async def later(name):
        await asyncio.sleep(0.01)
        print(name, flush=True)

    @with_defers
    async def work():
        defer(later, "cleaned up")
        defer(lambda: print(type(sys.exception()).__name__, recover()))
        print(explain(work).way, flush=True)
        while True:
            # Not one long wait, which would delay a signal that comes right before it.
            await asyncio.sleep(0.05)

    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(work())
    else:
        asyncio.run(work())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_ctrl_c(way, tmp_path, monkeypatch, loop):
    """Ctrl-C cancels the main task: its clean-up is awaited, and the program ends by
    KeyboardInterrupt (D2, P3).
    """
    if loop == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed (the extra 'systems' has it)")
    program = tmp_path / "interrupted.py"
    program.write_text(textwrap.dedent(INTERRUPTED))
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1" if way.name == "open-coded" else "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    command = [sys.executable, program, loop]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().strip() == way.name
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert out.splitlines() == ["CancelledError None", "cleaned up"]
    assert (process.returncode, err.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")
