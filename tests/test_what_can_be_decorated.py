"""`with_defers` takes these callables, above and below other decorators, and refuses others (A)."""

import abc
import asyncio
import functools
import inspect

import pytest

from godefer import DeferError, defer, with_defers
from tests.helpers import transparent

# Functions and methods


def test_function(way, events):
    """A plain function can be decorated, with parentheses and without (A)."""

    @way
    def bare(x):
        defer(events.append, "bare exits")
        return x

    @way()
    def called(x):
        defer(events.append, "called exits")
        return x

    @way(result=None)
    def without_result(x):
        defer(events.append, "without_result exits")
        return x

    assert [bare(1), called(2), without_result(3)] == [1, 2, 3]
    assert events == ["bare exits", "called exits", "without_result exits"]


def test_arguments_of_every_kind(way, events):
    """Every kind of parameter gets its argument (A)."""

    @way
    def f(a, b=2, /, c=3, *args, d, e=5, **kwargs):
        defer(events.append, "exits")
        return a, b, c, args, d, e, kwargs

    assert f(1, d=4) == (1, 2, 3, (), 4, 5, {})
    assert f(1, 9, 8, 7, 6, d=4, e=0, a="a", b="b") == (1, 9, 8, (7, 6), 4, 0, {"a": "a", "b": "b"})
    assert events == ["exits", "exits"]


def test_lambda(events):
    """A lambda can be decorated, and exits after evaluating its expression (A)."""
    f = with_defers(lambda x: [defer(events.append, "exits"), events.append("body"), x][-1])
    assert f(1) == 1
    assert events == ["body", "exits"]


def test_method(way, events):
    """A method can be decorated, and sees its object, `super()` and its private names (A)."""

    class Base:
        def name(self):
            return "base"

    class Derived(Base):
        __private = "private"

        @way
        def __init__(self):
            defer(events.append, "init exits")
            self.started = True

        @way
        def name(self):
            defer(events.append, self.__private)
            return "derived of " + super().name()

        @way
        def __call__(self, x):
            defer(events.append, "call exits")
            return x

        @way
        def __enter__(self):
            defer(events.append, "enter exits")
            return self

        def __exit__(self, *exc_info):
            events.append("exit")

    thing = Derived()
    with thing as entered:
        assert entered.started
        assert thing.name() == Derived.name(thing) == "derived of base"
        assert thing(1) == 1
    assert events == ["init exits", "enter exits", "private", "private", "call exits", "exit"]


def test_method_overridden(way, events):
    """A decorated method and its decorated override each have their own defers (A, D4)."""

    class Base:
        @way
        def close(self):
            defer(events.append, "base exits")

    class Derived(Base):
        @way
        def close(self):
            defer(events.append, "derived exits")
            super().close()

    Derived().close()
    assert events == ["base exits", "derived exits"]


def test_abstract_method(way):
    """An abstract method stays abstract (A)."""

    class Base(abc.ABC):
        @way
        @abc.abstractmethod
        def above(self):
            defer(print)

        @abc.abstractmethod
        @way
        def below(self):
            defer(print)

    assert Base.__abstractmethods__ == {"above", "below"}
    with pytest.raises(TypeError, match="abstract"):
        Base()


@pytest.mark.parametrize("function", [len, "".join, str.upper, [].append])
def test_builtin_function(function):
    """A callable without a Python body is a TypeError that names it and offers a scope (A)."""
    with pytest.raises(TypeError) as caught:
        with_defers(function)
    assert f"and {function.__qualname__} has none: it is built in" in str(caught.value)
    assert "`with defer_scope() as defer:`" in str(caught.value)


# Descriptors


def test_staticmethod(way, events):
    """`staticmethod` may be below or above (A)."""

    class Thing:
        @way
        @staticmethod
        def below(x):
            defer(events.append, "below exits")
            return x

        @staticmethod
        @way
        def above(x):
            defer(events.append, "above exits")
            return x

    assert isinstance(Thing.__dict__["below"], staticmethod)
    assert isinstance(Thing.__dict__["above"], staticmethod)
    assert [Thing.below(1), Thing().below(2), Thing.above(3), Thing().above(4)] == [1, 2, 3, 4]
    assert events == ["below exits", "below exits", "above exits", "above exits"]


def test_classmethod(way, events):
    """`classmethod` may be below or above; the method gets the class it is called on (A)."""

    class Thing:
        @way
        @classmethod
        def below(cls):
            defer(events.append, "below exits")
            return cls

        @classmethod
        @way
        def above(cls):
            defer(events.append, "above exits")
            return cls

    class Derived(Thing):
        pass

    assert isinstance(Thing.__dict__["below"], classmethod)
    assert [Thing.below(), Derived().below(), Thing.above(), Derived.above()] == [
        Thing,
        Derived,
        Thing,
        Derived,
    ]
    assert events == ["below exits", "below exits", "above exits", "above exits"]


def test_property(way, events):
    """`property` may be below or above: getter, setter and deleter have own defers (A)."""

    class Thing:
        _value = 1

        @way
        @property
        def below(self):
            """The value."""
            defer(events.append, "get exits")
            return self._value

        @way
        @below.setter
        def below(self, value):
            defer(events.append, "set exits")
            self._value = value

        @way
        @below.deleter
        def below(self):
            defer(events.append, "delete exits")
            del self._value

        @property
        @way
        def above(self):
            """The value."""
            defer(events.append, "get exits")
            return self._value

        @above.setter
        @way
        def above(self, value):
            defer(events.append, "set exits")
            self._value = value

        @above.deleter
        @way
        def above(self):
            defer(events.append, "delete exits")
            del self._value

    assert Thing.below.__doc__ == Thing.above.__doc__ == "The value."
    thing = Thing()
    assert thing.below == 1
    thing.below = 2
    assert thing.below == 2
    del thing.below
    assert events == ["get exits", "set exits", "get exits", "delete exits"]
    events.clear()

    assert thing.above == 1
    thing.above = 2
    assert thing.above == 2
    del thing.above
    assert events == ["get exits", "set exits", "get exits", "delete exits"]


def test_property_with_some_accessors(way, events):
    """A property decorated as a whole keeps missing accessors and a doc of its own (A)."""

    def write(self, value):
        defer(events.append, "set exits")
        self.__dict__["value"] = value

    class Thing:
        value = way(property(None, write, doc="Write only."))

    thing = Thing()
    thing.value = 1
    assert thing.__dict__["value"] == 1
    assert events == ["set exits"]
    assert Thing.value.__doc__ == "Write only."
    with pytest.raises(AttributeError):
        thing.value  # noqa: B018
    with pytest.raises(AttributeError):
        del thing.value


def test_cached_property(way, events):
    """`functools.cached_property` may be below or above: it runs once for each object (A)."""

    class Thing:
        @way
        @functools.cached_property
        def below(self):
            """The value."""
            defer(events.append, "below exits")
            return 1

        @functools.cached_property
        @way
        def above(self):
            """The value."""
            defer(events.append, "above exits")
            return 2

    assert isinstance(Thing.__dict__["below"], functools.cached_property)
    assert Thing.below.__doc__ == Thing.above.__doc__ == "The value."
    thing = Thing()
    assert [thing.below, thing.below, thing.above, thing.above] == [1, 1, 2, 2]
    assert events == ["below exits", "above exits"]
    assert Thing().below == 1
    assert events == ["below exits", "above exits", "below exits"]


def test_partial(way, events):
    """A `functools.partial` object can be decorated, or made from a decorated function (A)."""

    def plain(a, b, *, c):
        defer(events.append, "below exits")
        return a, b, c

    @way
    def decorated(a, b, *, c):
        defer(events.append, "above exits")
        return a, b, c

    below = functools.partial(plain, 1, c=3)
    below.note = "kept"
    below = way(below)
    above = functools.partial(decorated, 1, c=3)
    assert isinstance(below, functools.partial)
    assert (below.args, below.keywords, below.note) == ((1,), {"c": 3}, "kept")
    assert below(2) == above(2) == (1, 2, 3)
    assert below(2, c=4) == (1, 2, 4)
    assert events == ["below exits", "above exits", "below exits"]


def test_partial_leaves_the_function_alone(way, events):
    """Decorating a partial object makes another one; its function stays undecorated (A)."""

    def plain(a):
        defer(events.append, a)

    way(functools.partial(plain, 1))()
    assert events == [1]
    with pytest.raises(DeferError, match="plain"):
        plain(2)


def test_partialmethod(way, events):
    """`functools.partialmethod` may be below or above (A)."""

    class Thing:
        def plain(self, a, b):
            defer(events.append, "below exits")
            return self, a, b

        @way
        def decorated(self, a, b):
            defer(events.append, "above exits")
            return self, a, b

        below = way(functools.partialmethod(plain, 1))
        above = functools.partialmethod(decorated, 1)

    thing = Thing()
    assert thing.below(2) == thing.above(2) == (thing, 1, 2)
    assert events == ["below exits", "above exits"]


def test_bound_method(way, events):
    """A decorated bound method stays bound to its object, and the class is left alone (A)."""

    class Thing:
        def method(self, x):
            defer(events.append, "exits")
            return self, x

    thing = Thing()
    bound = way(thing.method)
    assert inspect.ismethod(bound)
    assert bound.__self__ is thing
    assert bound.__name__ == "method"
    assert bound(1) == (thing, 1)
    assert events == ["exits"]
    with pytest.raises(DeferError, match=r"Thing\.method"):
        thing.method(1)


def test_bound_class_method(way, events):
    """A class method taken from its class can be decorated, as any bound method (A)."""

    class Thing:
        @classmethod
        def make(cls):
            defer(events.append, "exits")
            return cls

    assert way(Thing.make)() is Thing
    assert events == ["exits"]


# Twice


def make_function(events):
    def f():
        defer(events.append, "exits")

    return f


def make_coroutine_function(events):
    async def f():
        defer(events.append, "exits")

    return f


def make_generator_function(events):
    def f():
        defer(events.append, "exits")
        yield

    return f


def make_async_generator_function(events):
    async def f():
        defer(events.append, "exits")
        yield

    return f


async def drain(agen):
    async for _ in agen:
        pass


MAKE_AND_RUN = [
    (make_function, lambda f: f()),
    (make_coroutine_function, lambda f: asyncio.run(f())),
    (make_generator_function, lambda f: list(f())),
    (make_async_generator_function, lambda f: asyncio.run(drain(f()))),
]


@pytest.mark.parametrize(("make", "run"), MAKE_AND_RUN)
def test_twice_equals_once(way, events, make, run):
    """Decorating a function of any kind twice equals decorating it once (A)."""
    once = way(make(events))
    twice = way(once)
    assert twice is once
    run(twice)
    assert events == ["exits"]


@pytest.mark.parametrize(("make", "run"), MAKE_AND_RUN)
def test_twice_with_a_decorator_between(way, events, make, run):
    """A function decorated below and above another decorator has one list of deferred calls (A)."""
    run(way(transparent(way(make(events)))))
    assert events == ["exits"]


@pytest.mark.parametrize(
    "decorator", [staticmethod, classmethod, property, functools.cached_property]
)
def test_descriptors_twice(way, events, decorator):
    """Decorating below and above a descriptor equals decorating once (A)."""

    class Thing:
        @way
        @way
        @decorator
        @way
        def attribute(*args):
            defer(events.append, "exits")
            return 1

    value = Thing().attribute
    assert (value() if callable(value) else value) == 1
    assert events == ["exits"]


# Refused objects


@pytest.mark.parametrize("decorate", [with_defers, with_defers(), with_defers(result="n")])
def test_class(decorate):
    """A class is a TypeError with the advice to decorate its methods (A)."""

    class Thing:
        pass

    with pytest.raises(
        TypeError, match=r"not the class .*Thing; decorate the methods that call defer"
    ):
        decorate(Thing)


@pytest.mark.parametrize("decorate", [with_defers, with_defers(), with_defers(result="n")])
@pytest.mark.parametrize("thing", [3, "name", [], ("n", "err")])
def test_not_callable(decorate, thing):
    """An object that is not callable is a TypeError with its name, its type, and advice (A)."""
    with pytest.raises(TypeError) as caught:
        decorate(thing)
    message = str(caught.value)
    assert repr(thing) in message
    assert type(thing).__name__ in message
    assert "@with_defers" in message


def test_none():
    """None is refused as no function: it is not `with_defers` with parentheses (A)."""
    with pytest.raises(TypeError, match="None"):
        with_defers(None)
    with pytest.raises(TypeError, match="None"):
        with_defers()(None)


def test_result_without_source():
    """Decorating with a named result needs the function's source, or is refused (N, R3)."""
    namespace = {"defer": defer}
    exec("def compute():\n    n = 1\n    defer(print, n)\n    return n\n", namespace)
    with pytest.raises(DeferError, match=r"result='n'.*source") as caught:
        with_defers(result="n")(namespace["compute"])
    assert "compute" in str(caught.value)
