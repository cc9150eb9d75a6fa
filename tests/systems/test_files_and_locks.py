"""Files, directories, and the locks of threads, tasks and processes."""

import asyncio
import contextlib
import errno
import fcntl
import mmap
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from godefer import ausing, defer, errdefer, okdefer, recover, using


def open_files():
    return sorted(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else []


def test_a_chain_of_files(way, tmp_path):
    """If the next file cannot be opened, each open file is closed, last first (D2, D8)."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    closed = []

    @way
    def read(*names):
        found = []
        for name in names:
            file = (tmp_path / name).open()
            defer(closed.append, name)
            defer(file.close)
            found.append(file.read())
        return found

    before = open_files()
    assert read("a", "b", "c") == ["a", "b", "c"]
    with pytest.raises(FileNotFoundError):
        read("a", "b", "missing", "c")
    assert closed == ["c", "b", "a", "b", "a"]
    assert open_files() == before


def test_replace_or_leave_alone(way, tmp_path):
    """A file is replaced as a whole; if writing or renaming fails, it stays as it was, and no
    temporary file is left (D10).
    """
    target = tmp_path / "target"
    target.write_text("old")

    @way
    def save(pieces):
        handle, part = tempfile.mkstemp(dir=tmp_path)
        errdefer(os.unlink, part)
        okdefer(os.replace, part, target)
        defer(os.close, handle)
        okdefer(os.fsync, handle)
        for piece in pieces:
            os.write(handle, piece)

    before = open_files()
    with pytest.raises(TypeError):
        save([b"half", None])
    assert (target.read_text(), os.listdir(tmp_path)) == ("old", ["target"])
    save([b"n", b"ew"])
    assert (target.read_text(), os.listdir(tmp_path)) == ("new", ["target"])
    target.unlink()
    target.mkdir()
    with pytest.raises(IsADirectoryError):
        save([b"newer"])
    assert os.listdir(tmp_path) == ["target"]
    assert open_files() == before


def test_a_disk_that_is_full(way, tmp_path):
    """A late write fails in the deferred close itself: the error leaves, and earlier deferred
    calls undo the work (D5, D10).
    """
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this machine")
    note = tmp_path / "note"

    @way
    def save():
        note.write_text("being written")
        errdefer(note.unlink)
        file = open("/dev/full", "w")
        defer(file.close)
        file.write("kept in the buffer until it is closed")

    with pytest.raises(OSError) as caught:
        save()
    assert caught.value.errno == errno.ENOSPC
    assert not note.exists()


def test_the_state_of_the_process(way, tmp_path, monkeypatch):
    """Working directory, mask and environment are restored when the function fails (D2)."""
    monkeypatch.setenv("GODEFER_STATE", "outside")

    @way
    def inside():
        defer(os.chdir, os.getcwd())
        os.chdir(tmp_path)
        defer(os.umask, os.umask(0o077))
        defer(os.environ.update, {"GODEFER_STATE": os.environ["GODEFER_STATE"]})
        os.environ["GODEFER_STATE"] = "inside"
        Path("private").write_text("")
        raise LookupError(os.environ["GODEFER_STATE"])

    def state():
        mask = os.umask(0)
        os.umask(mask)
        return os.getcwd(), mask, os.environ["GODEFER_STATE"]

    before = state()
    with pytest.raises(LookupError, match="inside"):
        inside()
    assert state() == before
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_temporary_directories(way):
    """A temporary directory lasts until the calls deferred after it have run (D2, D11)."""
    seen = []

    @way
    def work(fails):
        name = using(tempfile.TemporaryDirectory())
        directory = Path(name)
        defer(lambda: seen.append(sorted(p.name for p in directory.iterdir())))
        file = using(tempfile.NamedTemporaryFile(dir=directory, prefix="x"))
        file.write(b"data")
        (directory / "y").mkdir()
        if fails:
            raise LookupError(directory)
        return directory

    assert not work(fails=False).exists()
    with pytest.raises(LookupError) as caught:
        work(fails=True)
    assert not caught.value.args[0].exists()
    assert seen == [["y"], ["y"]]


def test_memory_that_maps_a_file(way, tmp_path):
    """A map and its file are closed, and the file has every byte written through the map (D2)."""
    path = tmp_path / "mapped"
    path.write_bytes(b"....")

    @way
    def write(text):
        file = using(path.open("r+b"))
        mapped = mmap.mmap(file.fileno(), 0)
        defer(mapped.close)
        okdefer(mapped.flush)
        mapped[: len(text)] = text
        return mapped, file

    mapped, file = write(b"ab")
    assert (mapped.closed, file.closed, path.read_bytes()) == (True, True, b"ab..")
    before = open_files()
    with pytest.raises((ValueError, IndexError)):
        write(b"too long")
    assert open_files() == before


TICKET = """
    import fcntl, os, sys, time
    from godefer import defer, explain, with_defers

    @with_defers
    def draw(path):
        lock = os.open(path + ".lock", os.O_CREAT | os.O_RDWR)
        defer(os.close, lock)
        {function}(lock, fcntl.LOCK_EX)
        defer({function}, lock, fcntl.LOCK_UN)
        with open(path) as file:
            number = int(file.read())
        if number % 5 == 4 and number not in failed_at:
            failed_at.add(number)
            raise LookupError
        time.sleep(0.0005)
        with open(path, "w") as file:
            file.write(str(number + 1))

    print(explain(draw).way)
    done, failed_at = 0, set()
    while done < 25:
        try:
            draw(sys.argv[1])
            done += 1
        except LookupError:
            pass
"""


@pytest.mark.parametrize("function", ["fcntl.flock", "fcntl.lockf"])
def test_locks_between_processes(way, tmp_path, monkeypatch, function):
    """Processes that count in one file under a lock lose no number, though some
    fail while they hold it (D2).
    """
    program, counter = tmp_path / "ticket.py", tmp_path / "counter"
    program.write_text(textwrap.dedent(TICKET.format(function=function)))
    counter.write_text("0")
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1" if way.name == "open-coded" else "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    command = [sys.executable, program, counter]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(3)
    ]
    printed = [process.communicate(timeout=60)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, printed
    assert printed == [f"{way.name}\n"] * 3
    assert counter.read_text() == "75"


def test_a_lock_that_another_has(way, tmp_path):
    """A function that does not get the lock releases nothing; it may recover from that (D8, P4)."""
    path = tmp_path / "lock"
    path.touch()
    seen = []

    @way
    def attempt():
        defer(lambda: recover(BlockingIOError))
        file = using(path.open("w"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        defer(seen.append, "released")
        defer(fcntl.flock, file, fcntl.LOCK_UN)
        return "had it"

    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert attempt() is None
    assert attempt() == "had it"
    assert seen == ["released"]


@pytest.mark.parametrize(
    "kind", [threading.Lock, threading.RLock, lambda: threading.Semaphore(1), threading.Condition]
)
@pytest.mark.parametrize("entered", [False, True])
def test_locks_of_threads(way, kind, entered):
    """One thread at a time holds a lock, released by a deferred call or entered by `using`,
    failing or not (D4, D11).
    """
    lock, inside, most, total = kind(), 0, 0, 0

    if entered:

        @way
        def work(n):
            using(lock)
            count(n)
    else:

        @way
        def work(n):
            lock.acquire()
            defer(lock.release)
            count(n)

    def count(n):
        nonlocal inside, most, total
        inside += 1
        most = max(most, inside)
        before = total
        if n % 10 == 0:
            threading.Event().wait(0.0005)
        total = before + 1
        inside -= 1
        if n % 3 == 0:
            raise LookupError(n)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(work, n) for n in range(120)]
    assert [type(f.exception()) for f in futures] == [
        LookupError if n % 3 == 0 else type(None) for n in range(120)
    ]
    assert (inside, most, total) == (0, 1, 120)
    assert lock.acquire(False)
    lock.release()


@pytest.mark.parametrize("entered", [False, True])
def test_locks_of_tasks(way, entered):
    """An asyncio.Lock is free after a return, an exception or a cancellation; a task cancelled
    while it waits releases nothing (D2, D11).
    """
    if entered:

        @way
        async def work(lock, what):
            await ausing(lock)
            await what()
    else:

        @way
        async def work(lock, what):
            await lock.acquire()
            defer(lock.release)
            await what()

    async def fail():
        raise LookupError

    async def forever():
        await asyncio.Event().wait()

    async def main():
        lock = asyncio.Lock()
        await work(lock, lambda: asyncio.sleep(0))
        assert not lock.locked()
        with pytest.raises(LookupError):
            await work(lock, fail)
        assert not lock.locked()
        holder, waiter = (
            asyncio.create_task(work(lock, forever)),
            asyncio.create_task(work(lock, forever)),
        )
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
        assert (waiter.cancelled(), lock.locked()) == (True, True)
        holder.cancel()
        await asyncio.wait([holder])
        assert (holder.cancelled(), lock.locked()) == (True, False)

    asyncio.run(main())


def test_a_thread_pool(way):
    """A pool entered by `using` finishes its work before earlier deferred calls run; the futures
    carry its errors (D4, D11).
    """
    events = []

    @way
    def one(n):
        defer(events.append, n)
        if n % 2:
            raise LookupError(n)
        return n

    @way
    def all_of_them():
        defer(events.append, "all")
        pool = using(ThreadPoolExecutor(3))
        errdefer(pool.shutdown, cancel_futures=True)
        futures = [pool.submit(one, n) for n in range(6)]
        defer(lambda: events.append(recover(LookupError) and "recovered"))
        return [future.result() for future in futures]

    assert all_of_them() is None
    assert events[-1] == "all"
    assert "recovered" in events
    assert sorted(event for event in events if isinstance(event, int)) == list(range(6))


def test_many_locks_at_once(way):
    """Locks acquired in a loop are released last first, without the one that
    could not be acquired (D8).
    """
    locks, released = [threading.Lock() for _ in range(5)], []
    locks[3].acquire()

    @way
    def take_all():
        for n, lock in enumerate(locks):
            if not lock.acquire(timeout=0.01):
                raise TimeoutError(n)
            defer(released.append, n)
            defer(lock.release)

    with pytest.raises(TimeoutError, match="3"):
        take_all()
    assert released == [2, 1, 0]
    locks[3].release()
    with contextlib.suppress(TimeoutError):
        take_all()
    assert released == [2, 1, 0, 4, 3, 2, 1, 0]
    assert not any(lock.locked() for lock in locks)
