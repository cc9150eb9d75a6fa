"""A decorated function looks like the original function to all introspection (A)."""

import functools
import importlib.util
import inspect
import pickle
import sys
import types
import typing

import pytest

from godefer import defer, with_defers
from tests.helpers import made, printed


def same(fn):
    return fn


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write a module's source to a file and import it, with `decorate` as
    a builtin of that module.
    """
    count = iter(range(100))

    def load(text, decorate):
        name = f"godefer_identity_{next(count)}"
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        module.decorate = decorate
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def functions(decorate):
    """Return one function of each kind, all with the same parameters."""

    @decorate
    def function(a, b=2, /, c: int = 3, *args: str, d, e: "bytes" = b"", **kwargs) -> None:
        """The doc."""
        defer(print, a)

    @decorate
    async def coroutine_function(
        a, b=2, /, c: int = 3, *args: str, d, e: "bytes" = b"", **kwargs
    ) -> None:
        """The doc."""
        defer(print, a)

    @decorate
    def generator_function(
        a, b=2, /, c: int = 3, *args: str, d, e: "bytes" = b"", **kwargs
    ) -> None:
        """The doc."""
        defer(print, a)
        yield

    @decorate
    async def async_generator_function(
        a, b=2, /, c: int = 3, *args: str, d, e: "bytes" = b"", **kwargs
    ) -> None:
        """The doc."""
        defer(print, a)
        yield

    return {
        "function": function,
        "coroutine function": coroutine_function,
        "generator function": generator_function,
        "async generator function": async_generator_function,
    }


KINDS = list(functions(same))


@pytest.fixture(params=KINDS)
def pair(request, way):
    """Return a function before and after decoration."""
    return functions(same)[request.param], functions(way)[request.param]


@pytest.mark.parametrize(
    "attribute", ["__name__", "__qualname__", "__module__", "__doc__", "__defaults__"]
)
def test_attributes(pair, attribute):
    """Name, qualified name, module, doc and defaults are kept (A)."""
    original, decorated = pair
    assert getattr(decorated, attribute) == getattr(original, attribute)


def test_attributes_of_the_very_same_function(way):
    """Defaults and globals are the function's own objects, not copies; annotations equal (A)."""

    def f(a=[], *, b={}) -> list:
        defer(print)

    defaults, kwdefaults, annotations, namespace = (
        f.__defaults__,
        f.__kwdefaults__,
        f.__annotations__,
        f.__globals__,
    )
    decorated = way(f)
    assert decorated.__defaults__[0] is defaults[0]
    assert decorated.__kwdefaults__["b"] is kwdefaults["b"]
    assert decorated.__annotations__ == annotations == {"return": list}
    assert decorated.__globals__ is namespace


def test_kwdefaults(pair):
    """The defaults of keyword-only parameters are kept (A)."""
    original, decorated = pair
    assert decorated.__kwdefaults__ == original.__kwdefaults__ == {"e": b""}


def test_annotations(pair):
    """Annotations are kept, strings among them (A)."""
    original, decorated = pair
    assert decorated.__annotations__ == original.__annotations__
    assert typing.get_type_hints(decorated) == typing.get_type_hints(original)


def test_signature(pair):
    """The signature is kept: positional-only, keyword-only and starred parameters,
    defaults, annotations (A).
    """
    original, decorated = pair
    assert inspect.signature(decorated) == inspect.signature(original)
    assert inspect.signature(decorated, follow_wrapped=False) == inspect.signature(original)
    assert inspect.getfullargspec(decorated) == inspect.getfullargspec(original)


def test_defaults_changed_later(way):
    """A default that is changed on the decorated function counts from then on (A)."""

    @way
    def f(a=1, *, b=2):
        defer(str)
        return a, b

    f.__defaults__ = (3,)
    f.__kwdefaults__["b"] = 4
    assert f() == (3, 4)


PREDICATES = [
    inspect.isfunction,
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    inspect.isroutine,
]


@pytest.mark.parametrize("predicate", PREDICATES)
def test_kind(pair, predicate):
    """A decorated function stays the kind of function it was (A)."""
    original, decorated = pair
    assert predicate(decorated) == predicate(original)
    assert type(decorated) is types.FunctionType


def test_the_result_of_a_call(way, capsys):
    """A call still returns a value, a coroutine, a generator or an async generator (A)."""
    made = {kind: fn(1, d=4) for kind, fn in functions(way).items()}
    assert {kind: type(thing) for kind, thing in made.items()} == {
        "function": type(None),
        "coroutine function": types.CoroutineType,
        "generator function": types.GeneratorType,
        "async generator function": types.AsyncGeneratorType,
    }
    made["coroutine function"].close()
    assert capsys.readouterr().out == "1\n"


WRONG = {
    "too few": ((), {}),
    "keyword missing": ((1,), {}),
    "positional-only by keyword": ((), {"a": 1, "b": 2, "d": 4}),
    "twice": ((1, 2, 3), {"c": 3, "d": 4}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments(pair, wrong):
    """Wrong arguments fail at the call, for every kind of function, with the
    undecorated function's message (A).
    """
    args, kwargs = WRONG[wrong]
    messages = []
    for f in pair:
        with pytest.raises(TypeError) as caught:
            f(*args, **kwargs)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert pair[0].__qualname__ in messages[0]


def test_too_many_arguments(way):
    """Too many and unknown arguments fail with the undecorated function's message (A)."""
    messages = []
    for decorate in (same, way):

        @decorate
        def f(a, b=2):
            defer(print)

        for args, kwargs in [((1, 2, 3), {}), ((1,), {"x": 1})]:
            with pytest.raises(TypeError) as caught:
                f(*args, **kwargs)
            messages.append(str(caught.value))
    assert messages[:2] == messages[2:]
    assert "takes from 1 to 2 positional arguments but 3 were given" in messages[0]
    assert "got an unexpected keyword argument 'x'" in messages[1]


def test_dict(way):
    """Attributes set on the function are kept, and later ones are seen (A)."""

    def f():
        defer(print)

    f.note = note = ["kept"]
    decorated = way(f)
    assert decorated.note is note
    decorated.later = 1
    assert decorated.later == 1


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="inspect.markcoroutinefunction came with 3.12"
)
def test_marked_coroutine_function(way):
    """A function marked as a coroutine function stays marked (A)."""

    def f():
        defer(print)

    assert inspect.iscoroutinefunction(way(inspect.markcoroutinefunction(f)))


def test_closure_cells(way):
    """The closure variables are the same cells, so other holders see the body's assignments (A)."""
    n = 0

    def add(by):
        nonlocal n
        defer(str)
        n += by
        return later

    names, cells = add.__code__.co_freevars, add.__closure__
    decorated = way(add)
    later = "filled later"
    kept = dict(zip(decorated.__code__.co_freevars, decorated.__closure__, strict=True))
    assert decorated.__code__.co_freevars == names
    assert [kept[name] for name in names] == list(cells)
    assert all(kept[name] is cell for name, cell in zip(names, cells, strict=True))
    assert decorated(2) == "filled later"
    assert n == 2


def test_closure_variables_of_any_name(way):
    """A closure variable keeps its value whatever its name is, even a
    name that godefer uses (A).
    """
    function, factory, cells, code, body, wrapper, frame, made = (
        "function factory cells code body wrapper frame made".split()
    )
    seen = []

    @way
    def f(defaults=1, *, kwdefaults=2):
        defer(seen.append, (function, factory, cells, code, body, wrapper, frame, made))
        return defaults, kwdefaults

    assert f() == (1, 2)
    assert seen == [("function", "factory", "cells", "code", "body", "wrapper", "frame", "made")]


def test_closure_variables(way):
    """`inspect.getclosurevars` gives the same for the decorated function (A)."""
    x = 1

    def f():
        defer(print, x)

    original = inspect.getclosurevars(f)
    assert inspect.getclosurevars(way(f)).nonlocals == original.nonlocals == {"x": 1}


SOURCE = '''\
from godefer import defer


@decorate
def f(
    a,
    b=(1,
       2),
):
    """The doc."""
    defer(print, a)  # a comment

    return b


class Thing:
    @decorate
    def method(self):
        defer(print, self)

    @decorate
    @staticmethod
    def static():
        defer(print, 1)
'''


def test_getsource(way, load):
    """`inspect` finds the source, file and line of the decorated function,
    its decorators included (A).
    """
    original, decorated = load(SOURCE, same), load(SOURCE, way)
    assert inspect.getsource(decorated.f) == inspect.getsource(original.f)
    assert inspect.getsource(decorated.f).startswith("@decorate\ndef f(\n")
    assert inspect.getsourcelines(decorated.f)[1] == 4
    assert inspect.getsourcefile(inspect.unwrap(decorated.f)) == decorated.__file__
    assert inspect.getsource(decorated.Thing.method) == inspect.getsource(original.Thing.method)
    assert inspect.getsource(decorated.Thing.static) == inspect.getsource(original.Thing.static)


FUTURE = """\
from __future__ import annotations

from godefer import defer


@decorate
def f(a: Undefined, b: list[int] = ()) -> Missing[str]:
    defer(print, a)
"""


def test_postponed_annotations(way, load):
    """Annotations under PEP 563 stay unevaluated strings, whether or not they mean anything (A)."""
    original, decorated = load(FUTURE, same), load(FUTURE, way)
    assert decorated.f.__annotations__ == original.f.__annotations__
    assert decorated.f.__annotations__ == {
        "a": "Undefined",
        "b": "list[int]",
        "return": "Missing[str]",
    }
    assert str(inspect.signature(decorated.f)) == str(inspect.signature(original.f))


LAZY = """\
import functools

from godefer import defer


def same(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return fn(*args)
    return wrapper

@decorate
def f(a: Later) -> list[Later]:
    defer(print)

@decorate
@same
def g(a: Later) -> list[Later]:
    defer(print)
"""


@pytest.mark.skipif(
    sys.version_info < (3, 14),
    reason="annotations that are evaluated when asked for (PEP 649) came with 3.14",
)
def test_annotations_are_not_evaluated(way, load):
    """Decorating does not evaluate annotations, which may name later definitions (A)."""
    module = load(LAZY, way)
    for fn in (module.f, module.g):
        with pytest.raises(NameError, match="Later"):
            fn.__annotations__  # noqa: B018
    module.Later = int
    for fn in (module.f, module.g):
        assert fn.__annotations__ == {"a": int, "return": list[int]}


GENERIC = """\
from collections.abc import Callable
from godefer import defer

events = []


@decorate
def first[T, *Ts, **P](items: list[T], fn: Callable[P, T]) -> T:
    defer(events.append, T.__name__)
    return items[0]


class Box[T]:
    @decorate
    def put[S](self, item: T, other: S) -> "Box[T]":
        defer(events.append, (T.__name__, S.__name__))
        return self
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters (PEP 695) came with 3.12")
def test_type_parameters(way, load):
    """Type parameters are kept, and the body can use them (A)."""
    module = load(GENERIC, way)
    assert [str(p) for p in module.first.__type_params__] == ["T", "Ts", "P"]
    assert module.first.__annotations__["return"] is module.first.__type_params__[0]
    assert module.first([1], int) == 1
    box = module.Box()
    assert box.put(1, 2) is box
    assert module.Box.put.__annotations__["other"] is module.Box.put.__type_params__[0]
    assert module.Box.put.__annotations__["item"] is module.Box.__type_params__[0]
    assert module.events == ["T", ("T", "S")]


PICKLED = """\
from godefer import defer

events = []


@decorate
def f(a):
    defer(events.append, a)
    return -a


class Thing:
    @decorate
    def method(self, a):
        defer(events.append, a)
        return self, a

    @decorate
    @staticmethod
    def static(a):
        defer(events.append, a)
        return a
"""


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(way, load, protocol):
    """A decorated function, and a method of an object, is pickled by reference (A)."""
    module = load(PICKLED, way)
    thing = module.Thing()
    again = pickle.loads(pickle.dumps([module.f, module.Thing.static, module.f], protocol))
    assert again == [module.f, module.Thing.static, module.f]
    method = pickle.loads(pickle.dumps(thing.method, protocol))
    assert method.__func__ is module.Thing.method
    assert method(1)[1] == 1
    assert module.events == [1]


CLOUDPICKLED = """\
import asyncio
import sys

import cloudpickle

from godefer import defer, errdefer, okdefer, recover, with_defers

FACTOR = 10


@with_defers
def down(n, events):
    defer(events.append, n)
    return 0 if n == 0 else n * FACTOR + down(n - 1, events)


def make(start):
    total = start

    @with_defers
    def add(n, *, events):
        nonlocal total
        okdefer(events.append, "returns")
        errdefer(events.append, "fails")
        if n < 0:
            raise ValueError(n)
        total += n
        return total

    return add


@with_defers
async def work(events):
    defer(events.append, "exits")
    await asyncio.sleep(0)
    return "result"


@with_defers
def numbers(events):
    defer(events.append, "exits")
    yield 1


class Thing:
    @with_defers
    def method(self, events):
        def rescue():
            events.append(type(recover()).__name__)

        defer(rescue)
        raise KeyError(self)

    @with_defers
    @staticmethod
    def static(events):
        defer(events.append, "exits")


with open(sys.argv[1], "wb") as file:
    cloudpickle.dump([down, make(5), work, numbers, Thing, with_defers(with_defers(down))], file)
"""

UNPICKLED = """\
import asyncio
import pickle
import sys

from godefer import with_defers

with open(sys.argv[1], "rb") as file:
    down, add, work, numbers, Thing, twice = pickle.load(file)

events = []
print(down(2, events), events)
events = []
print(add(1, events=events), add(2, events=events), events)
events = []
try:
    add(-1, events=events)
except ValueError as e:
    print(repr(e), events)
try:
    add(1)
except TypeError as e:
    print(e)
events = []
print(asyncio.run(work(events)), events)
events = []
print(list(numbers(events)), events)
events = []
print(Thing().method(events), Thing.static(events), events)
events = []
print(with_defers(down)(1, events), events, twice is down, down.__name__, down.__module__)
"""


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="cloudpickle cannot be imported on PyPy"
)
@pytest.mark.parametrize("source", ["file", "text"])
def test_cloudpickle(way, tmp_path, source):
    """cloudpickle takes decorated functions to another process by value, with
    closures, globals and kinds (A).
    """
    (tmp_path / "script.py").write_text(CLOUDPICKLED)
    pickled = tmp_path / "pickled"
    # As text after -c the functions have no source file.
    script = [tmp_path / "script.py"] if source == "file" else ["-c", CLOUDPICKLED]
    printed(*script, pickled, way=way)
    assert printed("-c", UNPICKLED, pickled, way=way) == [
        "30 [0, 1, 2]",
        "6 8 ['returns', 'returns']",
        "ValueError(-1) ['fails']",
        "make.<locals>.add() missing 1 required keyword-only argument: 'events'",
        "result ['exits']",
        "[1] ['exits']",
        "None None ['KeyError', 'exits']",
        "10 [0, 1] True down __main__",
    ]


def test_functools_wraps(way):
    """A transparent decorator above finds everything it copies (A)."""

    @way
    def f(a, /, *, b: int = 1) -> str:
        """The doc."""
        defer(print)

    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)

    assert wrapper.__name__ == "f"
    assert wrapper.__doc__ == "The doc."
    assert str(inspect.signature(wrapper)) == "(a, /, *, b: int = 1) -> str"


def test_lambda():
    """A decorated lambda keeps its name and signature (A)."""
    f = with_defers(lambda a, *, b=1: defer(print, a, b))
    assert f.__name__ == "<lambda>"
    assert str(inspect.signature(f)) == "(a, *, b=1)"


def test_parameters_named_like_the_runtime_s_own(way):
    """Parameters and variables may have any name, even of builtins and of
    the wrapper's own parts (A).
    """

    @way
    def f(body, frame, fn, print, BaseException, sys, *args, _godefer=1, **kwargs):
        defer(str)
        return body, frame, fn, print, BaseException, sys, args, _godefer, kwargs

    assert f(1, 2, 3, 4, 5, 6, 7, x=8) == (1, 2, 3, 4, 5, 6, (7,), 1, {"x": 8})


def test_private_parameter_names(way):
    """A method's parameters with private names (two underscores) are passed by their
    mangled name, as before (A).
    """

    class Thing:
        @way
        def method(self, __a, *, __b=2):  # noqa: PYI063  # once marked positional-only parameters
            defer(str)
            return __a, __b

    assert Thing().method(1) == (1, 2)
    assert Thing().method(1, _Thing__b=3) == (1, 3)
    assert str(inspect.signature(Thing.method)) == "(self, _Thing__a, *, _Thing__b=2)"


def test_many_parameters(way):
    """A function with hundreds of parameters can be decorated (A)."""
    names = [f"p{i}" for i in range(300)]
    text = f"def f({', '.join(names)}):\n    defer(str)\n    return [{', '.join(names)}]\n"
    assert way(made(text, defer=defer))(*range(300)) == list(range(300))


def test_changed_after_decoration(way):
    """The name and doc of a decorated function can be changed, as of any function (A)."""

    @way
    def f():
        """The doc."""
        defer(str)

    f.__name__, f.__qualname__, f.__doc__ = "g", "x.g", "Another."
    assert (f.__name__, f.__qualname__, f.__doc__) == ("g", "x.g", "Another.")
    assert repr(f).startswith("<function x.g at")


def test_annotations_of_a_wrapped_function_in_place(way):
    """Under another decorator too, the function keeps its signature, annotations and source (A)."""

    def transparent(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return fn(*args, **kwargs)

        return wrapper

    def f(a: int, /, b: str = "b", *, c: bytes = b"c") -> None:
        defer(str)
        return a, b, c

    f.note = "kept"
    signature, source = inspect.signature(f), inspect.getsource(f)
    decorated = way(transparent(f))
    for fn in (decorated, f):
        assert inspect.signature(fn) == signature
        assert inspect.getsource(fn) == source
        assert fn(1, c=3) == (1, "b", 3)
        assert (fn.__name__, fn.__annotations__["a"], fn.note) == ("f", int, "kept")
