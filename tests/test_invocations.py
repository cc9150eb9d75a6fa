"""Each invocation has its own deferred calls, whatever runs in between (D4)."""

import asyncio
import contextvars
import gc
import sys
import threading

import pytest
from greenlet import GreenletExit, getcurrent, greenlet

from godefer import DeferError, defer, errdefer


def helper():
    defer(print, "never")


def test_recursion(way):
    """Every level of a recursion runs its own deferred calls, at its own exit (D4)."""
    events = []

    @way
    def down(n):
        defer(events.append, ("exit", n))
        if n:
            down(n - 1)
        events.append(("body", n))
        return n

    assert down(2) == 2
    assert events == [("body", 0), ("exit", 0), ("body", 1), ("exit", 1), ("body", 2), ("exit", 2)]


def test_recursion_that_fails(way):
    """An exception that passes through a recursion runs the deferred
    calls level by level (D4, D2).
    """
    events = []

    @way
    def down(n):
        defer(events.append, n)
        if n == 0:
            raise KeyError(n)
        down(n - 1)

    with pytest.raises(KeyError):
        down(3)
    assert events == [0, 1, 2, 3]


def test_recursion_through_a_deferred_call(way):
    """A function may be its own deferred call: the inner invocation has its own defers (D4)."""
    events = []

    @way
    def down(n):
        defer(events.append, ("last", n))
        if n:
            defer(down, n - 1)
        defer(events.append, ("first", n))

    down(2)
    assert events == [
        ("first", 2),
        ("first", 1),
        ("first", 0),
        ("last", 0),
        ("last", 1),
        ("last", 2),
    ]


def test_two_functions_that_call_each_other(way):
    """Two decorated functions up the stack of each other keep their deferred calls apart (D4)."""
    events = []

    @way
    def even(n):
        defer(events.append, f"even {n}")
        return True if n == 0 else odd(n - 1)

    @way
    def odd(n):
        defer(events.append, f"odd {n}")
        return False if n == 0 else even(n - 1)

    assert even(3) is False
    assert events == ["odd 0", "even 1", "odd 2", "even 3"]


def test_three_generators_of_one_function_interleaved(way):
    """Three suspended generators of one decorated function have a list each, and run
    it at their own end (D4).
    """
    events = []

    @way
    def gen(name):
        defer(events.append, f"{name} deferred first")
        yield 1
        defer(events.append, f"{name} deferred second")
        yield 2
        events.append(f"{name} ends")

    a, b, c = gen("a"), gen("b"), gen("c")
    assert [next(a), next(b), next(a), next(c), next(b), next(c)] == [1, 1, 2, 1, 2, 2]
    assert events == []

    b.close()
    assert events == ["b deferred second", "b deferred first"]
    events.clear()

    assert next(a, "over") == "over"
    assert events == ["a ends", "a deferred second", "a deferred first"]
    events.clear()

    with pytest.raises(KeyError):
        c.throw(KeyError("thrown"))
    assert events == ["c deferred second", "c deferred first"]


def test_generators_that_outlive_the_function_that_started_them(way):
    """A generator handed out by a decorated function has no part in that function's exit (D4)."""
    events = []

    @way
    def gen():
        defer(events.append, "gen exits")
        yield 1
        defer(events.append, "gen exits, deferred late")
        yield 2

    @way
    def start():
        defer(events.append, "start exits")
        started = gen()
        next(started)
        return started

    @way
    def resume(started):
        defer(events.append, "resume exits")
        next(started)

    g = start()
    resume(g)
    assert events == ["start exits", "resume exits"]
    assert list(g) == []
    assert events == ["start exits", "resume exits", "gen exits, deferred late", "gen exits"]


def test_a_generator_moves_to_another_thread(way):
    """A suspended generator takes its deferred calls along to the thread that resumes it (D4)."""
    events = []

    @way
    def gen():
        defer(events.append, "first")
        yield
        defer(lambda: events.append(threading.current_thread().name))
        yield

    g = gen()
    next(g)

    def elsewhere():
        next(g)
        g.close()

    thread = threading.Thread(target=elsewhere, name="elsewhere")
    thread.start()
    thread.join()
    assert events == ["elsewhere", "first"]


def test_two_tasks_of_one_function_interleaved_at_every_await(way):
    """Two tasks of one coroutine function that switch at every await keep their
    deferred calls apart (D4).
    """
    events = []

    async def cleanup(name, n):
        events.append((name, n, "begins"))
        await asyncio.sleep(0)
        events.append((name, n, "ends"))

    @way
    async def work(name):
        for n in range(2):
            defer(cleanup, name, n)
            events.append((name, n))
            await asyncio.sleep(0)
        return name

    async def main():
        return await asyncio.gather(work("a"), work("b"))

    assert asyncio.run(main()) == ["a", "b"]
    assert events == [
        ("a", 0),
        ("b", 0),
        ("a", 1),
        ("b", 1),
        ("a", 1, "begins"),
        ("b", 1, "begins"),
        ("a", 1, "ends"),
        ("a", 0, "begins"),
        ("b", 1, "ends"),
        ("b", 0, "begins"),
        ("a", 0, "ends"),
        ("b", 0, "ends"),
    ]


def test_a_task_that_ends_leaves_the_others_alone(way):
    """Of three tasks of one function, one returns, one fails and one is cancelled: each
    runs its own calls then (D4).
    """
    events = []

    @way
    async def work(name, until):
        defer(events.append, f"{name} exits")
        errdefer(events.append, f"{name} fails")
        await until.wait()
        if name == "b":
            raise KeyError(name)

    async def main():
        until = {name: asyncio.Event() for name in "abc"}
        tasks = {name: asyncio.create_task(work(name, until[name])) for name in "abc"}
        await asyncio.sleep(0)
        until["b"].set()
        with pytest.raises(KeyError):
            await tasks["b"]
        assert events == ["b fails", "b exits"]
        tasks["c"].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks["c"]
        assert events[2:] == ["c fails", "c exits"]
        until["a"].set()
        await tasks["a"]
        assert events[4:] == ["a exits"]

    asyncio.run(main())


def test_a_thread_started_inside(way):
    """A thread started in a decorated function runs its own function's defers, at
    that function's exit (D4).
    """
    events = []
    release = threading.Event()

    @way
    def in_thread():
        defer(events.append, "thread exits")
        release.wait(10)

    @way
    def start():
        defer(events.append, "start exits")
        thread = threading.Thread(target=in_thread)
        thread.start()
        return thread

    thread = start()
    assert events == ["start exits"]
    release.set()
    thread.join()
    assert events == ["start exits", "thread exits"]


def test_two_threads_in_the_middle_of_one_function(way):
    """Two threads in the middle of one decorated function each defer on their
    own invocation only (D4).
    """
    events = {"a": [], "b": []}
    meet = threading.Barrier(2, timeout=10)

    @way
    def work(name):
        for n in range(3):
            defer(events[name].append, n)
            meet.wait()
        defer(meet.wait)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert events == {"a": [2, 1, 0], "b": [2, 1, 0]}


def test_a_task_started_inside(way):
    """A task started in a decorated coroutine function has its own defers, and may
    outlive the function (D4).
    """
    events = []

    @way
    async def child(release):
        defer(events.append, "child exits")
        await release.wait()

    @way
    async def parent(release):
        defer(events.append, "parent exits")
        task = asyncio.create_task(child(release))
        await asyncio.sleep(0)
        return task

    async def main():
        release = asyncio.Event()
        task = await parent(release)
        assert events == ["parent exits"]
        release.set()
        await task

    asyncio.run(main())
    assert events == ["parent exits", "child exits"]


def run_in_thread(fn):
    outcome = []

    def target():
        try:
            fn()
        except DeferError as e:
            outcome.append(e)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    raise outcome.pop()


def run_in_task(fn):
    async def task():
        fn()

    asyncio.run(task())


def run_in_context(fn):
    contextvars.copy_context().run(fn)


def run_in_greenlet(fn):
    greenlet(fn).switch()


@pytest.mark.parametrize("run", [run_in_thread, run_in_task, run_in_context, run_in_greenlet])
def test_no_current_frame_for_a_helper_started_inside(way, run):
    """A thread, task, context or greenlet inherits no defers: in a plain function there,
    `defer` is an error (D4, D3).
    """
    events = []

    @way
    def outer():
        defer(events.append, "outer exits")
        run(helper)

    with pytest.raises(DeferError, match="helper"):
        outer()
    assert events == ["outer exits"]


def test_two_greenlets_of_one_function_interleaved(way):
    """Greenlets that switch in the middle of one decorated function have a list of
    deferred calls each (D4).
    """
    events = []

    @way
    def work(name):
        for n in range(2):
            defer(events.append, (name, n))
            getcurrent().parent.switch(n)
        return name

    a, b = greenlet(work), greenlet(work)
    assert [a.switch("a"), b.switch("b"), a.switch(), b.switch()] == [0, 0, 1, 1]
    assert events == []
    assert b.switch() == "b"
    assert events == [("b", 1), ("b", 0)]
    assert a.switch() == "a"
    assert events == [("b", 1), ("b", 0), ("a", 1), ("a", 0)]


def test_greenlets_that_switch_in_their_deferred_calls(way):
    """A greenlet may be suspended in the middle of a deferred call while
    another runs its own (D4).
    """
    events = []

    def pausing(name):
        events.append(f"{name} pauses")
        getcurrent().parent.switch()
        events.append(f"{name} goes on")

    @way
    def work(name):
        defer(events.append, f"{name} over")
        defer(pausing, name)

    a, b = greenlet(work), greenlet(work)
    a.switch("a")
    b.switch("b")
    a.switch()
    b.switch()
    assert events == ["a pauses", "b pauses", "a goes on", "a over", "b goes on", "b over"]


def test_a_greenlet_that_is_dropped(way):
    """A greenlet dropped half-way is killed by GreenletExit, and its deferred calls run;
    PyPy kills none (D4, D2).
    """
    events = []

    @way
    def work():
        defer(events.append, "exits")
        errdefer(events.append, "fails")
        try:
            getcurrent().parent.switch()
        except GreenletExit:
            events.append("killed")
            raise

    g = greenlet(work)
    g.switch()
    assert events == []
    del g
    gc.collect()
    assert events == (["killed", "fails", "exits"] if sys.implementation.name == "cpython" else [])


def test_async_generators_interleaved(way):
    """Two suspended async generators of one decorated function have a list of
    deferred calls each (D4).
    """
    events = []

    async def cleanup(name):
        await asyncio.sleep(0)
        events.append(name)

    @way
    async def agen(name):
        defer(cleanup, f"{name} 1")
        yield 1
        await asyncio.sleep(0)
        defer(cleanup, f"{name} 2")
        yield 2

    async def main():
        a, b = agen("a"), agen("b")
        got = [await anext(a), await anext(b), await anext(a), await anext(b)]
        assert events == []
        await b.aclose()
        assert events == ["b 2", "b 1"]
        assert [item async for item in a] == []
        return got

    assert asyncio.run(main()) == [1, 1, 2, 2]
    assert events == ["b 2", "b 1", "a 2", "a 1"]


def test_async_generators_in_two_tasks(way):
    """Async generators of one function, driven by two tasks at once, keep their
    deferred calls apart (D4).
    """
    events = []

    @way
    async def agen(name):
        for n in range(3):
            defer(events.append, (name, n))
            await asyncio.sleep(0)
            yield n

    async def drain(name):
        return [n async for n in agen(name)]

    async def main():
        return await asyncio.gather(drain("a"), drain("b"))

    assert asyncio.run(main()) == [[0, 1, 2], [0, 1, 2]]
    assert [event for event in events if event[0] == "a"] == [("a", 2), ("a", 1), ("a", 0)]
    assert [event for event in events if event[0] == "b"] == [("b", 2), ("b", 1), ("b", 0)]


def test_decorating_one_function_again_for_each_call(way):
    """A nested function decorated at every call of its parent defers on the current invocation
    (D4).
    """
    events = []

    def parent(n):
        @way
        def child():
            defer(events.append, ("exit", n))
            if n:
                parent(n - 1)
            events.append(("body", n))

        child()

    parent(2)
    assert events == [("body", 0), ("exit", 0), ("body", 1), ("exit", 1), ("body", 2), ("exit", 2)]
