"""The statements of a scope, as `defer_scope` (`_scope`) has them.

Any function that was given the scope may call them, in any thread or task. So each node holds the
code of its caller (`_defer.sp`), and no record is looked up as `_statements` does.
"""

from __future__ import annotations

import sys
from _warnings import warn_explicit  # warnings is slow to import

from godefer import _errors
from godefer._errors import DeferError
from godefer._runtime.context_managers import aenter, enter
from godefer._runtime.frames import calling_frame
from godefer._runtime.record import (
    ASYNC_EXIT,
    EXIT,
    FAILING,
    RETURNING,
    Record,
    _defer,
    freedefer,
    pool,
    refill,
)
from godefer._runtime.results import awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import CodeType, FrameType
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

_getframe = sys._getframe
_pop = pool.pop

# The states of a scope. A watched one is new, and `_Watch` warns if it dies with calls pending.
# Statements test with one comparison that the scope is in its block, or watched.
ENTERED, ENTERED_ASYNC, WATCHED, NEW, ENDED = range(5)


class _Watch:
    """Warns if a scope dies that was never in a block and has pending calls (S).

    It is made when such a scope gets its first call, and dies with the scope. Rejected: a
    ``__del__`` of the scope, which each ``with`` statement would pay for; one of the nodes, which
    the collector may visit in any order.

    ``__del__`` may run at the end of the program, when modules are empty. So it has all that it
    needs, except builtins, in its defaults. It does not give itself as the source of the warning,
    which would keep it alive.
    """

    __slots__ = ("record",)

    def __init__(self) -> None:
        self.record: Record | None = None

    def __del__(
        self,
        _warn: Callable[..., None] = warn_explicit,
        _line_at: Callable[[CodeType, int], int] = _errors.line_at,
        _name: Callable[[object], str] = _errors.callable_name,
        _message: Callable[..., str] = _errors.scope_lost,
    ) -> None:
        first = d = self.record.link if self.record is not None else None
        if first is None or first.sp is None:
            return
        count = 0
        while d is not None:
            count, d = count + 1, d.link
        line = _line_at(first.sp, first.pc)
        message = _message(count, _name(first.fn), first.sp, line)
        _warn(message, ResourceWarning, first.sp.co_filename, line)


class ScopeStatements:
    """The statements of a scope, and its pending calls."""

    __slots__ = ("__weakref__", "_awaits", "_outer", "_record", "_state", "_watch")

    def __init__(self) -> None:
        record = self._record = Record()
        record.link = record.error = record.running = record.sp = None
        # The exception that was being handled when the block was entered.
        self._outer: BaseException | None = None
        self._state = NEW
        self._watch: _Watch  # of a watched scope
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
        try:
            sp = _getframe(1)
        except ValueError:  # no Python code has called this
            sp = _getframe()
        d.pc = sp.f_lasti
        d.sp = sp.f_code
        # From here on nothing lets another thread run, which may be ending the block.
        while self._state > WATCHED:
            self._out_of_block("defer()", d, sp)
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
        self._push("defer.err()", FAILING, fn, args, kwargs or None, calling_frame())

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
        self._push("defer.ok()", RETURNING, fn, args, kwargs or None, calling_frame())

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
        sp = calling_frame()
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
        while self._state > WATCHED:  # as in `__call__`
            self._out_of_block(statement, d, sp)
        record = self._record
        d.link = record.link
        record.link = d

    def _out_of_block(self, statement: str, d: _defer, sp: FrameType) -> None:
        """Watch a scope that is new; refuse the call *d* of a *statement* if it has ended."""
        if self._state == ENDED:
            freedefer(d)
            raise _errors.scope_ended(statement, sp)
        self._watch_it()

    def _watch_it(self) -> None:
        watch = _Watch()
        if self._state == NEW:  # another thread may have entered it, or begun to watch it
            self._state = WATCHED
            watch.record = self._record
            self._watch = watch

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
