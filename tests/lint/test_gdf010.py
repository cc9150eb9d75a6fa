"""GDF010: an async context manager, ausing() or aclose() without await."""

import pytest

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
import contextlib
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
