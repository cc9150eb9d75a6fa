"""Helpers that an open-coded function calls at its exits.

The function makes its deferred calls itself (`shapes`). It calls these helpers when a deferred call
raises or recovers.

Calls that were deferred in a loop are in a list. If the function fails, the runtime's loops make
these calls, from nodes on a record. The lowered code links the list of tuples: ``(link, site, fn,
*arguments)`` or, if the list has a single site, ``(link, fn, *arguments)``. The constant *sites*
describes the arguments of each site.
"""

from __future__ import annotations

import sys

from godefer import _errors
from godefer._runtime.exceptions import remember_exit
from godefer._runtime.record import Record, _defer, newdefer
from godefer._runtime.recovery import in_flight, take
from godefer._runtime.traceback import passes_again
from godefer._runtime.unwind import aunwind, unwind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Site = tuple[int, int, int, tuple[str, ...], bool]  # when, line, positionals, keywords, starred

_exception, _getframe = sys.exception, sys._getframe


class NoneType:
    """The class of `none`. Its name gives the same error message as a call of None."""


# Used in place of a callee that is None. In a slot of lowered code, None means that no call is
# pending.
none = NoneType()

# Used in place of a callee after its call. It takes any arguments. It is written in C, so that a
# debugger does not step into it.
noop = "".format


def raised(callee: Any = None) -> None:
    """Annotate the exception that a deferred call of an open-coded function has raised.

    If the function was exiting by an exception, note an aborted exit (`remember_exit`). If *callee*
    is None or a coroutine object, add a note on the likely mistake (D7).
    """
    exc = _exception()
    frame = _getframe(1)
    tb = exc.__traceback__  # type: ignore[union-attr]
    was = take(frame, None)
    recovered = isinstance(was, BaseException)
    if type(was) is tuple:
        was = was[1]  # the exit that was to go on
    elif was is None and tb is not None:
        was = in_flight(frame, tb.tb_lasti, exc.__context__)  # type: ignore[union-attr]
    if was is not None:
        remember_exit(was, exc, recovered=recovered)  # type: ignore[arg-type]
    note_callee(callee)


def note_callee(callee: Any) -> None:
    """If the handled exception is that *callee* cannot be called, note the likely mistake (D7).

    The callee may be None or a coroutine object: the call was made at the `defer` already.
    """
    exc = _exception()
    tb = exc.__traceback__  # type: ignore[union-attr]
    uncalled = tb is not None and tb.tb_next is None  # the call itself failed
    if uncalled and isinstance(exc, TypeError):
        _errors.add_called_not_passed(exc, None if callee is none else callee)


def exit_going_on(recovered: Any) -> BaseException | None:
    """Return the aborted exit that goes on after a recovery (P3); None if there is none.

    Args:
        recovered: The entry of `recover` in the table of recoveries: the recovered exception, or a
            tuple of that and the exit. It counts only while the recovered exception is being
            handled: another exception may have replaced that since.
    """
    if type(recovered) is tuple and recovered[0] is _exception():
        exit_: BaseException = recovered[1]
        return exit_
    return None


def list_record(pending: Any, sites: tuple[Site, ...]) -> Record:
    """Return a record for the pending calls of a list in the open-coded caller.

    If the stack has no room for the runtime's loops, this fails before anything is changed. The
    caller then makes the calls itself, which needs less stack.
    """
    _take_stack(2)
    record = Record()
    record.link = record.error = record.running = None
    record.sp = _getframe(1)
    last: _defer | None = None
    single = len(sites) == 1
    while pending is not None:
        if single:
            pending, fn, *rest = pending
            when, line, positionals, keywords, starred = sites[0]
        else:
            pending, site, fn, *rest = pending
            when, line, positionals, keywords, starred = sites[site]
        d = newdefer()
        d.when, d.pc, d.fn = when, -line, fn if fn is not none else None
        if starred:
            d.args, d.kwargs = rest[0], rest[1] or None
        else:
            d.args = tuple(rest[:positionals])
            d.kwargs = dict(zip(keywords, rest[positionals:], strict=True)) or None
        if last is None:
            record.link = d
        else:
            last.link = d
        last = d
    return record


def _take_stack(frames: int) -> None:
    if frames > 1:
        _take_stack(frames - 1)


def let_go(record: Record) -> BaseException | None:
    """Return the exception in flight, for the open-coded caller to raise."""
    exc = record.let_go()
    if exc is not None:
        passes_again(exc, _getframe(1))
    return exc


def run_remaining(record: Record) -> bool:
    """Make the calls that are left after an interrupt, with the interrupt in flight.

    Returns:
        Whether a call has recovered the interrupt. If not, and another exception has replaced the
        interrupt, the record holds that exception.
    """
    exc = _exception()
    if record.link is not None:
        record.error = exc
        unwind(record)
        if record.error is None:
            return True
        if record.error is not exc:
            return False
    record.error = None
    return False


async def arun_remaining(record: Record) -> bool:
    """Make the calls that are left, as `run_remaining` does, in an async function."""
    exc = _exception()
    if record.link is not None:
        record.error = exc
        await aunwind(record)
        if record.error is None:
            return True
        if record.error is not exc:
            return False
    record.error = None
    return False
