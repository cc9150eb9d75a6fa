"""Exceptions with odd attributes, and objects with `__del__`, behave as in a `finally`."""

import sys

import pytest

from godefer import defer, defer_scope, recover, using
from tests.helpers import raise_it


class Delegating(Exception):
    """An exception that delegates its attributes, as a client's error to its response."""

    def __getattr__(self, name):
        return self.args[0][name]


class Anything(Exception):
    """An exception with every attribute."""

    def __getattr__(self, name):
        return "any"


class Endless(Exception):
    """An exception with attributes that recurse without end."""

    def __getattr__(self, name):
        return getattr(self, name)


class NotItself(Exception):
    """An exception that claims another class and has a different `with_traceback`."""

    @property
    def __class__(self):
        return KeyError

    def with_traceback(self, tb):
        return "no exception"


ODD = [Delegating({}), Anything("x"), Endless("x"), NotItself("x")]


@pytest.fixture(params=ODD, ids=lambda error: type(error).__name__)
def odd(request):
    return type(request.param)(*request.param.args)


def test_an_odd_exception_is_recovered(way, odd):
    """`recover` returns an odd exception, and the function returns (P2, P4)."""
    got = []

    @way
    def f():
        defer(lambda: got.append(recover()))
        raise odd

    assert f() is None
    assert got == [odd]


def test_an_odd_exception_is_recovered_in_a_loop(way, odd):
    """`recover` returns an odd exception in a call of a loop, too (P2, D8)."""
    got = []

    @way
    def f():
        for _ in range(2):
            defer(lambda: got.append(recover()))
        raise odd

    assert f() is None
    assert got == [odd, None]


@pytest.mark.parametrize("loop", [False, True])
def test_a_call_that_raises_an_odd_exception(way, odd, loop):
    """An odd exception of a deferred call is in flight, and the other calls run (D5)."""
    events = []

    @way
    def f():
        for _ in range(loop):
            defer(events.append, "in the loop")
        defer(events.append, "first")
        defer(raise_it, odd)
        raise LookupError("body")

    with pytest.raises(type(odd)) as raised:
        f()
    assert raised.value is odd
    assert type(BaseException.__dict__["__context__"].__get__(odd)) is LookupError
    assert events == ["first", "in the loop"][: 1 + loop]


def test_a_coroutine_and_a_generator(way, odd):
    """An odd exception leaves a coroutine and a generator unchanged, after the calls (D2)."""
    events = []

    @way
    async def coroutine():
        defer(events.append, "coroutine")
        raise odd

    @way
    def generator():
        defer(events.append, "generator")
        yield

    with pytest.raises(type(odd)) as raised:
        coroutine().send(None)
    assert raised.value is odd
    g = generator()
    next(g)
    with pytest.raises(type(odd)) as raised:
        g.throw(odd)
    assert raised.value is odd
    assert events == ["coroutine", "generator"]


def test_in_a_scope(odd):
    """A scope recovers an odd exception, and lets one leave, as a function does (S)."""
    got = []
    with defer_scope() as defer:
        defer(lambda: got.append(recover()))
        raise odd
    with pytest.raises(type(odd)) as raised, defer_scope() as defer:
        defer(got.append, "first")
        defer(raise_it, odd)
        raise LookupError
    assert raised.value is odd
    assert got == [odd, "first"]


def test_a_context_manager_is_told_its_real_type(way):
    """`using` passes the real type of the exception, whatever its `__class__` says (D11)."""
    told = []

    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, traceback):
            told.append(kind)

    @way
    def f():
        using(Manager())
        raise NotItself

    @way
    def in_a_loop():
        for _ in range(2):
            using(Manager())
        raise NotItself

    for function in (f, in_a_loop):
        with pytest.raises(NotItself):
            function()
    assert told == [NotItself] * 3


def test_an_exception_that_is_raised_again_and_again_has_one_note(way):
    """An exception that many calls raise gets only one note (P6)."""
    shared = LookupError("always the same")

    @way
    def f():
        defer(raise_it, shared)

    for _ in range(5):
        with pytest.raises(LookupError):
            f()
    assert len(getattr(shared, "__notes__", [])) == (way.name == "runtime")


class Suppresses:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return True


def test_an_exit_that_was_suppressed_does_not_come_back(way):
    """A suppressed exit is over: a later recovery does not bring it back (P3, D11)."""
    shared = LookupError("the same each time")

    def replaces():
        recover()
        raise LookupError("another")

    @way
    def f():
        defer(raise_it, shared)
        using(Suppresses())
        defer(replaces)
        defer(raise_it, shared)
        raise KeyboardInterrupt

    @way
    def g():
        defer(recover_it)
        f()

    def recover_it():
        recover()

    assert g() is None


at_once = pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy has no reference counts: its collector decides when an object dies",
)


class RecoversWhenDropped:
    got: list = []

    def __del__(self):
        self.got.append(recover())


@at_once
@pytest.mark.parametrize("loop", [False, True])
def test_the_result_of_a_call_does_not_recover(way, loop):
    """The `__del__` of a deferred call's result is no deferred call: it recovers nothing (P2)."""
    RecoversWhenDropped.got.clear()

    @way
    def f():
        for _ in range(loop):
            defer(RecoversWhenDropped)
        defer(RecoversWhenDropped)
        raise LookupError("must go on")

    with pytest.raises(LookupError, match="must go on"):
        f()
    assert RecoversWhenDropped.got == [None] * (1 + loop)


@at_once
def test_the_result_of_an_awaited_call_does_not_recover(way):
    """The `__del__` of a result recovers nothing in a coroutine either (P2)."""
    RecoversWhenDropped.got.clear()

    @way
    async def f():
        defer(RecoversWhenDropped)
        raise LookupError("must go on")

    with pytest.raises(LookupError, match="must go on"):
        f().send(None)
    assert RecoversWhenDropped.got == [None]


def test_an_exit_that_is_none_fails_when_it_is_called(way):
    """A manager with None as `__exit__` is entered, and fails at the exit, as in `with` (D11)."""
    events = []

    class Half:
        def __enter__(self):
            events.append("entered")

        __exit__ = None

    def by_hand():
        with Half():
            events.append("body")

    @way
    def f():
        using(Half())
        events.append("body")

    with pytest.raises(TypeError) as hand:
        by_hand()
    with pytest.raises(TypeError) as ours:
        f()
    assert str(ours.value) == str(hand.value)
    assert ours.value.__context__ is None
    assert events == ["entered", "body"] * 2
