"""Callables of trio, anyio and psycopg, deferred: as in `real_callables`. Checked, never run.

The extra ``systems`` has these packages. `.ci/run` installs it for the type checkers.
"""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

import anyio
import anyio.to_thread
import psycopg
import psycopg_pool
import trio
from typing_extensions import assert_type

from godefer import ausing, defer, defer_scope, errdefer, okdefer, using, with_defers


@with_defers
async def with_trio(stream: trio.SocketStream, channel: trio.MemorySendChannel[str]) -> None:
    defer(stream.aclose)
    defer(stream.aclose, 1)  # type: ignore[call-arg]
    defer(trio.aclose_forcefully, stream)
    defer(trio.aclose_forcefully, channel.close)  # type: ignore[arg-type]
    okdefer(stream.send_all, b"bye")
    okdefer(stream.send_all, "bye")  # type: ignore[arg-type]
    okdefer(channel.send, "bye")
    okdefer(channel.send, 1)  # type: ignore[arg-type]
    defer(trio.sleep, 0.1)
    defer(trio.sleep, "0.1")  # type: ignore[arg-type]
    defer(trio.to_thread.run_sync, print, "bye", abandon_on_cancel=True)
    defer(trio.to_thread.run_sync)  # type: ignore[arg-type]
    scope = using(trio.move_on_after(1))
    defer(setattr, scope, "shield", True)
    errdefer(scope.cancel)
    errdefer(scope.cancel())  # type: ignore[arg-type]
    nursery = await ausing(trio.open_nursery())
    assert_type(nursery, trio.Nursery)
    using(trio.open_nursery())  # type: ignore[arg-type]
    defer(nursery.start_soon, trio.sleep, 1)
    defer(nursery.start_soon)  # type: ignore[arg-type]


async def with_anyio(group: anyio.abc.TaskGroup, path: anyio.Path) -> None:
    async with defer_scope() as scope:
        scope(path.unlink, missing_ok=True)
        scope(path.unlink, missing=True)  # type: ignore[call-arg]
        scope(anyio.sleep, 0.1)
        scope(anyio.sleep, "0.1")  # type: ignore[arg-type]
        scope.err(group.cancel_scope.cancel)
        scope.err(group.cancel_scope.cancel())  # type: ignore[func-returns-value,arg-type]
        scope.ok(anyio.to_thread.run_sync, print, "bye")
        scope.ok(anyio.to_thread.run_sync)  # type: ignore[arg-type]
        scope(anyio.aclose_forcefully, await anyio.connect_tcp("localhost", 1))
        scope(anyio.aclose_forcefully, path)  # type: ignore[arg-type]


@with_defers
def with_psycopg(
    db: psycopg.Connection[tuple[int]], pool: psycopg_pool.ConnectionPool[psycopg.Connection]
) -> None:
    defer(db.close)
    defer(db.close, "now")  # type: ignore[call-arg]
    errdefer(db.rollback)
    errdefer(db.rollback, "savepoint")  # type: ignore[call-arg]
    okdefer(db.execute, "SELECT pg_advisory_unlock(%s)", [1])
    okdefer(db.execute, 1)  # type: ignore[arg-type]
    defer(pool.putconn, pool.getconn(timeout=1))
    defer(pool.putconn, 1)  # type: ignore[arg-type]
    defer(pool.close, timeout=5)
    defer(pool.close, timeout="5")  # type: ignore[arg-type]
    cursor = using(db.cursor())
    assert_type(cursor, psycopg.Cursor[tuple[int]])
    assert_type(using(db.transaction()), psycopg.Transaction)
    using(db.execute)  # type: ignore[arg-type]
    defer(cursor.executemany, "DELETE FROM job WHERE id = %s", [(1,), (2,)])
    defer(cursor.executemany, "DELETE FROM job WHERE id = %s")  # type: ignore[call-arg]


@with_defers
async def with_psycopg_async(db: psycopg.AsyncConnection[tuple[int]]) -> None:
    defer(db.close)
    defer(db.set_autocommit, False)
    defer(db.set_autocommit)  # type: ignore[call-arg]
    errdefer(db.rollback)
    okdefer(db.commit)
    okdefer(db.commit, 1)  # type: ignore[call-arg]
    defer(db.execute, "SELECT pg_advisory_unlock_all()")
    defer(db.execute, b"", 1)  # type: ignore[arg-type]
    assert_type(await ausing(db.transaction()), psycopg.AsyncTransaction)
    using(db.transaction())  # type: ignore[arg-type]
