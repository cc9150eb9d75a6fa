"""explain: the way a function runs, the reason, and the shape of each of its defers (R4)."""

import ast
import contextlib
import functools
import importlib.util
import re
import sys
import types
from pathlib import Path

import pytest

import godefer
from godefer import (
    DeferError,
    Explanation,
    ausing,
    defer,
    errdefer,
    explain,
    okdefer,
    recover,
    using,
    with_defers,
)

HERE = Path(__file__)
LINES = HERE.read_text().splitlines()


def line_of(text, nth=1):
    """Return the number of the *nth* line of this file that, without its indentation, is *text*."""
    return [i for i, line in enumerate(LINES, 1) if line.strip() == text][nth - 1]


def compiles(lowered):
    """Compile *lowered* with ordinary names in place of hidden ones."""
    return compile(re.sub(r"(?<=.)@(?=\w)", "hidden_", lowered), "<lowered>", "exec")


@with_defers
def every_shape(events, xs, cm):
    defer(events.append, "inline")
    if xs:
        errdefer(events.append, "conditional")
    for x in xs:
        okdefer(events.append, x)
    file = using(cm)
    return file


@with_defers
def not_open_coded(events):
    postpone = defer
    postpone(events.append, 1)


def undecorated(events):
    defer(events.append, 1)


def test_open_coded():
    """An explanation of an open-coded function has the place, the way, and each
    statement's line and shape (R4).
    """
    explanation = explain(every_shape)
    assert isinstance(explanation, Explanation)
    assert explanation.function == "every_shape"
    assert explanation.file == str(HERE)
    assert explanation.line == line_of("def every_shape(events, xs, cm):") - 1
    assert explanation.way == "open-coded"
    assert explanation.reason == ""
    assert [(site.line, site.statement, site.shape) for site in explanation.defers] == [
        (line_of('defer(events.append, "inline")'), "defer", "inline"),
        (line_of('errdefer(events.append, "conditional")'), "errdefer", "conditional"),
        (line_of("okdefer(events.append, x)"), "okdefer", "list"),
        (line_of("file = using(cm)"), "using", "inline"),
    ]


def test_runtime():
    """An explanation of a runtime function has the reason (R4)."""
    explanation = explain(not_open_coded)
    assert explanation.function == "not_open_coded"
    assert explanation.file == str(HERE)
    assert explanation.line == line_of("def not_open_coded(events):") - 1
    assert explanation.way == "runtime"
    line = line_of("postpone = defer")
    assert (
        explanation.reason == f"defer is used as a value, or inside an expression, at line {line}"
    )
    assert explanation.defers == ()
    assert explanation.lowered == ""


def test_text_of_open_coded():
    """The text for an open-coded function has a line for it and one for each statement (R4)."""
    first, *lines = str(explain(every_shape)).splitlines()
    assert first == f"every_shape ({HERE}:{every_shape.__code__.co_firstlineno}): open-coded"
    assert lines == [
        f"  line {line_of(text)}: {statement}, {shape}"
        for text, statement, shape in [
            ('defer(events.append, "inline")', "defer", "inline"),
            ('errdefer(events.append, "conditional")', "errdefer", "conditional"),
            ("okdefer(events.append, x)", "okdefer", "list"),
            ("file = using(cm)", "using", "inline"),
        ]
    ]


def test_text_of_runtime():
    """The text for a runtime function has a line for it and one for the reason (R4)."""
    explanation = explain(not_open_coded)
    first, second = str(explanation).splitlines()
    assert first == f"not_open_coded ({HERE}:{explanation.line}): runtime"
    assert second == f"  because {explanation.reason}"


# The lowered source


def test_lowered():
    """The lowered source begins hidden names with an unquoted "@", and keeps the
    function's own strings (R4).
    """

    @with_defers
    def f(x):
        """The doc."""
        defer(print, x, "@home", end="'")

    lowered = explain(f).lowered
    header, docstring, *rest = [
        line for line in lowered.splitlines() if not line.startswith("@with_defers")
    ]
    assert header == "def f(x):"
    assert docstring == '    """The doc."""'
    assert rest[:2] == ["    try:", "        @callee0 = print"]
    assert "'@drop'" not in lowered
    assert "@drop(" in lowered
    assert "@callee0(@argument0_0, '@home', end=\"'\")" in lowered


def shapes():
    @with_defers
    def listed(xs):
        for x in xs:
            defer(print, *x, **x)
            y = using(x)
        while xs:
            errdefer(print)
        return y

    @with_defers
    async def asynchronous(xs):
        defer(print)
        if xs:
            y = await ausing(xs)
        async for x in xs:
            defer(print, x)
        return y

    @with_defers
    def generator(xs):
        for x in xs:
            defer(print, x)
            yield x

    @with_defers
    async def asynchronous_generator(xs):
        defer(print)
        yield xs
        return

    @with_defers(result=("n", "err"))
    def named(xs):
        n, err = 1, None
        defer(print)
        return n, err

    return [every_shape, listed, asynchronous, generator, asynchronous_generator, named]


@pytest.mark.parametrize("function", shapes(), ids=lambda function: function.__name__)
def test_lowered_is_python_but_for_hidden_names(function):
    """With ordinary names in place of the hidden ones, the lowered source
    defines the function (R4).
    """
    explanation = explain(function)
    assert explanation.way == "open-coded"
    assert explanation.lowered
    code = compiles(explanation.lowered)
    (found,) = (const for const in code.co_consts if isinstance(const, types.CodeType))
    assert found.co_name == function.__name__
    kinds = 0x20 | 0x80 | 0x200  # generator, coroutine, async generator
    assert found.co_flags & kinds == function.__code__.co_flags & kinds


def test_lowered_of_a_function_whose_source_is_gone(tmp_path):
    """Once the source is gone, a comment replaces the lowered source (R4)."""
    path = tmp_path / "module.py"
    path.write_text("from godefer import *\n@with_defers\ndef f():\n    defer(print)\n")
    spec = importlib.util.spec_from_file_location("module", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path.unlink()
    explanation = explain(module.f)
    assert explanation.way == "open-coded"
    assert [site.shape for site in explanation.defers] == ["inline"]
    assert explanation.lowered == f"# the source of {path} is not available"
    assert ast.parse(explanation.lowered).body == []


def test_explaining_changes_nothing():
    """Explaining a function, more than once, does not change it (R4)."""
    code = every_shape.__code__
    first, second = explain(every_shape), explain(every_shape)
    assert first == second
    assert every_shape.__code__ is code
    events = []
    assert every_shape(events, [1, 2], contextlib.nullcontext(3)) == 3
    assert events == [2, 1, "inline"]


# Holders of a function


def passes_on(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return fn(*args)

    return wrapper


class Thing:
    @with_defers
    def method(self):
        defer(print)

    @classmethod
    @with_defers
    def class_method(cls):
        defer(print)

    @with_defers
    @staticmethod
    def static_method():
        defer(print)

    @property
    @with_defers
    def value(self):
        defer(print)

    @value.setter
    def value(self, value):
        pass

    @property
    def set_only(self):
        raise AttributeError

    @set_only.setter
    @with_defers
    def set_only(self, value):
        defer(print)

    @with_defers
    @functools.cached_property
    def cached(self):
        defer(print)

    @with_defers
    def __call__(self):
        defer(print)


@passes_on
@functools.lru_cache
@with_defers
@passes_on
def wrapped(x):
    defer(print)


@with_defers
@passes_on
@functools.cache
def in_place(x):
    defer(print)


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (Thing.method, "Thing.method"),
        (Thing().method, "Thing.method"),
        (Thing.class_method, "Thing.class_method"),
        (Thing().class_method, "Thing.class_method"),
        (Thing.__dict__["class_method"], "Thing.class_method"),
        (Thing.static_method, "Thing.static_method"),
        (Thing.__dict__["static_method"], "Thing.static_method"),
        (Thing.value, "Thing.value"),
        (Thing.set_only, "Thing.set_only"),
        (Thing.cached, "Thing.cached"),
        (wrapped, "wrapped"),
        (wrapped.__wrapped__, "wrapped"),
        (in_place, "in_place"),
        (functools.partial(every_shape, []), "every_shape"),
        (functools.partial(functools.partial(passes_on(every_shape)), []), "every_shape"),
        (functools.partialmethod(every_shape), "every_shape"),
        (types.MethodType(every_shape, []), "every_shape"),
        (passes_on(not_open_coded), "not_open_coded"),
        (staticmethod(not_open_coded), "not_open_coded"),
        (property(None, None, not_open_coded), "not_open_coded"),
    ],
)
def test_holders_of_a_function(thing, name):
    """`explain` finds the decorated function through methods, descriptors, partials
    and other decorators (A).
    """
    explanation = explain(thing)
    assert explanation.function == name
    assert explanation.way == ("runtime" if name == "not_open_coded" else "open-coded")
    if name != "every_shape" and explanation.way == "open-coded":
        (site,) = explanation.defers
        assert (site.statement, site.shape) == ("defer", "inline")
        assert LINES[site.line - 1].strip() == "defer(print)"


def test_callable_object():
    """`explain` explains a decorated callable object by its `__call__` (A)."""

    class Task:
        def __call__(self):
            defer(print)

    explanation = explain(with_defers(Task()))
    assert explanation.function.endswith("Task.__call__")
    assert explanation.way == "open-coded"
    assert [site.shape for site in explanation.defers] == ["inline"]


def test_decorated_twice():
    """A function that was decorated twice is explained as one that was decorated once (A)."""
    assert explain(with_defers(every_shape)) == explain(every_shape)
    assert explain(with_defers(not_open_coded)) == explain(not_open_coded)


@pytest.mark.parametrize(
    "thing",
    [
        undecorated,
        print,
        len,
        Thing,
        Thing(),
        None,
        3,
        "every_shape",
        functools.partial(undecorated),
        staticmethod(undecorated),
        property(undecorated),
        passes_on(undecorated),
        lambda: None,
        godefer.defer,
        godefer,
    ],
    ids=repr,
)
def test_undecorated(thing):
    """An object without a decorated function is a DeferError that names it (R4)."""
    with pytest.raises(DeferError, match="is not decorated with @with_defers") as caught:
        explain(thing)
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or repr(thing)
    assert str(caught.value).startswith(name)


def test_endless_wrapping():
    """A `__wrapped__` that leads back to its start causes no endless search (R4)."""

    def f():
        pass

    f.__wrapped__ = passes_on(f)
    with pytest.raises(DeferError, match="is not decorated"):
        explain(f)


# The environment


def test_environment(monkeypatch):
    """GODEFER_OPEN_CODED=0 is the reason given; a function decorated
    before stays as it was (R4).
    """
    monkeypatch.setenv("GODEFER_OPEN_CODED", "0")

    @with_defers
    def f(events):
        defer(events.append, 1)

    explanation = explain(f)
    assert (explanation.way, explanation.reason) == (
        "runtime",
        "the environment says GODEFER_OPEN_CODED=0",
    )
    assert (explanation.defers, explanation.lowered) == ((), "")
    assert explain(every_shape).way == "open-coded"
    events = []
    f(events)
    assert events == [1]


@pytest.mark.parametrize("value", ["", "1", "00", "no"])
def test_other_values_of_the_environment(monkeypatch, value):
    """Only "0" turns open coding off (R4)."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", value)

    @with_defers
    def f():
        defer(print)

    assert explain(f).way == "open-coded"


def test_environment_and_named_results(monkeypatch):
    """With GODEFER_OPEN_CODED=0 named results are still compiled, since they need it (R4, N)."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", "0")

    @with_defers(result="n")
    def f(fails):
        n = 1

        def change():
            nonlocal n
            n += 1
            recover()

        defer(change)
        if fails:
            raise KeyError
        return 10

    explanation = explain(f)
    assert explanation.way == "open-coded"
    assert [site.shape for site in explanation.defers] == ["inline"]
    assert "return n" in explanation.lowered
    assert (f(False), f(True)) == (11, 2)


def test_named_result_without_a_defer():
    """A function with a named result and no statement is open-coded,
    with nothing to list (N, R4).
    """

    @with_defers(result="n")
    def f():
        n = 1
        return n + 1

    explanation = explain(f)
    assert (explanation.way, explanation.defers) == ("open-coded", ())
    assert f() == 2
    compiles(explanation.lowered)


def test_no_defer():
    """A decorated function without a statement runs the runtime way, and says so (R4)."""

    @with_defers
    def f():
        return 1

    assert (explain(f).way, explain(f).reason) == (
        "runtime",
        "there is no defer statement in its body",
    )
    assert f() == 1


def test_same_for_the_code_of_both_ways(way):
    """The name and the place are the function's own whichever way it runs (R3, A)."""

    @way
    def f(events):
        defer(events.append, 1)

    explanation = explain(f)
    assert explanation.function == f.__qualname__ == f"{sys._getframe().f_code.co_name}.<locals>.f"
    assert (explanation.file, LINES[explanation.line - 1].strip()) == (str(HERE), "@way")
