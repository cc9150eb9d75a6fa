"""GDF021: an object is deferred that cannot be called."""

import pkgutil

import pytest

from godefer.lint import check_source
from godefer.lint._callees import CLOSES
from godefer.lint._types import PLAIN_TYPES
from tests.lint.snippets import IMPORTS, check_names, check_right, check_wrong

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


# Classes of the objects that functions make.
CLASSES = {
    "asyncio.new_event_loop": "asyncio.AbstractEventLoop",
    "builtins.open": "io.TextIOWrapper",
    "bz2.open": "bz2.BZ2File",
    "codecs.open": "io.TextIOWrapper",
    "gzip.open": "gzip.GzipFile",
    "io.open": "io.TextIOWrapper",
    "lzma.open": "lzma.LZMAFile",
    "multiprocessing.Pool": "multiprocessing.pool.Pool",
    "multiprocessing.Queue": "multiprocessing.queues.Queue",
    "socket.create_connection": "socket.socket",
    "socket.create_server": "socket.socket",
    "sqlite3.connect": "sqlite3.Connection",
    "tarfile.open": "tarfile.TarFile",
    "tempfile.NamedTemporaryFile": "io.TextIOWrapper",
    "tempfile.TemporaryFile": "io.TextIOWrapper",
    "urllib.request.urlopen": "http.client.HTTPResponse",
}


@pytest.mark.parametrize("made", sorted(CLOSES))
def test_suggested_methods_exist(made):
    """The closing method that the fix writes is a method of the object."""
    resolved = pkgutil.resolve_name(CLASSES.get(made, made))
    if made.endswith(("Lock", "Condition")):
        resolved = resolved()  # the methods of these belong to the instance
    assert callable(getattr(resolved, CLOSES[made]))
    assert made in PLAIN_TYPES


@pytest.mark.parametrize("made", sorted(PLAIN_TYPES - {*CLOSES}))
def test_objects_without_a_closing_method(made):
    """An object whose closing method is not known is reported without a fix."""
    module = made.rpartition(".")[0]
    source = f"import {module}\n{IMPORTS}def f(*args):\n    with defer_scope() as later:\n"
    source += f"        thing = {made.removeprefix('builtins.')}(*args)\n        later(thing)\n"
    [problem] = check_source(source)
    assert problem.code == CODE
    assert problem.fix is None
    assert ".close" not in problem.message


PARTLY = """
import tempfile
@with_defers
def f():
    with tempfile.TemporaryDirectory() as name:
        defer(name)
        held = using(threading.Lock())
        defer(held)
"""


def test_an_entered_object_may_be_another():
    """`with` may bind an object of another type: nothing is suggested for it."""
    problems = check_source(IMPORTS + PARTLY)
    assert [(p.code, p.fix) for p in problems] == [(CODE, None)] * 2


WALRUSES = [
    "any((undo := make(row)) for row in rows)",
    "any(any((undo := make(row)) for row in part) for part in rows)",
    "any([(undo := make(row)) for row in part] for part in rows)",
    "[any((undo := make(row)) for row in part) for part in rows]",
    "[(undo := make(row)) for row in rows]",
    "[row for row in rows if (undo := make(row))]",
    "any(row for part in rows for row in part if (undo := make(part)))",
]


@pytest.mark.parametrize("walrus", WALRUSES)
def test_a_walrus_binds_in_the_function(walrus):
    """A `:=` in a comprehension or generator expression sets a variable of the function."""
    body = f"    undo = open(path)\n    {walrus}\n    defer(undo)\n"
    for first in ("", "    global undo\n"):
        check_right(f"def make(row): ...\n@with_defers\ndef f(rows, path):\n{first}{body}")


def test_a_walrus_of_a_lambda_is_its_own():
    """A `:=` in a lambda sets no variable of the function, even in a generator expression."""
    check_wrong(
        CODE,
        """
def make(row): ...
@with_defers
def f(rows, path):
    undo = open(path)
    any((lambda: (undo := make(row)))() for row in rows)
    (lambda: any((undo := make(row)) for row in rows))()
    defer(undo)  #!
""",
    )
