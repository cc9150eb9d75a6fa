"""defer_scope: deferred calls that run at the end of a block (section S of the rules).

A scope has a record, like the invocation of a decorated function, and the same loops run its calls
(`unwind`). `_scope_statements` puts calls on the record.

There is one difference. The interpreter calls ``__exit__`` while it handles the exception that left
the block, and ``__exit__`` cannot end that. So after a recovery `sys.exception()` is still the
recovered exception while the remaining calls run. If they raise, the recovered exception is taken
out of the chain afterwards (`_unchain`).
"""

from __future__ import annotations

import sys

from godefer import _errors
from godefer._runtime.exceptions import raise_again, set_context
from godefer._runtime.frames import calling_frame
from godefer._runtime.record import newrecord
from godefer._runtime.unwind import aunwind, deferreturn, gopanic, unwind
from godefer._scope_statements import (
    ENDED,
    ENTERED,
    ENTERED_ASYNC,
    NEW,
    WATCHED,
    ScopeStatements,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from godefer._runtime.record import Record

_exception = sys.exception


class defer_scope(ScopeStatements):
    """A block with deferred calls of its own: ``with defer_scope() as defer:``.

    ``async with`` works, too, and awaits results that can be awaited. To defer a call to the end of
    the block, call the scope. The rules of `defer` apply (D1, D2, D5 to D11, P1 to P6): the calls
    run last in, first out, all of them, however the block ends. After a recovery the block simply
    ends. A scope can be passed to other functions, which may defer on it.

    There is a ResourceWarning if a scope without a block, such as one from `detach`, is dropped
    with pending calls.

    Raises:
        DeferError: The scope is used after its block has ended, or is entered twice.

    After D's ``scope`` and ``contextlib.ExitStack``; docs/exitstack.md maps the methods of
    ExitStack to these.

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

    __module__ = "godefer"
    __slots__ = ()

    def detach(self) -> Self:
        """Move the pending calls to a new scope, and leave this one empty (S).

        Close the new scope, or enter it by a ``with`` statement of its own. After ``pop_all`` of
        ExitStack.

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
            raise _errors.scope_ended("defer.detach()", calling_frame())
        other = type(self)()
        other._watch_it()
        other._record.link, self._record.link = self._record.link, None
        other._awaits, self._awaits = self._awaits, False
        return other

    def close(self) -> None:
        """Run the pending calls now, as at the end of a block that succeeds (S).

        More calls may be deferred afterwards. Even if an exception is being handled, `ok` calls
        run, and `err` calls do not. After ``close`` of ExitStack.

        Raises:
            DeferError: The block has ended, or the scope has entered an asynchronous context
                manager: its exit must be awaited.
            BaseException: The exception of a call, after all calls have run.

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
            raise _errors.scope_ended("defer.close()", calling_frame())
        record = self._record
        if self._awaits and record.link is not None:
            raise _errors.scope_to_be_awaited("closed", calling_frame())
        # The call under way may have called this, or another thread or task may be closing the
        # scope, too. So the calls move to another record, one at a time. If a call defers another
        # one, that runs next.
        own = newrecord()
        try:
            while True:
                if (d := record.link) is None:
                    break
                record.link, d.link, own.link = d.link, None, d
                unwind(own)
        finally:
            if own.link is not None:  # the call could not begin
                own.link.link, record.link = record.link, own.link
        raise_again(own.let_go())

    async def aclose(self) -> None:
        """Run the pending calls now, and await them, as at the end of an ``async with`` block (S).

        Raises:
            DeferError: The block has ended.
            BaseException: The exception of a call, after all calls have run.

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
            raise _errors.scope_ended("defer.aclose()", calling_frame())
        record, own = self._record, newrecord()
        try:
            while True:
                if (d := record.link) is None:
                    break
                record.link, d.link, own.link = d.link, None, d
                try:
                    await aunwind(own)
                except GeneratorExit:  # this was closed during the call, and the loop has ended
                    continue
        finally:
            if own.link is not None:
                own.link.link, record.link = record.link, own.link
            if record.link is None:
                self._awaits = False
        raise_again(own.let_go())

    def __enter__(self) -> Self:
        if self._awaits and self._record.link is not None:
            raise _errors.scope_to_be_awaited("entered", calling_frame())
        self._enter(ENTERED)
        return self

    def _enter(self, state: int) -> None:
        """Begin the block. This is a function so that to enter takes as much stack as to leave."""
        if self._state != NEW and self._state != WATCHED:  # noqa: PLR1714  # a set takes longer
            raise _errors.scope_entered_twice(calling_frame().f_back or calling_frame())
        self._state = state
        self._outer = _exception()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        record = self._record
        try:
            if self._awaits and record.link is not None:
                raise _errors.scope_to_be_awaited("closed", calling_frame())
            record.error = exc
            attempts = 3  # an interrupt can come before a loop begins
            while record.link is not None and attempts:
                try:
                    if record.error is None:
                        deferreturn(record)
                    elif record.error is _exception():
                        gopanic(record)
                    if record.error is not None:
                        unwind(record, handling=exc is not None)
                    if record.error is None and record.link is not None:
                        unwind(record)
                        self._unchain(exc)
                except BaseException as failed:
                    record.error = failed
                    attempts -= 1
        finally:
            # No other thread has run since the list was found empty, so none has deferred a call.
            self._state = ENDED
            self._outer = None
        if record.error is None:
            return exc is not None
        if record.error is exc:
            record.error = None
            return False
        exc = None
        raise_again(record.let_go())
        return False

    async def __aenter__(self) -> Self:
        self._enter(ENTERED_ASYNC)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | _Raising:
        record = self._record
        record.error = exc
        attempts = 3  # as in `__exit__`
        try:
            while record.link is not None and attempts:
                try:
                    if record.error is not None:
                        await aunwind(record, handling=exc is not None)
                    if record.error is None and record.link is not None:
                        await aunwind(record)
                        self._unchain(exc)
                except GeneratorExit:  # this was closed during a call, and the loop has ended
                    continue
                except BaseException as failed:
                    record.error = failed
                    attempts -= 1
        finally:
            self._state = ENDED
            self._outer = None
        if record.error is None:
            return exc is not None
        if record.error is exc:
            record.error = None
            return False
        if exc is not None and record.error.__context__ is not exc and _awaited_by_with():
            return _Raising(record)
        exc = None
        raise_again(record.let_go())
        return False

    def _unchain(self, exc: BaseException | None) -> None:
        """Take the recovered *exc* out of the chain of the exception in flight (P4)."""
        link, seen = self._record.error, set()
        while link is not None and exc is not None and id(link) not in seen:
            if link.__context__ is exc:
                set_context(link, self._outer)
            seen.add(id(link))
            link = link.__context__
        exc = link = None


# Chains of `async with`
# ======================
#
# Problem: the event loop may resume a coroutine by `throw()`. If an exception then leaves the
# coroutine, the interpreter sets its ``__context__`` to the exception that the caller is handling
# (python/cpython#108668). Here the caller is the function with the `async with`, and it is handling
# the exception of the block. So the links to the exceptions of the deferred calls would be lost.
#
# Rejected: to suspend once more, so that the event loop resumes the coroutine by `send()`. Each
# event loop needs another value for that, and the task could be cancelled at that point.
#
# Chosen: ``__aexit__`` does not raise, but returns an object. If the block has raised, `async with`
# tests whether the result is true, and this test raises the exception.


class _Raising:
    """A result of ``__aexit__``. The test of its truth raises the exception of the record."""

    __slots__ = ("record",)

    def __init__(self, record: Record) -> None:
        self.record = record

    def __bool__(self) -> bool:
        raise_again(self.record.let_go())
        raise _errors.internal("__aexit__")


def _awaited_by_with() -> bool:
    """Return whether an `async with` statement awaits the ``__aexit__`` that calls this.

    Another caller may ignore the result, and `close()` of the coroutine does. If this version of
    Python has other instructions, return False.
    """
    caller = sys._getframe(1).f_back
    if caller is None:
        return False
    try:
        from opcode import opmap  # noqa: PLC0415  # for this rare case only
    except (ImportError, RecursionError):  # the interpreter is shutting down; the stack is full
        return False
    start, awaited = opmap.get("WITH_EXCEPT_START"), opmap.get("GET_AWAITABLE")
    before = caller.f_code.co_code[max(caller.f_lasti - _AWAITING, 0) : caller.f_lasti + 1]
    return any(
        before[i] == start and before[i + 2] == awaited and before[i + 3] == _OF_AEXIT
        for i in range(0, len(before) - 3, 2)
    )


_AWAITING = 20  # the bytes of the instructions from WITH_EXCEPT_START to the one that suspends
_OF_AEXIT = 2  # the argument of a GET_AWAITABLE for the result of ``__aexit__``
