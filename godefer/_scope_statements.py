"""The statements of a `defer_scope`. The class itself is in `_scope`.

Any function that has the scope may call them, in any thread or task. So each node has the code of
the calling function (`_defer.sp`). The scope holds its own record. The statements in `_statements`
must first find theirs.
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

# The states of a scope. A watched scope is a new one with a `_Watch`, which warns if the scope is
# dropped with pending calls. The order matters: a statement may add a call up to WATCHED.
ENTERED, ENTERED_ASYNC, WATCHED, NEW, ENDED = range(5)


class _Watch:
    """Warns if a scope is dropped with pending calls and was never entered (S).

    A new scope gets it with its first call or by `detach`, and it dies with the scope. Rejected: a
    ``__del__`` of the scope, which would slow down each ``with`` statement; a ``__del__`` of the
    nodes, which the garbage collector may finalize in any order.

    ``__del__`` may run at the end of the program, when modules are empty. So it has all objects
    that it needs, except builtins, as defaults. It does not pass itself to the warning as *source*,
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
        self._watch: _Watch  # only in a watched scope
        self._awaits = False  # whether an asynchronous context manager's exit is pending

    def __call__(self, fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``fn(*args, **kwargs)`` when the block ends, like `godefer.defer` (D1, D2).

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
        # After the last test of the state, the GIL lets no other thread run and end the block.
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
        """Enter a context manager now, and exit it when the block ends, like `godefer.using` (D11).

        Args:
            cm: The context manager.

        Returns:
            The value that entering it gave.

        Raises:
            DeferError: The block has ended. *cm* is not left open.
            TypeError: *cm* is not a context manager. The message is that of the ``with`` statement.

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
        if self._state == ENDED:  # another thread has ended the block meanwhile
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
            DeferError: The block has ended, or is not one of ``async with``. *acm* is not left
                open.
            TypeError: *acm* is not an asynchronous context manager. The message is that of
                ``async with``.

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
        if self._state in {ENDED, ENTERED}:  # another task has ended or entered the block meanwhile
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
        """Watch a new scope; refuse the call *d* of a *statement* if the block has ended."""
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
        """Return the number of pending calls (S).

        Returns:
            The number of deferred calls and exits. Those of `err` and `ok` count, too.

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
        """Return True, even if no call is pending: a scope is not a container."""
        return True
