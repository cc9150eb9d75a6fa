"""GDF014: a named result that is never set."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF014"

WRONG = [
    """
@with_defers(result="eror")  #!
def a():
    error = None
    defer(print)
    return error
@with_defers(result=("n", "err"))  #!
def b(n):
    err = None
    defer(print, err)
@with_defers("err")  #!
def c():
    err = None
    defer(print, err)
@with_defers(result="err")  #!
async def d():
    err = None
    defer(print, err)
    yield 1
@with_defers(result="err")
def e():
    err = None
    def handle():
        err = recover()  #!
    defer(handle)
@with_defers(result="err")
def f():
    err = None
    @defer
    def handle():
        e = recover()
        if e:
            err = e  #!
    return int("x")
@with_defers(result="n")
def g():
    n = 0
    def count():
        n += 1  #!
    defer(count)
    return 3
@with_defers(result="err")
def h():
    err = None
    def handle():
        err = recover()  #!
        if err is not None:
            print(err)
    defer(handle)
""",
]

RIGHT = [
    """
@with_defers(result="err")
def a():
    err = None
    def handle():
        nonlocal err
        err = recover()
    defer(handle)
@with_defers(result="err")
def b():
    defer(print)
    for err in []:
        pass
@with_defers(result=("n", "err"))
def c():
    n = err = None
    defer(print, n, err)
@with_defers(result="err")
def d(text):
    err = None
    def handle():
        err = recover()
        if err is not None:
            print(err)
    defer(handle)
    err = int(text)
@with_defers(result="n")
def e():
    n = 0
    def helper():
        n = 3
        return n
    defer(print)
    n = helper()
@with_defers(result=NAME)
def f():
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
