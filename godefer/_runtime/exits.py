"""Helpers that an open-coded function calls at its exits.

The function makes its deferred calls itself (`shapes`), and calls these when one of them raises or
recovers. Only the calls of a list, deferred in loops, are handed to the runtime's loops when the
function fails: as nodes on a record.

A list arrives as the lowered code links it: tuples ``(link, site, fn, *arguments)`` or, where the
list has a single site, ``(link, fn, *arguments)``. *sites* tells what the arguments of each site
are.
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
    """The class of `none`, by a name that makes for the same message when it is called."""


# In place of a captured callee that is None, in slots where None says that no call is pending.
none = NoneType()

# In place of a call that has been made. It takes any arguments, and is written in C, so that a
# debugger does not step into it.
noop = "".format


def raised(callee: Any = None) -> None:
    """Handle the exception that a call raised, at an exit of the open-coded caller of this.

    If the function was exiting by another one, note what it replaces (`remember_exit`). If
    *callee* is None or a coroutine object, say so (D7).
    """
    exc = _exception()
    frame = _getframe(1)
    tb = exc.__traceback__  # type: ignore[union-attr]
    was = take(frame, None)
    recovered = isinstance(was, BaseException)
    if type(was) is tuple:
        was = was[1]  # the exit that was to go on
    elif was is None and tb is not None:
        deferred = tb.tb_next.tb_frame if tb.tb_next is not None else None
        was = in_flight(frame, tb.tb_lasti, exc.__context__, deferred)  # type: ignore[union-attr]
    if was is not None:
        remember_exit(was, exc, recovered=recovered)  # type: ignore[arg-type]
    uncalled = tb is not None and tb.tb_next is None  # the call itself failed
    if uncalled and isinstance(exc, TypeError):
        _errors.add_called_not_passed(exc, None if callee is none else callee)


def exit_going_on(recovered: Any) -> BaseException | None:
    """Return the exit that a recovered exception had aborted (P3), if that is handled now.

    Args:
        recovered: What `recover` left in `recoveries`: the exception and the exit, or an
            exception that another one has replaced meanwhile.
    """
    if type(recovered) is tuple and recovered[0] is _exception():
        exit_: BaseException = recovered[1]
        return exit_
    return None


def list_record(pending: Any, sites: tuple[Site, ...]) -> Record:
    """Return a record for the calls of a list, of the open-coded caller of this.

    It takes as much stack as to make a call by the loops. If there is not so much, the caller makes
    the calls itself, which takes less.
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
    """Return the exception in flight, to be raised in the open-coded caller of this."""
    exc = record.let_go()
    if exc is not None:
        passes_again(exc, _getframe(1))
    return exc


def run_remaining(record: Record) -> bool:
    """Make the calls that an interrupt has left, because of the interrupt.

    Returns:
        Whether one of them has recovered it. If not, the record holds the exception that has
        taken its place, if there is one.
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
    """`run_remaining` for an async function."""
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
