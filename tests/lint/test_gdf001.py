"""GDF001: the function is called, not passed."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF001"

WRONG = [
    """
import queue
log = logging.getLogger(__name__)
class Pool:
    def close(self):
        self.used = 0
@with_defers
def f(x, q, self, sock):
    defer(log.info("end"))  #!
    defer(self.logger.warning("end %s", x))  #!
    defer(threading.Event().set())  #!
    defer(q.task_done())  #!
    defer(x[0].close())  #!
    defer(x.close(1))  #!
    defer(sock.shutdown(2))  #!
    done = threading.Event()
    defer(done.set())  #!
    jobs = queue.Queue()
    defer(jobs.join())  #!
    pool = Pool()
    defer(pool.close())  #!
    defer(functools.partial(x.close()))  #!
    defer(sys.stdout.write("end"))  #!
""",
    """
@with_defers
def read(path):
    file = open(path)
    defer(file.close())  #!
    errdefer(file.close())  #!
    okdefer(print("done"))  #!
    defer(os.remove(path))  #!
    defer(file.close(), 1)  #!
""",
    """
def undo(n) -> None: ...
def note():
    print("noted")
async def work():
    return print
@with_defers
def f(n):
    defer(undo(n))  #!
    defer(note())  #!
    defer(
        note()  #!
    )
@with_defers
async def g(conn):
    defer(await conn.close())  #!
    defer(work())  #!
""",
    """
class Pool:
    def free(self) -> "None":
        self.used = 0
    @with_defers
    def run(self):
        defer(self.free())  #!
""",
    """
def f(conn):
    with defer_scope() as later:
        later(conn.close())  #!
        later.err(conn.rollback())  #!
        later.ok(conn.commit())  #!
""",
    """
@with_defers
def f(server, smtp, engine):
    defer(server.stop())  #!
    defer(smtp.quit())  #!
    defer(engine.dispose())  #!
    defer(server.server_close())  #!
    defer(server.wait())  #!
    defer(logging.info("left"))  #!
""",
    """
@with_defers
def f(file):
    @defer(file)  #!
    def close(file):
        file.close()
    @errdefer()  #!
    def undo(): ...
    with defer_scope() as later:
        @later.ok(print)  #!
        def done(): ...
""",
]

RIGHT = [
    """
import queue, helpers
@with_defers
def f(callbacks, jobs2):
    jobs = queue.Queue()
    defer(jobs.get())
    defer(jobs2.get_nowait())
    defer(callbacks.pop())
    defer(helpers.cleanup("path"))
    defer(functools.partial(print, callbacks))
    defer(callbacks.subscribe(print))
""",
    """
def undoing(n):
    def undo():
        print(n)
    return undo
def perhaps(n):
    if n:
        return print
def typed() -> "Callable[[], None]":
    return print
class Closer:
    def __call__(self): ...
class Journal:
    def cancel(self):
        return self.rollback
    @with_defers
    def write(self):
        defer(self.cancel())
        defer(self.undo())
    def undo(self):
        raise NotImplementedError
@with_defers
def f(n, file, later, make):
    defer(undoing(n))
    defer(perhaps(n))
    defer(typed())
    defer(Closer())
    defer(functools.partial(print, n))
    defer(make())
    defer(later.factory())
    defer(file.close)
    defer((lambda: print)())
    defer(getattr(file, "close"))
    defer(file.close() or print)
    defer(undoing(n), *[])
    defer(*[print, n])
    defer(print, file.tell())
    defer(file.closer.close)
@with_defers
async def g(make):
    defer(await make())
    defer(await amake())
async def amake():
    return print
""",
    """
def print(*args):
    return args[0]
@wrapping
def decorated() -> None: ...
@with_defers(result="fn")
def named():
    fn = None
    defer(fn)
@with_defers
def f():
    defer(print(f))
    defer(decorated())
    defer(named())
def generate():
    yield
if sys.platform == "linux":
    def undo(): ...
else:
    def undo():
        return str
@with_defers
def g():
    defer(undo())
""",
    """
@with_defers
def f(file):
    @defer
    def close():
        file.close()
    @errdefer
    def undo(): ...
    @using(file.decorators())
    def used(): ...
    return used
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
