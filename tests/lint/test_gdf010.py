"""GDF010: an async context manager, ausing() or aclose() without await."""

import asyncio
import bz2
import codecs
import decimal
import gzip
import io
import lzma
import os
import pkgutil
import shelve
import socket
import sqlite3
import sys
import tarfile
import tempfile
import threading
import unittest.mock
import urllib.request
import warnings
import wave

import pytest

from godefer.lint._managers import ASYNC, SYNC
from godefer.lint._resources import OPENING_FUNCTIONS
from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF010"

WRONG = [
    """
@with_defers
async def f(pool):
    ausing(pool)  #!
    conn = ausing(pool.acquire())  #!
    conn.execute("SELECT 1")
    ausing(pool).execute("x")  #!
    async with ausing(pool) as other:  #!
        print(other)
""",
    """
async def f(pool):
    async with defer_scope() as later:
        later.ausing(pool)  #!
        later.aclose()  #!
    with defer_scope() as later:
        await later.ausing(pool)  #!
""",
]

WRONG += [
    """
@with_defers
async def g(pool):
    return ausing(pool)  #!
@with_defers
async def h(pool):
    c = ausing(pool.acquire())  #!
    return c
@with_defers
async def query_it(pool):
    conn = ausing(pool.acquire())  #!
    await query(conn)
@with_defers
async def nested(pool):
    await query(ausing(pool.acquire()))  #!
@with_defers
async def first(pool):
    row = ausing(pool)[0]  #!
@with_defers
def in_sync(pool):
    return ausing(pool)  #!
""",
    """
import aiofiles, contextlib
@contextlib.asynccontextmanager
async def session():
    yield 1
@contextlib.contextmanager
def cwd():
    yield 1
class Conn:
    async def __aenter__(self): ...
    async def __aexit__(self, *exc): ...
@with_defers
async def f(lock):
    s = using(session())  #!
    using(asyncio.timeout(3))  #!
    using(Conn())  #!
    conn = Conn()
    using(conn)  #!
    await using(lock)  #!
    await ausing(cwd())  #!
    await ausing(open("x"))  #!
    using(aiofiles.open("x"))  #!
    file = open("x")
    await ausing(file)  #!
    await defer(print)  #!
@with_defers
def g():
    using(session())  #!
async def h():
    async with defer_scope() as defer:
        defer.using(session())  #!
""",
]

RIGHT = [
    """
from mine import first_of
@with_defers
async def f(pool):
    return await first_of(ausing(pool), ausing(pool))
""",
    """
class C:
    @with_defers
    async def f(self, pool):
        self.conn = ausing(pool)
        a = b = ausing(pool)
        a.x
""",
    """
@with_defers
async def f(pool, start):
    conn = await ausing(pool.acquire())
    await ausing(pool)
    entering = ausing(pool)
    conn2 = await entering
    other = ausing(pool)
    start(other)
    a, b = await asyncio.gather(ausing(pool), ausing(pool))
    task = asyncio.ensure_future(ausing(pool))
    return await task
async def h(pool):
    async with defer_scope() as later:
        conn = await later.ausing(pool)
        await later.aclose()
    scope = defer_scope()
    async with scope as later2:
        await later2.ausing(pool)
    with defer_scope() as later3:
        later3.using(pool)
        later3.close()
    with defer_scope() as later4:
        await later4.ausing(pool)
        return later4.detach()
@with_defers
async def k(pool, n):
    entering = ausing(pool)
    if n:
        entering = n
    entering.close()
""",
    """
@with_defers
async def q(pool):
    conn = ausing(pool)
    start(conn)
    other = ausing(pool)
    await wait_for_it(other)
    third = ausing(pool)
    await own(third)
    fourth = ausing(pool)
    return await (fourth)
async def own(coming):
    return await coming
import contextlib
@contextlib.asynccontextmanager
async def session():
    yield 1
@contextlib.contextmanager
def cwd():
    yield 1
class Both:
    def __enter__(self): ...
    async def __aenter__(self): ...
@with_defers
async def r(pool):
    await ausing(session())
    using(cwd())
    using(Both())
    await ausing(Both())
    using(open("x"))
    using(contextlib.closing(pool))
@with_defers
async def f(acm):
    steps = ausing(acm).__await__()
    return list(steps)
""",
    """
import aiofiles, asyncpg, http.client
from contextlib import aclosing, closing
class Conn:
    async def __aenter__(self): ...
    def __await__(self): ...
@with_defers
async def f(path, thing, make):
    file = await ausing(aiofiles.open(path))
    await ausing(asyncpg.connect(path))
    await ausing(http.client.HTTPSConnection(path))
    opened = await aiofiles.open(path)
    using(opened)
    conn = await Conn()
    using(conn)
    entered = using(closing(thing))
    await ausing(entered)
    with closing(thing) as inner:
        await ausing(inner)
    async with aclosing(make()) as steps:
        using(steps)
    session = await ausing(Conn())
    using(session)
""",
]


def connection():
    """Return a connection to a server that stops listening."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return socket.create_connection(server.getsockname())


def sound(file):
    """Write a sound without any samples; return its path."""
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
    return str(file)


# Objects that the functions of the standard library make.
MADE = {
    "builtins.open": lambda file: open(file, "rb"),
    "bz2.open": lambda file: bz2.open(file, "wb"),
    "codecs.open": lambda file: codecs.open(file),
    "decimal.localcontext": lambda _: decimal.localcontext(),
    "gzip.open": lambda file: gzip.open(file, "wb"),
    "io.open": lambda file: io.open(file, "rb"),  # noqa: UP020  # this name
    "lzma.open": lambda file: lzma.open(file, "wb"),
    "os.scandir": lambda file: os.scandir(file.parent),
    "shelve.open": lambda file: shelve.open(str(file.with_name("shelf"))),
    "socket.create_connection": lambda _: connection(),
    "sqlite3.connect": lambda _: sqlite3.connect(":memory:"),
    "tarfile.open": lambda file: tarfile.open(file, "w"),
    "tempfile.NamedTemporaryFile": lambda _: tempfile.NamedTemporaryFile(),
    "tempfile.TemporaryFile": lambda _: tempfile.TemporaryFile(),
    "threading.Lock": lambda _: threading.Lock(),
    "threading.RLock": lambda _: threading.RLock(),
    "unittest.mock.patch.object": lambda file: unittest.mock.patch.object(file, "name"),
    "urllib.request.urlopen": lambda file: urllib.request.urlopen(file.as_uri()),
    "wave.open": lambda file: wave.open(sound(file)),
}
# Their objects were looked at in the libraries' releases of 2025.
THIRD_PARTY = {
    "sync": {"psycopg.connect", "psycopg2.connect", "pymysql.connect"},
    "async": {"aiofiles.open", "aiohttp.ClientSession", "httpx.AsyncClient"},
}


def of_the_library(names):
    """Return the names that the standard library has."""
    return sorted(n for n in names if n.partition(".")[0] in sys.stdlib_module_names)


@pytest.mark.parametrize("name", of_the_library(SYNC | OPENING_FUNCTIONS))
def test_what_is_a_context_manager(name, tmp_path):
    """A function or class is in the table for `with` if, and only if, a `with` can enter it."""
    file = tmp_path / "file"
    file.write_bytes(b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # codecs.open, on 3.14
        made = MADE[name](file) if name in MADE else pkgutil.resolve_name(name)
    entered = hasattr(made, "__enter__") and hasattr(made, "__exit__")
    if name in MADE and hasattr(made, "close"):
        made.close()
    assert entered is (name in SYNC)
    assert not hasattr(made, "__aenter__")


@pytest.mark.parametrize("name", of_the_library(ASYNC))
def test_what_is_an_async_context_manager(name):
    """A function or class is in the table for `async with` if only that can enter it."""

    async def make():
        made = pkgutil.resolve_name(name)
        return made if isinstance(made, type) else made(1)

    made = asyncio.run(make())
    assert hasattr(made, "__aenter__")
    assert not hasattr(made, "__enter__")


def test_no_name_is_in_both_tables():
    """The tables for `with` and `async with` have no name in common."""
    assert not SYNC & ASYNC
    assert {*SYNC} - {*of_the_library(SYNC)} == THIRD_PARTY["sync"]
    assert {*ASYNC} - {*of_the_library(ASYNC)} == THIRD_PARTY["async"]


RIGHT += [
    """
@with_defers
async def f(pool, the_first_of_two_objects_with_names):
    await (
        the_first_of_two_objects_with_names.that_are_longer_than_a_line.and_so_not_quoted
    ).gather(ausing(pool))
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
