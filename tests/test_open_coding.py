"""The functions that are open-coded, of every kind and with their limits, end to end (R1)."""

import asyncio
import contextlib
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import godefer
from godefer import ausing, defer, errdefer, explain, okdefer, using, with_defers
from godefer import defer as later

ROOT = str(Path(godefer.__file__).resolve().parent.parent)


def noted(fn):
    """Return the way, and each statement with its shape."""
    explanation = explain(fn)
    return explanation.way, [(site.statement, site.shape) for site in explanation.defers]


# Every kind of function


def test_function(events):
    """Each kind of statement at the top level of a function is open-coded (R1)."""

    @with_defers
    def f(cm):
        defer(events.append, 1)
        errdefer(events.append, 2)
        okdefer(events.append, 3)
        x = using(cm)
        return x

    assert noted(f) == (
        "open-coded",
        [(name, "inline") for name in ("defer", "errdefer", "okdefer", "using")],
    )
    assert f(contextlib.nullcontext(4)) == 4
    assert events == [3, 1]


def test_no_wrapper():
    """An open-coded function is called directly, without wrapper or frame of godefer (R1)."""
    frames = []

    def note():
        frame = sys._getframe(1)
        while frame.f_code.co_name != "test_no_wrapper":
            frames.append(frame.f_code.co_name)
            frame = frame.f_back

    @with_defers
    def f():
        defer(note)
        note()

    f()
    assert frames == ["f", "f"]
    assert not hasattr(f, "__wrapped__")


def test_methods(events):
    """Methods, class methods, static methods and properties are open-coded (R1, A)."""

    class Thing:
        @with_defers
        def method(self):
            defer(events.append, "method")
            return self

        @classmethod
        @with_defers
        def class_method(cls):
            defer(events.append, "class method")
            return cls

        @with_defers
        @staticmethod
        def static_method():
            defer(events.append, "static method")

        @with_defers
        @property
        def value(self):
            defer(events.append, "property")
            return self

    thing = Thing()
    assert thing.method() is thing.value is thing
    assert Thing.class_method() is Thing
    Thing.static_method()
    assert events == ["method", "property", "class method", "static method"]
    for found in (thing.method, Thing.class_method, Thing.static_method, Thing.value):
        assert noted(found) == ("open-coded", [("defer", "inline")])


def test_generator(events):
    """A generator is open-coded, and its calls run at its end (R1, D2)."""

    @with_defers
    def f():
        defer(events.append, 1)
        got = yield 2
        return got

    assert noted(f) == ("open-coded", [("defer", "inline")])
    generator = f()
    assert next(generator) == 2
    with pytest.raises(StopIteration) as stopped:
        generator.send(3)
    assert stopped.value.value == 3
    assert events == [1]


def test_coroutine_function(events):
    """A coroutine function is open-coded, and awaits at its exit (R1, D6)."""

    async def close():
        await asyncio.sleep(0)
        events.append(1)

    @with_defers
    async def f(acm):
        defer(close)
        for _ in range(2):
            defer(close)
        x = await ausing(acm)
        return x

    assert noted(f) == (
        "open-coded",
        [("defer", "inline"), ("defer", "list"), ("ausing", "inline")],
    )
    assert asyncio.run(f(contextlib.nullcontext(2))) == 2
    assert events == [1, 1, 1]


def test_async_generator(events):
    """An async generator is open-coded (R1)."""

    async def close():
        events.append(1)

    @with_defers
    async def f():
        defer(close)
        yield 2

    async def main():
        return [x async for x in f()]

    assert noted(f) == ("open-coded", [("defer", "inline")])
    assert asyncio.run(main()) == [2]
    assert events == [1]


def test_generator_based_coroutine(events):
    """A function that `types.coroutine` has marked stays marked, and is open-coded (R1, A)."""

    @with_defers
    @types.coroutine
    def f():
        defer(events.append, 1)
        return (yield 2)

    async def main():
        return await f()

    assert noted(f) == ("open-coded", [("defer", "inline")])
    coroutine = main()
    assert coroutine.send(None) == 2
    with pytest.raises(StopIteration, match="3"):
        coroutine.send(3)
    assert events == [1]


def test_shapes(events):
    """A statement is inline at the top level, else conditional, in a loop a list (R1, D8)."""

    @with_defers
    def f(x, cm):
        if x:
            defer(events.append, 2)
        match x:
            case True:
                okdefer(events.append, 3)
        try:
            errdefer(events.append, 4)
        finally:
            events.append(5)
        with cm:
            defer(events.append, 6)
            for i in (7, 8):
                defer(events.append, i)
        while x:
            defer(events.append, 9)
            x = False
        defer(events.append, 10)

    conditional, listed = [("defer", "conditional")], [("defer", "list")]
    assert noted(f) == (
        "open-coded",
        [
            *conditional,
            ("okdefer", "conditional"),
            ("errdefer", "conditional"),
            *(listed * 3),
            ("defer", "inline"),
        ],
    )
    f(True, contextlib.nullcontext())
    assert events == [5, 10, 9, 8, 7, 6, 3, 2]


# Names


def test_alias(events):
    """An alias of `defer` is `defer` (R1)."""

    @with_defers
    def f():
        later(events.append, 1)

    assert noted(f) == ("open-coded", [("defer", "inline")])
    f()
    assert events == [1]


def test_attribute(events):
    """`godefer.defer` is `defer` (R1)."""

    @with_defers
    def f():
        godefer.defer(events.append, 1)
        godefer.okdefer(events.append, 2)

    assert noted(f) == ("open-coded", [("defer", "inline"), ("okdefer", "inline")])
    f()
    assert events == [2, 1]


def test_attribute_of_a_package(events, monkeypatch):
    """An attribute of an attribute is resolved through modules (R1)."""
    package, module = types.ModuleType("package"), types.ModuleType("package.cleanup")
    package.cleanup, module.run_later = module, defer
    monkeypatch.setitem(globals(), "package", package)

    @with_defers
    def f():
        package.cleanup.run_later(events.append, 1)

    assert noted(f) == ("open-coded", [("defer", "inline")])
    f()
    assert events == [1]


def test_closure_variable(events):
    """A closure variable is looked up in its cell, for each new function again (R1)."""

    def make(postpone, module):
        @with_defers
        def f():
            postpone(events.append, 1)
            module.defer(events.append, 2)
            events.append(3)

        return f

    first, other = make(defer, godefer), make(errdefer, godefer)
    assert noted(first) == ("open-coded", [("defer", "inline"), ("defer", "inline")])
    assert noted(other) == ("open-coded", [("errdefer", "inline"), ("defer", "inline")])
    first()
    other()
    assert events == [3, 2, 1, 3, 2]
    assert noted(make(lambda *args: None, godefer)) == ("open-coded", [("defer", "inline")])


def test_builtin(events, monkeypatch):
    """A builtin name is looked up as by the interpreter (R1)."""
    monkeypatch.setattr("builtins.postpone", defer, raising=False)

    @with_defers
    def f():
        postpone(events.append, 1)  # noqa: F821

    assert noted(f) == ("open-coded", [("defer", "inline")])
    f()
    assert events == [1]


def test_somebody_else_s_defer(events):
    """Another function with the name of a statement is called as any other (R1)."""

    def outer(defer):
        @with_defers
        def f():
            okdefer(events.append, 1)
            defer(events.append, 2)

        return f

    f = outer(lambda fn, arg: fn(arg))
    assert noted(f) == ("open-coded", [("okdefer", "inline")])
    f()
    assert events == [2, 1]


# Functions that run the runtime way instead


def used_as_a_value(events):
    postpone = defer
    postpone(events.append, 1)
    events.append(0)


def in_a_comprehension(events):
    [defer(events.append, i) for i in (2, 1)]
    events.append(0)


def in_an_expression(events):
    defer(events.append, 1) or events.append(0)


def reads_the_frame(events):
    defer(events.append, 1)
    assert sorted(locals()) == ["events"]
    events.append(0)


def imports_in_the_body(events):
    from godefer import defer

    defer(events.append, 1)
    events.append(0)


def holds_a_mark(events):
    defer(events.append, 1)
    events.append(0 if "@noop".startswith("@") else "@noop")


def declares_global(events):
    global defer
    defer(events.append, 1)
    events.append(0)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (used_as_a_value, "defer is used as a value, or inside an expression, at line"),
        (in_a_comprehension, "defer is used as a value, or inside an expression, at line"),
        (in_an_expression, "defer is used as a value, or inside an expression, at line"),
        (reads_the_frame, "locals() could see or need the names of the body, at line"),
        (imports_in_the_body, "godefer is imported in the body, at line"),
        (holds_a_mark, "it holds a string that is one of the marks of lowered code"),
        (declares_global, "defer is declared global at line"),
    ],
)
def test_runtime_way(function, reason, events):
    """A function that open coding cannot prove runs the runtime way (R2, R4).

    Its result is the same, and `explain` has the reason.
    """
    decorated = with_defers(function)
    assert noted(decorated) == ("runtime", [])
    assert explain(decorated).reason.startswith(reason)
    decorated(events)
    assert events in ([0, 1], [0, 1, 2])


@pytest.mark.parametrize(
    "call", ["defer()", "defer(*())", "using()", "x = using(1, 2)", "errdefer(k=1)"]
)
def test_malformed(call, load):
    """A statement with missing or wrong arguments raises the same TypeError as its call (R2)."""
    f = load(f"from godefer import *\n@with_defers\ndef f():\n    {call}\n").f
    assert explain(f).way == "runtime"
    with pytest.raises(TypeError, match="argument"):
        f()


# Limits


NESTED = """\
from godefer import defer, errdefer, okdefer, with_defers

def body(events):
{defers}{blocks}    {indent}return inner(events)

def inner(events):
    events.append("body")
    if "fail" in events:
        raise KeyError
    return events
"""


def nested(blocks, defers):
    """Return a function of its own file with nested *blocks* below so many *defers*."""
    return NESTED.format(
        defers="".join(f"    defer(events.append, {i})\n" for i in range(defers)),
        blocks="".join(f"    {' ' * i}try:\n" for i in range(blocks)),
        indent=" " * blocks,
    ).replace("return inner(events)\n", "return inner(events)\n" + closing(blocks), 1)


def closing(blocks):
    return "".join(f"    {' ' * i}except LookupError: raise\n" for i in reversed(range(blocks)))


@pytest.mark.parametrize(
    ("blocks", "defers"), [(0, 9), (0, 20), (0, 500), (4, 9), (15, 9), (14, 30)]
)
def test_many_blocks_and_defers(blocks, defers, load):
    """More defers or blocks than the interpreter can nest are open-coded with lists (R1)."""
    f = with_defers(load(nested(blocks, defers)).body)
    way, statements = noted(f)
    assert way == "open-coded"
    assert len(statements) == defers
    assert ("defer", "list") in statements
    calls = ["body", *reversed(range(defers))]
    events = []
    assert f(events) is events
    assert events == calls
    events = ["fail"]
    with pytest.raises(KeyError):
        f(events)
    assert events == ["fail", *calls]


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy nests as many blocks as it is given"
)
def test_blocks_that_leave_no_room(load):
    """A function with too many nested blocks of its own runs the runtime way (R2)."""
    f = with_defers(load(nested(19, 2)).body)
    assert explain(f).way == "runtime"
    assert "too many statically nested blocks" in explain(f).reason
    events = []
    assert f(events) is events
    assert events == ["body", 1, 0]


@pytest.mark.parametrize(("exits", "way"), [(40, "open-coded"), (41, "runtime")])
def test_statements_times_exits(exits, way, load):
    """Fifty statements are copied to forty exits, and not to forty-one (R2, R4).

    With more copies to make, the function runs the runtime way.
    """
    text = "from godefer import defer\ndef f(events):\n"
    text += "".join(f"    defer(events.append, {i})\n" for i in range(50))
    text += "".join(f"    if events == [{i}]: return {i}\n" for i in range(exits - 1))
    f = with_defers(load(text).f)
    explanation = explain(f)
    assert explanation.way == way
    if way == "runtime":
        assert "50 statements and 41 ways to return" in explanation.reason
    events = [7]
    assert f(events) == 7
    assert events == [7, *reversed(range(50))]


# The environment


@pytest.mark.parametrize(
    ("value", "way"),
    [("0", "runtime"), ("1", "open-coded"), ("", "open-coded"), (None, "open-coded")],
)
def test_environment(value, way, load):
    """Only GODEFER_OPEN_CODED=0 turns open coding off, except for named results (R4, N)."""
    text = (
        "from godefer import *\n"
        "@with_defers\ndef f():\n    defer(print)\n"
        "@with_defers(result='n')\ndef g():\n    n = 1\n    return n\n"
        "print(explain(f).way, explain(g).way, explain(f).reason)\n"
    )
    module = load("")
    Path(module.__file__).write_text(text)
    environment = {name: old for name, old in os.environ.items() if name != "GODEFER_OPEN_CODED"}
    environment["PYTHONPATH"] = ROOT
    if value is not None:
        environment["GODEFER_OPEN_CODED"] = value
    done = subprocess.run(
        [sys.executable, module.__file__],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    reason = "the environment says GODEFER_OPEN_CODED=0" if value == "0" else ""
    assert done.stdout == f"{way} open-coded {reason}\n"
