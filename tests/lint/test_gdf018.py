"""GDF018: @with_defers above a decorator that hides the function."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

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
