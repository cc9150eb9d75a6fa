"""After a recovery the function returns to its caller: rule P4. Go is the reference."""

import asyncio
import contextlib
import sys
import weakref

import pytest

from godefer import Panic, defer, panic, recover, using
from tests.helpers import Seen


def test_the_function_returns_to_its_caller(way):
    """After a recovery the function returns, and its caller goes on (P4)."""
    seen = Seen()

    @way
    def inner():
        defer(seen.recover)
        panic("p")
        seen.append("never reached")

    @way
    def outer():
        defer(seen.append, "outer deferred")
        result = inner()
        seen.append(("outer goes on", result))
        return "result"

    assert outer() == "result"
    assert seen.values() == ["p", ("outer goes on", None), "outer deferred"]


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_the_value_after_a_recovery(way, kind):
    """The function returns the value that a `return` had evaluated, else None; a failing
    `finally` discards it first (P4).
    """
    seen = Seen()

    @way
    def function(where):
        defer(seen.recover)
        if where == "deferred call":
            defer(panic, where)
            return "evaluated"
        if where == "finally":
            try:
                return "evaluated"
            finally:
                panic(where)
        panic(where)

    @way
    async def coroutine(where):
        defer(seen.recover)
        if where == "deferred call":
            defer(panic, where)
            return "evaluated"
        if where == "finally":
            try:
                return "evaluated"
            finally:
                panic(where)
        panic(where)

    def value(where):
        return function(where) if kind == "function" else asyncio.run(coroutine(where))

    assert value("body") is None
    assert value("deferred call") == "evaluated"
    assert value("finally") is None
    assert seen.values() == ["body", "deferred call", "finally"]


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("inner", ["for _ in range(1): defer(fail)", "defer(fail)"])
def test_no_call_sees_the_recovered_exception_of_an_inner_list(load, way, kind, inner):
    """A call of a loop that is made after the recovery is made as on a return (P4, D8)."""
    module = load(
        "import sys\nseen = []\ndef fail(): raise ValueError\n"
        "def rec(): seen.append((type(recover()), type(sys.exception())))\n"
        f"@decorate\n{kind} f():\n    for _ in range(2): defer(rec)\n    {inner}\n",
        way,
    )
    result = module.f()
    if kind == "async def":
        asyncio.run(result)
    assert module.seen == [(ValueError, ValueError), (type(None), type(None))]


FIRST = {
    "nothing": "pass",
    "defer": "defer(nothing)",
    "okdefer": "okdefer(nothing)",
    "errdefer": "errdefer(nothing)",
    "using": "using(contextlib.nullcontext())",
    "in an if": "if True: defer(nothing)",
    "in a loop": "for _ in range(2): defer(nothing)",
}
RETURNS = {
    "plain": "return value()",
    "try": "try: return value()\n    finally: pass",
    "with": "with contextlib.nullcontext(): return value()",
    "except": "try: raise KeyError\n    except KeyError: return value()",
}
RECOVERING = {
    "middle": "defer(recover_it)\n    defer(fail)",
    "middle, in an if": "if True: defer(recover_it)\n    defer(fail)",
    "middle, in a loop": "for call in (recover_it, fail): defer(call)",
    "suppressing": "using(contextlib.suppress(ValueError))\n    defer(fail)",
    "twice": "defer(recover_it)\n    defer(fail)\n    defer(recover_it)\n    defer(fail)",
}


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("recovering", RECOVERING)
@pytest.mark.parametrize("first", FIRST)
def test_the_value_outlives_the_calls_that_remain(load, way, kind, first, recovering):
    """A call that is made after the recovery does not discard the evaluated value (P4)."""
    text = "import contextlib\ndef nothing(): pass\ndef fail(): raise ValueError\n"
    text += "def recover_it(): recover()\nclass Value: pass\ndef value(): return Value()\n"
    for number, returning in enumerate(RETURNS.values()):
        body = "\n    ".join([FIRST[first], RECOVERING[recovering], returning])
        text += f"@decorate\n{kind} f{number}():\n    {body}\n"
    module = load(text, decorate=way)
    for number, name in enumerate(RETURNS):
        result = getattr(module, f"f{number}")()
        if kind == "async def":
            result = asyncio.run(result)
        assert type(result) is module.Value, name
        reference = weakref.ref(result)
        result = None
        assert sys.implementation.name != "cpython" or reference() is None, "it is kept (D9)"


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine", "async generator"])
@pytest.mark.parametrize("inside_except", [False, True], ids=["", "inside an except of the caller"])
def test_the_remaining_calls_run_as_on_a_normal_return(way, kind, inside_except):
    """Later calls see the caller's `sys.exception()`, and chain to no recovered exception (P4)."""
    seen = []

    def note():
        seen.append(sys.exception())

    def handles_its_own():
        try:
            raise KeyError
        except KeyError as e:
            seen.append(e.__context__)

    @way
    def function():
        defer(note)
        defer(handles_its_own)
        defer(lambda: seen.append(recover()))
        panic("p")

    @way
    def generator():
        defer(note)
        defer(handles_its_own)
        defer(lambda: seen.append(recover()))
        yield
        panic("p")

    @way
    async def coroutine():
        defer(note)
        defer(handles_its_own)
        defer(lambda: seen.append(recover()))
        panic("p")

    @way
    async def async_generator():
        defer(note)
        defer(handles_its_own)
        defer(lambda: seen.append(recover()))
        yield
        panic("p")

    async def iterate():
        async for _ in async_generator():
            pass

    def drive(coroutine):
        with contextlib.suppress(StopIteration):
            coroutine.send(None)

    calls = {
        "function": function,
        "generator": lambda: list(generator()),
        "coroutine": lambda: drive(coroutine()),
        "async generator": lambda: drive(iterate()),
    }
    handled = None
    if inside_except:
        try:
            raise OSError("handled by the caller")
        except OSError as e:
            handled = e
            calls[kind]()
    else:
        calls[kind]()
    assert seen[0].value == "p"
    assert seen[1:] == [handled, handled]


def test_a_new_exception_after_a_recovery_is_not_chained(way):
    """If a deferred call fails after a recovery, no trace of the recovered exception
    is in its chain (P4, D5).
    """

    @way
    def f():
        defer(panic, "new")
        defer(lambda: recover())
        panic("recovered")

    with pytest.raises(Panic, match="new") as caught:
        f()
    assert caught.value.__context__ is None


def test_a_context_manager_after_a_recovery(way):
    """A context manager of `using` that exits after the recovery gets
    None three times (P4, D11).
    """
    seen = []

    class Manager:
        def __enter__(self):
            pass

        def __exit__(self, *details):
            seen.append(details)

    @way
    def f():
        using(Manager())
        defer(lambda: recover())
        panic("p")

    f()
    assert seen == [(None, None, None)]


def test_the_recovered_exception_is_left_alone(way):
    """A recovered exception keeps its context, cause and notes, and can be
    raised again later (P4, D5).
    """
    seen = []

    @way
    def f():
        defer(lambda: seen.append(recover()))
        try:
            raise KeyError("context")
        except KeyError:
            error = ValueError("body")
            error.add_note("note")
            raise error from OSError("cause")

    f()
    (error,) = seen
    assert error.__context__.args == ("context",)
    assert error.__cause__.args == ("cause",)
    assert error.__notes__ == ["note"]
    with pytest.raises(ValueError):
        raise error


def test_raising_the_recovered_exception_again(way):
    """A deferred function may recover, decide, and raise the same exception again (P4, P5)."""

    @way
    def f(error):
        def deferred():
            e = recover()
            if isinstance(e, ValueError):
                raise e

        defer(deferred)
        raise error

    error = ValueError()
    with pytest.raises(ValueError) as caught:
        f(error)
    assert caught.value is error
    assert error.__context__ is None
    assert f(KeyError()) is None
