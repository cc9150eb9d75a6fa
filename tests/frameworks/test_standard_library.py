"""Decorators and classes of the standard library, stacked on decorated functions (A).

tests/test_under_other_decorators.py and tests/test_what_can_be_decorated.py test each one alone (a
cache, `contextmanager`, `singledispatch`); here they meet each other, and classes.
"""

import abc
import asyncio
import atexit
import contextlib
import dataclasses
import enum
import functools
import inspect
import subprocess
import sys
import typing
import unittest
import unittest.mock

import pytest

from godefer import DeferError, ausing, defer, errdefer, okdefer, recover, with_defers


@pytest.fixture(params=["below", "above"])
def put(request, way):
    """Put *decorator* on a function, with @with_defers below or above it."""
    return lambda other, fn: other(way(fn)) if request.param == "below" else way(other(fn))


# functools


@pytest.mark.parametrize(
    "cache", [functools.cache, functools.lru_cache(maxsize=None), functools.lru_cache(typed=True)]
)
def test_cached_method(put, events, cache):
    """A cached method runs, and defers, once for each object and argument; a
    failure is not cached (A).
    """

    class Thing:
        def load(self, n):
            defer(events.append, f"{n} exits")
            errdefer(events.append, f"{n} fails")
            return 12 // n

        load = put(cache, load)

    thing = Thing()
    assert [thing.load(3), thing.load(3), Thing().load(3)] == [4, 4, 4]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            thing.load(0)
    assert events == ["3 exits", "3 exits"] + ["0 fails", "0 exits"] * 2
    assert Thing.load.cache_info().currsize == 2


def test_cached_property(put, events):
    """A cached property is kept if it returned; after a failure, its own or a deferred
    call's, it is tried again (A).
    """

    class Thing:
        fails = 2

        def value(self):
            defer(self.check)
            defer(events.append, "exits")
            return "value"

        def check(self):
            self.fails -= 1
            if self.fails >= 0:
                raise OSError(self.fails)

        value = put(functools.cached_property, value)
        value.__set_name__(None, "value")

    thing = Thing()
    for _ in range(2):
        with pytest.raises(OSError):
            thing.value  # noqa: B018
    assert [thing.value, thing.value] == ["value", "value"]
    assert events == ["exits"] * 3


def test_singledispatch(way, put, events):
    """Each implementation of a generic function is decorated below `register`,
    and can call others (A, D4).
    """

    def show(x):
        defer(events.append, "object exits")
        return str(x)

    show = put(functools.singledispatch, show)

    @show.register
    @way
    def show_list(x: list):
        defer(events.append, "list exits")
        return [show(item) for item in x]

    @show.register(int)
    @way
    def show_int(x):
        defer(events.append, "int exits")
        return hex(x)

    assert show([1, "a"]) == ["0x1", "a"]
    assert events == ["int exits", "object exits", "list exits"]


def test_above_register(events):
    """`register` returns its argument, so above it @with_defers comes too late: `defer`
    says where to put it (A, D3).
    """

    @functools.singledispatch
    def show(x):
        return str(x)

    @with_defers
    @show.register
    def show_int(x: int):
        defer(events.append, "exits")

    with pytest.raises(
        DeferError,
        match=r"show_int .*put @with_defers on the line right above its own `def`, below @",
    ):
        show(1)
    assert events == []


def test_singledispatchmethod(way, events):
    """`singledispatchmethod` works above `classmethod` and @with_defers (A)."""

    class Thing:
        @functools.singledispatchmethod
        @classmethod
        @way
        def make(cls, x):
            defer(events.append, "object exits")
            return cls, x

        @make.register
        @classmethod
        @way
        def _(cls, x: int):
            defer(events.append, "int exits")
            return cls, hex(x)

    assert [Thing.make("x"), Thing().make(1)] == [(Thing, "x"), (Thing, "0x1")]
    assert events == ["object exits", "int exits"]


def test_above_singledispatchmethod():
    """Above `singledispatchmethod`, which is not callable, @with_defers is a
    TypeError with advice (A).
    """
    with pytest.raises(TypeError) as caught:

        class Thing:
            @with_defers
            @functools.singledispatchmethod
            def kind(self, x):
                defer(print)

    message = str(caught.value)
    assert "singledispatchmethod" in message
    assert (
        "write @with_defers (or @with_defers(result='name')) on the line right above a `def`, "
        "below any other decorator" in message
    )


def test_total_ordering_and_cmp_to_key(way, events):
    """Comparison methods and functions can be decorated like any others (A)."""

    @functools.total_ordering
    class Version:
        def __init__(self, n):
            self.n = n

        @way
        def __eq__(self, other):
            defer(events.append, "eq exits")
            return self.n == other.n

        @way
        def __lt__(self, other):
            defer(events.append, "lt exits")
            return self.n < other.n

    @way
    def compare(a, b):
        defer(events.append, "compare exits")
        return a - b

    assert Version(1) <= Version(1)
    assert events == ["lt exits", "eq exits"]
    assert sorted([3, 1], key=functools.cmp_to_key(compare)) == [1, 3]
    assert events[2:] == ["compare exits"]


# contextlib


def test_asynccontextmanager(put, events):
    """`asynccontextmanager` works below or above: the calls are awaited at the block's end,
    and may recover (A, D6, P4).
    """

    async def note(text):
        await asyncio.sleep(0)
        events.append(text)

    async def transaction(name):
        async def rescue():
            await note(repr(recover(LookupError)))

        defer(rescue)
        errdefer(note, "rollback")
        okdefer(note, "commit")
        yield name

    transaction = put(contextlib.asynccontextmanager, transaction)

    async def main():
        async with transaction("a") as name:
            events.append(name)
        async with transaction("b"):
            raise LookupError("b")
        with pytest.raises(ValueError):
            async with transaction("c"):
                raise ValueError("c")

    asyncio.run(main())
    assert events == ["a", "commit", "None", "rollback", "LookupError('b')", "rollback", "None"]


def test_context_managers_as_decorators(put, events):
    """A context manager above or below @with_defers exits after the deferred calls (A, D2)."""

    @contextlib.contextmanager
    def logged():
        events.append("entered")
        yield
        events.append("left")

    def work():
        defer(events.append, "exits")

    put(logged(), work)()
    assert events == ["entered", "exits", "left"]


def test_an_async_context_manager_as_a_decorator(put, events):
    """An async context manager above or below @with_defers exits after the deferred calls of a
    coroutine function (A, D2).
    """

    @contextlib.asynccontextmanager
    async def logged():
        events.append("entered")
        yield
        events.append("left")

    async def work():
        await ausing(logged())
        defer(asyncio.sleep, 0)
        defer(events.append, "exits")

    asyncio.run(put(logged(), work)())
    assert events == ["entered", "entered", "exits", "left", "left"]


def test_callbacks_of_an_exit_stack(way, events):
    """`callback` and `push` of an ExitStack, used as decorators above @with_defers, register the
    decorated function (A).
    """
    with contextlib.ExitStack() as stack:

        @stack.push
        @way
        def suppress(kind, error, traceback):
            defer(events.append, "push exits")
            return kind is KeyError

        @stack.callback
        @way
        def clean():
            defer(events.append, "callback exits")

        raise KeyError
    assert events == ["callback exits", "push exits"]


@pytest.mark.parametrize("kind", ["push", "callback"])
def test_above_a_callback_of_an_exit_stack(events, kind):
    """`callback` and `push` return their argument, so above them @with_defers comes too late:
    `defer` says where to put it (A, D3).
    """
    with (
        pytest.raises(
            DeferError,
            match="late .*put @with_defers on the line right above its own `def`, below @",
        ),
        contextlib.ExitStack() as stack,
    ):

        @with_defers
        @getattr(stack, kind)
        def late(*details):
            defer(events.append, "never")

    assert events == []


# Classes


@pytest.mark.parametrize(
    "options", [{}, {"frozen": True}, {"slots": True}, {"kw_only": True, "order": True}]
)
def test_dataclass(way, events, options):
    """The methods of a dataclass, `__post_init__` and properties among
    them, may be decorated (A).
    """

    @dataclasses.dataclass(**options)
    class Account:
        name: str
        balance: int = 0

        @way
        def __post_init__(self):
            defer(events.append, "post init exits")
            if self.balance < 0:
                raise ValueError(self.balance)

        @way
        def drawn(self, amount: int):
            defer(events.append, f"{self.name} exits")
            return dataclasses.replace(self, balance=self.balance - amount)

        @property
        @way
        def empty(self):
            defer(events.append, "empty exits")
            return not self.balance

        @classmethod
        @way
        def opened(cls, name: str):
            defer(events.append, "opened exits")
            return cls(name=name)

    account = Account.opened("a")
    assert account.empty
    assert events == ["post init exits", "opened exits", "empty exits"]
    with pytest.raises(ValueError, match="-1"):
        account.drawn(1)
    assert events[3:] == ["post init exits", "a exits"]
    assert [field.name for field in dataclasses.fields(Account)] == ["name", "balance"]


@pytest.mark.parametrize("decorator", ["way", "none"])
def test_super_in_a_dataclass_with_slots(way, decorator):
    """In a dataclass with slots, which is a new class, `super()` works as well as
    without @with_defers (A).
    """

    @dataclasses.dataclass
    class Base:
        x: int

        def shown(self):
            return f"x={self.x}"

    def plain(fn):
        return fn

    @dataclasses.dataclass(slots=True)
    class Derived(Base):
        y: int

        @(way if decorator == "way" else plain)
        def shown(self):
            if decorator == "way":
                defer(str)
            return f"{super().shown()} y={self.y}"

    if sys.version_info >= (3, 14):  # `dataclass` corrects the class in the methods there
        assert Derived(1, 2).shown() == "x=1 y=2"
    else:
        with pytest.raises(TypeError, match=r"super\(type, obj\)"):
            Derived(1, 2).shown()


def test_abstract_methods(put, events):
    """Abstract methods, class methods and properties stay abstract, and `super()`
    can call their bodies (A).
    """

    class Store(abc.ABC):
        def save(self, x):
            defer(events.append, "base exits")
            return ["base", x]

        save = put(abc.abstractmethod, save)

        def kind(cls):
            defer(events.append, "kind exits")
            return "store"

        kind = put(lambda fn: classmethod(abc.abstractmethod(fn)), kind)

        def size(self):
            defer(events.append, "size exits")
            return 1

        size = put(lambda fn: property(abc.abstractmethod(fn)), size)

    class Derived(Store):
        def save(self, x):
            return [*super().save(x), "derived"]

        @classmethod
        def kind(cls):
            return super().kind()

        @property
        def size(self):
            return super().size

    assert Store.__abstractmethods__ == {"save", "kind", "size"}
    with pytest.raises(TypeError, match="abstract"):
        Store()
    thing = Derived()
    assert [thing.save(1), thing.kind(), thing.size] == [["base", 1, "derived"], "store", 1]
    assert events == ["base exits", "kind exits", "size exits"]


def test_protocol(way, events):
    """A decorated method can satisfy a protocol; a protocol's own methods may be
    decorated and inherited (A).
    """

    @typing.runtime_checkable
    class Closing(typing.Protocol):
        @way
        def close(self) -> str:
            defer(events.append, "protocol's close exits")
            return self.name()

        def name(self) -> str: ...

    class Inheriting(Closing):
        @way
        def name(self) -> str:
            defer(events.append, "name exits")
            return "inheriting"

    class Structural:
        @way
        def close(self) -> str:
            defer(events.append, "own close exits")
            return "structural"

        @way
        def name(self) -> str:
            defer(str)
            return ""

    assert [Inheriting().close(), Structural().close()] == ["inheriting", "structural"]
    assert events == ["name exits", "protocol's close exits", "own close exits"]
    assert isinstance(Structural(), Closing)
    assert isinstance(Inheriting(), Closing)
    assert not isinstance(object(), Closing)


def test_decorators_of_typing(put, events):
    """Decorators that only mark a function mark the decorated function, above @with_defers and
    below (A).
    """

    class Thing:
        def method(self):
            defer(events.append, "exits")

        for mark in ("final", "override", "no_type_check"):
            if hasattr(typing, mark):
                method = put(getattr(typing, mark), method)

    Thing().method()
    assert events == ["exits"]
    assert Thing.method.__final__ is True
    assert Thing.method.__no_type_check__ is True
    assert sys.version_info < (3, 12) or Thing.method.__override__ is True


@pytest.mark.skipif(sys.version_info < (3, 13), reason="warnings.deprecated is new in Python 3.13")
def test_deprecated(put, events):
    """`warnings.deprecated` may stand below or above, and warns of the caller's line (A)."""
    import warnings

    def old():
        defer(events.append, "exits")

    old = put(warnings.deprecated("use new"), old)
    with pytest.warns(DeprecationWarning, match="use new") as caught:
        old()
    assert (caught[0].filename, caught[0].lineno) == (__file__, inspect.currentframe().f_lineno - 1)
    assert events == ["exits"]


def test_enum(way, events):
    """A method of an enumeration can be decorated, and a plain function
    does not become a member (A).
    """

    class Colour(enum.Enum):
        RED = 1
        BLUE = 2

        @way
        def shown(self):
            defer(events.append, f"{self.name} exits")
            return self.name.title()

        @classmethod
        @way
        def _missing_(cls, value):
            defer(events.append, "missing exits")
            return cls.BLUE

    assert [colour.shown() for colour in Colour] == ["Red", "Blue"]
    assert Colour("no such") is Colour.BLUE
    assert events == ["RED exits", "BLUE exits", "missing exits"]


def test_methods_of_class_creation(way, events):
    """The methods that Python calls when a class is made or subscripted may be decorated (A)."""

    class Field:
        @way
        def __set_name__(self, owner, name):
            defer(events.append, f"{name} exits")

        @way
        def __get__(self, instance, owner=None):
            defer(events.append, "get exits")
            return "got"

    class Base:
        field = Field()

        @way
        def __init_subclass__(cls, **options):
            defer(events.append, f"{options} exits")
            super().__init_subclass__()

        @way
        def __class_getitem__(cls, item):
            defer(events.append, f"{item} exits")
            return cls

        @way
        def __new__(cls):
            defer(events.append, "new exits")
            return super().__new__(cls)

    class Derived(Base, mark=1):
        pass

    assert Derived["x"]().field == "got"
    assert events == ["field exits", "{'mark': 1} exits", "x exits", "new exits", "get exits"]


# unittest and atexit


def test_unittest(way, events):
    """Test methods are decorated, under `patch` and `skipIf`, and their calls run before
    `tearDown` and clean-ups (A, D2).
    """

    class Case(unittest.IsolatedAsyncioTestCase):
        def tearDown(self):
            events.append("tearDown")

        @unittest.mock.patch("os.getcwd", return_value="/patched")
        @way
        def test_patched(self, getcwd):
            import os

            self.addCleanup(events.append, "clean-up")
            defer(lambda: events.append(os.getcwd()))

        @way
        @unittest.mock.patch("os.getcwd", return_value="/patched")
        async def test_patched_async(self, getcwd):
            import os

            defer(asyncio.sleep, 0)
            defer(lambda: events.append(os.getcwd()))

        @unittest.skipIf(True, "never")
        @way
        def test_skipped(self):
            defer(events.append, "never")

        @way
        def test_that_fails(self):
            errdefer(events.append, "fails")
            self.assertEqual(1, 2)

        @way
        def test_that_skips_itself(self):
            errdefer(events.append, "skips")
            self.skipTest("because")

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert (len(result.failures), len(result.errors), len(result.skipped)) == (1, 0, 2)
    assert events == [
        "/patched",
        "tearDown",
        "clean-up",
        "/patched",
        "tearDown",
        "fails",
        "tearDown",
        "skips",
        "tearDown",
    ]


AT_EXIT = """
import atexit

from godefer import defer, with_defers


@atexit.register
@with_defers
def right():
    defer(print, "right exits")


@with_defers
@atexit.register
def wrong():
    defer(print, "never")
"""


def test_atexit(way, tmp_path):
    """`atexit.register` works above @with_defers; below it, the function fails at the program's
    end with an error that says so (A, D3).
    """
    assert atexit.register  # names that the program below uses
    (tmp_path / "program.py").write_text(AT_EXIT)
    env = {
        "GODEFER_OPEN_CODED": "1" if way.name == "open-coded" else "0",
        "PYTHONPATH": ":".join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"], env=env, capture_output=True, text=True
    )
    assert done.stdout == "right exits\n"
    assert "DeferError: defer() is used in wrong" in done.stderr
    assert "put @with_defers on the line right above its own `def`, below @" in done.stderr
