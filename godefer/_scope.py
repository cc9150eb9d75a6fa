"""defer_scope: deferred calls that belong to a block, and to whom the block hands its scope (section S of the rules).

A scope has a frame record like that of a decorated function's invocation, and the same loops run it (`_unwind`). What differs is who
defers: any function that was given the scope. So each node says itself where it comes from (`_defer.sp`), and nothing is looked up.

One thing a block cannot do. `__exit__` is called while the interpreter handles the exception that left the block, and it
alone can end that. So after a recovery `sys.exception()` is still the recovered exception while the remaining calls run; what they raise is
taken out of its chain at the end.
"""

from __future__ import annotations

import sys

from godefer import _errors
from godefer._errors import DeferError
from godefer._record import (
    ASYNC_EXIT,
    EXIT,
    FAILING,
    RETURNING,
    freedefer,
    newdefer,
    pool,
    refill,
    restore_context,
    save,
    set_context,
)
from godefer._results import awaited
from godefer._statements import MISSING, special_pair
from godefer._traceback import hide
from godefer._unwind import adrive, deferreturn, drive, gopanic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import FrameType, TracebackType
    from typing import Any, ParamSpec, Self, TypeVar

    from godefer._record import Frame

    P = ParamSpec("P")
    T = TypeVar("T")

_getframe = sys._getframe
_exception = sys.exception
_pop = pool.pop

_NEW, _ENTERED, _ENTERED_ASYNC, _ENDED = range(4)


class defer_scope:
    """A block with deferred calls of its own: ``with defer_scope() as defer:`` or ``async with defer_scope() as defer:``.

    Calling it defers a call to the block's end, by the rules of `defer` (D1, D2, D5 to D11, P1 to P6): last in, first out, whatever way the
    block ends, and all of them. After a recovery the block simply ends. A scope can be handed to other functions, which may
    defer on it. Under ``async with`` an awaitable result is awaited.

    Raises:
        DeferError: It is used after its block has ended, or entered twice.

    After D's ``scope`` and ``contextlib.ExitStack``; docs/exitstack.md maps that one's methods.

    Example:
        >>> from godefer import defer_scope
        >>> for name in ("a", "b"):
        ...     with defer_scope() as defer:
        ...         defer(print, "closed", name)
        ...         print("opened", name)
        opened a
        closed a
        opened b
        closed b
    """

    __slots__ = ("__weakref__", "_awaits", "_frame", "_outer", "_state")

    def __init__(self) -> None:
        self._frame: Frame = [None, None, None, None]
        self._outer: BaseException | None = None  # what was being handled when the block was entered
        self._state = _NEW
        self._awaits = False  # is there an asynchronous context manager's exit among the calls?

    def __call__(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``fn(*args, **kwargs)`` when the block ends. As `godefer.defer` (D1, D2).

        Args:
            fn: What to call.
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
        if self._state == _ENDED:
            freedefer(d)
            raise _errors.scope_ended("defer()", sp)
        frame = self._frame
        d.link = frame[0]
        frame[0] = d

    def err(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``fn(*args, **kwargs)`` when the block ends by an exception. As `godefer.errdefer` (D10).

        Args:
            fn: What to call.
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

    def ok(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``fn(*args, **kwargs)`` when the block ends without an exception. As `godefer.okdefer` (D10).

        Args:
            fn: What to call.
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
            What entering it gave.

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
        if self._state == _ENDED:
            raise _errors.scope_ended("defer.using()", sp)
        enter, leave = special_pair(cm, "__enter__", "__exit__")
        if enter is MISSING or leave is MISSING:
            with cm:  # the interpreter's own TypeError, in the words of this version
                raise _errors.internal("defer_scope.using")
        value: T = enter()
        if self._state == _ENDED:  # while it was being entered, by another thread
            try:
                raise _errors.scope_ended("defer.using()", sp)
            except DeferError as late:
                leave(DeferError, late, late.__traceback__)
                raise
        self._push("defer.using()", EXIT, leave, (), None, sp)
        return value

    async def ausing(self, acm: AbstractAsyncContextManager[T, bool | None]) -> T:
        """Enter an asynchronous context manager now, and exit it when the block ends. As `godefer.ausing` (D11).

        Args:
            acm: The asynchronous context manager.

        Returns:
            What entering it gave.

        Raises:
            DeferError: The block has ended, or is one of ``with`` rather than ``async with``; nothing was entered.
            TypeError: *acm* is not an asynchronous context manager, in the words of the ``async with`` statement.

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
        if self._state == _ENDED:
            raise _errors.scope_ended("defer.ausing()", sp.f_back or sp)
        if self._state == _ENTERED:
            raise _errors.scope_not_async(sp.f_back or sp)
        enter, leave = special_pair(acm, "__aenter__", "__aexit__")
        if enter is MISSING or leave is MISSING:
            async with acm:  # the interpreter's own TypeError, in the words of this version
                raise _errors.internal("defer_scope.ausing")
        value: T = await awaited("__aenter__", enter())
        sp = _getframe()
        sp = sp.f_back or sp
        if self._state in {_ENDED, _ENTERED}:  # while it was being entered, by another task
            error = _errors.scope_ended("defer.ausing()", sp) if self._state == _ENDED else _errors.scope_not_async(sp)
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
        self, statement: str, when: int, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None, sp: FrameType
    ) -> None:
        d = newdefer()
        d.when = when
        d.fn = fn
        d.args = args
        d.kwargs = kwargs
        d.pc = sp.f_lasti
        d.sp = sp.f_code
        if self._state == _ENDED:  # as in `__call__`
            freedefer(d)
            raise _errors.scope_ended(statement, sp)
        frame = self._frame
        d.link = frame[0]
        frame[0] = d

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
        count, d = 0, self._frame[0]
        while d is not None:
            count, d = count + 1, d.link
        return count

    def __bool__(self) -> bool:
        """A scope is true, pending calls or none: it is no container that one asks for being empty."""
        return True

    def detach(self) -> Self:
        """Move the pending calls to a new scope, and leave this one empty (S). ExitStack's ``pop_all``.

        The new scope is to be closed, or entered by a ``with`` statement of its own.

        Returns:
            The new scope.

        Raises:
            DeferError: The block has ended.

        Example:
            >>> from godefer import defer_scope
            >>> with defer_scope() as defer:
            ...     defer(print, "closed")
            ...     kept = defer.detach()
            >>> len(kept)
            1
            >>> kept.close()
            closed
        """
        if self._state == _ENDED:
            raise _errors.scope_ended("defer.detach()", _getframe(1))
        other = type(self)()
        other._frame[0], self._frame[0] = self._frame[0], None
        other._awaits, self._awaits = self._awaits, False
        return other

    def close(self) -> None:
        """Run the pending calls now, as at the end of a block that succeeds (S). Further calls may be deferred afterwards.

        That is so also where an exception is being handled: `ok` calls run, `err` calls do not. ExitStack's ``close``.

        Raises:
            DeferError: The block has ended, or a call among them is to be awaited.
            BaseException: What a call has raised, after all of them have run.

        Example:
            >>> from godefer import defer_scope
            >>> with defer_scope() as defer:
            ...     defer(print, "closed")
            ...     defer.close()
            ...     print("goes on")
            closed
            goes on
        """
        if self._state == _ENDED:
            raise _errors.scope_ended("defer.close()", _getframe(1))
        frame, error = self._frame, None
        if self._awaits and frame[0] is not None:
            raise _errors.scope_to_be_awaited("closed", _getframe(1))
        # A call that is under way may be what closes, or another thread or task may be closing. So a record of its own, and one call
        # at a time, so that what that defers runs next.
        own: Frame = [None, None, None, None]
        try:
            while True:
                if (d := frame[0]) is None:
                    break
                frame[0], d.link, own[0] = d.link, None, d
                error = drive(own, error, panicking=False)
        finally:
            if own[0] is not None:  # it could not begin
                own[0].link, frame[0] = frame[0], own[0]
        if error is None:
            return
        saved = save(error)
        try:
            raise error
        finally:
            restore_context(error, saved)
            del error, saved

    async def aclose(self) -> None:
        """Run the pending calls now, as at the end of an ``async with`` block (S): what can be awaited is.

        Raises:
            DeferError: The block has ended.
            BaseException: What a call has raised, after all of them have run.

        Example:
            >>> import asyncio
            >>> from godefer import defer_scope
            >>> async def main():
            ...     async with defer_scope() as defer:
            ...         defer(asyncio.sleep, 0)
            ...         defer(print, "awaiting")
            ...         await defer.aclose()
            ...         print("goes on")
            >>> asyncio.run(main())
            awaiting
            goes on
        """
        if self._state == _ENDED:
            raise _errors.scope_ended("defer.aclose()", _getframe().f_back or _getframe())
        frame, error = self._frame, None
        own: Frame = [None, None, None, None]
        try:
            while True:
                if (d := frame[0]) is None:
                    break
                frame[0], d.link, own[0] = d.link, None, d
                try:
                    error = await adrive(own, error, panicking=False)
                except BaseException:
                    if not own[3]:  # it could not begin
                        raise
                    (error,) = own[3]  # it was closed while it waited
                own[3] = None
        finally:
            if own[0] is not None:
                own[0].link, frame[0] = frame[0], own[0]
            if frame[0] is None:
                self._awaits = False
        if error is None:
            return
        saved = save(error)
        try:
            raise error
        finally:
            restore_context(error, saved)
            del error, saved

    def __enter__(self) -> Self:
        if self._state != _NEW:
            raise _errors.scope_entered_twice(_getframe(1))
        if self._awaits and self._frame[0] is not None:
            raise _errors.scope_to_be_awaited("entered", _getframe(1))
        self._state = _ENTERED
        self._outer = _exception()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        frame, error = self._frame, exc
        try:
            if not self._awaits:  # no function in between: at the end of the stack there is no room for one
                if exc is None:
                    error = deferreturn(frame)
                elif frame[0] is not None and _exception() is exc:
                    error = gopanic(frame, exc)
            while frame[0] is not None:
                error = self._leave(exc, error)
        except BaseException as e:  # it could not begin
            if frame[0] is None or type(e) is DeferError:
                raise
            try:
                error = self._leave(None, e)
            except BaseException as again:  # there is no stack for it: make the calls from here
                error = again
                while frame[0] is not None:
                    try:
                        d = None
                        while True:  # see "Interrupts" in `_unwind`
                            if (d := frame[0]) is None:
                                break
                            frame[0] = d.link
                            if d.when > RETURNING:
                                d.fn(type(error), error, None)
                            elif d.when != RETURNING:
                                d.fn(*d.args, **(d.kwargs or {}))
                    except BaseException as failed:
                        error = failed
        finally:
            self._state = _ENDED
            self._outer = None
        if error is None or error is exc:
            goes_on = error is exc
            error = exc = None
            return not goes_on
        exc = None
        saved = save(error)
        try:
            raise error
        finally:
            restore_context(error, saved)
            del error, saved

    async def __aenter__(self) -> Self:
        if self._state != _NEW:
            raise _errors.scope_entered_twice(_getframe().f_back or _getframe())
        self._state = _ENTERED_ASYNC
        self._outer = _exception()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        frame, error = self._frame, exc
        try:
            try:
                while True:
                    error = await self._aleave(exc, error)
                    if frame[0] is None:  # else another thread has deferred
                        break
            except BaseException as e:  # it was closed while it waited; or it could not begin, as in `__exit__`
                error = e
                while frame[0] is not None:
                    try:
                        result: Any = None
                        while True:
                            if (d := frame[0]) is None:
                                break
                            frame[0] = d.link
                            if d.when > RETURNING:
                                result = d.fn(type(error), error, None)
                            elif d.when == RETURNING:
                                result = None
                            else:
                                result = d.fn(*d.args, **(d.kwargs or {}))
                            if hasattr(result, "__await__"):
                                await result
                    except BaseException as failed:
                        error = failed
            if error is None or error is exc:
                return error is not exc
        finally:
            self._state = _ENDED
            self._outer = exc = None
        saved = save(error)
        try:
            raise error
        finally:
            restore_context(error, saved)
            del error, saved

    def _leave(self, exc: BaseException | None, error: BaseException | None) -> BaseException | None:
        """Run the calls that are left, because of *error* if there is one; *exc* is what has left the block. Returns what is in flight then."""
        frame = self._frame
        if self._awaits and frame[0] is not None:
            raise _errors.scope_to_be_awaited("closed", _getframe(2))
        if exc is None:
            error = drive(frame, error, panicking=False)
        else:
            if error is not None:
                error = drive(frame, error, panicking=True)
            if error is None and frame[0] is not None:
                error = self._unchained(drive(frame, None, panicking=False), exc)
        try:
            return error
        finally:
            error = exc = None

    async def _aleave(self, exc: BaseException | None, error: BaseException | None) -> BaseException | None:
        """`_leave`, awaiting what can be awaited (D6)."""
        frame = self._frame
        panicking = error is not None
        while True:
            try:
                error = await adrive(frame, error, panicking=panicking)
            except BaseException:
                if not frame[3]:  # it could not begin
                    raise
                (error,) = frame[3]  # it was closed while it waited, and has ended
            frame[3] = None
            if not panicking and error is not None:
                error = self._unchained(error, exc)
            panicking = panicking and error is not None
            if frame[0] is None:
                break
        try:
            return error
        finally:
            error = exc = None

    def _unchained(self, error: BaseException | None, exc: BaseException | None) -> BaseException | None:
        """*error*, raised on a normal exit after *exc* was recovered, and not chained to that (P4)."""
        link, seen = error, set()
        while link is not None and exc is not None and id(link) not in seen:
            if link.__context__ is exc:
                set_context(link, self._outer)
            seen.add(id(link))
            link = link.__context__
        return error


hide(defer_scope._leave.__code__, defer_scope._aleave.__code__)
