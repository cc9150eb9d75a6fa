"""defer_scope: deferred calls that belong to a block, and to whom the block hands its scope (section S of the rules).

A scope has a frame record like that of a decorated function's invocation, and the same loops run it (`_unwind`). This is how a block begins and
ends; how calls get on the record is in `_scope_calls`.

One thing a block cannot do. `__exit__` is called while the interpreter handles the exception that left the block, and it
alone can end that. So after a recovery `sys.exception()` is still the recovered exception while the remaining calls run; what they raise is
taken out of its chain at the end.
"""

from __future__ import annotations

import sys

from godefer import _errors
from godefer._errors import DeferError
from godefer._record import RETURNING, restore_context, save, set_context
from godefer._scope_calls import ENDED, ENTERED, ENTERED_ASYNC, NEW, Pending
from godefer._traceback import hide
from godefer._unwind import adrive, deferreturn, drive, gopanic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from godefer._record import Frame

_getframe = sys._getframe
_exception = sys.exception


class defer_scope(Pending):
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

    __slots__ = ()

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
        if self._state == ENDED:
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
        if self._state == ENDED:
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
        if self._state == ENDED:
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
        if self._state != NEW:
            raise _errors.scope_entered_twice(_getframe(1))
        if self._awaits and self._frame[0] is not None:
            raise _errors.scope_to_be_awaited("entered", _getframe(1))
        self._state = ENTERED
        self._outer = _exception()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        frame, error = self._frame, exc
        try:
            if (
                not self._awaits
            ):  # no function in between: at the end of the stack there is no room for one
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
                                d.fn(error.__class__, error, None)
                            elif d.when != RETURNING:
                                d.fn(*d.args, **(d.kwargs or {}))
                    except BaseException as failed:
                        error = failed
        finally:
            self._state = ENDED
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
        if self._state != NEW:
            raise _errors.scope_entered_twice(_getframe().f_back or _getframe())
        self._state = ENTERED_ASYNC
        self._outer = _exception()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        frame, error = self._frame, exc
        try:
            try:
                while True:
                    error = await self._aleave(exc, error)
                    if frame[0] is None:  # else another thread has deferred
                        break
            except (
                BaseException
            ) as e:  # it was closed while it waited; or it could not begin, as in `__exit__`
                error = e
                while frame[0] is not None:
                    try:
                        result: Any = None
                        while True:
                            if (d := frame[0]) is None:
                                break
                            frame[0] = d.link
                            if d.when > RETURNING:
                                result = d.fn(error.__class__, error, None)
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
            self._state = ENDED
            self._outer = exc = None
        saved = save(error)
        try:
            raise error
        finally:
            restore_context(error, saved)
            del error, saved

    def _leave(
        self, exc: BaseException | None, error: BaseException | None
    ) -> BaseException | None:
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

    async def _aleave(
        self, exc: BaseException | None, error: BaseException | None
    ) -> BaseException | None:
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

    def _unchained(
        self, error: BaseException | None, exc: BaseException | None
    ) -> BaseException | None:
        """*error*, raised on a normal exit after *exc* was recovered, and not chained to that (P4)."""
        link, seen = error, set()
        while link is not None and exc is not None and id(link) not in seen:
            if link.__context__ is exc:
                set_context(link, self._outer)
            seen.add(id(link))
            link = link.__context__
        return error


hide(defer_scope._leave.__code__, defer_scope._aleave.__code__)
