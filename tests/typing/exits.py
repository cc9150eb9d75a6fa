"""Type checkers' view of using, ausing, recover and panic. Checked, never run."""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

import asyncio
import contextlib
import io
import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import Self, assert_never, assert_type

from godefer import DeferError, Panic, ausing, defer, panic, recover, using, with_defers


class Suppressing:
    def __enter__(self) -> int:
        return 1

    def __exit__(self, *exc_info: object) -> bool:
        return True


class Connection:
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None: ...


@contextlib.contextmanager
def manager() -> Generator[str]:
    yield "text"


@contextlib.asynccontextmanager
async def async_manager() -> AsyncGenerator[str]:
    yield "text"


@with_defers
def use() -> None:
    assert_type(using(open("name")), io.TextIOWrapper)  # noqa: PTH123
    assert_type(using(manager()), str)
    assert_type(using(Suppressing()), int)
    assert_type(using(contextlib.closing(io.StringIO())), io.StringIO)
    assert_type(using(threading.Lock()), bool)
    assert_type(using(sqlite3.connect("")), sqlite3.Connection)
    using(Connection())  # type: ignore[arg-type]
    using(1)  # type: ignore[arg-type]
    using(manager)  # type: ignore[arg-type]
    using()  # type: ignore[call-arg]


@with_defers
async def use_async() -> None:
    assert_type(ausing(Connection()), Awaitable[Connection])
    assert_type(await ausing(Connection()), Connection)
    assert_type(await ausing(async_manager()), str)
    assert_type(await ausing(asyncio.timeout(1)), asyncio.Timeout)
    assert_type(await ausing(asyncio.TaskGroup()), asyncio.TaskGroup)
    await ausing(manager())  # type: ignore[arg-type]
    ausing(async_manager()).strip()  # type: ignore[attr-defined]


def rescue() -> None:
    assert_type(recover(), Exception | None)
    assert_type(recover(OSError), OSError | None)
    assert_type(recover(KeyboardInterrupt), KeyboardInterrupt | None)
    assert_type(recover(asyncio.CancelledError), asyncio.CancelledError | None)
    either: Exception | None = recover(KeyError, ValueError)
    print(either)
    assert_type(recover(BaseException), BaseException | None)
    error = recover(Panic)
    if error is not None:
        assert_type(error, Panic)
        assert_type(error.value, object)
    recover(int)  # type: ignore[type-var]
    recover(OSError())  # type: ignore[call-overload]
    recover("OSError")  # type: ignore[call-overload]


def with_types(kinds: tuple[type[OSError], ...]) -> OSError | None:
    return recover(*kinds)


def parse(text: str) -> int:
    if text.isdigit():
        return int(text)
    panic(f"not a number: {text}")


def choose(kind: str | int) -> str:
    if isinstance(kind, str):
        return kind
    if isinstance(kind, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        panic(ValueError(kind))
    assert_never(kind)


assert_type(parse("1"), int)
panicked: RuntimeError = Panic(None)
misused: RuntimeError = DeferError("message")
Panic()
Panic(1, 2)  # type: ignore[call-arg]


@with_defers
def recovering(path: str) -> str | None:
    defer(recover)
    defer(recover, OSError)
    defer(rescue)
    defer(panic, "value")
    return path


@with_defers
def wrong(path: str) -> None:
    panic()  # type: ignore[call-arg]
