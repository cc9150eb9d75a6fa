"""CPython's tests of ExitStack and AsyncExitStack, rewritten for defer_scope (section S).

docs/exitstack-tests.md lists each test of CPython with the test here.
"""

import ast
import contextlib
import importlib
import re
import sys
from pathlib import Path

import pytest

from godefer import defer_scope, recover
from tests.helpers import chain, drive, pause, raise_it, run

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "exitstack-tests.md"


def messages(error):
    return [str(e) for e in chain(error)]


class Exits:
    """A context manager, sync and async, that exits by calling a function with the exception."""

    def __init__(self, exit):
        self.exit = exit

    def __enter__(self):
        return self

    def __exit__(self, kind, error, tb):
        assert kind is (None if error is None else type(error))
        assert tb is (None if error is None else error.__traceback__)
        return self.exit(error)

    async def __aenter__(self):
        await pause()
        return self

    async def __aexit__(self, *details):
        await pause()
        return self.__exit__(*details)


def nothing():
    pass


def suppress(_):
    return True


def raises(error):
    return Exits(lambda _: raise_it(error))


def raises_during(error, first):
    """Make a manager that exits by raising *error* while it handles *first*."""

    def exit(_):
        try:
            raise first
        except type(first):
            raise error

    return Exits(exit)


@pytest.fixture(params=["with", "async with"])
def block(request):
    """Run a function as the block of a scope, which it gets."""

    def in_with(body):
        with defer_scope() as defer:
            body(defer)

    def in_async_with(body):
        async def main():
            async with defer_scope() as defer:
                body(defer)

        return drive(main())

    return in_with if request.param == "with" else in_async_with


@pytest.fixture(params=["using", "ausing", "with", "async with"])
def nested(request):
    """Return a function that runs a body inside the given context managers, entered by nested
    `with` statements or by a scope.
    """

    def with_statements(managers, body):
        if not managers:
            return body()
        with managers[0]:
            return with_statements(managers[1:], body)

    async def async_with_statements(managers, body):
        if not managers:
            return body()
        async with managers[0]:
            return await async_with_statements(managers[1:], body)

    def using(managers, body):
        with defer_scope() as defer:
            for manager in managers:
                defer.using(manager)
            return body()

    async def ausing(managers, body):
        async with defer_scope() as defer:
            for manager in managers:
                await defer.ausing(manager)
            return body()

    return {
        "with": with_statements,
        "async with": lambda *args: drive(async_with_statements(*args)),
        "using": using,
        "ausing": lambda *args: drive(ausing(*args)),
    }[request.param]


# Calls


def test_a_scope_has_its_classes_docstring():
    """`help()` of a scope shows the same text as `help(defer_scope)` (S)."""
    assert defer_scope().__doc__ == defer_scope.__doc__
    assert "A block with deferred calls of its own" in defer_scope.__doc__


def test_a_block_that_defers_nothing(block, events):
    """A block without a deferred call ends as without a scope (S)."""
    block(lambda _: events.append("block"))
    assert events == ["block"]
    assert str(run(block, lambda _: raise_it(KeyError("x")))) == "'x'"


def test_arguments_of_every_kind(block, events):
    """Positional and keyword arguments arrive, with keywords of any name (S, D1)."""

    def note(*args, **kwargs):
        events.append((args, kwargs))

    calls = [
        ((), {}),
        ((1,), {}),
        ((1, 2), {}),
        ((), {"a": 1}),
        ((1, 2), {"fn": 3, "self": 4, "args": 5, "kwargs": 6}),
    ]

    def body(defer):
        for args, kwargs in calls:
            assert defer(note, *args, **kwargs) is None
            defer.err(note, *args, **kwargs)
            defer.ok(note, *args, **kwargs)

    block(body)
    assert events == [call for call in reversed(calls) for _ in range(2)]


def test_the_callee_is_positional(block):
    """A statement without a positional callee raises TypeError and defers nothing (S)."""

    def body(defer):
        for statement in (defer, defer.err, defer.ok):
            for keywords in ({}, {"arg": 1}, {"fn": int}, {"fn": int, "arg": 1}):
                with pytest.raises(TypeError):
                    statement(**keywords)
        assert len(defer) == 0

    block(body)


def test_what_an_async_function_is_given(events):
    """`async with` awaits coroutine functions in order with the other calls (S, D1, D6)."""

    async def note(*args, **kwargs):
        await pause()
        events.append((args, kwargs))

    async def main():
        async with defer_scope() as defer:
            defer(note)
            defer(events.append, "a call that is not async")
            defer(note, 1, b=2)
            for keywords in ({}, {"fn": note}):
                with pytest.raises(TypeError):
                    defer(**keywords)

    drive(main())
    assert events == [((1,), {"b": 2}), "a call that is not async", ((), {})]


# Context managers


def test_a_manager_is_entered_at_once_and_left_in_turn(events):
    """`using` enters now, returns the value, and exits in order with the calls (S, D2, D11)."""

    @contextlib.contextmanager
    def manager():
        events.append("enter")
        yield "value"
        events.append("exit")

    with defer_scope() as defer:
        defer(events.append, "last")
        assert defer.using(manager()) == "value"
        events.append("block")
        defer(events.append, "first")
    assert events == ["enter", "block", "first", "exit", "last"]


def test_an_asynchronous_manager_is_entered_at_once_and_left_in_turn(events):
    """`await defer.ausing(…)` does the same for an async manager (S, D2, D11)."""

    @contextlib.asynccontextmanager
    async def manager():
        await pause()
        events.append("enter")
        yield "value"
        await pause()
        events.append("exit")

    async def main():
        async with defer_scope() as defer:
            defer(events.append, "last")
            assert await defer.ausing(manager()) == "value"
            events.append("block")
            defer(pause)

    drive(main())
    assert events == ["enter", "block", "exit", "last"]


class OnlyEnters:
    def __enter__(self):
        raise AssertionError("entered")

    async def __aenter__(self):
        raise AssertionError("entered")


class OnlyExits:
    def __exit__(self, *_):
        raise AssertionError("left")

    async def __aexit__(self, *_):
        raise AssertionError("left")


class OnTheInstance:
    def __init__(self):
        self.__enter__ = self.__exit__ = self.__aenter__ = self.__aexit__ = lambda *_: None


@pytest.mark.parametrize("kind", [OnlyEnters, OnlyExits, OnTheInstance, object])
def test_what_is_no_manager_is_not_entered(kind):
    """An object without the methods on its class raises the TypeError of `with` (S, D11).

    Nothing is entered or deferred.
    """

    async def main():
        async with defer_scope() as defer:
            with pytest.raises(TypeError, match="the context manager protocol"):
                defer.using(kind())
            with pytest.raises(TypeError, match="the asynchronous context manager protocol"):
                await defer.ausing(kind())
            assert len(defer) == 0

    drive(main())


def made_of(how, enter, exit, names):
    """Make a manager with class methods, static methods, or functions in slots."""
    if how == "slots":
        manager = type("Manager", (), {"__slots__": names})()
        setattr(manager, names[0], enter)
        setattr(manager, names[1], exit)
        return manager
    decorator = {"classmethod": classmethod, "staticmethod": staticmethod}[how]
    return type("Manager", (), {names[0]: decorator(enter), names[1]: decorator(exit)})()


@pytest.mark.parametrize("how", ["classmethod", "staticmethod", "slots"])
def test_methods_of_every_kind(how, events):
    """A manager's methods may be any descriptors that `with` takes (S, D11).

    ExitStack accepts all of them since Python 3.15.
    """
    cls = ["class"] if how == "classmethod" else []

    def names(args):
        return ["class" if isinstance(a, type) else a for a in args]

    with defer_scope() as defer:
        defer.using(
            made_of(
                how,
                lambda *args: events.append(("enter", *names(args))),
                lambda *args: events.append(("exit", *names(args))),
                ("__enter__", "__exit__"),
            )
        )
    assert events == [("enter", *cls), ("exit", *cls, None, None, None)]


@pytest.mark.parametrize("how", ["classmethod", "staticmethod", "slots"])
def test_asynchronous_methods_of_every_kind(how, events):
    """An async manager's methods may be the same descriptors (S, D11)."""

    async def enter(*args):
        events.append(("enter", len(args)))

    async def exit(*args):
        events.append(("exit", args[-3:], len(args)))

    async def main():
        async with defer_scope() as defer:
            await defer.ausing(made_of(how, enter, exit, ("__aenter__", "__aexit__")))

    drive(main())
    cls = how == "classmethod"
    assert events == [("enter", cls), ("exit", (None, None, None), 3 + cls)]


# Suppressing


def test_an_exit_that_does_not_suppress(nested):
    """After a false result of an exit the very same exception goes on (S, D11)."""
    error = ZeroDivisionError()
    assert (
        run(nested, [Exits(lambda _: False), Exits(lambda _: None)], lambda: raise_it(error))
        is error
    )


def test_an_exit_that_suppresses(nested, events):
    """A true result of an exit stops the exception for the outer exits and the caller (S, D11)."""
    managers = [Exits(events.append), Exits(suppress), Exits(events.append)]
    error = ZeroDivisionError()
    assert run(nested, managers, lambda: raise_it(error)) is None
    assert events == [error, None]


def test_exits_that_are_never_entered(block, events):
    """A manager that only exits can register the exit of an open manager, or a function (S, D11).

    Exits that run after a suppressing one see no exception; the others see the block's.
    """

    class Pushed:
        def __init__(self, exit):
            self.exit = exit

        def __enter__(self):
            return self

        def __exit__(self, *details):
            return self.exit(*details)

    error = ZeroDivisionError()

    def body(defer):
        defer.using(Pushed(lambda kind, *_: events.append(kind)))
        defer.using(Pushed(lambda *_: True))
        defer.using(Pushed(Exits(events.append).__exit__))
        raise_it(error)

    block(body)
    assert events == [error, None]


def test_asynchronous_exits_that_are_never_entered(events):
    """A manager that only exits can register an async exit, too (S, D11)."""

    class Pushed:
        def __init__(self, exit):
            self.exit = exit

        async def __aenter__(self):
            return self

        async def __aexit__(self, *details):
            return await self.exit(*details)

    async def note(kind, *_):
        await pause()
        events.append(kind)

    async def stop(*_):
        await pause()
        return True

    async def main():
        async with defer_scope() as defer:
            for exit in (note, stop, note):
                await defer.ausing(Pushed(exit))
            raise_it(ZeroDivisionError())

    drive(main())
    assert events == [ZeroDivisionError, None]


def test_a_suppressed_failure_is_over(nested, block):
    """Suppressing one failure does not suppress the failure of a later call (S, D5, D11)."""
    managers = [raises(KeyError("later")), Exits(suppress), raises(IndexError("earlier"))]
    assert messages(run(nested, managers, nothing)) == ["'later'"]

    def body(defer):
        defer(int)
        defer(raise_it, KeyError("later"))
        defer.using(Exits(suppress))
        defer(raise_it, IndexError("earlier"))

    assert messages(run(block, body)) == ["'later'"]
    assert run(block, lambda defer: (defer(int), defer(raise_it, IndexError("only")))).args == (
        "only",
    )


def test_an_exit_suppresses_what_another_exit_raised(nested, events):
    """An exit gets, and can suppress, the last exception raised by earlier exits (S, D11)."""
    managers = [
        Exits(lambda e: events.append(e) or True),
        raises(KeyError("b")),
        raises(KeyError("a")),
    ]
    assert run(nested, managers, nothing) is None
    assert messages(events[0]) == ["'b'", "'a'"]


# Chains


def test_chain_of_exits_that_raise(nested, events):
    """Exits that raise around a suppressing exit chain as in nested `with` statements (S, D5)."""

    def suppresses(error):
        events.append(error)
        return True

    managers = [
        raises(IndexError("f")),
        raises_during(KeyError("e"), AttributeError("d")),
        Exits(suppresses),
        raises(ValueError("b")),
    ]
    error = run(nested, managers, lambda: raise_it(ZeroDivisionError("a")))
    assert messages(error) == ["f", "'e'", "d"]
    assert messages(events[0]) == ["b", "a"]


def test_chain_of_calls_that_raise(block, events):
    """Deferred calls that raise around a recovering call chain in the same way (S, D5, P4)."""

    def body(defer):
        defer(raise_it, IndexError("e"))
        defer(raise_it, KeyError("d"))
        defer(raise_it, AttributeError("c"))
        defer(lambda: events.append(recover()))
        defer(raise_it, ValueError("b"))
        raise_it(ZeroDivisionError("a"))

    assert messages(run(block, body)) == ["e", "'d'", "c"]
    assert messages(events[0]) == ["b", "a"]


def test_chain_of_async_calls_that_raise(events):
    """Awaited calls chain in the same way (S, D5, D6)."""

    async def later(error):
        await pause()
        raise error

    async def main():
        async with defer_scope() as defer:
            defer(later, IndexError("d"))
            defer(later, KeyError("c"))
            await defer.ausing(Exits(lambda error: events.append(error) or True))
            defer(later, ValueError("b"))
            raise_it(ZeroDivisionError("a"))

    assert messages(run(drive, main())) == ["d", "'c'"]
    assert messages(events[0]) == ["b", "a"]


def test_chain_on_the_normal_exit(nested, block):
    """A normal exit keeps the whole chain of the failing calls (S, D5, cpython#102201).

    ExitStack keeps only the last exception.
    """
    names = ["c", "b", "a"]
    assert messages(run(nested, [raises(ValueError(name)) for name in names], nothing)) == names
    assert (
        messages(run(block, lambda defer: [defer(raise_it, ValueError(name)) for name in names]))
        == names
    )


def test_a_context_that_was_set_to_none_stays_none(nested):
    """An exit may set the context of its exception to None, and it stays None (S, D5)."""

    @contextlib.contextmanager
    def manager():
        try:
            yield
        except IndexError:
            error = ValueError("new")
            try:
                raise error
            finally:
                error.__context__ = None

    generator = manager()
    error = run(
        nested,
        [Exits(lambda e: generator.__exit__(type(e), e, e.__traceback__))],
        lambda: generator.__enter__() or raise_it(IndexError()),
    )
    assert messages(error) == ["new"]


def test_generators_as_managers_that_raise(nested):
    """Managers that are generators set contexts of their own; the chain stays complete (S, D5).

    It never becomes a circle.
    """

    class Both(Exits):
        """A manager, sync and async, made by `contextmanager`, whose exit raises."""

        def __init__(self, error):
            @contextlib.contextmanager
            def manager():
                try:
                    yield
                finally:
                    raise error

            self.manager = manager()

        def __enter__(self):
            return self.manager.__enter__()

        def __exit__(self, *details):
            return self.manager.__exit__(*details)

        async def __aenter__(self):
            return self.__enter__()

    errors = [Exception(n) for n in "4321"]
    error = run(nested, [Both(error) for error in errors[:-1]], lambda: raise_it(errors[-1]))
    assert error is errors[0]
    assert messages(error) == ["4", "3", "2", "1"]


def test_calls_that_raise_with_a_context_of_their_own(block):
    """A call may raise an exception that has a context of its own (S, D5).

    That context stays in the chain, followed by the exception that was in flight.
    """

    def two(first, second):
        try:
            raise_it(first)
        finally:
            raise_it(second)

    def body(defer):
        defer(two, Exception("4"), Exception("5"))
        defer(two, Exception("2"), Exception("3"))
        raise_it(Exception("1"))

    assert messages(run(block, body)) == ["5", "4", "3", "2", "1"]


# PEP 479, and similar RuntimeErrors


def both(function):
    """Return a context manager of the generator *function*, sync and async."""

    class Both(Exits):
        def __init__(self):
            self.manager = contextlib.contextmanager(function)()

        def __enter__(self):
            return self.manager.__enter__()

        def __exit__(self, *details):
            return self.manager.__exit__(*details)

        async def __aenter__(self):
            return self.__enter__()

    return Both()


def test_a_runtime_error_through_generators(nested):
    """A RuntimeError that generators raise again keeps its cause and context (S, D5)."""

    def first():
        try:
            yield
        except RuntimeError as error:
            raise error

    def second():
        try:
            yield
        except RuntimeError as error:
            raise LookupError("second") from error

    original = RuntimeError("original")
    error = run(nested, [both(second), both(first)], lambda: raise_it(original))
    assert messages(error) == ["second", "original"]
    assert error.__cause__ is original
    assert original.__cause__ is None


# `async with` passes through coroutines.
@pytest.mark.parametrize("nested", ["using", "ausing", "with"], indirect=True)
@pytest.mark.parametrize(
    "original", [StopIteration("x"), StopAsyncIteration("x")], ids=lambda e: type(e).__name__
)
def test_stop_iteration_through_generators(nested, events, original):
    """A StopIteration passes through generator managers to the caller (S, D11, PEP 479)."""

    def passes():
        yield

    def sees():
        try:
            yield
        except type(original) as error:
            events.append(error)
            raise

    managers = [Exits(lambda error: events.append(error) or True), both(passes), both(sees)]
    assert run(nested, managers, lambda: raise_it(original)) is None
    assert events == [original, original]


def test_stop_iteration_of_the_block(events):
    """Deferred calls see and can recover a StopIteration of the block (S, P1, PEP 479)."""

    def block(recovers):
        with defer_scope() as defer:
            defer.err(lambda: events.append(sys.exception()))
            defer(lambda: recovers and events.append(recover()))
            raise error

    error = StopIteration("x")
    assert run(block, False) is error
    assert run(block, True) is None
    assert events == [error, error]


@pytest.mark.parametrize("error", [None, KeyError("block")])
def test_stop_iteration_of_a_deferred_call(events, error):
    """A StopIteration of a deferred call is in flight as any exception (S, P5).

    A generator around the block turns it into PEP 479's RuntimeError.
    """

    def generator():
        try:
            with defer_scope() as defer:
                defer(lambda: events.append(sys.exception()))
                defer(raise_it, StopIteration("call"))
                if error:
                    raise error
        except StopIteration as e:
            events.append(e)
            raise
        yield

    left = run(next, generator())
    assert type(left) is RuntimeError
    assert events == [left.__cause__] * 2
    assert messages(left.__cause__) == ["call", *(["'block'"] if error else [])]


def test_stop_iteration_in_a_coroutine(events):
    """A StopIteration of a deferred call leaves `async with` as a RuntimeError (S, PEP 479)."""

    async def main():
        async with defer_scope() as defer:
            defer(lambda: events.append(sys.exception()))
            defer(raise_it, StopIteration("call"))

    left = run(drive, main())
    assert (type(left), str(left)) == (RuntimeError, "coroutine raised StopIteration")
    assert events == [left.__cause__]


# The page


def listed():
    """Return the rows of the page's tables: a test of CPython -> the text about our test."""
    rows = re.findall(
        r"^\| `(test_\w+)` \|.*\| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    found = dict(rows)
    assert len(found) == len(rows), "a test is listed twice"
    return found


def in_module(module):
    """Return the names of a module's tests."""
    tree = ast.parse((TESTS / module).read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.project
def test_every_test_of_ours_on_the_page_is_there():
    """Each row of the page names existing tests, or a reason for having none."""
    for theirs, ours in listed().items():
        named = re.findall(r"`(test_\w+)`", ours)
        module = re.match(r"`(test_\w+\.py)`: ", ours)
        assert named or ours.startswith("none: "), theirs
        assert set(named) <= in_module(module[1] if module else Path(__file__).name), theirs


@pytest.mark.project
def test_every_test_of_theirs_is_on_the_page():
    """The page lists each test of this Python's TestExitStack and TestAsyncExitStack."""
    try:
        modules = [
            importlib.import_module(f"test.{name}")
            for name in ("test_contextlib", "test_contextlib_async")
        ]
    except ImportError as missing:
        pytest.skip(f"this Python has no tests of contextlib ({missing})")
    classes = [modules[0].TestExitStack, modules[1].TestAsyncExitStack]
    names = {name for cls in classes for name in dir(cls) if name.startswith("test_")}
    assert names - set(listed()) == set()
