"""The pool of `_defer` nodes: bounded, clean, safe in threads and against re-entry (R2, R5)."""

import asyncio
import contextlib
import gc
import random
import sys
import threading
import weakref

import pytest

from godefer import defer, errdefer, okdefer, recover, using
from godefer._runtime import record

# Only the runtime way has nodes; an open-coded function has none (R1).
runtime_way = pytest.mark.parametrize("way", ["runtime"], indirect=True)


@pytest.fixture
def pool():
    """Empty the pool, and return it."""
    record.pool.clear()
    return record.pool


def held(node):
    """Return the values of a node, except None, the empty tuple and plain numbers."""
    values = (getattr(node, name) for name in record._defer.__slots__)
    return [
        value for value in values if value is not None and value != () and type(value) is not int
    ]


def check(pool):
    """Check that the pool is within its bound, and its nodes are distinct and empty."""
    nodes = list(pool)
    assert len(nodes) <= record.POOL_SIZE
    assert len({id(node) for node in nodes}) == len(nodes)
    assert [held(node) for node in nodes] == [[] for _ in nodes]
    assert {node.when for node in nodes} <= {record.ALWAYS}


@runtime_way
def test_reuse(way, pool, events):
    """The next deferred call reuses a node that went back to the pool (R2)."""

    @way
    def f():
        defer(events.append, len(pool))

    f()
    nodes = list(pool)
    f()
    assert list(pool) == nodes
    assert events == [0, len(nodes)]


@runtime_way
def test_an_empty_pool_is_filled_with_a_batch(way, pool, events):
    """An empty pool is filled with a batch of fresh nodes, within its bound (R5; Go's newdefer)."""

    @way
    def f(n):
        for i in range(n):
            defer(events.append, i)

    f(1)
    assert len(pool) == record.BATCH + 1
    check(pool)
    f(record.BATCH + 1)
    assert len(pool) == record.BATCH + 1
    f(record.BATCH + 2)
    assert len(pool) == 2 * (record.BATCH + 1)
    check(pool)


@runtime_way
def test_in_use_while_the_call_runs(way, pool, events):
    """A node is in use while its call runs: deferring there takes another node (R5)."""

    @way
    def f():
        defer(lambda: events.append(len(pool)))
        defer(str)

    f()
    assert events == [len(pool) - 1]


@runtime_way
def test_bounded(way, pool, events):
    """The pool stays within its bound, however many calls are pending (R5)."""

    @way
    def f(n):
        for i in range(n):
            defer(events.append, i)

    n = 3 * record.POOL_SIZE
    f(n)
    assert events == list(reversed(range(n)))
    assert len(pool) == record.POOL_SIZE == pool.maxlen
    check(pool)


class Argument:
    """An object that can be referenced weakly."""

    def close(self, *args, **kwargs):
        pass


def exit_by_return(way, argument):
    @way
    def f():
        defer(argument.close, argument, key=argument)
        okdefer(argument.close, argument, key=argument)
        errdefer(argument.close, argument, key=argument)

    f()


def exit_by_exception(way, argument):
    @way
    def f():
        defer(argument.close, argument, key=argument)
        okdefer(argument.close, argument, key=argument)
        errdefer(argument.close, argument, key=argument)
        raise KeyError(argument)

    with contextlib.suppress(KeyError):
        f()


def exit_by_a_deferred_call(way, argument):
    def bad(*args, **kwargs):
        raise KeyError(args)

    @way
    def f():
        defer(bad, argument, key=argument)
        defer(argument.close, argument)
        defer(bad, argument)

    with contextlib.suppress(KeyError):
        f()


def exit_by_recovery(way, argument):
    def rescue(*args):
        recover()

    @way
    def f():
        defer(argument.close, argument)
        defer(rescue, argument)
        errdefer(argument.close, argument)
        raise KeyError(argument)

    f()


def exit_by_interrupt(way, argument):
    @way
    def f():
        defer(argument.close, argument)
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        f()


def exit_of_context_managers(way, argument):
    @contextlib.contextmanager
    def manager(thing):
        yield thing

    @way
    def f():
        using(manager(argument))
        using(contextlib.suppress(KeyError))
        raise KeyError(argument)

    f()


def exit_by_close(way, argument):
    @way
    def gen():
        defer(argument.close, argument)
        yield

    g = gen()
    next(g)
    g.close()


def exit_by_cancellation(way, argument):
    async def cleanup(thing):
        await asyncio.sleep(0)

    @way
    async def work():
        defer(cleanup, argument)
        errdefer(cleanup, argument)
        okdefer(cleanup, argument)
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())


EXITS = [
    exit_by_return,
    exit_by_exception,
    exit_by_a_deferred_call,
    exit_by_recovery,
    exit_by_interrupt,
    exit_of_context_managers,
    exit_by_close,
    exit_by_cancellation,
]


@runtime_way
@pytest.mark.parametrize("leave", EXITS)
def test_clean(way, pool, leave):
    """After any exit each node is back and empty, and its values are freed (R2, R5, D9)."""
    argument = Argument()
    alive = weakref.ref(argument)
    leave(way, argument)
    assert len(pool) == record.BATCH + 1
    check(pool)
    del argument
    gc.collect()
    assert alive() is None


@runtime_way
def test_a_deferred_call_that_defers(way, pool, events):
    """Deferred calls may have deferred calls of their own, to any depth (R5)."""

    @way
    def inner(n):
        defer(events.append, f"inner {n}")
        defer(events.append, f"inner {n} first")
        if n:
            defer(inner, n - 1)

    @way
    def outer():
        defer(events.append, "outer")
        defer(inner, 2)
        defer(events.append, "outer first")

    for _ in range(3):
        outer()
        assert events == [
            "outer first",
            "inner 0 first",
            "inner 0",
            "inner 1 first",
            "inner 1",
            "inner 2 first",
            "inner 2",
            "outer",
        ]
        events.clear()
        check(pool)


class Deferring:
    """An object with a `__del__` that calls a decorated function, which uses the pool."""

    def __init__(self, fn, name):
        self.fn, self.name = fn, name

    def __call__(self, *args, **kwargs):
        pass

    def __del__(self):
        self.fn(self.name)


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy runs a `__del__` when it collects, not at once"
)
@runtime_way
@pytest.mark.parametrize("fails", [False, True])
def test_del_while_a_node_is_freed(way, pool, events, fails):
    """Freeing a node may run a `__del__` that defers with other nodes (R5).

    No call is lost or runs twice.
    """

    @way
    def finalizer(name):
        defer(events.append, (name, "exits"))
        defer(events.append, (name, "first"))
        events.append((name, "body"))

    @way
    def f():
        defer(events.append, "f exits")
        defer(Deferring(finalizer, "callee"))
        defer(str.format, "", Deferring(finalizer, "argument"))
        defer(str.format, "", key=Deferring(finalizer, "keyword"))
        okdefer(Deferring(finalizer, "okdefer")) if fails else errdefer(
            Deferring(finalizer, "errdefer")
        )
        defer(events.append, "f first")
        if fails:
            raise KeyError

    names = ["okdefer" if fails else "errdefer", "keyword", "argument", "callee"]
    finalized = [(name, step) for name in names for step in ("body", "first", "exits")]
    for _ in range(3):
        if fails:
            with pytest.raises(KeyError):
                f()
        else:
            f()
        assert events == ["f first", *finalized, "f exits"]
        events.clear()
        check(pool)


@runtime_way
def test_del_while_a_failing_call_s_node_is_freed(way, pool, events):
    """A failed call's node is freed as any other, with a `__del__` that defers (R5, D5)."""

    class Failing(Deferring):
        def __call__(self):
            raise KeyError(self.name)

    @way
    def finalizer(name):
        defer(events.append, (name, "exits"))
        events.append((name, "body"))

    @way
    def f():
        defer(events.append, "f exits")
        defer(Failing(finalizer, "second"))
        defer(Failing(finalizer, "first"))

    with pytest.raises(KeyError, match="second") as caught:
        f()
    assert [e for e in events if e == "f exits"] == ["f exits"]
    # The tracebacks keep the callees.
    caught.value.__context__.__traceback__ = None
    caught.value.__traceback__ = None
    del caught
    gc.collect()
    for name in ("first", "second"):
        assert [step for who, step in (e for e in events if e != "f exits") if who == name] == [
            "body",
            "exits",
        ]
    check(pool)


KINDS = ["defer", "leaf", "errdefer", "okdefer", "bad", "rescue"]


def expected(kinds):
    """Return the expected events of an exit with these calls, and whether it fails."""
    events, failing = [], False
    for i, kind in reversed(list(enumerate(kinds))):
        if kind == ("okdefer" if failing else "errdefer"):
            continue
        events.append((kind, i))
        failing = kind == "bad" or (failing and kind != "rescue")
    return events, failing


@runtime_way
def test_eight_threads(way, pool):
    """Eight threads that defer, fail, recover and nest at once mix up no calls (R5, D4)."""
    wrong = []
    start = threading.Barrier(8, timeout=60)

    def bad(events, i):
        events.append(("bad", i))
        raise LookupError(i)

    def rescue(events, i):
        events.append(("rescue", i))
        recover()

    @way
    def leaf(events, i):
        defer(events.append, ("leaf", i))

    @way
    def work(events, kinds):
        for i, kind in enumerate(kinds):
            if kind == "defer":
                defer(events.append, (kind, i))
            elif kind == "leaf":
                defer(leaf, events, i=i)
            elif kind == "errdefer":
                errdefer(events.append, (kind, i))
            elif kind == "okdefer":
                okdefer(events.append, (kind, i))
            elif kind == "bad":
                defer(bad, events, i)
            else:
                defer(rescue, events, i)

    def hammer(thread):
        choose = random.Random(thread)
        start.wait()
        for _ in range(2000):
            kinds = choose.choices(KINDS, k=choose.randrange(30))
            events, failed = [], False
            try:
                work(events, kinds)
            except LookupError:
                failed = True
            if (events, failed) != expected(kinds):
                wrong.append((kinds, events, failed))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=hammer, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
    assert len(pool) >= 1
    check(pool)


@runtime_way
def test_eight_threads_at_the_bound(way, pool):
    """Threads that return more nodes than fit leave the pool at its bound (R5)."""
    start = threading.Barrier(8, timeout=60)

    @way
    def f(n):
        for _ in range(n):
            defer(str)
        start.wait()

    threads = [threading.Thread(target=f, args=(record.POOL_SIZE // 2,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pool) == record.POOL_SIZE
    check(pool)


@runtime_way
def test_a_node_with_a_panic_on_it(way, pool, events):
    """A pooled node with a panic on it is an internal error, and loses no deferred call (R2)."""

    @way
    def f():
        defer(events.append, "deferred before")
        defer(events.append, "deferred now")

    node = record._defer()
    node.panic = KeyError()
    pool.append(node)
    pool.append(record._defer())
    with pytest.raises(SystemError, match="internal error.*panic"):
        f()
    assert events == ["deferred before"]
    events.clear()
    f()
    assert events == ["deferred now", "deferred before"]
    check(pool)
