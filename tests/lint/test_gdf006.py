"""GDF006: an async function is deferred where nothing awaits it."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF006"

WRONG = [
    """
class Conn:
    async def aclose(self, code=0): ...
    async def stop(self): ...
@with_defers
def f(writer, other: Conn, client):
    conn = Conn()
    okdefer(conn.stop, 3)  #!
    defer(other.stop)  #!
    defer(client.aclose)  #!
    defer(writer.wait_closed)  #!
    defer(asyncio.sleep, 1)  #!
    q = asyncio.Queue()
    defer(q.join)  #!
""",
    """
async def work(): ...
@with_defers
def f(n):
    defer(work)  #!
    errdefer(functools.partial(work))  #!
    okdefer(lambda: work())  #!
    async def inner(): ...
    defer(inner)  #!
    [defer(inner) for _ in n]  #!
class C:
    async def aclose(self): ...
    @with_defers
    def run(self):
        defer(self.aclose)  #!
    async def arun(self):
        with defer_scope() as later:
            later(self.aclose)  #!
            later.err(work)  #!
def g():
    with defer_scope() as later:
        later(work)  #!
@with_defers
async def decorated():
    defer(print)
@with_defers
def h():
    defer(decorated)  #!
    yield
""",
    """
@with_defers
def f(conn, n):
    @defer  #!
    async def close():
        await conn.close()
    for _ in range(n):
        @errdefer  #!
        @functools.cache
        async def undo(): ...
    def inner():
        with defer_scope() as later:
            @later.ok  #!
            async def done(): ...
    inner()
async def g(conn):
    with defer_scope() as later:
        @later  #!
        @with_defers
        async def close():
            @defer
            async def last(): ...
""",
]

RIGHT = [
    """
class Conn:
    async def stop(self): ...
    def aclose(self): ...
@with_defers
def f(conn, other):
    defer(conn.stop)
    defer(other.aclose)
@with_defers
async def g(client):
    defer(client.aclose)
    defer(asyncio.sleep, 1)
""",
    """
class C:
    async def close(self): ...
    run = lambda self: self.close()
    @staticmethod
    @with_defers
    def other(thing):
        defer(thing.close)
""",
    """
async def work(): ...
async def stream():
    yield 1
@asynchronous.to_sync
async def adapted(): ...
def plain(): ...
@with_defers
async def f(loop, other):
    defer(work)
    defer(lambda: work())
    async with defer_scope() as later:
        later(work)
    async with defer_scope() as later:
        with open("x") as file:
            later(work)
@with_defers
def g(loop, work2, other):
    defer(asyncio.run, work())
    defer(loop.run_until_complete, work())
    defer(lambda: asyncio.run(work()))
    defer(adapted)
    defer(plain)
    defer(work2)
    defer(other.work)
    work3 = plain
    defer(work3)
def hand(scope):
    scope(work)
def kept():
    scope = defer_scope()
    scope(work)
    return scope
def detached():
    with defer_scope() as later:
        later(work)
        return later.detach()
def handed(register):
    with defer_scope() as later:
        later(work)
        register(later)
class C:
    async def close(self): ...
    def other(self, other):
        with defer_scope() as later:
            later(other.close)
class D:
    def close(self): ...
    @with_defers
    def run(self):
        defer(self.close)
@with_defers
def shadowed(work):
    defer(work)
    return [defer(work) for work in [print]]
""",
    """
@with_defers
async def f(conn):
    @defer
    async def close():
        await conn.close()
    async with defer_scope() as later:
        @later
        async def close2(): ...
@with_defers
def g(conn, run):
    @defer
    @run.to_its_end
    async def close():
        await conn.close()
    @defer
    def close2():
        asyncio.run(conn.close())
    with defer_scope() as later:
        @later
        async def close3(): ...
        run(later.detach())
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
