"""Type checkers' required view of defer_scope. Checked, never run."""

import contextlib
from contextlib import AbstractAsyncContextManager
from io import StringIO

from typing_extensions import assert_type

from godefer import defer_scope


def close(number: int, *, hard: bool = False) -> None: ...


with defer_scope() as defer:
    assert_type(defer, defer_scope)
    defer(close, 1)
    defer(close, 1, hard=True)
    defer(close, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    defer.err(close)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    defer.ok(close, 1, soft=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(defer.using(contextlib.closing(StringIO())), StringIO)
    assert_type(defer.detach(), defer_scope)
    assert_type(len(defer), int)


async def work(acm: AbstractAsyncContextManager[int]) -> None:
    async with defer_scope() as defer:
        assert_type(defer, defer_scope)
        assert_type(await defer.ausing(acm), int)
        await defer.aclose()
