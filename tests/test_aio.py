"""godefer.aio: clean-up that must finish, on each event loop of asyncio (X)."""

import asyncio
import contextvars
import math
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import godefer
from godefer.aio import shielded, shielded_for
from tests.helpers import CleanUp, chain, until
from tests.systems.conftest import backend, interruptible, run  # fixtures

# Every loop of asyncio
# =====================


@pytest.mark.parametrize("when", [0.02, 0.15], ids=["before the limit", "after it"])
@pytest.mark.parametrize("limited_by", ["shielded_for", "asyncio.timeout"])
def test_the_caller_waits_for_a_call_that_is_past_its_limit(run, when, limited_by):
    """A caller that is cancelled while the cancelled call cleans up waits for its end (X)."""
    events = []

    async def call():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0.15)
            events.append("the call has ended")

    async def limits_itself():
        async with asyncio.timeout(0.1):
            await call()

    async def caller():
        try:
            if limited_by == "shielded_for":
                await shielded_for(0.1, call)
            else:
                await shielded(limits_itself)
        except TimeoutError as error:
            events.append("the caller goes on")
            assert any(isinstance(link, asyncio.CancelledError) for link in chain(error))
            raise

    async def main():
        task = asyncio.create_task(caller())
        await asyncio.sleep(when)
        task.cancel()
        await asyncio.wait([task])
        assert isinstance(task.exception(), TimeoutError)

    run(main())
    assert events == ["the call has ended", "the caller goes on"]


@pytest.mark.parametrize("limit", [None, 60])
def test_result(run, limit):
    """The call gets its arguments and returns its result, for a function that is async, sync, or
    returns an awaitable (X).
    """
    shield = shielded if limit is None else lambda *a, **k: shielded_for(limit, *a, **k)

    async def add(a, b=0):
        await asyncio.sleep(0)
        return a + b

    class Later:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "later"

    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_result("set")
        return [
            await shield(add, 1, b=2),
            await shield(lambda a, b: a * b, 3, b=4),
            await shield(Later),
            await shield(lambda: future),
            await shield(asyncio.sleep, 0, "slept"),
        ]

    assert run(main()) == [3, 12, "later", "set", "slept"]


@pytest.mark.parametrize("times", [0, 1, 100])
@pytest.mark.parametrize("at_once", [False, True])
def test_cancelled_while_it_waits(run, events, times, at_once):
    """The call ends however often its task is cancelled; then the task is cancelled, with the count
    of all cancellations and the message of the first (X).
    """

    async def main():
        clean_up = CleanUp(events)
        task = asyncio.create_task(shielded(clean_up, "result"))
        await until(lambda: clean_up.begun)
        for n in range(times):
            assert task.cancel(f"message {n}")
            if not at_once:
                await asyncio.sleep(0.0001)
        assert not task.done() and events == []
        clean_up.go_on.set()
        if not times:
            return await task
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return task.cancelled(), task.cancelling(), caught.value.args

    assert run(main()) == ((True, times, ("message 0",)) if times else "result")
    assert events == ["finished"]


def test_cancelled_when_the_call_has_just_ended(run):
    """A cancellation between the end of the call and the next step of its task is delivered (X)."""

    async def main():
        async def clean_up():
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(task.cancel, "late")

        task = asyncio.create_task(shielded(clean_up))
        with pytest.raises(asyncio.CancelledError, match="late"):
            await task
        return task.cancelled(), task.cancelling()

    assert run(main()) == (True, 1)


def test_cancelled_by_the_call_itself(run, events):
    """A call that cancels the task of its caller goes on; a call that cancels its own task is
    interrupted (X).
    """

    async def main():
        async def cancels_the_caller():
            task.cancel("by the call")
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.sleep(0.001)
            events.append("goes on")

        async def cancels_itself():
            asyncio.current_task().cancel("myself")
            await asyncio.sleep(60)

        task = asyncio.create_task(shielded(cancels_the_caller))
        with pytest.raises(asyncio.CancelledError, match="by the call"):
            await task
        with pytest.raises(asyncio.CancelledError, match="myself"):
            await shielded(cancels_itself)
        return asyncio.current_task().cancelling()

    assert run(main()) == 0
    assert events == ["goes on"]


def test_cancelled_before_it_waits(run, events):
    """A cancellation that the task has not been told of when the call begins is
    delivered after the call (X).
    """

    async def main():
        async def work():
            asyncio.current_task().cancel("early")
            await shielded(clean_up)
            events.append("never")

        clean_up = CleanUp(events)
        task = asyncio.create_task(work())
        await until(lambda: clean_up.begun)
        clean_up.go_on.set()
        with pytest.raises(asyncio.CancelledError, match="early"):
            await task
        return task.cancelling()

    assert run(main()) == 1
    assert events == ["finished"]


@pytest.mark.parametrize("way_of_limit", ["timeout", "wait_for"])
def test_a_timeout_around_it(run, events, way_of_limit):
    """A timeout around the call raises its TimeoutError when the call has ended, and
    leaves no cancellation (X).
    """

    async def clean_up():
        await asyncio.sleep(0.03)
        events.append("finished")

    async def main():
        with pytest.raises(TimeoutError):
            if way_of_limit == "timeout":
                async with asyncio.timeout(0.002):
                    await shielded(clean_up)
            else:
                await asyncio.wait_for(shielded(clean_up), 0.002)
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    assert run(main()) == 0
    assert events == ["finished"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_timeout_in_the_call(run, events, cancelled):
    """The call's own timeouts work as without a shield, also if its task was cancelled before
    they expire (X).
    """

    async def close():
        begun.append(True)
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            events.append("aborted")
        try:
            await asyncio.wait_for(asyncio.sleep(60), 0.01)
        except TimeoutError:
            events.append("aborted again")
        return asyncio.current_task().cancelling()

    async def main():
        task = asyncio.create_task(shielded(close))
        await until(lambda: begun)
        if cancelled:
            task.cancel()
        await asyncio.wait([task])
        return task.cancelled() or task.result()

    begun = []
    assert run(main()) == (True if cancelled else 0)
    assert events == ["aborted", "aborted again"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_task_group_in_the_call(run, events, cancelled):
    """A task group in the call cancels only the call's body when one of its tasks fails (X)."""

    async def fails():
        await asyncio.sleep(0.002)
        raise LookupError("child")

    async def close():
        begun.append(True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await asyncio.sleep(60)
        except* LookupError as caught:
            events.append([str(error) for error in caught.exceptions])

    async def main():
        task = asyncio.create_task(shielded(close))
        await until(lambda: begun)
        if cancelled:
            task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    begun = []
    assert run(main()) is cancelled
    assert events == [["child"]]


def test_a_sibling_that_fails(run, events):
    """A task group with a failed task waits for the shielded calls of its other
    tasks, and of its body (X).
    """

    async def clean_up(name):
        await failed.wait()
        await asyncio.sleep(0.002)
        events.append(f"{name} finished")

    async def fails():
        await asyncio.sleep(0.002)
        failed.set()
        raise LookupError("sibling")

    failed = asyncio.Event()

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(shielded(clean_up, "sibling"))
                group.create_task(fails())
                await shielded(clean_up, "body")
                events.append("never")
        await asyncio.sleep(0)
        return [repr(e) for e in caught.value.exceptions], asyncio.current_task().cancelling()

    assert run(main()) == (["LookupError('sibling')"], 0)
    assert sorted(events) == ["body finished", "sibling finished"]


@pytest.mark.parametrize("limit", [None, 60])
def test_the_end_of_the_loop(run, events, limit):
    """`asyncio.run` cancels every task when its main function ends, and their
    shielded calls finish first (X).
    """

    async def clean_up():
        begun.append(True)
        await until(lambda: events)
        events.append("finished")

    async def main():
        kept.append(
            asyncio.create_task(
                shielded(clean_up) if limit is None else shielded_for(limit, clean_up)
            )
        )
        await until(lambda: begun)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # as other runners do
        events.append("main exits")

    begun, kept = [], []
    run(main())
    assert events == ["main exits", "finished"]
    assert kept[0].cancelled()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c(run, events, times):
    """Ctrl-C cancels the main task, and its shielded call finishes; so it does when a second Ctrl-C
    raises KeyboardInterrupt in the loop (X).
    """

    async def clean_up():
        loop = asyncio.get_running_loop()
        for n in range(times):
            loop.call_later(0.002 * (n + 1), signal.raise_signal, signal.SIGINT)
        await asyncio.sleep(0.05)
        events.append("finished")

    async def main():
        await shielded(clean_up)
        events.append("never")

    with pytest.raises(KeyboardInterrupt):
        run(main())
    assert events == ["finished"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_call_ends_the_program(run, events, error):
    """KeyboardInterrupt and SystemExit from the call leave the loop once, as from a
    task: other tasks can end (X).
    """

    async def clean_up():
        await asyncio.sleep(0.001)
        raise error("the call")

    async def other():
        await asyncio.sleep(0.02)
        events.append("other exits")

    async def main():
        kept.append(asyncio.create_task(shielded(other)))
        await asyncio.sleep(0)
        try:
            await shielded(clean_up)
        finally:
            events.append("main exits")

    kept = []
    with pytest.raises(error, match="the call"):
        run(main())
    assert events == ["main exits", "other exits"]


def test_no_further_task_is_seen(run):
    """`asyncio.all_tasks()` shows the waiting task, and no task of godefer's (X)."""

    async def main():
        async def look():
            await asyncio.sleep(0)
            return asyncio.all_tasks()

        return await shielded(look) == {asyncio.current_task()}

    assert run(main())


def test_context_variables(run):
    """The call shares its caller's context: it can reset the caller's tokens, and
    its changes are seen (X).
    """
    variable = contextvars.ContextVar("variable", default="default")

    async def main():
        async def change(token):
            seen = variable.get()
            await asyncio.sleep(0)
            variable.reset(token)
            other.set("set in the call")
            return seen

        other = contextvars.ContextVar("other")
        seen = await shielded(change, variable.set("set by the caller"))
        return seen, variable.get(), other.get()

    assert run(main()) == ("set by the caller", "default", "set in the call")


def test_exception_in_flight(run):
    """The call sees the caller's handled exception, and leaves its traceback and
    context as they are (X, D10).
    """

    async def look():
        first = sys.exception()
        await asyncio.sleep(0)
        return first, sys.exception()

    async def main():
        try:
            try:
                raise KeyError
            finally:
                raise LookupError
        except LookupError as error:
            before = error.__traceback__, error.__context__
            seen = await shielded(look)
            assert await shielded(sys.exception) is error
            return seen == (error, error), (error.__traceback__, error.__context__) == before

    assert run(main()) == (True, True)


@pytest.mark.parametrize("handling", [False, True])
@pytest.mark.parametrize("own_context", [False, True])
def test_chains_of_a_call_that_fails(run, handling, own_context):
    """An exception of the call has the same chain as without a shield; its traceback
    leads to the call (X, D5).
    """

    async def fails():
        await asyncio.sleep(0)
        try:
            if own_context:
                raise KeyError("own")
        finally:
            raise LookupError("call")

    async def main(call):
        try:
            try:
                if handling:
                    raise ValueError("handled")
            finally:
                await call()
        except LookupError as error:
            names = []
            tb = error.__traceback__
            while tb is not None:
                names.append((tb.tb_frame.f_code.co_name, tb.tb_frame.f_code.co_filename))
                tb = tb.tb_next
            folder = str(Path(godefer.__file__).parent)
            ours = [name for name, file in names if file.startswith(folder)]
            assert ours in ([], ["shielded", "to_the_end"])
            return [repr(e) for e in chain(error)], [
                name for name, file in names if not file.startswith(folder)
            ]

    shielded_chain = run(main(lambda: shielded(fails)))
    if sys.implementation.name == "cpython":
        assert shielded_chain == run(main(fails))
    else:  # asyncio assigns a context of None there, which PyPy then keeps
        assert shielded_chain[1] == run(main(fails))[1]


@pytest.mark.parametrize("own_context", [False, True])
def test_a_call_that_fails_in_a_cancelled_task(run, events, own_context):
    """The error of the call is raised; in its chain the cancellation that came during the call
    follows the error's own contexts (X, D5).
    """

    async def main():
        clean_up = CleanUp(events)
        error = LookupError("call")

        async def fails():
            try:
                if own_context:
                    raise KeyError("own")
            finally:
                await clean_up(error=error)

        async def work():
            try:
                raise ValueError("handled")
            finally:
                await shielded(fails)

        task = asyncio.create_task(work())
        await until(lambda: clean_up.begun)
        task.cancel("enough")
        clean_up.go_on.set()
        await asyncio.wait([task])
        assert task.exception() is error
        return [repr(e) for e in chain(error)], task.cancelling()

    links, cancelling = run(main())
    own = ["KeyError('own')"] if own_context else []
    assert cancelling == 1
    assert links == [
        "LookupError('call')",
        *own,
        "CancelledError('enough')",
        "ValueError('handled')",
    ]


def test_a_shield_in_a_shield(run, events):
    """A shielded call may make shielded calls: only the outermost task is cancelled (X)."""

    async def main():
        clean_up = CleanUp(events)

        async def outer():
            await shielded(clean_up)
            events.append("outer goes on")
            await asyncio.sleep(0)
            events.append("outer finished")

        task = asyncio.create_task(shielded(outer))
        await until(lambda: clean_up.begun)
        task.cancel()
        await asyncio.sleep(0.001)
        clean_up.go_on.set()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main())
    assert events == ["finished", "outer goes on", "outer finished"]


def test_time_limit(run, events):
    """After its seconds the call is cancelled, and a TimeoutError names the call; the call's own
    TimeoutError is left alone (X).
    """

    async def hangs():
        try:
            await asyncio.sleep(60)
        finally:
            events.append("cancelled")

    async def own():
        raise TimeoutError("of the call")

    async def main():
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=r"hangs did not end within 0.01 seconds and was"):
            await shielded_for(0.01, hangs)
        with pytest.raises(TimeoutError, match="^of the call$"):
            await shielded_for(60, own)
        with pytest.raises(TimeoutError, match="within -1 seconds"):
            await shielded_for(-1, hangs)
        assert await shielded_for(math.inf, asyncio.sleep, 0, "result") == "result"
        assert time.monotonic() - started < 10
        return asyncio.current_task().cancelling()

    assert run(main()) == 0
    assert events == ["cancelled", "cancelled"]


def test_time_limit_in_a_cancelled_task(run, events):
    """If the task was cancelled during the call, the cancellation is in the chain of the
    TimeoutError (X).
    """

    async def main():
        clean_up = CleanUp(events)
        task = asyncio.create_task(shielded_for(0.1, clean_up))
        await until(lambda: clean_up.begun)
        for _ in range(100):
            task.cancel("enough")
        await asyncio.wait([task])
        assert isinstance(task.exception(), TimeoutError)
        return "CancelledError('enough')" in [
            repr(e) for e in chain(task.exception())
        ], task.cancelling()

    assert run(main()) == (True, 100)
    assert events == ["interrupted"]


# CPU time
# ========


def core(used, seconds):
    """Return *used* CPU time as a share of one core."""
    return used / seconds


def test_cpu_time_on_asyncio(run):
    """Waiting in a cancelled task takes less than 5 % of a core, even after a
    hundred cancellations (X).
    """

    async def main():
        task = asyncio.create_task(shielded(asyncio.sleep, 0.5))
        await asyncio.sleep(0.01)
        for _ in range(100):
            task.cancel()
        started = time.monotonic(), time.process_time()
        await asyncio.wait([task])
        return time.process_time() - started[1], time.monotonic() - started[0]

    used, seconds = run(main())
    assert seconds > 0.4
    assert core(used, seconds) < 0.05


def test_cpu_time_under_anyio(backend):
    """Waiting in a cancelled scope of anyio's takes less than 5 % of a core (X)."""
    import anyio

    async def main():
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(shielded, anyio.sleep, 0.5)
                await anyio.sleep(0.01)
                scope.cancel()
                started = time.monotonic(), time.process_time()
                await shielded(anyio.sleep, 0.5)
        return time.process_time() - started[1], time.monotonic() - started[0]

    used, seconds = backend(main)
    assert seconds > 0.4
    assert core(used, seconds) < 0.05


# Imports
# =======


def imported(code):
    """Return the relevant modules that a program has imported at its end."""
    script = textwrap.dedent(code) + textwrap.dedent("""
        import sys
        relevant = {"asyncio", "trio", "anyio", "sniffio", "typing", "godefer.aio"}
        print(*sorted(sys.modules.keys() & relevant))
    """)
    path = str(Path(godefer.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {[path, *sys.path]!r}\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_imports_nothing_that_the_program_has_not():
    """Neither importing nor using the module imports an event loop, anyio or typing;
    godefer does not import it (X).
    """
    assert imported("import godefer") == []
    by_hand = """
        from godefer.aio import shielded, shielded_for
        async def f():
            return 1
        for coroutine in (shielded(f), shielded(int), shielded_for(1, f)):
            try:
                coroutine.send(None)
            except StopIteration:
                pass
    """
    assert imported(by_hand) == ["godefer.aio"]
    on_asyncio = """
        import asyncio
        before = set(sys.modules)
        from godefer.aio import shielded
        asyncio.run(shielded(asyncio.sleep, 0))
        new = set(sys.modules) - before
        assert not [name for name in new if "godefer" not in name and name[0] != "_"]
    """
    assert [name for name in imported(on_asyncio) if name != "typing"] == ["asyncio", "godefer.aio"]


def test_imports_nothing_on_trio():
    """On trio, using the module imports neither asyncio nor anyio (X)."""
    pytest.importorskip("trio", reason="trio is not installed (the extra 'systems' has it)")
    code = """
        import trio
        before = set(sys.modules)
        from godefer.aio import shielded
        trio.run(shielded, trio.sleep, 0)
        new = [name for name in set(sys.modules) - before if not name.startswith("godefer")]
        assert not [name for name in new if name in ("asyncio", "anyio")], new
    """
    assert "godefer.aio" in imported(code)
