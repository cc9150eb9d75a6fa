"""The name of a function under `@defer`, its variables and its decorators: rule D12.

Its *host* is the decorated function around it.
"""

import functools
import sys

import pytest

import godefer
from godefer import (
    defer,
    errdefer,
    explain,
    okdefer,
    recover,
    with_defers,
)
from godefer import defer as later
from tests.helpers import made

again = defer

# The name


def test_the_name_is_none_afterwards(way):
    """The statement leaves None in the function's name, wherever the statement is (D12)."""
    seen = []

    @way
    def f():
        @defer
        def inline(): ...

        @errdefer
        def failed(): ...

        if seen == []:

            @okdefer
            def conditional(): ...

        for _ in "ab":

            @defer
            def turn(): ...

            seen.append(turn)
        seen.extend([inline, failed, conditional])
        return lambda: (inline, failed, conditional, turn)

    assert f()() == (None,) * 4
    assert seen == [None] * 5


def test_the_function_sees_none_in_its_own_name(way):
    """When a deferred function runs, its own name is None, as a closure
    reads the current value (D12).
    """
    seen = []

    @way
    def f():
        @defer
        def cleanup():
            seen.append(cleanup)

    f()
    assert seen == [None]


def test_the_name_may_be_used_again(way):
    """Functions of one name are all deferred, and the name may be bound or deleted (D12)."""
    log = []

    @way
    def f(cleanup):
        log.append(cleanup)

        @defer
        def cleanup():
            log.append(1)

        @defer
        def cleanup():
            log.append(2)

        cleanup = "bound"
        log.append(cleanup)
        del cleanup

        @defer
        def cleanup():
            log.append(3)

    f("parameter")
    assert log == ["parameter", "bound", 3, 2, 1]


def test_a_global_name(way):
    """A name that is declared global is None in the module afterwards (D12)."""
    global deferred_globally
    deferred_globally = "before"
    log = []

    @way
    def f():
        global deferred_globally

        @defer
        def deferred_globally():
            log.append("ran")

        log.append(globals()["deferred_globally"])

    f()
    assert log == [None, "ran"]
    assert deferred_globally is None
    del deferred_globally


def test_a_nonlocal_name(way):
    """A name that is declared nonlocal is None in the function around it afterwards (D12)."""
    log = []

    def outer():
        name = "before"

        @way
        def f():
            nonlocal name

            @defer
            def name():
                log.append("ran")

            log.append(name)

        f()
        return name

    assert outer() is None
    assert log == [None, "ran"]


class Private:
    """Methods with class-private names, which the compiler mangles."""

    def __init__(self):
        self.__log = []

    def plain(self):
        @defer
        def __cleanup():
            self.__log.append(__cleanup)

        self.__log.append(__cleanup)
        return __cleanup

    def in_loop(self):
        for i in range(2):

            @defer
            def __cleanup(i=i):
                self.__log.append((i, __cleanup))

    @property
    def log(self):
        return self.__log


def test_a_class_private_name(way):
    """In a method the function's name may be a class-private one (D12)."""
    thing = Private()
    assert way(Private.plain)(thing) is None
    assert thing.log == [None, None]
    way(Private.in_loop)(thing)
    assert thing.log[2:] == [(1, None), (0, None)]


def test_a_function_is_itself(way):
    """A deferred function has the same name, qualified name, doc and defaults as
    an undecorated one (D12).
    """
    seen = []

    def keep(fn):
        seen.append(fn)
        return fn

    @way
    def f():
        @defer
        @keep
        def cleanup(a: int = 1, *, b="b") -> None:
            """Clean up."""

    f()
    (fn,) = seen
    here = "test_a_function_is_itself.<locals>."
    assert (fn.__name__, fn.__qualname__) == ("cleanup", f"{here}f.<locals>.cleanup")
    assert fn.__doc__ == "Clean up."
    assert (fn.__defaults__, fn.__kwdefaults__) == ((1,), {"b": "b"})
    assert fn.__annotations__ == {"a": int, "return": None}
    assert fn.__module__ == __name__


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with 3.12 (PEP 695)")
def test_type_parameters(way):
    """A deferred function may have type parameters (D12)."""
    log = []
    text = (
        "def f():\n    @defer\n    def cleanup[T](x: T = 1) -> T:\n"
        "        log.append(T.__name__)\n    return cleanup\n"
    )
    assert way(made(text, log=log, defer=defer))() is None
    assert log == ["T"]


# Its variables


def test_closures(way):
    """A deferred function reads its host's variables at the exit; an argument
    is read earlier (D1, D12).
    """
    log = []

    @way
    def f(n):
        defer(log.append, n)

        @defer
        def cleanup():
            log.append(n)

        n += 1

    f(1)
    assert log == [2, 1]


def test_nonlocal(way):
    """A deferred function may change its host's variables; the next deferred
    function sees that (D12).
    """
    log = []

    @way
    def f():
        n = 0

        @defer
        def last():
            log.append(n)

        @defer
        def first():
            nonlocal n
            n += 10

        n = 1
        return n

    assert f() == 1
    assert log == [11]


def test_named_results():
    """A deferred function may change a named result (D12, N)."""

    @with_defers(result="err")
    def f(fails):
        err = None

        @defer
        def rescue():
            nonlocal err
            error = recover()
            if error is not None:
                err = f"recovered {error!r}"

        if fails:
            raise KeyError(1)
        return "none"

    assert f(True) == "recovered KeyError(1)"
    assert f(False) == "none"


def test_default_arguments(way):
    """Default arguments are evaluated when the statement runs (D1, D12)."""
    log = []

    @way
    def f(n):
        @defer
        def cleanup(n=n, *, m=[n + 1]):
            log.append((n, m))

        n = None

    f(1)
    assert log == [(1, [2])]


def test_super_and_class(way):
    """A function deferred in a method may call `super(__class__, self)` (D12)."""
    log = []

    class Base:
        def close(self):
            log.append("base")

    class Child(Base):
        def close(self):
            @defer
            def cleanup():
                super(__class__, self).close()

            log.append("child")

    way(Child.close)(Child())
    assert log == ["child", "base"]


def test_a_function_that_needs_arguments(way):
    """A deferred function that needs arguments is a TypeError at the exit;
    the others run (D7, D12).
    """
    log = []

    @way
    def f():
        defer(log.append, "others")

        @defer
        def cleanup(file):
            log.append("never")

    with pytest.raises(TypeError, match=r"cleanup\(\) missing 1 required .* 'file'"):
        f()
    assert log == ["others"]


# Other decorators


def test_decorators_below_are_applied_first(way):
    """Decorators below `@defer` are applied at the statement; their result is deferred (D12)."""
    log = []

    def logged(name):
        log.append(f"made {name}")

        def decorate(fn):
            log.append(f"applied {name}")

            @functools.wraps(fn)
            def wrapper():
                log.append(f"before {name}")
                fn()

            return wrapper

        return decorate

    @way
    def f():
        @defer
        @logged("a")
        @logged("b")
        def cleanup():
            log.append("cleanup")

        log.append("body")

    f()
    made_and_applied = ["made a", "made b", "applied b", "applied a"]
    assert log == [*made_and_applied, "body", "before a", "before b", "cleanup"]


def test_functools_cache_below(way):
    """`functools.cache` below `@defer` gives an object that is deferred as a function is (D12)."""
    log = []

    @way
    def f():
        for _ in range(2):

            @defer
            @functools.cache
            def cleanup():
                log.append("cleanup")

        @defer
        @functools.cache
        def again():
            log.append("again")

    f()
    assert log == ["again", "cleanup", "cleanup"]


def test_a_decorator_below_that_fails(way):
    """If a decorator below `@defer` raises, nothing more is deferred (D1, D12)."""
    log = []

    def refuse(fn):
        raise KeyError(fn.__name__)

    @way
    def f():
        defer(log.append, "before")

        @defer
        @refuse
        def cleanup():
            log.append("never")

    with pytest.raises(KeyError, match="cleanup"):
        f()
    assert log == ["before"]


def test_above_a_decorated_function(way):
    """A deferred function may be decorated with `with_defers`, and be a host itself (D4, D12)."""
    log = []

    @way
    def f():
        @defer
        @with_defers
        def cleanup():
            @defer
            def last():
                log.append("last")

            defer(log.append, "second")
            log.append("first")

        log.append("body")

    f()
    assert log == ["body", "first", "second", "last"]


def test_a_decorator_above_gets_none():
    """A decorator above `@defer` gets its None; the host is run the runtime way (R4, D12)."""
    log = []

    @with_defers
    def f():
        @log.append
        @defer
        def cleanup():
            log.append("cleanup")

    assert explain(f).way == "runtime"
    f()
    assert log == [None, "cleanup"]


def test_above_a_class():
    """A class below `@defer` is called when the host exits (R4, D12)."""
    log = []

    @with_defers
    def f():
        @defer
        class Cleanup:
            def __init__(self):
                log.append("made")

        log.append(Cleanup)

    f()
    assert log == [None, "made"]


# Ways to write it


def test_by_the_module(way):
    """`@godefer.defer` is `@defer` (D12)."""
    log = []

    @way
    def f():
        @godefer.okdefer
        def second():
            log.append("second")

        if log == []:

            @godefer.defer
            def first():
                log.append("first")

    f()
    assert log == ["first", "second"]


def test_by_an_alias(way):
    """An alias of `defer`, of the import or assigned, is `@defer` (D12)."""
    log = []
    local = defer

    @way
    def f():
        @later
        def third():
            log.append("third")

        @again
        def second():
            log.append("second")

        @local
        def first():
            log.append("first")

    f()
    assert log == ["first", "second", "third"]


def test_a_shadowed_name(way):
    """Another function named `defer` is an ordinary decorator: nothing is deferred (D12)."""
    log = []

    @way
    def f(defer):
        @defer
        def kept():
            log.append("called")

        @errdefer
        def failed():
            log.append("never")

        kept()

    f(lambda fn: fn)
    assert log == ["called"]


def test_multi_line_decorators(way):
    """The decorator, and those below it, may take several lines (D12)."""
    log = []

    @way
    def f():
        @(
            godefer
            .defer
        )  # fmt: skip
        def second():
            log.append("second")

        @defer
        # a comment
        @functools.lru_cache(
            maxsize=None,
        )
        def first(
            default=1,
        ):  # fmt: skip
            log.append("first")

        @errdefer
        def never(): log.append("never")  # fmt: skip

    f()
    assert log == ["first", "second"]
