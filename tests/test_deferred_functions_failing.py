"""A function under `@defer` that recovers, fails or is misplaced: rule D12.

Its *host* is the decorated function around it.
"""

import contextlib
import functools
import linecache
import sys
import traceback

import pytest

import godefer
from godefer import (
    DeferError,
    defer,
    errdefer,
    explain,
    okdefer,
    recover,
    using,
    with_defers,
)
from tests.helpers import drive, made, pause


def frames(error):
    """Return the name and the line's text of *error*'s frames in this file, below the test."""
    found = [
        (frame.f_code.co_name, linecache.getline(__file__, line).strip())
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == __file__
    ]
    return found[1:]


# recover


def test_recover(way):
    """`recover()` in a deferred function stops the panic, and the host returns (P2, P4, D12)."""
    seen = []

    @way
    def f():
        @defer
        def rescue():
            seen.append(recover())
            seen.append(recover())

        raise KeyError(1)

    assert f() is None
    assert [repr(error) for error in seen] == ["KeyError(1)", "None"]


def test_recover_under_a_condition_and_in_a_loop(way):
    """`recover()` stops the panic in every shape; the calls that run
    afterwards see none (P2, D12).
    """
    seen = []

    @way
    def f(where):
        @defer
        def last():
            seen.append(repr(recover()))

        if where == "if":

            @defer
            def conditional():
                seen.append(repr(recover(LookupError)))

        for _ in range(where == "loop"):

            @errdefer
            def turn():
                seen.append(repr(recover(ValueError, KeyError)))

        raise KeyError(where)

    f("if")
    assert seen == ["KeyError('if')", "None"]
    f("loop")
    assert seen[2:] == ["KeyError('loop')", "None"]


def test_recover_in_async_def(way):
    """`recover()` works in a deferred `async def` after an await (P2, D12)."""
    seen = []

    @way
    async def f():
        @defer
        async def rescue():
            await pause()
            seen.append(recover())

        await pause()
        raise KeyError(1)

    assert drive(f()) is None
    assert repr(seen) == "[KeyError(1)]"


def test_recover_through_decorators(way):
    """`recover()` works in a deferred function that is decorated with
    `with_defers` itself (P2, D12).
    """
    seen = []

    @way
    def f():
        @defer
        @with_defers
        def rescue():
            defer(seen.append, "last")
            seen.append(repr(recover()))

        raise KeyError(1)

    assert f() is None
    assert seen == ["KeyError(1)", "last"]


def test_recover_in_a_helper_of_it(way):
    """`recover()` in a helper of the deferred function returns None (P2, D12)."""
    seen = []

    def helper():
        seen.append(recover())

    @way
    def f():
        @defer
        def cleanup():
            helper()

        raise KeyError(1)

    with pytest.raises(KeyError):
        f()
    assert seen == [None]


def test_a_panic_in_it(way):
    """An exception of the deferred function replaces the one in flight, which becomes its
    context (D5, P5, D12).
    """
    log = []

    @way
    def f():
        @defer
        def last():
            log.append("last")

        @defer
        def failing():
            raise ValueError("second")

        raise KeyError("first")

    with pytest.raises(ValueError, match="second") as caught:
        f()
    assert repr(caught.value.__context__) == "KeyError('first')"
    assert log == ["last"]


# explain and tracebacks


def explained(body):
    """Return the sites of ``def f()`` with that *body*, which may name `log`."""
    text = f"def f():\n{body}"
    f = with_defers(made(text, **vars(godefer)))
    return [(d.line, d.statement, d.shape) for d in explain(f).defers]


def test_explain_shows_the_line_of_the_decorator(monkeypatch):
    """`explain` shows the line of the decorator, the statement's name, and the shape (R4, D12)."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1")
    body = """\
    @defer
    @print
    def a(): ...
    if a:

        @errdefer
        async def b(): ...
    for _ in "x":
        @okdefer
        def c(): ...
    @(
        defer
    )
    def d(): ...
"""
    assert explained(body) == [
        (2, "defer", "inline"),
        (7, "errdefer", "conditional"),
        (10, "okdefer", "list"),
        (13, "defer", "inline"),
    ]


def test_explain_says_why_not(monkeypatch):
    """`@defer(1)` is a reason for the runtime way, and `explain` tells its line (R4, D12)."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1")
    f = with_defers(made("def f():\n    @defer(1)\n    def a(): ...\n", defer=defer))
    assert explain(f).way == "runtime"
    assert explain(f).reason.endswith("at line 2")


def test_the_traceback_of_a_failing_function(way):
    """The host's frame shows the line of the decorator, and the function's comes next (P6, D12)."""

    @way
    def inline():
        @defer
        def cleanup():
            raise ValueError("inline")

    @way
    def conditional():
        if True:

            @errdefer
            @functools.cache
            def cleanup():
                raise ValueError("conditional")

        raise KeyError

    @way
    def in_loop():
        for _ in "x":

            @okdefer
            def cleanup():
                raise ValueError("in_loop")

    for fn, decorator in [(inline, "@defer"), (conditional, "@errdefer"), (in_loop, "@okdefer")]:
        with pytest.raises(ValueError, match=fn.__name__) as caught:
            fn()
        assert frames(caught.value) == [
            (fn.__name__, decorator),
            ("cleanup", f'raise ValueError("{fn.__name__}")'),
        ]


def test_the_traceback_in_an_async_function(way):
    """The host's frame shows the line of the decorator in an async function too (P6, D12)."""

    @way
    async def f():
        @defer
        async def cleanup():
            await pause()
            raise ValueError("async")

        await pause()

    with pytest.raises(ValueError, match="async") as caught:
        drive(f())
    assert frames(caught.value)[-2:] == [("f", "@defer"), ("cleanup", 'raise ValueError("async")')]


def test_the_line_of_an_uncallable_function(way):
    """A call that fails for lack of arguments shows the decorator's line (D7, P6, D12)."""

    @way
    def f():
        @defer
        @functools.lru_cache
        def cleanup(needed): ...

    with pytest.raises(TypeError, match="missing 1 required positional argument") as caught:
        f()
    assert frames(caught.value) == [("f", "@defer")]


@pytest.mark.parametrize("fails", [False, True])
def test_the_lines_that_a_tracer_sees_at_the_exit(way, fails):
    """At the exit a debugger stops at the decorator's line, and at no other (A, P6, D12)."""
    lines = []

    def trace(frame, event, arg):
        code = frame.f_code
        if (code.co_name, code.co_filename, event) == ("traced", __file__, "line"):
            lines.append(linecache.getline(__file__, frame.f_lineno).strip())
        return trace

    @way
    def traced(log):
        @defer
        def cleanup():
            log.append("cleanup")

        if log == []:

            @errdefer
            def conditional():
                log.append("conditional")

        log[:] = [1 // (not fails)]

    sys.settrace(trace)
    with contextlib.suppress(ZeroDivisionError):
        traced([])
    sys.settrace(None)
    last = lines.index("log[:] = [1 // (not fails)]")
    at_the_exit = lines[last + 1 :]
    assert ("@defer" in at_the_exit) == (way.name == "open-coded")
    assert set(at_the_exit) <= {"@defer", "@errdefer"}


def test_an_exception_from_the_body_shows_no_decorator(way):
    """An exception raised in the body is shown at its `raise`, not at a decorator, and the
    function's frame holds no hidden variable (P6, D12).
    """

    @way
    def f(log):
        @defer
        def cleanup():
            log.append("cleanup")

        if log == []:

            @defer
            def conditional():
                log.append("conditional")

        raise KeyError("body")

    with pytest.raises(KeyError) as caught:
        f([])
    assert frames(caught.value) == [("f", 'raise KeyError("body")')]
    tb = caught.value.__traceback__
    while tb.tb_frame.f_code.co_name != "f" or tb.tb_frame.f_code.co_filename != __file__:
        tb = tb.tb_next
    names = dict(tb.tb_frame.f_locals)
    assert names == {"log": ["conditional", "cleanup"], "cleanup": None, "conditional": None}


# Misuse


def test_with_arguments():
    """`@defer(fn)` defers fn and gives None, which cannot decorate: a TypeError there (D12)."""
    log = []

    @with_defers
    def f():
        @defer(log.append, 1)
        def cleanup():
            log.append("never")

    with pytest.raises(TypeError, match="'NoneType' object is not callable") as caught:
        f()
    assert frames(caught.value)[-1] == ("f", "@defer(log.append, 1)")
    assert log == [1]


def test_using_above_a_function():
    """`@using` above a function is a TypeError: it is no context manager (D11)."""

    @with_defers
    def f():
        @using
        def cleanup(): ...

    with pytest.raises(TypeError, match="context manager"):
        f()


@pytest.mark.parametrize("statement", [defer, errdefer, okdefer], ids=lambda s: s.__name__)
def test_in_an_undecorated_function(way, statement):
    """`@defer` in an undecorated function is a DeferError that names its line (D3, D12)."""
    log, lines = [], []

    def helper():
        lines.append(sys._getframe().f_lineno + 2)

        @statement
        def cleanup():
            log.append("never")

    @way
    def f():
        @defer
        def own():
            log.append("own")

        helper()

    with pytest.raises(DeferError) as caught:
        f()
    assert log == ["own"]
    name = statement.__name__
    place = f"{helper.__qualname__} ({__file__}:{lines[0]})"
    assert str(caught.value).startswith(f"{name}() is used in {place}")
    assert "put @with_defers on the line right above its own `def`" in str(caught.value)


def test_at_module_level():
    """`@defer` at module level is a DeferError that says to move it into a function (D3, D12)."""
    with pytest.raises(DeferError, match="module level, not a function; move it into a function"):
        made("@defer\ndef f(): ...\n", defer=defer)


def test_in_a_class_body(way):
    """`@defer` in a class inside a decorated function is a DeferError (D3, D12)."""

    @way
    def f():
        @defer
        def own(): ...

        class C:
            @defer
            def method(self): ...

    with pytest.raises(DeferError, match=r"C \(.*not the body of a function; move it into"):
        f()


def test_in_a_nested_function_that_is_not_decorated(way):
    """`@defer` in an undecorated nested function is a DeferError (D3, D12)."""
    log = []

    @way
    def f():
        @defer
        def own():
            log.append("own")

            @defer
            def nested():
                log.append("never")

    with pytest.raises(DeferError, match=r"is used in .*own"):
        f()
    assert log == ["own"]
