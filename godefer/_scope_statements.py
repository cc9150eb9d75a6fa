"""The statements of a scope, as `defer_scope` (`_scope`) has them.

Any function that was given the scope may call them, in any thread or task. So each node holds the
code of its caller (`_defer.sp`), and no record is looked up as `_statements` does.
"""

from __future__ import annotations

import sys

from godefer import _errors
from godefer._errors import DeferError
from godefer._runtime.context_managers import aenter, enter
from godefer._runtime.record import (
    ASYNC_EXIT,
    EXIT,
    FAILING,
    RETURNING,
    Record,
    freedefer,
    pool,
    refill,
)
from godefer._runtime.results import awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import FrameType
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

_getframe = sys._getframe
_pop = pool.pop

NEW, ENTERED, ENTERED_ASYNC, ENDED = range(4)  # the states of a scope


class ScopeStatements:
    """The statements of a scope, and its pending calls."""

    __slots__ = ("__weakref__", "_awaits", "_outer", "_record", "_state")

    def __init__(self) -> None:
        record = self._record = Record()
        record.link = record.error = record.running = record.sp = None
        # The exception that was being handled when the block was entered.
        self._outer: BaseException | None = None
        self._state = NEW
        self._awaits = False  # whether an asynchronous context manager's exit is pending

    def __call__(self, fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``fn(*args, **kwargs)`` when the block ends. As `godefer.defer` (D1, D2).

        Args:
            fn: The function to call.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Raises:
            DeferError: The block has ended.

        Example:
            >>> from godefer import defer_scope
            >>> with defer_scope() as defer:
            ...     defer(print, "block has ended")
            ...     print("in the block")
            in the block
            block has ended
        """
        try:
            d = _pop()
        except IndexError:
            d = refill()
        if d.panic is not None:
            raise _errors.pooled_with_panic()
        d.fn = fn
        d.args = args
        if kwargs:
            d.kwargs = kwargs
        sp = _getframe(1)
        d.pc = sp.f_lasti
        d.sp = sp.f_code
        # From here on nothing lets another thread run, which may be ending the block.
        if self._state == ENDED:
            freedefer(d)
            raise _errors.scope_ended("defer()", sp)
        record = self._record
        d.link = record.link
        record.link = d

    def err(self, fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``fn(*args, **kwargs)`` when the block ends by an exception: `errdefer` (D10).

        Args:
            fn: The function to call.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Raises:
            DeferError: The block has ended.

        Example:
            >>> from godefer import defer_scope
            >>> undone = []
            >>> with defer_scope() as defer:
            ...     defer.err(undone.append, 1)
            >>> try:
            ...     with defer_scope() as defer:
            ...         defer.err(undone.append, 2)
            ...         raise LookupError
            ... except LookupError:
            ...     undone
            [2]
        """
        self._push("defer.err()", FAILING, fn, args, kwargs or None, _getframe(1))

    def ok(self, fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``fn(*args, **kwargs)`` when the block ends without an exception: `okdefer` (D10).

        Args:
            fn: The function to call.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Raises:
            DeferError: The block has ended.

        Example:
            >>> from godefer import defer_scope
            >>> with defer_scope() as defer:
            ...     defer.ok(print, "saved")
            saved
        """
        self._push("defer.ok()", RETURNING, fn, args, kwargs or None, _getframe(1))

    def using(self, cm: AbstractContextManager[T, bool | None]) -> T:
        """Enter a context manager now, and exit it when the block ends. As `godefer.using` (D11).

        Args:
            cm: The context manager.

        Returns:
            The value that entering it gave.

        Raises:
            DeferError: The block has ended; nothing was entered.
            TypeError: *cm* is not a context manager, in the words of the ``with`` statement.

        Example:
            >>> import io
            >>> from godefer import defer_scope
            >>> with defer_scope() as defer:
            ...     f = defer.using(io.StringIO("one"))
            ...     f.read()
            'one'
            >>> f.closed
            True
        """
        sp = _getframe(1)
        if self._state == ENDED:
            raise _errors.scope_ended("defer.using()", sp)
        value: T
        leave, value = enter(cm)
        if self._state == ENDED:  # while it was being entered, by another thread
            try:
                raise _errors.scope_ended("defer.using()", sp)
            except DeferError as late:
                leave(DeferError, late, late.__traceback__)
                raise
        self._push("defer.using()", EXIT, leave, (), None, sp)
        return value

    async def ausing(self, acm: AbstractAsyncContextManager[T, bool | None]) -> T:
        """Enter an async context manager now, and exit it when the block ends: `ausing` (D11).

        Args:
            acm: The asynchronous context manager.

        Returns:
            The value that entering it gave.

        Raises:
            DeferError: The block has ended, or is not one of ``async with``. Nothing was entered.
            TypeError: *acm* is not an asynchronous context manager, in the words of ``async with``.

        Example:
            >>> import asyncio
            >>> from godefer import defer_scope
            >>> async def main():
            ...     async with defer_scope() as defer:
            ...         limit = await defer.ausing(asyncio.Semaphore(1))
            ...         print("one at a time")
            >>> asyncio.run(main())
            one at a time
        """
        sp = _getframe()
        if self._state == ENDED:
            raise _errors.scope_ended("defer.ausing()", sp.f_back or sp)
        if self._state == ENTERED:
            raise _errors.scope_not_async(sp.f_back or sp)
        value: T
        leave, value = await aenter(acm)
        sp = _getframe()
        sp = sp.f_back or sp
        if self._state in {ENDED, ENTERED}:  # while it was being entered, by another task
            error = (
                _errors.scope_ended("defer.ausing()", sp)
                if self._state == ENDED
                else _errors.scope_not_async(sp)
            )
            try:
                raise error
            except DeferError as late:
                await awaited("__aexit__", leave(DeferError, late, late.__traceback__))
                raise
            finally:
                del error
        self._awaits = True
        self._push("defer.ausing()", ASYNC_EXIT, leave, (), None, sp)
        return value

    def _push(  # noqa: PLR0913, PLR0917  # the fields of the node
        self,
        statement: str,
        when: int,
        fn: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        sp: FrameType,
    ) -> None:
        try:
            d = _pop()
        except IndexError:
            d = refill()
        if d.panic is not None:
            raise _errors.pooled_with_panic()
        d.when = when
        d.fn = fn
        d.args = args
        d.kwargs = kwargs
        d.pc = sp.f_lasti
        d.sp = sp.f_code
        if self._state == ENDED:  # as in `__call__`
            freedefer(d)
            raise _errors.scope_ended(statement, sp)
        record = self._record
        d.link = record.link
        record.link = d

    def __len__(self) -> int:
        """The number of pending calls (S).

        Returns:
            How many calls would be made if the block ended now.

        Example:
            >>> from godefer import defer_scope
            >>> with defer_scope() as defer:
            ...     defer(print, "bye")
            ...     len(defer)
            1
            bye
        """
        count, d = 0, self._record.link
        while d is not None:
            count, d = count + 1, d.link
        return count

    def __bool__(self) -> bool:
        """Return True, whether calls are pending or not: a scope is no container."""
        return True
