"""The wrapper of the runtime way: its source, and the lifetime of its body (R2, A, D9)."""

import contextlib
import copy
import functools
import gc
import os
import weakref
from pathlib import Path

import pytest

from godefer import defer, explain

DIRECTORY = Path(__file__).with_name("wrappers")
runtime_way = pytest.mark.parametrize("way", ["runtime"], indirect=True)


@runtime_way
@pytest.mark.parametrize("name", sorted(path.stem for path in DIRECTORY.glob("*.txt")))
def test_source(way, name):
    """Each kind of function has the wrapper of its file in tests/wrappers (R2).

    REWRITE_LOWERED=1 in the environment writes the files again. Read them before a commit.
    """
    path = DIRECTORY / f"{name}.txt"
    expected = path.read_text()
    head, source = expected.partition("\n---- wrapper\n")[0].split("\n---- source\n")
    namespace = {"defer": defer}
    exec(source, namespace)
    wrapper = explain(way(namespace["f"])).wrapper
    found = f"{head}\n---- source\n{source}\n---- wrapper\n{wrapper}"
    if os.environ.get("REWRITE_LOWERED") == "1":
        path.write_text(found)
    else:
        assert found == expected


def test_there_are_wrappers():
    """The files that are the cases of test_source are found (R2)."""
    assert len(list(DIRECTORY.glob("*.txt"))) >= 6


# The lifetime of the body


def logged(way, seen):
    """Decorate with a wrapper that is decorated itself, under `functools.wraps`."""

    def decorate(fn):
        @functools.wraps(fn)
        @way
        def wrapper(*args):
            defer(seen.append, "left")
            return fn(*args)

        return wrapper

    return decorate


def test_a_decorated_wrapper_around_a_decorated_function(way):
    """A decorated wrapper under `functools.wraps` and its function keep their own bodies (A)."""
    seen = []

    @logged(way, seen)
    @way
    def work(x):
        defer(seen.append, x)
        return x + 1

    assert work(1) == 2
    assert seen == [1, "left"]


def test_attributes_of_another_function_tell_nothing(way):
    """A function that copied a decorated one's attributes does not count as decorated (A)."""
    seen = []

    @way
    def inner():
        defer(seen.append, "inner")

    def outer():
        defer(seen.append, "outer")

    vars(outer).update(vars(inner))
    decorated = way(outer)
    vars(decorated).clear()
    decorated()
    assert seen == ["outer"]


def test_no_attribute_is_added_but_wrapped(way):
    """Decorating adds no attribute to the function, except `__wrapped__` at runtime (A)."""

    def f():
        defer(int)

    f.mine = 1
    added = {"__wrapped__"} if way.name == "runtime" else set()
    assert set(vars(way(f))) == {"mine", *added}


def test_a_function_that_refers_to_itself_is_collected(way):
    """The garbage collector sees all references to a decorated function (D9)."""

    def make():
        @way
        def f(n):
            defer(int)
            return f(n - 1) if n else None

        return f

    f = make()
    f(2)
    alive = weakref.ref(f)
    del f
    gc.collect()
    assert alive() is None


# Arguments that the body drops


class Thing:
    """An object that can be referenced weakly."""


def is_alive(reference):
    gc.collect()  # PyPy frees nothing earlier
    return reference() is not None


def plain(self, alive):
    defer(int)
    self = None
    alive.append(is_alive(alive[0]))


def keyword_only(*, self, alive):
    defer(int)
    self = None
    alive.append(is_alive(alive[0]))


def generator(self, alive):
    defer(int)
    self = None
    alive.append(is_alive(alive[0]))
    yield


async def coroutine(self, alive):
    defer(int)
    self = None
    alive.append(is_alive(alive[0]))


async def async_generator(self, alive):
    defer(int)
    self = None
    alive.append(is_alive(alive[0]))
    yield


def started(result):
    """Start the coroutine, async generator or generator that a function returned."""
    if hasattr(result, "__anext__"):
        result = result.__anext__()
    if hasattr(result, "__await__"):
        with contextlib.suppress(StopIteration, StopAsyncIteration):
            result.__await__().send(None)
    elif result is not None:
        list(result)


@pytest.mark.parametrize("fn", [plain, keyword_only, generator, coroutine, async_generator])
def test_an_argument_that_the_body_lets_go_of_is_free(way, fn):
    """`self = None` in the body frees the argument, as in an undecorated function (R3)."""
    decorated = way(fn)
    thing = Thing()
    alive = [weakref.ref(thing)]
    arguments = {"self": thing, "alive": alive}
    del thing
    if fn is keyword_only:
        result = decorated(self=arguments.pop("self"), alive=alive)
    else:
        result = decorated(arguments.pop("self"), alive)
    started(result)
    assert alive[1:] == [False]


@runtime_way
@pytest.mark.parametrize(
    "source",
    [
        "def f(SUSPEND, BODY=1, *UNBIND, RUN=2, **CLEAR): defer(len, ())",
        "def f(record, body, result, me, live, _godefer_me): defer(len, ())",
        "async def f(SUSPENDED, AWAIT): defer(len, ())",
        "def f(LOOPS, LAST_RESORT, FAILED):\n    defer(len, ())\n    yield",
    ],
)
def test_parameters_of_any_name(way, source):
    """A parameter may have the name of a placeholder in the wrapper's template (A)."""
    namespace = {"defer": defer}
    exec(source, namespace)
    assert explain(way(namespace["f"])).way == "runtime"


@runtime_way
def test_a_copy_of_the_keyword_defaults(way):
    """A copy of `__kwdefaults__` is a plain dictionary (A)."""

    @way
    def f(*, key=1):
        defer(int)

    for copied in (copy.copy(f.__kwdefaults__), copy.deepcopy(f.__kwdefaults__)):
        assert type(copied) is dict
        assert copied == {"key": 1}
