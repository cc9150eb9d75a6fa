"""Load: many threads, tasks and failures lose no call, and memory stays flat (D4, D5, D9, R5).

GODEFER_FULL_LOAD=1 in the environment asks for the full numbers; the default is smaller. ``python
-m tests.soak`` runs longer and prints figures.
"""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from godefer import defer, errdefer
from godefer._runtime import record
from godefer._runtime.invocation import live
from tests import jobs, soak

FULL = os.environ.get("GODEFER_FULL_LOAD") == "1"
THREADS, CALLS = 8, 100_000 if FULL else 10_000
TASKS = 10_000
FAILURES = 100_000 if FULL else 4000
SOAK_SECONDS = 2.5  # for each way


def in_threads(target):
    """Run *target* in threads that start together; raise the first exception of any of them."""
    start = threading.Barrier(THREADS, timeout=60)
    failures = []

    def run():
        try:
            start.wait()
            target()
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


@pytest.fixture
def quick_switches():
    """Let the interpreter switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads(way):
    """Each deferred call of eight busy threads runs once, in its own thread (D4, R5)."""
    ran = {}

    def count(thread):
        ran[thread] = ran.get(thread, 0) + 1

    @way
    def f(thread, calls):
        defer(calls.append, 1)
        errdefer(calls.append, 2)
        defer(count, thread)

    def many():
        thread, calls = threading.get_ident(), []
        for _ in range(CALLS):
            f(thread, calls)
            if calls.pop() != 1 or calls:
                raise AssertionError(calls)

    in_threads(many)
    # A later thread may reuse an ident, so there may be fewer idents than threads.
    assert sum(ran.values()) == THREADS * CALLS
    assert len(record.pool) <= record.POOL_SIZE
    assert live == {}


def test_threads_that_exit_in_every_way(way, quick_switches, monkeypatch):
    """Eight threads that exit in every way, switched often, do not mix up calls (D4, D5, R5)."""
    # Set for the whole test: one of the jobs decorates a function each time, and all threads share
    # the environment.
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1" if way.name == "open-coded" else "0")
    made = jobs.threaded(soak.made_to_run(way.name))
    rounds = CALLS // 10 // len(made)

    def many():
        for _ in range(rounds):
            wrong = [job.__name__ for job in made if not job()]
            assert wrong == []

    in_threads(many)
    assert len(record.pool) <= record.POOL_SIZE
    assert len({id(node) for node in record.pool}) == len(record.pool)
    assert live == {}


def test_ten_thousand_tasks(way):
    """Ten thousand tasks wait in one function at once; each runs its own calls (D4)."""
    waiting, most, events = 0, 0, []

    async def later(*event):
        await asyncio.sleep(0)
        events.append(event)

    @way
    async def work(n, go_on):
        nonlocal waiting, most
        defer(later, n, "exits")
        errdefer(later, n, "fails")
        waiting += 1
        most = max(most, waiting)
        await go_on.wait()
        if n % 3 == 2:
            raise LookupError(n)
        return n

    async def main():
        go_on = asyncio.Event()
        tasks = [asyncio.create_task(work(n, go_on)) for n in range(TASKS)]
        while waiting < TASKS:
            await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(main())
    assert most == TASKS
    kinds = [asyncio.CancelledError, int, LookupError]
    assert [type(result) for result in results] == [kinds[n % 3] for n in range(TASKS)]
    assert sorted(n for n, what in events if what == "exits") == list(range(TASKS))
    assert sorted(n for n, what in events if what == "fails") == [
        n for n in range(TASKS) if n % 3 != 1
    ]
    assert len(record.pool) <= record.POOL_SIZE
    assert live == {}


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_failures_keep_memory_flat(way, in_a_loop):
    """A function with failing calls leaves nothing allocated, without the collector (D9)."""

    def fail(argument):
        raise LookupError(argument)

    if in_a_loop:

        @way
        def f():
            for n in range(3):
                defer(fail, [n])
            raise KeyError
    else:

        @way
        def f():
            defer(fail, [1])
            defer(fail, [2])
            raise KeyError

    def many(n):
        for _ in range(n):
            try:
                f()
            except LookupError:
                pass

    tracemalloc = pytest.importorskip("tracemalloc", reason="this Python does not trace its memory")
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        many(FAILURES // 10)
        before, _ = tracemalloc.get_traced_memory()
        many(FAILURES)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    # The smallest object takes 16 bytes; the interpreter's own caches come and go by some hundred.
    assert after - before < 4000


def test_soak():
    """The soak finds flat memory, no lost call, and no overfull pool, each way (D4, D9, R5)."""
    command = [sys.executable, "-m", "tests.soak", "--seconds", str(SOAK_SECONDS)]
    ended = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    assert ended.stdout.count("; 0 wrong\n") == 2


def report(**changes):
    flat = [(second / 10, 20 + (second % 3) / 100) for second in range(100)]
    values = {
        "way": "runtime",
        "seconds": 10,
        "calls": 5,
        "wrong": [],
        "memory": flat,
        "pool": record.POOL_SIZE,
    }
    return soak.Report(**(values | changes))


@pytest.mark.project
def test_failures_of_the_soak():
    """The soak fails on growing memory, a wrong call, no call, or a pool above its bound."""
    assert report().problems() == []
    warming_up = [(second / 10, 20 + min(second, 20)) for second in range(100)]
    assert report(memory=warming_up).problems() == []
    growing = [(second / 10, 20 + second / 50) for second in range(100)]
    assert report(memory=growing).problems() == ["the memory grew by 1.26 MiB"]
    assert report(calls=0).problems() == ["no call was made"]
    wrong = ["job_b", "job_a", "job_b"]
    assert report(wrong=wrong).problems() == [
        "deferred calls were lost or wrong in 3 calls: job_a, job_b"
    ]
    assert "more than its bound" in report(pool=record.POOL_SIZE + 1).problems()[0]


@pytest.mark.project
def test_the_soak_notices_a_call_that_is_lost(monkeypatch):
    """The soak counts a job as wrong if its deferred call did not run, or if it raised."""

    def threaded(way):
        def job_lost():
            return False

        def job_raised():
            raise KeyError("job")

        return [job_lost, job_raised]

    monkeypatch.setattr(jobs, "threaded", threaded)
    seen = soak.soak("runtime", 0.3, 1)
    assert set(seen.wrong) == {"job_lost", "job_raised (\"KeyError('job')\")"}
