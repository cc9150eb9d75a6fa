"""GDF008: the deferred call opens rather than closes."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF008"

WRONG = [
    """
@with_defers
def f(bus, path, handler):
    bus.subscribe(handler)
    defer(bus.subscribe, handler)  #!
    os.mkdir(path)
    defer(os.mkdir, path)  #!
    gc.disable()
    defer(gc.disable)  #!
import gc
""",
    """
@with_defers
def f(lock):
    lock.acquire()
    n = 1
    defer(lock.acquire)  #!
""",
    """
@with_defers
def f(lock, conn, path):
    lock.acquire()
    defer(lock.acquire)  #!
    if not conn.lock.acquire(timeout=1):
        return
    errdefer(conn.lock.acquire)  #!
    conn.start()
    defer(conn.start)  #!
    defer(open, path)  #!
@with_defers
async def g(lock):
    await lock.acquire()
    defer(lock.acquire)  #!
""",
    """
lock = threading.Lock()
@with_defers
def f(n):
    '''Count.'''
    defer(lock.acquire)  #!
    print(n)
@with_defers
def g(cm):
    defer(cm.__enter__)  #!
def h():
    with defer_scope() as later:
        lock.acquire()
        later(lock.acquire)  #!
""",
    """
mine = threading.RLock()
class Store:
    @with_defers
    def write(self, n):
        defer(self._lock.acquire)  #!
        print(n)
    @with_defers
    def read(self, n):
        defer(mine.acquire)  #!
        print(n)
@with_defers
def f(write_mutex, n):
    defer(write_mutex.acquire)  #!
    print(n)
""",
]

RIGHT = [
    """
import gc
@with_defers
def f(bus, path, handler, other):
    bus.subscribe(handler)
    defer(bus.subscribe, other)
    os.chdir(path)
    defer(os.chdir, other)
    gc.disable()
    defer(gc.enable)
""",
    """
def f(lock):
    with defer_scope() as later:
        later(lock.acquire)
""",
    """
lock = threading.Lock()
class Worker:
    @with_defers
    def unlocked(self):
        self.lock.release()
        defer(self.lock.acquire)
    @with_defers
    def indirectly(self):
        self.leave()
        defer(self.lock.acquire)
    @with_defers
    def restart(self):
        self.timer.stop()
        defer(self.timer.start)
    @with_defers
    def again(self):
        defer(self.timer.start)
@with_defers
def f(path, timer, db, other):
    defer(open, path, "w")
    lock.acquire()
    defer(lock.release)
    timer.start()
    timer.stop()
    defer(timer.start)
    db.begin()
    db.commit()
    defer(db.begin)
    lock.acquire()
    defer(other.acquire)
@with_defers
def g():
    defer(lock.acquire)
    lock.release()
@with_defers
def h(leave):
    leave(lock)
    defer(lock.acquire)
@with_defers
def k():
    lock.acquire()
    try:
        print("x")
    finally:
        lock.release()
    defer(lock.acquire)
@with_defers
def m(n):
    if n:
        defer(lock.acquire)
""",
    """
done = threading.Semaphore(0)
@with_defers
def f(worker):
    defer(done.acquire)
    worker.start()
class Worker:
    @with_defers
    def run(self, pool, queue):
        defer(self.finished.acquire)
        queue.start()
    @with_defers
    def wait(self, semaphore, queue):
        defer(semaphore.acquire)
        queue.start()
""",
]


RIGHT += [
    """
@with_defers
def f(bus):
    bus.mount(["a name that is longer than most", "and a second one that is as long", "no 1"])
    defer(
        bus.mount, ["a name that is longer than most", "and a second one that is as long", "no 2"]
    )
""",
]


@pytest.mark.parametrize("snippet", WRONG)
def test_wrong(snippet):
    """The rule finds each mistake on its line, and no rule finds anything else."""
    check_wrong(CODE, snippet)


@pytest.mark.parametrize("snippet", RIGHT)
def test_right(snippet):
    """No rule fires on correct code that looks like the mistake."""
    check_right(snippet)


@pytest.mark.parametrize("snippet", WRONG)
def test_other_names(snippet):
    """No rule fires on functions of another library that have the names of godefer's."""
    check_names(snippet)
