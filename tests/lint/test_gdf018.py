"""GDF018: @with_defers above a decorator that hides the function."""

import pytest

from godefer.lint import _files, check_source
from godefer.lint._fix import Edit, Remedy
from tests.lint.snippets import IMPORTS, check_names, check_right, check_wrong

CODE = "GDF018"

WRONG = [
    """
HANDLERS = {}
def handler(f):
    HANDLERS["x"] = f
    return f
@with_defers  #!
@handler
def g():
    defer(print)
""",
    """
import atexit, click
from fastapi import FastAPI
from typeguard import typechecked
api = FastAPI()
@click.group()
def cli(): ...
def deco(f):
    def inner(*args):
        return f(*args)
    return inner
def retry(n):
    def wrap(f):
        def inner(*args):
            return f(*args)
        return inner
    return wrap
class Timed:
    def __init__(self, f):
        self.f = f
    def __call__(self):
        return self.f()
@functools.singledispatch
def show(x): ...
@with_defers  #!
@click.command()
@click.option("--n")
def a(n):
    defer(print)
@with_defers  #!
@api.get("/")
async def b():
    defer(print)
@with_defers  #!
@atexit.register
def c():
    defer(print)
@with_defers  #!
@typechecked
def d():
    defer(print)
@with_defers  #!
@deco
def e():
    defer(print)
@with_defers  #!
@retry(3)
def g():
    defer(print)
@with_defers  #!
@Timed
def h():
    defer(print)
@with_defers  #!
@cli.command()
def i():
    defer(print)
@with_defers  #!
@show.register(int)
def j(x):
    defer(print)
@with_defers  #!
@app.get("/x")
def k():
    defer(print)
""",
]

RIGHT = [
    """
def cleaned(f):
    def inner(*args):
        defer(print, "end")
        return f(*args)
    return inner
@with_defers
@cleaned
def g(x):
    return x
""",
    """
import atexit, click, contextlib
from fastapi import FastAPI
from other import something
api = FastAPI()
def deco(f):
    @functools.wraps(f)
    def inner(*args):
        return f(*args)
    return inner
def register(f):
    HANDLERS.append(f)
    return f
@click.command()
@with_defers
def a(n):
    defer(print)
@api.get("/")
@with_defers
async def b():
    defer(print)
@with_defers
@deco
def e():
    defer(print)
@with_defers
@contextlib.contextmanager
def f():
    defer(print)
    yield
@with_defers
@something
def g():
    defer(print)
@with_defers
@click.option("--n")
def h(n):
    defer(print)
class C:
    @with_defers
    @property
    def x(self):
        defer(print)
    @with_defers
    @staticmethod
    def y():
        defer(print)
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


LONG = "a_name_of_a_result_that_is_so_long_that_a_message_does_not_quote_the_whole_decorator"
DECORATORS = [
    f'@with_defers(result="{LONG}")',
    '@with_defers(\n    result="err",\n)',
    '@with_defers(result="\\x65rr")',
    "@ with_defers",
]
MOVED = """
import atexit
{}
@atexit.register
def f():
    err = {} = None
    defer(print)
def g(file):
    with defer_scope() as later:
        later(file.close())
"""


@pytest.mark.parametrize("decorator", DECORATORS)
def test_the_decorator_is_moved_as_it_is_written(decorator):
    """The fix writes the decorator as the source has it, however long it is."""
    source = IMPORTS + MOVED.format(decorator, LONG)
    result, count = _files.fix_source(source.encode(), "x.py", _files.Selection())
    assert count == 2
    below = f"@atexit.register\n{decorator.replace('@ ', '@')}\ndef f"
    assert below in result.decode()
    assert "later(file.close)" in result.decode()
    assert check_source(result) == []


def test_a_comment_in_a_decorator_is_kept():
    """A fix that would drop a comment inside of the removed decorator is not offered."""
    source = IMPORTS + MOVED.format('@with_defers(\n    result="err",  # why\n)', LONG)
    assert [(p.code, bool(p.fix)) for p in check_source(source)] == [
        (CODE, False),
        ("GDF001", True),
    ]


def test_the_message_names_a_long_decorator():
    """The message has no gap for a decorator that is too long to quote."""
    source = IMPORTS + MOVED.format(DECORATORS[0], LONG)
    assert "…" not in check_source(source)[0].message.replace("with_defers(…)", "")


def test_a_fix_that_cannot_be_applied_stops_no_other():
    """If the fixed source cannot be parsed, the fixes are applied that leave it one that can."""
    source = "#coding:latin-1\nx = 1\ny = 'é'\nw = 3\n".encode("latin-1")
    right = [Remedy((Edit(line, 1, line, 2, "z"),), safe=True) for line in (3, 4)]
    wrong = Remedy((Edit(2, 1, 2, 2, "@"),), safe=True)
    result, count = _files.applied(source, [right[0], wrong, right[1]])
    assert result.decode("latin-1") == "#coding:latin-1\nx = 1\nz = 'é'\nz = 3\n"
    assert count == 2
    assert _files.applied(source, [wrong]) == (source, 0)
