"""A wrong argument to a deferred function is an error at the `defer` line. Checked, never run."""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

import asyncio
import functools
import io
from pathlib import Path
from typing import assert_type

import godefer
from godefer import defer, errdefer, okdefer, recover, using, with_defers
from godefer.aio import shielded, shielded_for


def move(source: Path, target: Path, /, *, overwrite: bool = False) -> int:
    return 0


async def close(code: int, reason: str = "") -> None:
    await asyncio.sleep(code)


class Connection:
    def rollback(self, savepoint: str | None = None) -> None: ...

    async def aclose(self) -> None: ...

    def __call__(self, n: int) -> None: ...


class Base:
    def __init__(self, n: int) -> None: ...


@with_defers
def right(path: Path, file: io.StringIO, connection: Connection) -> None:
    defer(file.close)
    defer(print, path, 1, sep=", ")
    defer(move, path, path)
    defer(move, path, path, overwrite=True)
    defer(lambda: None)
    defer(functools.partial(move, path), path)
    defer(connection.rollback)
    defer(connection.rollback, "savepoint")
    defer(connection, 1)
    defer(Base, 1)
    defer(close, 1, reason="done")
    defer(connection.aclose)
    errdefer(connection.rollback, savepoint=None)
    okdefer(move, path, path)


@with_defers
def wrong_with_defer(path: Path, file: io.StringIO, connection: Connection) -> None:
    defer(file.close, 1)  # type: ignore[call-arg]
    defer(print, path, end=1)  # type: ignore[arg-type]
    defer(move, path)  # type: ignore[call-arg]
    defer(move, path, "target")  # type: ignore[arg-type]
    defer(move, path, path, True)  # type: ignore[call-arg]
    defer(move, path, path, overwrite="yes")  # type: ignore[arg-type]
    defer(move, path, path, force=True)  # type: ignore[call-arg]
    defer(lambda: None, 1)  # type: ignore[arg-type,misc]
    defer(connection.rollback, 1)  # type: ignore[arg-type]
    defer(connection, "1")  # type: ignore[arg-type]
    defer(Base, "1")  # type: ignore[arg-type]
    defer(close, "1")  # type: ignore[arg-type]
    defer(file.close())  # type: ignore[func-returns-value,arg-type]
    defer("name")  # type: ignore[arg-type]
    defer()  # type: ignore[call-arg]
    defer(fn=print)  # type: ignore[call-arg]


@with_defers
async def right_with_shields(path: Path, connection: Connection) -> None:
    defer(shielded, connection.aclose)
    defer(shielded, close, 1, reason="done")
    defer(shielded, move, path, path)
    errdefer(shielded_for, 0.5, connection.aclose)
    okdefer(shielded_for, 5, close, 1, reason="done")
    assert_type(await shielded(close, 1), None)
    assert_type(await shielded(asyncio.sleep, 1, "slept"), str)
    assert_type(await shielded(move, path, path), int)
    assert_type(await shielded_for(5, asyncio.sleep, 1, 2), int)
    assert_type(await shielded_for(5, move, path, path), int)


@with_defers
async def wrong_with_shields(path: Path, connection: Connection) -> None:
    defer(shielded, connection.aclose, 1)  # type: ignore[arg-type]
    defer(shielded, close)  # type: ignore[arg-type]
    defer(shielded, close, "1")  # type: ignore[arg-type]
    defer(shielded, move, path)  # type: ignore[arg-type]
    defer(shielded_for, connection.aclose)  # type: ignore[arg-type]
    defer(shielded_for, 5, close, "1")  # type: ignore[arg-type]
    await shielded(close, "1")  # type: ignore[call-overload]
    await shielded_for("5", close, 1)  # type: ignore[call-overload]


@with_defers
def wrong_with_errdefer(path: Path, connection: Connection) -> None:
    errdefer(connection.rollback, 1)  # type: ignore[arg-type]
    errdefer(move, path)  # type: ignore[call-arg]
    errdefer(None)  # type: ignore[arg-type]


@with_defers
def wrong_with_okdefer(path: Path, connection: Connection) -> None:
    okdefer(connection.rollback, 1)  # type: ignore[arg-type]
    okdefer(move, path)  # type: ignore[call-arg]
    okdefer(None)  # type: ignore[arg-type]


@with_defers
def right_with_functions(path: Path, connection: Connection) -> None:
    @defer
    def close() -> None:
        print(path, recover())

    @errdefer
    def undo(savepoint: str = "", *args: int, **kwargs: int) -> int:
        connection.rollback(savepoint)
        return len(args) + len(kwargs)

    if path:

        @okdefer
        def done() -> str:
            return str(path)

    for part in path.parts:

        @godefer.defer
        def show(part: str = part) -> None:
            print(part)

    @defer
    @functools.cache
    def cached() -> Path:
        return path

    @defer
    @with_defers
    def decorated() -> None:
        @defer
        def nested() -> None: ...


@with_defers
async def right_with_async_functions(connection: Connection) -> None:
    @defer
    async def shut() -> None:
        await connection.aclose()

    @errdefer
    async def undo(code: int = 1) -> int:
        await close(code)
        return code

    @okdefer
    def done() -> None: ...


@with_defers
async def wrong_with_functions() -> None:
    @defer  # type: ignore[call-arg]
    def close(file: io.StringIO) -> None: ...

    @errdefer  # type: ignore[call-arg]
    def undo(*, savepoint: str) -> None: ...

    @okdefer  # type: ignore[call-arg]
    async def done(code: int) -> None: ...

    @defer(print)  # type: ignore[func-returns-value,untyped-decorator,misc]
    def called() -> None: ...

    @using  # type: ignore[arg-type]
    def entered() -> None: ...

    @defer
    def gone() -> None: ...

    gone()  # type: ignore[misc]
    defer(gone)  # type: ignore[arg-type]
