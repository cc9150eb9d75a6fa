"""A function may have any names: none conflicts with the names that godefer adds (A, R3)."""

import builtins

import pytest

from godefer import defer, with_defers
from tests.helpers import made

NAMES = [
    "BaseException",
    "StopIteration",
    "StopAsyncIteration",
    "KeyError",
    "hasattr",
    "type",
    "list",
    "dict",
]
PREFIXED = [
    "_godefer_x",
    "_godefer_frame",
    "_godefer_result",
    "__godefer_me",
    "_godefer_cells",
    "_godefer_wrapper",
]


@pytest.mark.parametrize("name", NAMES + PREFIXED)
def test_a_parameter_of_any_name(way, name):
    """A function with a parameter of any name ends and fails as usual, after its calls (A, R3)."""
    events = []
    text = (
        f"def f({name}=1, *, fail=False):\n    defer(events.append, {name})\n"
        f"    if fail: raise LookupError\n    return {name}"
    )
    f = way(made(text, defer=defer, events=events))
    assert f() == 1
    assert f(**{name: 2}) == 2
    with pytest.raises(LookupError):
        f(3, fail=True)
    assert events == [1, 2, 3]


@pytest.mark.parametrize("name", NAMES + PREFIXED)
def test_a_closure_variable_of_any_name(way, name):
    """A closure variable may have any name, too (A, R3)."""
    events = []
    text = (
        f"def make({name}):\n    def f():\n        defer(events.append, {name})\n"
        f"        raise LookupError({name})\n    return f"
    )
    f = way(made(text, "make", defer=defer, events=events)(5))
    with pytest.raises(LookupError, match="5"):
        f()
    assert events == [5]


@pytest.mark.parametrize("name", NAMES + PREFIXED)
def test_a_generator_with_a_parameter_of_any_name(way, name):
    """A generator with a parameter of any name ends and fails as usual, after its calls (A, R3)."""
    events = []
    text = f"def f({name}):\n    defer(events.append, {name})\n    yield {name}"
    f = way(made(text, defer=defer, events=events))
    assert list(f(1)) == [1]
    g = f(2)
    assert next(g) == 2
    with pytest.raises(LookupError):
        g.throw(LookupError)
    assert events == [1, 2]


def test_a_module_whose_globals_hide_builtins(way):
    """A module's globals may hide the names of builtins, or have no builtins at all (A, R3)."""
    events = []
    for hidden in ({name: 7 for name in NAMES}, {"__builtins__": {}}):
        namespace = {"defer": defer, "append": events.append, "error": LookupError, **hidden}
        f = made("def f(n):\n    defer(append, n)\n    raise error", **namespace)
        with pytest.raises(LookupError):
            way(f)(1)
        g = made("def g(n):\n    defer(append, n)\n    yield n", "g", **namespace)
        assert builtins.list(way(g)(2)) == [2]
    assert events == [1, 2, 1, 2]


def test_a_coroutine_with_parameters_of_such_names(way):
    """A coroutine function awaits its deferred calls, whatever its parameters hide (A, R3)."""
    events = []

    async def later(n):
        events.append(n)

    text = f"async def f({', '.join(NAMES)}):\n    defer(later, type)\n    raise LookupError"
    f = way(made(text, defer=defer, later=later))
    with pytest.raises(LookupError):
        f(*range(len(NAMES))).send(None)
    assert events == [NAMES.index("type")]


def test_the_decorator_leaves_parameters_as_they_are(way):
    """Decorating keeps the parameters as they are, whatever their names (A, R3)."""

    @way
    def f(_godefer_me, /, _godefer_sp, *_godefer_args, _godefer_saved=None, **_godefer_kwargs):
        defer(str)
        return _godefer_me, _godefer_sp, _godefer_args, _godefer_saved, _godefer_kwargs

    assert f(1, 2, 3, _godefer_saved=4, _godefer_other=5) == (1, 2, (3,), 4, {"_godefer_other": 5})
    assert with_defers(f) is f
