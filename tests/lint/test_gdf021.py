"""GDF021: an object is deferred that cannot be called."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF021"

WRONG = [
    """
class Plain:
    def close(self): ...
async def close(n): ...
@with_defers
async def f(path, e: threading.Event):
    file = open(path)
    defer(file)  #!
    lock = threading.Lock()
    lock.acquire()
    defer(lock)  #!
    coro = close(3)
    defer(coro)  #!
    task = asyncio.create_task(close(1))
    defer(task)  #!
    defer(asyncio.create_task(close(2)))  #!
    defer()  #!
    defer("file.close")  #!
    defer(None)  #!
    defer([file.close])  #!
    defer(Plain())  #!
    plain = Plain()
    defer(plain)  #!
    defer(e)  #!
    with defer_scope() as later:
        later()  #!
    with open(path) as other:
        defer(other)  #!
""",
]

RIGHT = [
    """
class Called:
    def __call__(self): ...
class Derived(Base):
    def close(self): ...
class Plain: ...
Plain.__call__ = print
async def close(n): ...
@with_defers
async def f(path, fns, undo, kwargs):
    defer(*fns)
    defer(**kwargs)
    defer(Called())
    defer(Derived())
    defer(undo)
    file = open(path)
    defer(file.close)
    if path:
        file2 = print
    else:
        file2 = open(path)
        file2.close()
    defer(file2)
    defer(lambda: close(3))
    task = asyncio.create_task(close(3))
    defer(lambda: task)
    defer(task.cancel)
    for fn in fns:
        defer(fn)
""",
    """
class Plain: ...
Plain.__call__ = print
@with_defers
def f():
    defer(Plain())
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
