"""Returns undone by the body's own `finally` or `with` before a recovery (P4, R3)."""

import contextlib

import pytest

from godefer import defer, recover, using
from tests.helpers import raise_it


def outer_recovers(events):
    events.append(type(recover()).__name__)


def break_in_finally(events):
    defer(outer_recovers, events)
    defer(events.append, 1)
    while True:
        try:
            return "stale"
        finally:
            break
    raise KeyError


def break_in_finally_and_the_end(events):
    for i in (1, 2):
        defer(events.append, i)
    while True:
        try:
            return "stale"
        finally:
            break


def continue_in_finally(events):
    defer(outer_recovers, events)
    defer(events.append, 1)
    for i in (1, 2):
        if i == 2:
            raise KeyError
        try:
            return "stale"
        finally:
            continue


def suppressed(events):
    using(contextlib.nullcontext())
    defer(events.append, 1)
    with contextlib.suppress(OSError):
        with contextlib.ExitStack() as stack:
            stack.callback(raise_it, OSError())
            return "stale"


def suppressed_and_raised(events):
    defer(outer_recovers, events)
    defer(events.append, 1)
    with contextlib.suppress(OSError):
        try:
            return "stale"
        finally:
            raise OSError
    raise KeyError


def caught_inside_of_finally(events):
    defer(outer_recovers, events)
    defer(events.append, 1)
    try:
        try:
            try:
                return "stale"
            finally:
                raise OSError
        except OSError:
            pass
    finally:
        events.append(0)
    raise KeyError


def loop_after_suppressed(events):
    for i in (1, 2):
        defer(events.append, i)
    with contextlib.suppress(OSError):
        try:
            return "stale"
        finally:
            raise OSError


def caught_by_except(events):
    defer(outer_recovers, events)
    defer(events.append, 1)
    try:
        try:
            return "stale"
        finally:
            raise OSError
    except OSError:
        events.append(0)
    raise KeyError


@pytest.mark.parametrize(
    "function",
    [
        break_in_finally,
        break_in_finally_and_the_end,
        continue_in_finally,
        suppressed,
        suppressed_and_raised,
        caught_inside_of_finally,
        loop_after_suppressed,
        caught_by_except,
    ],
)
def test_return_that_did_not_happen(way, function, events):
    """If a `finally` or `with` undoes a `return`, the value is not the result (P4, R3)."""
    assert way(function)(events) is None
