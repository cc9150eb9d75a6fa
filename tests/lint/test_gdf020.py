"""GDF020: something with a `with` of its own is deferred."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF020"

WRONG = [
    """
import contextlib, tempfile, warnings
@contextlib.contextmanager
def opened():
    yield 1
@contextlib.asynccontextmanager
async def session():
    yield 1
@with_defers
async def f(pool, client, engine, lock):
    defer(pool.acquire)  #!
    defer(client.__aexit__, None, None, None)  #!
    defer(lock.__exit__, None, None, None)  #!
    defer(engine.begin)  #!
    defer(tempfile.TemporaryDirectory)  #!
    defer(warnings.catch_warnings)  #!
    defer(opened)  #!
    defer(session)  #!
    defer(lambda: opened())  #!
    defer(using, opened())  #!
    using(opened)  #!
    mutex = threading.Lock()
    using(mutex.acquire())  #!
def g(pool):
    with defer_scope() as later:
        later(pool.acquire)  #!
""",
]

RIGHT = [
    """
import asyncpg, http.client, subprocess, urllib.request
@with_defers
def f(path):
    defer(urllib.request.urlopen, "https://example.org/ping")
    defer(subprocess.Popen, ["notify-send", "done"])
    defer(lambda: urllib.request.urlopen("https://example.org/ping"))
    using(http.client.HTTPConnection)
    using(asyncpg.connect)
""",
    """
import contextlib, tempfile, warnings
@contextlib.contextmanager
def opened():
    yield 1
class Wrapper:
    @with_defers
    def __enter__(self):
        self.inner.__enter__()
        errdefer(self.inner.__exit__, None, None, None)
    @with_defers
    def __exit__(self, *exc):
        defer(self.inner.__exit__, *exc)
@with_defers
async def f(pool, client, semaphore, stack):
    conn = await pool.acquire()
    defer(pool.release, conn)
    defer(client.close)
    defer(semaphore.acquire)
    using(opened())
    with opened():
        defer(print)
    tmp = tempfile.TemporaryDirectory()
    defer(tmp.cleanup)
@with_defers
def g(pool):
    pool.release()
    defer(pool.acquire)
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
