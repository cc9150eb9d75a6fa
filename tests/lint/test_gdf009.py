"""GDF009: the statement is never reached."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF009"

WRONG = [
    """
@with_defers
def f(file, n):
    if n == 1:
        return
        defer(file.close)  #!
    for i in range(n):
        if i:
            continue
            defer(file.close)  #!
        else:
            break
            errdefer(file.close)  #!
    defer(print)
    os._exit(1)
    defer(file.close)  #!
    if n:
        defer(file.close)  #!
""",
    """
@with_defers
def a(file):
    os.execvp("ls", ["ls"])
    defer(file.close)  #!
@with_defers
def b(file):
    sys.exit()
    defer(file.close)  #!
@with_defers
def c(file):
    panic("x")
    defer(file.close)  #!
@with_defers
def d(file):
    while True:
        for x in file:
            break
    defer(file.close)  #!
@with_defers
def e(file, n):
    if n == 1:
        return 1
    elif n == 2:
        raise ValueError
    else:
        return 2
    defer(file.close)  #!
@with_defers
def f(file):
    try:
        return file.read()
    except OSError:
        raise
    x = using(file)  #!
@with_defers
def g(file):
    match file:
        case 1:
            return
        case _:
            return
    defer(file.close)  #!
@with_defers
async def h(file):
    try:
        print("x")
    finally:
        return
    y = await ausing(file)  #!
def k(file):
    with defer_scope() as later:
        raise ValueError
        later(file.close)  #!
""",
    """
@with_defers
def f(file):
    if file:
        exit(1)
        defer(file.close)  #!
    quit()
    defer(file.close)  #!
""",
    """
@with_defers
def f(file, n):
    if n:
        return file.read()
        @defer  #!
        def close():
            file.close()
    while True:
        n()
    @errdefer  #!
    @with_defers
    def undo():
        defer(print)
""",
]

RIGHT = [
    """
import contextlib
@with_defers
def f(file, n):
    if n:
        return
    defer(file.close)
    while True:
        if n:
            break
    defer(file.close)
    while n:
        defer(file.close)
        return
    for x in file:
        continue
    else:
        defer(file.close)
    try:
        os.execvp("ls", ["ls"])
    except OSError:
        pass
    defer(file.close)
    try:
        return
    finally:
        defer(file.close)
@with_defers
def g(file, n):
    with contextlib.suppress(ValueError):
        raise ValueError
    defer(file.close)
    match n:
        case 1:
            return
    defer(file.close)
    match n:
        case _ if file:
            return
    defer(file.close)
    if n:
        return
    elif n is None:
        return
    defer(file.close)
    try:
        sys.exit()
    except SystemExit:
        defer(file.close)
    def never():
        return
    os.kill(1, 2)
    while True:
        for x in file:
            pass
        else:
            break
    defer(file.close)
    return None
""",
    """
class os:
    _exit = print
def panic(x): ...
@with_defers
def f(file):
    os._exit(1)
    panic(1)
    defer(file.close)
""",
    """
@with_defers
def f(file):
    @defer
    def close():
        file.close()
    return file.read()
    def helper():
        @file.defer
        def nested(): ...
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
