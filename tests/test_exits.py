"""Exits, raised by bodies and deferred calls (D2, D5, D10, P3).

An *exit* here is a KeyboardInterrupt, SystemExit, GeneratorExit or CancelledError.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys
import textwrap

import pytest

from godefer import defer, errdefer, okdefer, panic, recover
from tests.helpers import drive, pause

EXITS = [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]


KINDS = ["function", "generator", "coroutine", "async generator"]


def _runner(way, kind):
    """Return a callable that runs a decorated function of this kind: it defers
    *calls*, then calls *body*.
    """

    @way
    def function(calls, body):
        for call in calls:
            defer(call)
        body()

    @way
    def generator(calls, body):
        for call in calls:
            defer(call)
        yield
        body()

    @way
    async def coroutine(calls, body):
        for call in calls:
            defer(call)
        await pause()
        body()

    @way
    async def async_generator(calls, body):
        for call in calls:
            defer(call)
        yield
        await pause()
        body()

    async def iterate(calls, body):
        async for _ in async_generator(calls, body):
            pass

    return {
        "function": function,
        "generator": lambda *args: list(generator(*args)),
        "coroutine": lambda *args: drive(coroutine(*args)),
        "async generator": lambda *args: drive(iterate(*args)),
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", EXITS)
def test_in_the_body(way, kind, error):
    """Every call runs and sees an exit of the body, none recovers it, and it leaves
    unchanged (D2, P3).
    """
    events = []
    raised = error("body")

    def body():
        raise raised

    def deferred(i):
        def call():
            events.append((i, sys.exception(), recover()))

        return call

    with pytest.raises(error) as caught:
        _runner(way, kind)([deferred(1), deferred(2)], body)
    assert caught.value is raised
    assert raised.__context__ is None
    assert events == [(2, raised, None), (1, raised, None)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", EXITS)
@pytest.mark.parametrize("body_fails", [False, True], ids=["returns", "raises"])
def test_in_a_deferred_call(way, kind, error, body_fails):
    """An exit in a deferred call replaces the exception in flight; the others run and
    do not recover it (D5, P3).
    """
    events = []
    raised = error("deferred")
    failure = LookupError("body")

    def body():
        if body_fails:
            raise failure

    def exits():
        raise raised

    def note():
        events.append((sys.exception(), recover()))

    with pytest.raises(error) as caught:
        _runner(way, kind)([note, note, exits, lambda: events.append(sys.exception())], body)
    assert caught.value is raised
    context = failure if body_fails else None
    assert raised.__context__ is context
    assert events == [context, (raised, None), (raised, None)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", EXITS)
@pytest.mark.parametrize("second", EXITS)
def test_one_replaced_by_another(way, kind, first, second):
    """An exit in a deferred call replaces the exit of the body, which
    becomes its context (P5, P3).
    """
    ran = []

    def body():
        raise first("body")

    def exits():
        raise second("deferred")

    with pytest.raises(second, match="deferred") as caught:
        _runner(way, kind)([lambda: ran.append(recover()), exits], body)
    assert type(caught.value) is second
    assert caught.value.__context__.args == ("body",)
    assert ran == [None]


@pytest.mark.parametrize("where", ["body", "deferred call"])
def test_a_real_interrupt(way, where):
    """Ctrl-C while the body or a deferred call runs raises KeyboardInterrupt there,
    and the calls run (D2, D5).
    """
    ran = []

    def interrupt():
        signal.raise_signal(signal.SIGINT)
        ran.append("never reached")

    @way
    def f():
        defer(ran.append, 1)
        errdefer(ran.append, "errdefer")
        if where == "body":
            interrupt()
        else:
            defer(interrupt)
            okdefer(ran.append, "okdefer")

    handler = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell may have had it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            f()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert ran == [*(["okdefer"] if where != "body" else []), "errdefer", 1]


def test_a_program_that_exits(tmp_path):
    """`sys.exit` in a decorated function runs its calls and ends the program
    with that status (D2, P3).
    """
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """\
            import sys
            from godefer import defer, recover, with_defers

            @with_defers
            def main():
                defer(print, "last")
                defer(lambda: print("recover:", recover()))
                sys.exit(3)

            main()
            print("never reached")
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "recover: None\nlast\n", "")


# Generators


def test_a_closed_generator(way):
    """`close()` runs the calls, each seeing the GeneratorExit, and returns quietly (D2)."""
    seen = []

    @way
    def g():
        defer(lambda: seen.append((type(sys.exception()), recover())))
        yield 1

    generator = g()
    next(generator)
    generator.close()
    assert seen == [(GeneratorExit, None)]
    generator.close()
    assert len(seen) == 1
    assert list(generator) == []


def test_the_generator_exit_that_the_body_saw_is_the_one_in_flight(way):
    """A body that catches GeneratorExit and raises it again passes that very exception to the
    deferred calls (D2, D10).
    """
    seen = []

    @way
    def g():
        defer(lambda: seen.append(sys.exception()))
        try:
            yield
        except GeneratorExit as e:
            seen.append(e)
            raise

    generator = g()
    next(generator)
    generator.close()
    assert len(seen) == 2
    assert seen[0] is seen[1]


def test_a_body_that_fails_while_it_is_closed(way):
    """A body that raises something else when it is closed fails with that, and
    GeneratorExit as its context (D2, D5).
    """
    seen = []

    @way
    def g():
        defer(lambda: seen.append(sys.exception()))
        try:
            yield
        finally:
            raise ValueError("while closing")

    generator = g()
    next(generator)
    with pytest.raises(ValueError, match="while closing") as caught:
        generator.close()
    assert seen == [caught.value]
    assert type(caught.value.__context__) is GeneratorExit


def test_a_deferred_call_that_fails_while_the_generator_is_closed(way):
    """If a deferred call fails, `close()` raises its exception, with the
    GeneratorExit as context (D5).
    """
    ran = []

    @way
    def g():
        defer(ran.append, 1)
        defer(panic, "deferred")
        yield

    generator = g()
    next(generator)
    with pytest.raises(RuntimeError, match="deferred") as caught:
        generator.close()
    assert type(caught.value.__context__) is GeneratorExit
    assert ran == [1]


def test_recovering_a_failure_while_the_generator_is_closed(way):
    """Once that failure is recovered the GeneratorExit goes on, and
    `close()` returns quietly (P3).
    """
    seen = []

    @way
    def g():
        defer(lambda: seen.append(type(sys.exception())))
        defer(lambda: seen.append(recover().value))
        defer(panic, "deferred")
        yield

    generator = g()
    next(generator)
    generator.close()
    assert seen == ["deferred", GeneratorExit]


def test_recovering_the_generator_exit_itself(way):
    """`recover(GeneratorExit)` makes the generator return, which `close()` accepts (P3, P4)."""
    seen = []

    @way
    def g():
        okdefer(seen.append, "okdefer")
        defer(lambda: seen.append(type(recover(GeneratorExit))))
        yield

    generator = g()
    next(generator)
    generator.close()
    assert seen == [GeneratorExit, "okdefer"]


def test_a_generator_that_ignores_being_closed(way):
    """If the body yields instead of ending, `close()` raises RuntimeError, and the calls
    run at its real end (D2).
    """
    ran = []

    @way
    def g():
        defer(ran.append, 1)
        try:
            yield "first"
        except GeneratorExit:
            yield "ignored"
        ran.append("body goes on")

    generator = g()
    next(generator)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        generator.close()
    assert ran == []
    assert list(generator) == []
    assert ran == ["body goes on", 1]


def test_the_result_of_close(way):
    """`close()` returns the same as without defers: from 3.13 on, the body's value (D2)."""

    @way
    def g():
        defer(int)
        try:
            yield
        except GeneratorExit:
            return "value"

    deferring = g

    def g():
        try:
            yield
        except GeneratorExit:
            return "value"

    returned = []
    for function in (deferring, g):
        generator = function()
        next(generator)
        returned.append(generator.close())
    assert returned[0] == returned[1]


@pytest.mark.parametrize("error", EXITS)
def test_thrown_into_a_generator(way, error):
    """An exit thrown into a generator leaves through its calls as the same exception (D2)."""
    seen = []
    thrown = error("thrown")

    @way
    def g():
        defer(lambda: seen.append(sys.exception()))
        yield

    generator = g()
    next(generator)
    with pytest.raises(error) as caught:
        generator.throw(thrown)
    assert caught.value is thrown
    assert seen == [thrown]


def test_thrown_into_a_generator_that_has_not_started(way):
    """A generator that has not started has deferred nothing: an exception thrown
    into it just leaves (D2).
    """
    ran = []

    @way
    def g():
        defer(ran.append, 1)
        yield

    for generator in (g(), g()):
        with pytest.raises(KeyboardInterrupt):
            generator.throw(KeyboardInterrupt)
    g().close()
    assert ran == []


@pytest.mark.parametrize("how", ["closed", "dropped by the loop"])
def test_an_async_generator_that_is_not_finished(way, how):
    """`aclose()`, or the event loop's end, awaits the calls of an
    unfinished async generator (D2).
    """
    events = []

    async def later():
        await asyncio.sleep(0)
        events.append(type(sys.exception()))

    @way
    async def g():
        defer(later)
        yield

    kept = []

    async def main():
        generator = g()
        kept.append(generator)
        await anext(generator)
        if how == "closed":
            await generator.aclose()
            assert events == [GeneratorExit]

    asyncio.run(main())
    assert events == [GeneratorExit]


# Coroutines


def test_a_closed_coroutine(way):
    """`close()` of a coroutine runs the calls, each seeing the GeneratorExit (D2)."""
    seen = []

    @way
    async def f():
        defer(lambda: seen.append((type(sys.exception()), recover())))
        await pause()

    coroutine = f()
    coroutine.send(None)
    coroutine.close()
    assert seen == [(GeneratorExit, None)]


def test_a_deferred_call_that_waits_while_the_coroutine_is_closed(way):
    """A call that waits while the coroutine is closed fails like a hand-written `finally`:
    `close()` raises RuntimeError (D2).
    """
    ran = []

    async def waits():
        await pause()
        ran.append("waited")

    @way
    async def f():
        defer(ran.append, "deferred")
        defer(waits)
        await pause()

    async def by_hand():
        try:
            try:
                await pause()
            finally:
                await waits()
        finally:
            ran.append("deferred")

    logs = []
    for function in (f, by_hand):
        ran.clear()
        coroutine = function()
        coroutine.send(None)
        with pytest.raises(RuntimeError, match="coroutine ignored GeneratorExit"):
            coroutine.close()
        with pytest.raises(GeneratorExit):
            coroutine.send(None)
        logs.append(list(ran))
    assert logs[0] == logs[1] == ["waited", "deferred"]


def test_a_coroutine_that_waits_while_it_is_closed(way):
    """If the body waits instead of ending, `close()` raises RuntimeError, and the calls
    run at its real end (D2).
    """
    events = []

    @way
    async def f():
        defer(events.append, "deferred")
        try:
            await pause()
        finally:
            await pause()
            events.append("body")

    coroutine = f()
    coroutine.send(None)
    with pytest.raises(RuntimeError, match="coroutine ignored GeneratorExit"):
        coroutine.close()
    assert events == []
    with pytest.raises(GeneratorExit):
        coroutine.send(None)
    assert events == ["body", "deferred"]


def test_a_cancelled_task_stays_cancelled(way):
    """The calls of a cancelled task see the CancelledError, may await, do not recover it;
    the task is cancelled (P3).
    """
    seen = []

    async def later():
        await asyncio.sleep(0)
        seen.append((type(sys.exception()), recover()))

    @way
    async def f():
        defer(later)
        defer(lambda: seen.append(recover()))
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(f())
        await asyncio.sleep(0)
        task.cancel("reason")
        with pytest.raises(asyncio.CancelledError, match="reason"):
            await task
        return task.cancelled()

    assert asyncio.run(main())
    assert seen == [None, (asyncio.CancelledError, None)]


def test_a_cancelled_task_whose_clean_up_failed_and_recovered_stays_cancelled(way):
    """A failure of the clean-up that is recovered does not swallow the cancellation (P3)."""
    seen = []

    async def fails():
        await asyncio.sleep(0)
        raise OSError("while closing")

    @way
    async def f():
        defer(lambda: seen.append(recover()))
        defer(fails)
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(f())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert [str(e).partition("\n")[0] for e in seen] == ["while closing"]


def test_cancelled_while_a_deferred_call_waits(way):
    """A task cancelled while it awaits a deferred call runs the calls that remain,
    and is cancelled (D5, P3).
    """
    events = []

    async def waits():
        events.append("waiting")
        await asyncio.Event().wait()

    async def later(name):
        await asyncio.sleep(0)
        events.append((name, type(sys.exception())))

    @way
    async def f():
        defer(later, "last")
        defer(later, "next")
        defer(waits)
        return 7

    async def main():
        task = asyncio.create_task(f())
        await asyncio.sleep(0)
        assert events == ["waiting"]
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert events == ["waiting", ("next", asyncio.CancelledError), ("last", asyncio.CancelledError)]


def test_a_timeout(way):
    """`asyncio.timeout` around a decorated function, or inside one, works: the
    cancellation reaches it (P3).
    """
    ran = []

    async def waits():
        await asyncio.Event().wait()

    @way
    async def inner():
        defer(lambda: ran.append(recover()))
        await waits()

    @way
    async def outer():
        defer(ran.append, "outer")
        async with asyncio.timeout(0):
            await inner()

    with pytest.raises(TimeoutError):
        asyncio.run(outer())
    assert ran == [None, "outer"]


def test_recovering_the_cancellation(way):
    """`recover(CancelledError)` takes the cancellation: the task returns (P3, P4)."""
    seen = []

    @way
    async def f():
        okdefer(seen.append, "okdefer")
        defer(lambda: seen.append(type(recover(asyncio.CancelledError))))
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(f())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) is None
    assert seen == [asyncio.CancelledError, "okdefer"]


def test_a_task_group_cancels_its_other_tasks(way):
    """When one task of a group fails, the calls of the others run with the
    cancellation in flight (D2).
    """
    ran = []

    @way
    async def waits(name):
        defer(lambda: ran.append((name, type(sys.exception()))))
        await asyncio.Event().wait()

    @way
    async def fails():
        defer(ran.append, "fails")
        await asyncio.sleep(0)
        raise ValueError("task")

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(waits("a"))
            group.create_task(waits("b"))
            group.create_task(fails())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert [type(e) for e in caught.value.exceptions] == [ValueError]
    assert ran[0] == "fails"
    assert sorted(ran[1:]) == [("a", asyncio.CancelledError), ("b", asyncio.CancelledError)]


def test_an_exit_caught_in_the_body_is_no_exit(way):
    """An exit that the body itself handles changes nothing (D2, D10)."""
    ran = []

    @way
    def f():
        okdefer(ran.append, "okdefer")
        with contextlib.suppress(SystemExit):
            sys.exit()
        return 7

    assert f() == 7
    assert ran == ["okdefer"]
