"""GDF011: a decorated function that defers nothing."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF011"

WRONG = [
    """
@with_defers  #!
def f(n):
    return n + 1
class C:
    @property
    @with_defers  #!
    def size(self):
        return len(self.items)
@with_defers  #!
def outer():
    @with_defers
    def inner():
        defer(print)
    inner()
@with_defers  #!
def scoped(file):
    with defer_scope() as later:
        later(file.close)
def cleanup():
    recover()
import godefer
@godefer.with_defers  #!
def recovering():
    print(godefer.recover())
@with_defers  #!
async def main():
    await asyncio.sleep(1)
""",
    """
@with_defers
def f():
    @defer
    @with_defers  #!
    def cleanup():
        print("cleanup")
@with_defers  #!
def g():
    with defer_scope() as later:
        @later
        def cleanup():
            print("cleanup")
""",
]

RIGHT = [
    """
import godefer, mylib, abc
from mylib import later
from . import cleanup
@with_defers
def a(files):
    [defer(f.close) for f in files]
@with_defers
def b(files):
    for do in (defer, errdefer):
        do(files.close)
@with_defers
def c(files):
    list(map(defer, files))
@with_defers
def d(f):
    mylib.defer(f)
@with_defers
def e(f):
    later(f.close)
@with_defers
def g(f, d):
    d(f.close)
@with_defers(result="n")
def h(f):
    n = 1
@with_defers
def i(f):
    exec("defer(print)")
@with_defers
def j(f): ...
@with_defers
def k(f):
    '''To be done.'''
    raise NotImplementedError
@with_defers
def l(f):
    from godefer import defer as x
    x(print)
@with_defers
def m(f):
    cleanup.when_done(f.close)
@with_defers
def n(f):
    getattr(godefer, "defer")(f.close)
@with_defers
@instrumented
def o(f):
    return 1
@with_defers
def p(f):
    x = using(f)
@with_defers
def q(f):
    do = pick(f)
    do(f.close)
@with_defers
async def r(f):
    return await ausing(f)
""",
    """
from mylib import *
@with_defers
def a(f):
    later(f.close)
""",
    """
class Job:
    later = staticmethod(defer)
    @with_defers
    def run(self, file):
        self.later(file.close)
""",
    """
@with_defers
def f(file):
    @defer
    def close():
        file.close()
@with_defers
async def g(file):
    for f in file:
        @okdefer
        @with_defers
        async def close():
            @errdefer
            def undo(): ...
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
