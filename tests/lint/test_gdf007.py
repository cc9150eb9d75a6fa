"""GDF007: recover() where it can never recover."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF007"

WRONG = [
    """
@with_defers
def load(text):
    defer(print)
    try:
        return int(text)
    except ValueError:
        print(recover())  #!
        return 0
""",
    """
@with_defers
def f():
    def handle():
        print(recover(ValueError()))  #!
        print(recover((ValueError, KeyError)))  #!
    defer(handle)
    okdefer(lambda: print(recover()))  #!
    @okdefer  #!
    def done():
        print(recover())
    with defer_scope() as later:
        later.ok(lambda: recover())  #!
""",
    """
error = recover()  #!
class C:
    error = recover(OSError)  #!
caught = list(recover() for _ in "a")  #!
""",
    """
@with_defers
def f(n):
    def helper():
        return recover()  #!
    @with_defers
    def other():
        defer(print)
        return recover()  #!
    def cleanup():
        print(helper())
    look = lambda: recover()  #!
    defer(cleanup)
    defer(lambda: other())
    look()
    (lambda: recover())
""",
    """
@with_defers
async def f(n):
    async def helper():
        return recover()  #!
    await helper()
    defer(print)
def _work():
    recover()  #!
def main():
    _work()
""",
    """
@with_defers
def parse(text):
    defer(recover)  #!
    return int(text)
@with_defers
def fail():
    defer(recover)  #!
    raise ValueError
@with_defers
def called():
    defer(recover, OSError)  #!
    print("x")
called()
""",
    """
@with_defers
def f(text):
    @defer
    def rescue():
        def problem():
            return recover()  #!
        print(problem())
        any(recover() for _ in text)  #!
    return int(text)
@with_defers
def g(text):
    @errdefer
    def note(): ...
    defer(recover)  #!
    return int(text)
""",
]

RIGHT = [
    """
def handle():
    try:
        flush()
    except OSError:
        print(recover())
""",
    """
@with_defers
def f(kinds, kind):
    def handle():
        print(recover(ValueError, KeyError))
        print(recover(*kinds))
        print(recover(kind))
    defer(handle)
    okdefer(print)
    errdefer(lambda: print(recover()))
    okdefer(handle)
""",
    """
__all__ = ["_helper"]
def _helper():
    recover()
_helper()
""",
    """
def note():
    print(recover())
@with_defers
def _private():
    defer(print)
    print(recover())
def _handed():
    recover()
def _exported():
    recover()
__all__ = ["_exported"]
class C:
    def cleanup(self):
        recover()
    def _method(self):
        recover()
@with_defers
def f(register, handlers):
    def nested():
        recover()
    def kept():
        recover()
    def returned():
        recover()
    def partial():
        recover()
    def unused():
        recover()
    @register
    def registered():
        recover()
    async def coroutine():
        recover()
    def generator():
        try:
            yield
        finally:
            recover()
    running = generator()
    next(running)
    defer(running.close)
    waiting = coroutine()
    defer(lambda: waiting)
    defer(note)
    defer(_private)
    defer(nested)
    nested()
    defer(lambda: recover())
    defer(lambda: print(recover(OSError)))
    handlers.append(kept)
    defer(functools.partial(partial))
    handlers.append(lambda: recover())
    defer(C()._method)
    alias = recover
    return returned
use(_handed)
""",
    """
@with_defers
def swallow():
    defer(recover)
@with_defers
def f():
    defer(swallow)
@with_defers
def public():
    defer(recover)
    print("done")
class C:
    @with_defers
    def cleanup(self):
        defer(recover)
        raise ValueError
@with_defers
def generator():
    defer(recover)
    yield 1
    raise ValueError
@with_defers
def nested():
    @with_defers
    def inner():
        defer(recover)
        return 1
    defer(inner)
@hook
@with_defers
def hooked():
    defer(recover)
    return 1
""",
    """
@with_defers
def f(g):
    def helper():
        return recover()
    helper()
    g(locals())
    defer(print)
def recover():
    return 1
recover()
""",
    """
@with_defers
def f(text):
    @defer
    def rescue():
        recover()
    @errdefer
    @functools.cache
    def rescue2():
        print(recover())
    @defer
    @with_defers
    def rescue3():
        defer(recover)
        return text.clear()
    return int(text)
async def g(text):
    async with defer_scope() as later:
        @later
        async def _rescue():
            recover()
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
