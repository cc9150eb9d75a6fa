"""Each remedy in a message runs as written (D3, D6, D7, D11, N, P3, A)."""

import asyncio
import contextlib
import functools
import gc
import re
import sys
import warnings
from pathlib import Path

import pytest

import godefer
from godefer import (
    DeferError,
    ausing,
    defer,
    defer_scope,
    errdefer,
    okdefer,
    recover,
    using,
    with_defers,
)

NAMES = {f.__name__: f for f in (ausing, defer, errdefer, okdefer, recover, using, with_defers)}
NAMES["defer_scope"] = defer_scope


def in_backticks(message):
    return re.findall("`([^`]+)`", message)


def message_of(call, kind):
    with pytest.raises(kind) as caught:
        call()
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


# D3


def test_a_helper_can_be_handed_a_scope():
    """The error of a misplaced statement offers a scope with a line that runs (D3, S)."""

    def helper():
        defer(print)

    message = message_of(helper, DeferError)
    assert message.endswith(
        "call defer() in that caller's body, or hand the helper a scope: "
        "`with defer_scope() as defer:`"
    )
    [line] = [part for part in in_backticks(message) if part.startswith("with")]
    ran, names = [], dict(NAMES)
    exec(
        f"def helper(defer, ran):\n    defer(ran.append, 1)\n\n{line}\n    helper(defer, ran)",
        names | {"ran": ran},
    )
    assert ran == [1]


def hiding(fn):
    """Hide the function from introspection."""
    return lambda *args: fn(*args)


def registering(prefix="", **options):
    """Decorate with arguments; keep the function and return it."""

    def register(fn):
        registering.last = fn
        return fn

    return register


def marking(fn):
    return fn


def test_above_another_decorator():
    """Above a hiding decorator, the error says to move `@with_defers` down (D3)."""

    @with_defers
    @hiding
    def f():
        defer(print)

    message = message_of(f, DeferError)
    assert "f (" in message
    assert f"{__file__}:" in message
    assert "where @with_defers is above @hiding, which keeps the function undecorated" in message
    assert message.endswith("put @with_defers on the line right above its own `def`, below @hiding")


def test_above_several_decorators():
    """The error names the last of several decorators, with arguments on many lines too (D3)."""

    @marking
    @with_defers
    @registering(
        "a",
        option=("@", ")"),
    )
    @marking
    def f():
        defer(print)

    message = message_of(registering.last, DeferError)
    assert "where @with_defers is above @registering, which" in message
    assert message.endswith(
        "put @with_defers on the line right above its own `def`, below @marking"
    )


def test_above_with_results():
    """The error also knows `@with_defers(result=…)`, and methods of a class (D3, N)."""

    class Thing:
        @with_defers(result="x")
        @marking
        def method(self):
            x = 1
            defer(print)
            return x

        @with_defers
        @hiding
        async def hidden(self):
            await asyncio.sleep(0)
            defer(print)

    Thing().method()
    message = message_of(lambda: asyncio.run(Thing().hidden()), DeferError)
    assert "hidden (" in message
    assert "where @with_defers is above @hiding" in message


def test_the_undecorated_body():
    """The error of the undecorated body, called through `__wrapped__`, calls it that (D3)."""

    @with_defers
    def f():
        for done in [defer(print)]:
            return done

    message = message_of(f.__wrapped__, DeferError)
    assert "which @with_defers has decorated, but which runs without it" in message
    assert "call the decorated function" in message


def test_made_anew_by_a_decorator_above():
    """A decorator above that passes on another function of the same source is named (D3)."""

    def undecorating(fn):
        return fn.__wrapped__

    @undecorating
    @with_defers
    def f():
        for done in [defer(print)]:
            return done

    message = message_of(f, DeferError)
    assert "@undecorating, for example, has made it anew from its source" in message
    assert "put @with_defers above that decorator" in message


def test_a_function_without_source():
    """Without source the decorators are unknown, and the message is the general one (D3)."""
    names = dict(NAMES)
    exec("def f():\n    defer(print)", names)
    message = message_of(names["f"], DeferError)
    assert "which is not decorated with @with_defers" in message


# D6


@pytest.mark.parametrize("name", ["aclose"])
def test_a_coroutine_function_in_sync_code(way, name):
    """The error of a coroutine function in sync code has this text; both remedies work (D6)."""
    ran = []

    async def aclose():
        ran.append("closed")

    aclose.__qualname__ = name

    @way
    def f():
        defer(aclose)

    assert message_of(f, TypeError).splitlines()[0] == (
        "aclose is a coroutine function deferred in sync code, "
        "so nothing would await it. Make the function "
        "`async def` (or the scope `async with`), or defer a function that runs it."
    )

    @way
    async def in_async_def():
        defer(aclose)

    async def in_async_with():
        async with defer_scope() as defer:
            defer(aclose)

    @way
    def run():
        defer(lambda: asyncio.run(aclose()))

    asyncio.run(in_async_def())
    asyncio.run(in_async_with())
    run()
    assert ran == ["closed"] * 3


# D7


@pytest.mark.parametrize("kind", ["function", "failing", "loop", "errdefer", "coroutine", "scope"])
def test_a_coroutine_object_as_callee(way, kind):
    """A coroutine object as callee gets a note that names the function to pass (D7)."""

    async def aclose():
        raise AssertionError

    made = aclose()

    @way
    def function():
        defer(made)

    @way
    def failing():
        defer(made)
        raise LookupError

    @way
    def loop():
        for callee in (made,):
            defer(callee)
        raise LookupError

    @way
    def of_errdefer():
        errdefer(made)
        raise LookupError

    @way
    async def coroutine():
        defer(made)

    def scope():
        with defer_scope() as defer:
            defer(made)

    call = {
        "function": function,
        "failing": failing,
        "loop": loop,
        "errdefer": of_errdefer,
        "coroutine": lambda: asyncio.run(coroutine()),
        "scope": scope,
    }[kind]
    message = message_of(call, TypeError)
    made.close()
    assert message.startswith("'coroutine' object is not callable")
    assert "Pass the function: `defer(aclose)`" in message
    assert "The deferred callee is None" not in message


def test_only_the_callee_is_told(way):
    """A TypeError from inside of a deferred function gets no note about its callee (D7)."""

    async def aclose():
        pass

    def calls(coroutine):
        try:
            coroutine()
        finally:
            coroutine.close()

    @way
    def f():
        defer(calls, aclose())

    assert "Pass the function" not in message_of(f, TypeError)


# D11


@contextlib.asynccontextmanager
async def connection():
    yield "connection"


@pytest.mark.parametrize("where", ["function", "scope"])
def test_using_an_asynchronous_context_manager(monkeypatch, where):
    """`using` of an async context manager asks for `await ausing(…)`, in a scope too (D11)."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", "0")

    @with_defers
    def function():
        using(connection())

    def scope():
        with defer_scope() as defer:
            defer.using(connection())

    message = message_of(function if where == "function" else scope, TypeError)
    assert "did you mean `await ausing(…)`?" in message

    class Neither:
        pass

    @with_defers
    def neither():
        using(Neither())

    assert "ausing" not in message_of(neither, TypeError)


def test_an_ausing_that_is_not_awaited():
    """The warning about an `ausing` without `await` names it and its place (D11)."""
    lines, kept = [], []

    @with_defers
    async def f():
        kept.append(ausing(connection()))
        lines.append(sys._getframe().f_lineno - 1)
        assert kept[0].__name__ == "ausing"

    asyncio.run(f())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kept.clear()
        gc.collect()
    [warning] = [w for w in caught if "ausing" in str(w.message)]
    assert str(warning.message) == f"coroutine 'ausing at {__file__}:{lines[0]}' was never awaited"


# P3


@pytest.mark.parametrize(
    ("given", "write"),
    [
        (((OSError, ValueError),), "recover(OSError, ValueError)"),
        ((KeyError, (OSError, SystemExit)), "recover(KeyError, OSError, SystemExit)"),
    ],
)
def test_recover_with_a_tuple(way, given, write):
    """`recover((A, B))` is refused with the advice `recover(A, B)`, which works (P3)."""

    @way
    def f():
        defer(lambda: recover(*given))
        raise OSError

    message = message_of(f, TypeError)
    assert message.splitlines()[0].endswith(f"; write {write}")
    assert eval(write, NAMES | vars(__import__("builtins"))) is None


@pytest.mark.parametrize("given", [(1,), (((OSError, 1),)), ((),)])
def test_recover_with_other_things(given):
    """`recover` refuses other objects than exception types without a guess (P3)."""
    message = message_of(lambda: recover(*given), TypeError)
    assert "write" not in message


# N


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("eror", "'eror' is not a local variable of it; did you mean 'error'?"),
        (("count", "eror"), "'eror' is not a local variable of it; did you mean 'error'?"),
        ("conut", "'conut' is not a local variable of it; did you mean 'count'?"),
        ("unlike", "'unlike' is not a local variable of it; assign to unlike in the body"),
        ("parametre", "'parametre' is not a local variable of it; assign to parametre in the body"),
    ],
)
def test_a_misspelt_result(result, said):
    """A result that is no local variable suggests the nearest one, never a parameter (N)."""

    def f(parameter):
        error = count = None
        return lambda: (error, count)

    message = message_of(lambda: with_defers(result=result)(f), DeferError)
    assert message.endswith(said)


# A


def test_without_a_python_body():
    """The refusal of a callable without Python body offers a scope, which runs (A, S)."""
    message = message_of(lambda: with_defers(len), TypeError)
    [line] = [part for part in in_backticks(message) if part.startswith("with")]
    ran = []
    exec(f"{line}\n    defer(ran.append, 1)", NAMES | {"ran": ran})
    assert ran == [1]


def test_no_message_says_stands_in():
    """Messages say that a statement is used in a function (D3)."""
    modules = list(Path(godefer.__file__).parent.rglob("*.py"))
    assert len(modules) > 50
    assert [path for path in modules if "stands in" in path.read_text(encoding="utf-8")] == []
