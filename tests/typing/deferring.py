"""A wrong argument to a deferred function is an error at the `defer` line. Checked, never run."""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

import asyncio
import functools
import io
from pathlib import Path

from godefer import defer, errdefer, okdefer, with_defers


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
def wrong_with_errdefer(path: Path, connection: Connection) -> None:
    errdefer(connection.rollback, 1)  # type: ignore[arg-type]
    errdefer(move, path)  # type: ignore[call-arg]
    errdefer(None)  # type: ignore[arg-type]


@with_defers
def wrong_with_okdefer(path: Path, connection: Connection) -> None:
    okdefer(connection.rollback, 1)  # type: ignore[arg-type]
    okdefer(move, path)  # type: ignore[call-arg]
    okdefer(None)  # type: ignore[arg-type]
