"""`recover` in a deferred function that handles an exception of its own: rule P2."""

import sys

import pytest

from godefer import defer, recover
from tests.helpers import drive


def raised_again():
    raise sys.exception()


def raised_from_none():
    raise KeyError("its own") from None


def thrown_into_a_generator():
    def generator():
        yield

    suspended = generator()
    next(suspended)
    suspended.throw(KeyError("its own"))


def thrown_and_converted():
    def generator():
        try:
            yield
        except TimeoutError:
            raise LookupError("converted")

    suspended = generator()
    next(suspended)
    suspended.throw(TimeoutError("its own"))


def raised_again_and_converted():
    try:
        raise sys.exception()
    except ValueError:
        thrown_and_converted()


def raised_without_context():
    error = KeyError("its own")
    try:
        raise error
    finally:
        error.__context__ = None


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
@pytest.mark.parametrize("inside_except", [False, True], ids=["", "inside an except of the caller"])
@pytest.mark.parametrize(
    "raises",
    [
        raised_again,
        raised_from_none,
        thrown_into_a_generator,
        thrown_and_converted,
        raised_again_and_converted,
        raised_without_context,
    ],
)
def test_an_exception_that_the_deferred_function_has_caught_is_not_recovered(
    way, kind, inside_except, raises
):
    """`recover` takes the exception in flight, in a handler or after it, and no other (P2)."""
    panic = ValueError("in flight")
    seen = []

    def deferred():
        try:
            raises()
        except Exception:
            seen.append(recover())
        seen.append(recover())

    @way
    def function():
        defer(deferred)
        raise panic

    @way
    def generator():
        defer(deferred)
        yield
        raise panic

    @way
    async def coroutine():
        defer(deferred)
        raise panic

    def call():
        if kind == "coroutine":
            return drive(coroutine())
        return function() if kind == "function" else list(generator())

    if inside_except:
        try:
            raise OSError("handled by the caller")
        except OSError:
            call()
    else:
        call()
    assert seen in ([panic, None], [None, panic])
