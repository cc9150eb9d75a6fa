"""GDF015: a generator function is deferred, and nothing iterates it."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF015"

WRONG = [
    """
def steps(n):
    yield n
class C:
    def finish(self):
        yield 1
    @with_defers
    def run(self, files):
        defer(self.finish)  #!
        defer(steps, 3)  #!
        defer(lambda: steps(4))  #!
        defer(functools.partial(steps, 4))  #!
        defer(map, print, files)  #!
        defer(lambda: (f.close() for f in files))  #!
        defer(lambda: map(print, files))  #!
        @defer  #!
        def last():
            yield
@with_defers
async def f():
    async def agen():
        yield 1
    defer(agen)  #!
    defer(steps)  #!
""",
]

RIGHT = [
    """
import contextlib
def steps(n):
    yield n
@contextlib.contextmanager
def opened():
    yield 1
@other
def wrapped():
    yield 1
@with_defers
def run(files):
    defer(lambda: list(steps(4)))
    defer(wrapped)
    defer(list, steps(3))
    defer(lambda: [f.close() for f in files])
    defer(steps(3).close)
    using(opened())
    defer(list, map(print, files))
    @defer
    def last():
        yielding = lambda: (yield)
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
