"""Exceptions that refuse assignments, as a frozen dataclass does, or have no
list of notes (D5, P2, R3).
"""

import asyncio
import contextlib
import dataclasses

import pytest

from godefer import ausing, defer, defer_scope, errdefer, recover, using
from tests.helpers import chain, run


def details(error):
    return [(type(e), e.args) for e in chain(error)]


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    number: int

    __hash__ = Exception.__hash__


class Tuple(Exception):
    __notes__ = ("its own",)


def fail(number):
    raise Frozen(number)


def by_hand(body, calls):
    """Run the calls in nested `finally` clauses around the body's failure."""
    if not calls:
        if body is not None:
            fail(body)
        return
    try:
        by_hand(body, calls[1:])
    finally:
        calls[0]()


CALLS = [lambda: fail(1), int, lambda: fail(2), lambda: fail(3)]


def defers_each(body):
    defer(CALLS[0])
    defer(CALLS[1])
    errdefer(CALLS[2])
    defer(CALLS[3])
    if body is not None:
        fail(body)


def defers_in_a_loop(body):
    for call in CALLS:
        defer(call)
    if body is not None:
        fail(body)


def defers_in_a_generator(body):
    for call in CALLS:
        defer(call)
    yield
    if body is not None:
        fail(body)


async def defers_in_a_coroutine(body):
    for call in CALLS:
        defer(call)
    await asyncio.sleep(0)
    if body is not None:
        fail(body)


def by_scope(body):
    with defer_scope() as scope:
        for call in CALLS:
            scope(call)
        if body is not None:
            fail(body)


async def by_async_scope(body):
    async with defer_scope() as scope:
        for call in CALLS:
            scope(call)
        if body is not None:
            fail(body)


@pytest.mark.parametrize("body", [None, 0])
def test_chains(way, body):
    """All deferred calls run, and the chain is that of nested `try`/`finally` (D5)."""
    expected = details(run(by_hand, body, CALLS))
    assert len(expected) == (3 if body is None else 4)
    generator, coroutine = way(defers_in_a_generator), way(defers_in_a_coroutine)
    assert details(run(way(defers_each), body)) == expected
    assert details(run(way(defers_in_a_loop), body)) == expected
    assert details(run(lambda: list(generator(body)))) == expected
    assert details(run(lambda: asyncio.run(coroutine(body)))) == expected
    assert details(run(by_scope, body)) == expected
    assert details(run(lambda: asyncio.run(by_async_scope(body)))) == expected


def test_recovering(way):
    """Such an exception is recovered as any other, and later exceptions are
    not chained to it (P2, P4).
    """

    @way
    def f():
        defer(fail, 2)
        defer(lambda: found.append(recover()))
        fail(1)

    @way
    def g():
        for call in (lambda: fail(2), lambda: found.append(recover())):
            defer(call)
        fail(1)

    def scope():
        with defer_scope() as defer:
            defer(fail, 2)
            defer(lambda: found.append(recover()))
            fail(1)

    for function in (f, g, scope):
        found = []
        assert details(run(function)) == [(Frozen, (2,))]
        assert details(found[0]) == [(Frozen, (1,))]


def test_context_managers(way):
    """The exits of context managers get the exception, and may suppress it (D11)."""

    @contextlib.asynccontextmanager
    async def acm():
        try:
            yield
        except Frozen as error:
            found.append(error.number)

    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, tb):
            found.append(error.number)

    @way
    async def f():
        await ausing(acm())
        using(Manager())
        fail(1)

    found = []
    asyncio.run(f())
    assert found == [1, 1]


def test_notes_that_are_no_list(way):
    """An exception with notes that are no list keeps them, and goes on (D5, P6)."""

    def call():
        raise Tuple

    @way
    def f():
        for _ in range(2):
            defer(call)

    def scope():
        with defer_scope() as defer:
            defer(call)
            defer(call)

    for function in (f, scope):
        error = run(function)
        assert details(error) == [(Tuple, ()), (Tuple, ())]
        assert error.__notes__ == ("its own",)
