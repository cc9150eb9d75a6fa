"""GDF022: the deferred function calls nothing."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF022"

WRONG = [
    """
def undo(): ...
@with_defers
def f(file, conn, log):
    defer(lambda: file.close)  #!
    defer(lambda: undo)  #!
    defer(lambda: conn and conn.close)  #!
    defer(lambda f: f.close, file)  #!
    defer(lambda: lambda: file.close())  #!
    defer(lambda: functools.partial(print, 1))  #!
    @defer
    def done():
        print("done")
        file.close  #!
    def later():
        file.close  #!
    defer(later)
""",
]

RIGHT = [
    """
class Thing:
    @property
    def stop(self): ...
@with_defers
async def f(file, task, thing):
    defer(lambda: file.close())
    defer(lambda: None)
    defer(lambda: task)
    defer(lambda: file.closed)
    defer(lambda: thing.stop)
    defer(lambda: (file.close(), file.name))
    defer(file.close)
    @defer
    def done():
        file.close()
        ...
    return lambda: file.close
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
