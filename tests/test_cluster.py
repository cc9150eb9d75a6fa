"""Decorated functions on dask.distributed workers run their deferred calls there (A, D2).

When a client cancels a future, the worker does not interrupt the function, not even an async one.
It forgets the task when the function has ended. Only a worker that closes cancels its running async
functions. The tests show each of these cases.
"""

import asyncio
import os
import time

import pytest

distributed = pytest.importorskip("distributed", reason="needs the extra 'cluster'")

from godefer import (  # noqa: E402
    Panic,
    defer,
    errdefer,
    explain,
    okdefer,
    panic,
    recover,
    with_defers,
)


@pytest.fixture(scope="module")
def client():
    """Start a cluster of one worker process, reachable from this machine only,
    and end it with the test.
    """
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=True,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
        pids = client.run(os.getpid).values()
    assert pids
    wait_for(lambda: not any(map(alive, pids)))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def notes(tmp_path):
    """Return a function that notes something in a file, and one that returns all notes.

    Each note tells whether another process made it.
    """
    path = tmp_path / "notes"
    path.touch()

    def note(text, path=str(path), here=os.getpid()):
        with open(path, "a") as file:
            file.write(text + (" here\n" if os.getpid() == here else "\n"))

    return note, lambda: path.read_text().splitlines()


def test_calls_are_made_on_the_worker(way, client, notes):
    """A task's deferred calls run on the worker, before its result is there (A, D2)."""
    note, noted = notes

    @way
    def work(n):
        defer(note, f"{n} exits")
        okdefer(note, f"{n} returns")
        errdefer(note, f"{n} fails")
        return n * n

    assert client.submit(work, 3, pure=False).result() == 9
    assert noted() == ["3 returns", "3 exits"]


def test_a_task_that_fails(way, client, notes):
    """The calls of a task that fails run on the worker; the client gets the same exception
    (D2, P1).
    """
    note, noted = notes

    @way
    def work(n):
        for i in range(n):
            defer(note, f"{i} exits")
        errdefer(note, "fails")
        panic(("lost", n))

    failed = client.submit(work, 2, pure=False).exception()
    assert type(failed) is Panic
    assert failed.value == ("lost", 2)
    assert noted() == ["fails", "1 exits", "0 exits"]


def test_a_task_that_recovers(way, client, notes):
    """A task can recover on the worker, and then has a result (P2, P4)."""
    note, noted = notes

    @way
    def work():
        def rescue():
            note(repr(recover()))

        defer(rescue)
        return {}["key"]

    assert client.submit(work, pure=False).result() is None
    assert noted() == ["KeyError('key')"]


def test_explain_and_decorating_again_on_the_worker(way, client):
    """On the worker the function is known to be decorated (A, R4)."""

    @way
    def work():
        defer(str)

    def look(fn):
        return explain(fn).way, with_defers(fn) is fn

    assert client.submit(look, work, pure=False).result() == (way.name, True)


# Cancelled


@pytest.fixture
def task(way, notes):
    """Return two tasks, for a thread and for the worker's event loop.

    They run until their argument says that it is time to end.
    """
    note, _ = notes

    @way
    def sync(ends):
        import time

        defer(note, "exits")
        okdefer(note, "returns")
        errdefer(note, "fails")
        defer(lambda: note(f"recovers {recover()}"))
        note("begins")
        while not ends():
            time.sleep(0.01)

    @way
    async def asynchronous(ends):
        import asyncio

        async def later(text):
            await asyncio.sleep(0.001)
            note(text)

        defer(later, "exits")
        okdefer(later, "returns")
        errdefer(later, "fails")
        defer(lambda: note(f"recovers {recover()}"))
        note("begins")
        while not ends():
            await asyncio.sleep(0.01)

    return {"sync": sync, "async": asynchronous}


KINDS = pytest.mark.parametrize("kind", ["sync", "async"])


def exists(path):
    def ends(path=str(path)):
        import os

        return os.path.exists(path)

    return ends


def state_on_the_worker(client, key):
    """Return the task's state on the worker; None when the worker has forgotten it."""

    def state(dask_worker):
        task = dask_worker.state.tasks.get(key)
        return task and task.state

    (found,) = client.run(state).values()
    return found


@KINDS
def test_a_task_that_is_cancelled_runs_to_its_end(client, task, notes, tmp_path, kind):
    """After a cancellation the worker lets the function run to its end, and
    then makes its calls (D2).
    """
    _, noted = notes
    future = client.submit(task[kind], exists(tmp_path / "go"), pure=False)
    wait_for(lambda: noted() == ["begins"])
    future.cancel()
    wait_for(lambda: state_on_the_worker(client, future.key) == "cancelled")
    assert future.cancelled()
    assert noted() == ["begins"]
    (tmp_path / "go").touch()
    wait_for(lambda: state_on_the_worker(client, future.key) is None)
    assert noted() == ["begins", "recovers None", "returns", "exits"]


def test_a_task_in_a_thread_that_heeds_its_cancellation(way, client, notes):
    """A cancelled task that sees an event of the cluster can raise, and then fails (D2, D10)."""
    note, noted = notes

    @way
    def work(name):
        import asyncio
        import time

        import distributed

        defer(note, "exits")
        errdefer(note, "fails")
        defer(lambda: note(f"recovers {recover()}"))
        stop = distributed.Event(name)
        note("begins")
        while not stop.is_set():
            time.sleep(0.01)
        raise asyncio.CancelledError

    stop = distributed.Event(client=client)
    future = client.submit(work, stop.name, pure=False)
    wait_for(lambda: noted() == ["begins"])
    future.cancel()
    stop.set()
    wait_for(lambda: state_on_the_worker(client, future.key) is None)
    assert noted() == ["begins", "recovers None", "fails", "exits"]


def test_an_async_task_that_heeds_its_cancellation(way, client, notes):
    """An async function interrupted on the worker's loop awaits its
    clean-ups there (D2, D6, P3).
    """
    note, noted = notes

    @way
    async def work(name):
        import asyncio

        import distributed

        async def later(text):
            await asyncio.sleep(0.001)
            note(text)

        async def heed(body):
            await distributed.Event(name).wait()
            body.cancel()

        heeding = asyncio.create_task(heed(asyncio.current_task()))
        defer(heeding.cancel)
        defer(later, "exits")
        errdefer(later, "fails")
        defer(lambda: note(f"recovers {recover()}"))
        note("begins")
        await asyncio.sleep(60)

    stop = distributed.Event(client=client)
    future = client.submit(work, stop.name, pure=False)
    wait_for(lambda: noted() == ["begins"])
    future.cancel()
    stop.set()
    wait_for(lambda: state_on_the_worker(client, future.key) is None)
    assert noted() == ["begins", "recovers None", "fails", "exits"]


def test_a_task_that_is_cancelled_before_it_begins(way, client, notes, tmp_path):
    """A task cancelled while it waits for a free thread of the worker has deferred nothing (D2)."""
    note, noted = notes

    @way
    def work(name, ends):
        import time

        defer(note, f"{name} exits")
        note(f"{name} begins")
        while not ends():
            time.sleep(0.01)

    go = exists(tmp_path / "go")
    running = [client.submit(work, f"running {n}", go, pure=False) for n in range(2)]
    wait_for(lambda: len(noted()) == 2)
    waiting = client.submit(work, "waiting", go, pure=False)
    wait_for(lambda: state_on_the_worker(client, waiting.key) == "ready")
    waiting.cancel()
    wait_for(lambda: state_on_the_worker(client, waiting.key) is None)
    (tmp_path / "go").touch()
    client.gather(running)
    assert client.submit(int, pure=False).result() == 0
    assert sorted(noted()) == [
        "running 0 begins",
        "running 0 exits",
        "running 1 begins",
        "running 1 exits",
    ]


def test_a_worker_that_is_restarted(client, task, notes):
    """A closing worker cancels its async tasks and waits for its threads; the calls of both run
    before the process ends (D2, D6, P3).
    """
    _, noted = notes
    (before,) = client.run(os.getpid).values()

    def ended(noted=noted):
        return "exits" in noted()

    def never():
        return False

    client.submit(task["async"], never, pure=False)
    wait_for(lambda: noted() == ["begins"])
    client.submit(task["sync"], ended, pure=False)  # which ends when the async one has
    wait_for(lambda: noted() == ["begins"] * 2)
    client.restart()
    (after,) = client.run(os.getpid).values()
    assert before != after
    assert not alive(before)
    assert noted() == [
        *["begins"] * 2,
        "recovers None",
        "fails",
        "exits",
        "recovers None",
        "returns",
        "exits",
    ]


def test_a_worker_that_is_retired(task, notes):
    """A retired worker cancels an async task and runs its calls; another
    worker calls it again (D2, D4).
    """
    _, noted = notes

    def ends(noted=noted):
        return "exits here" in noted()

    async def main():
        async with (
            distributed.LocalCluster(
                n_workers=2,
                processes=False,
                protocol="tcp",
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
                asynchronous=True,
            ) as cluster,
            distributed.Client(cluster, asynchronous=True) as client,
        ):
            future = client.submit(task["async"], ends, pure=False)
            while not noted():
                await asyncio.sleep(0.01)
            (address,) = [address for address, keys in (await client.processing()).items() if keys]
            await client.retire_workers([address])
            assert await future is None

    asyncio.run(asyncio.wait_for(main(), 60))
    found = noted()
    assert found.pop(0) == "begins here"
    found.remove("begins here")  # the other worker may be faster than the one that is closing
    assert found == [
        f"{note} here"
        for note in ("recovers None", "fails", "exits", "recovers None", "returns", "exits")
    ]


# Other shapes


def test_a_generator_and_a_method(way, client, notes):
    """Generators are run to their end, and methods called, on the worker (A)."""
    note, noted = notes

    class Thing:
        @way
        def numbers(self, n):
            defer(note, "generator exits")
            yield from range(n)

        @way
        def total(self, n):
            defer(note, "method exits")
            return sum(self.numbers(n))

    assert client.submit(Thing().total, 4, pure=False).result() == 6
    assert noted() == ["generator exits", "method exits"]


def wait_for(condition):
    """Wait until *condition* is true; another process makes it so."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
