"""Type checkers' view of decorated functions. Checked, never run.

Each ignored error is one that must be there: if it goes away, the ignore is reported, by mypy
because of ``warn_unused_ignores`` (which ``strict`` includes), by pyright because of the next line.
"""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

import functools
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import assert_type

from godefer import defer, with_defers


@with_defers
def function(a: int, /, b: str = "b", *args: bytes, c: float, **kwargs: bool) -> list[int]:
    defer(print, a, b, args, c, kwargs)
    return [a]


assert_type(function(1, c=2.0), list[int])
assert_type(function(1, "b", b"", c=2.0, d=True), list[int])
function("1", c=2.0)  # type: ignore[arg-type]
function(1)  # type: ignore[call-arg]
function(a=1, c=2.0)  # type: ignore[arg-type,call-arg]


@with_defers()
def called(a: int) -> str:
    defer(print, a)
    return str(a)


assert_type(called(1), str)
called("1")  # type: ignore[arg-type]


@with_defers(result="n")
def named(a: int) -> int:
    n = a
    defer(print, n)
    return n


assert_type(named(1), int)
named("1")  # type: ignore[arg-type]


@with_defers(result=("n", "err"))
def several(a: int) -> tuple[int, Exception | None]:
    defer(print, a)
    return a, None


assert_type(several(1), tuple[int, Exception | None])


@with_defers
async def coroutine_function(a: int) -> str:
    defer(print, a)
    return str(a)


@with_defers
def generator_function(a: int) -> Iterator[str]:
    defer(print, a)
    yield str(a)


@with_defers
async def async_generator_function(a: int) -> AsyncIterator[str]:
    defer(print, a)
    yield str(a)


async def run() -> None:
    assert_type(await coroutine_function(1), str)
    assert_type([item async for item in async_generator_function(1)], list[str])
    coroutine_function("1")  # type: ignore[arg-type,unused-coroutine]


assert_type(list(generator_function(1)), list[str])
generator_function("1")  # type: ignore[arg-type]


@with_defers
def generic(item: object, items: list[object]) -> list[object]:
    defer(items.append, item)
    return items


lengthen: Callable[[int], int] = with_defers(lambda n: n + 1)
assert_type(lengthen(1), int)


class Thing:
    @with_defers
    def method(self, a: int) -> str:
        defer(print, a)
        return str(a)

    @classmethod
    @with_defers
    def class_method(cls, a: int) -> "Thing":
        defer(print, a)
        return cls()

    @with_defers
    @staticmethod
    def static_method(a: int) -> str:
        defer(print, a)
        return str(a)

    @property
    @with_defers
    def value(self) -> int:
        defer(print)
        return 1

    @functools.cached_property
    @with_defers
    def cached(self) -> int:
        defer(print)
        return 1

    @with_defers
    def __call__(self, a: int) -> str:
        defer(print, a)
        return str(a)


thing = Thing()
assert_type(thing.method(1), str)
assert_type(Thing.class_method(1), Thing)
assert_type(Thing.static_method(1), str)
assert_type(thing.value, int)
assert_type(thing.cached, int)
assert_type(with_defers(thing), Thing)
assert_type(with_defers(thing)(1), str)
thing.method("1")  # type: ignore[arg-type]
thing.value = 2  # type: ignore[misc]


@contextmanager
@with_defers
def manager(a: int) -> Generator[str]:
    defer(print, a)
    yield str(a)


with manager(1) as text:
    assert_type(text, str)

assert_type(with_defers(functools.partial(function, 1)), functools.partial[list[int]])

with_defers(result=1)  # type: ignore[call-overload]
with_defers(function, 1)  # type: ignore[call-overload]
