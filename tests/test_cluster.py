"""Decorated functions on the workers of a dask.distributed cluster: deferred calls run there, when a task fails or is cancelled too (A, D2)."""

import os
import time

import pytest

distributed = pytest.importorskip("distributed", reason="needs the extra 'cluster'")

from godefer import Panic, defer, errdefer, explain, okdefer, panic, recover, with_defers  # noqa: E402


@pytest.fixture(scope="module")
def client():
    """A cluster of one worker, in a process of its own, that can be reached from this machine alone."""
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def notes(tmp_path):
    """A function that notes something in a file, and one that gives all notes; each note tells whether it was made in another process."""
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
    """The calls of a task that fails run on the worker; the exception comes back as itself (D2, P1)."""
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


def test_a_task_in_a_thread_that_is_cancelled_runs_to_its_end(way, client, notes, tmp_path):
    """A function in a worker's thread cannot be interrupted: it ends by itself, and its calls run then (D2)."""
    note, noted = notes
    go = tmp_path / "go"

    @way
    def work(go=str(go)):
        import os
        import time

        defer(note, "exits")
        okdefer(note, "returns")
        note("begins")
        while not os.path.exists(go):
            time.sleep(0.01)

    future = client.submit(work, pure=False)
    wait_for(lambda: noted() == ["begins"])
    future.cancel()
    go.touch()
    wait_for(lambda: len(noted()) == 3)
    assert future.cancelled()
    assert noted() == ["begins", "returns", "exits"]


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
    """Wait until *condition* is true; it is another process that makes it so."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
