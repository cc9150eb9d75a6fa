"""Helpers that an open-coded function calls when it fails.

The function makes its deferred calls itself, on every exit (`_shapes`). The calls of a list are
the exception: when the function fails, the runtime's own loops make them, from a frame record
with a node for each.

Lists (the calls deferred in loops) arrive as `_lower` links them: tuples ``(link, site, fn,
*arguments)`` or, where the list has a single site, ``(link, fn, *arguments)``; *sites* says what
each site's arguments are. Like nodes, they are linked backwards.
"""

from __future__ import annotations

import sys
from types import CoroutineType, GeneratorType

from godefer import _errors
from godefer._record import RETURNING, _defer, newdefer, restore, save
from godefer._results import awaitable, awaited, drop
from godefer._statements import MISSING, special_pair
from godefer._traceback import hide, passes_again
from godefer._unwind import (
    DRIVING,
    adrive,
    drive,
    in_flight,
    plays,
    recoveries,
    remember_exit,
    take,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from godefer._record import Frame

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

    If the function was exiting by another one, note what it replaces (`_unwind.remember_exit`).
    If *callee* is None, say so (D7).
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
    if uncalled and (callee is None or callee is none) and isinstance(exc, TypeError):
        _errors.add_called_not_passed(exc, None)


def goes_on(recovered: Any) -> None:
    """Raise the exit that a recovered exception had aborted (P3), if that one is handled now.

    Args:
        recovered: What `recover` left in `recoveries`: the exception and the exit, or an
            exception that another one has replaced meanwhile.
    """
    if type(recovered) is not tuple or recovered[0] is not _exception():
        return
    exc = recovered[1]
    saved = save(exc)
    try:
        raise exc
    finally:
        restore(exc, saved)
        del recovered, exc, saved


def going() -> None:
    """Sentinel: the exception propagates. A function, so that it pickles by reference."""


def unwind_list(holder: list[Any], sites: tuple[Site, ...]) -> None:
    """Run a list of calls because of the exception being handled; `settle` tells how that went.

    *holder* holds the list and None; once it has been taken, None and the frame record; at the
    end also the exception that goes on, if any. The outcome is left there, neither returned nor
    raised: a coroutine that is closed while it waits in here would lose what it returns, and the
    interpreter would change the ``__context__`` of what it raises.
    """
    frame = record(holder[0], sites, sys._getframe(1))
    holder[:] = (None, frame)
    error: BaseException | None = None
    try:
        error = drive(frame, _exception(), panicking=True)
    except BaseException as e:  # it had no stack to begin; make the calls from here
        error = e
        while frame[0] is not None:
            try:
                d = None
                while True:  # see "Interrupts" in `_unwind`
                    if (d := frame[0]) is None:
                        break
                    frame[0] = d.link
                    if d.when > RETURNING:
                        d.fn(error.__class__, error, None)
                    elif d.when == RETURNING:
                        pass
                    elif d.kwargs is None:
                        d.fn(*d.args)
                    else:
                        d.fn(*d.args, **d.kwargs)
            except BaseException as again:
                error = again
        frame[1] = None
    holder.append(error)
    error = None


async def aunwind_list(holder: list[Any], sites: tuple[Site, ...]) -> None:
    """`unwind_list`, for an async function."""
    frame = record(holder[0], sites, sys._getframe(1))
    holder[:] = (None, frame)
    error: BaseException | None = None
    try:
        error = await adrive(frame, _exception(), panicking=True)
    except BaseException as e:
        if not frame[3]:
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
                        elif d.kwargs is None:
                            result = d.fn(*d.args)
                        else:
                            result = d.fn(*d.args, **d.kwargs)
                        if hasattr(result, "__await__"):
                            await result
                except BaseException as again:
                    error = again
            frame[1] = None
        else:  # closed while it waited in there
            (error,) = frame[3]
    frame[3] = None
    holder.append(error)
    error = None


def settle(holder: list[Any]) -> Any:
    """What `unwind_list` left.

    `going` if the exception being handled goes on, which the open-coded function can raise again
    itself; None after a recovery: `finish` makes the calls that remain. An exception that has
    taken over is raised from here.
    """
    error = holder[2]
    holder.clear()
    if error is None:
        return None
    if error is _exception():
        error = None
        return going
    passes_again(error, sys._getframe(1))
    saved = save(error)
    try:
        raise error
    finally:
        restore(error, saved)
        del error, saved


def finish(frame: Frame) -> None:
    """Run the calls that a recovery left, as on a normal return."""
    frame[3] = (drive(frame, None, panicking=False),)


async def afinish(frame: Frame) -> None:
    """`finish`, for an async function."""
    await adrive(frame, None, panicking=False)


def settle_finish(frame: Frame) -> None:
    """Raise the exception that `finish` left, if one goes on."""
    (error,) = frame[3] or (None,)
    frame[3] = None
    if error is None:
        return
    passes_again(error, sys._getframe(1))
    saved = save(error)
    try:
        raise error
    finally:
        restore(error, saved)
        del error, saved


def go_on(left: Any, sites: tuple[Site, ...]) -> bool:
    """Make the calls that an interrupt has left, because of that; True if one recovered it.

    *left* is the record for `finish`, or the list for `unwind_list`, as far as they had come.
    """
    frame = left if isinstance(left, list) else record(left, sites, sys._getframe(1))
    left = None
    if frame[0] is None:
        return False
    frame[3] = (drive(frame, _exception(), panicking=True),)
    if frame[3] == (None,):
        finish(frame)
    return gone_on(frame)


async def ago_on(left: Any, sites: tuple[Site, ...]) -> bool:
    """`go_on`, for an async function."""
    frame = left if isinstance(left, list) else record(left, sites, sys._getframe(1))
    left = None
    if frame[0] is None:
        return False
    await adrive(frame, _exception(), panicking=True)
    if frame[3] == (None,):
        await afinish(frame)
    return gone_on(frame)


def gone_on(frame: Frame) -> bool:
    """Tell, or raise, what came of `go_on`."""
    if frame[3] == (None,):
        frame[3] = None
        return True
    if frame[3] and frame[3][0] is _exception():
        frame[3] = None
        return False
    settle_finish(frame)
    return False


def enter(cm: Any) -> tuple[Any, Any]:
    """Enter a context manager: its exit, and what entering gave."""
    enter, leave = special_pair(cm, "__enter__", "__exit__")
    if enter is MISSING or leave is MISSING:
        with cm:  # the interpreter's own TypeError, in the words of this version
            raise _errors.internal("enter")
    return leave, enter()


async def aenter(acm: Any) -> tuple[Any, Any]:
    """`enter`, for an asynchronous context manager."""
    enter, leave = special_pair(acm, "__aenter__", "__aexit__")
    if enter is MISSING or leave is MISSING:
        async with acm:  # the interpreter's own TypeError, in the words of this version
            raise _errors.internal("aenter")
    return leave, await awaited("__aenter__", enter())


def record(pending: Any, sites: tuple[Site, ...], sp: FrameType) -> Frame:
    """A frame record with nodes for a list of calls."""
    frame: Frame = [None, sp, None, None]
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
        d.when, d.pc, d.fn = when, -line, fn
        if starred:
            d.args, d.kwargs = rest[0], rest[1] or None
        else:
            d.args = tuple(rest[:positionals])
            d.kwargs = dict(zip(keywords, rest[positionals:], strict=True)) or None
        if last is None:
            frame[0] = d
        else:
            last.link = d
        last = d
    return frame


for _helper in (
    raised,
    goes_on,
    unwind_list,
    aunwind_list,
    settle,
    settle_finish,
    finish,
    afinish,
    go_on,
    ago_on,
    gone_on,
    enter,
    aenter,
):
    hide(_helper.__code__)
plays(DRIVING, finish.__code__, afinish.__code__)

# What the lowered code names, put into it as constants.
RUNTIME: dict[str, Any] = {
    "@BaseException": BaseException,
    "@aenter": aenter,
    "@afinish": afinish,
    "@ago_on": ago_on,
    "@aunwind_list": aunwind_list,
    "@awaitable": awaitable,
    "@awaited": awaited,
    "@coroutine": CoroutineType,
    "@dict": dict,
    "@drop": drop,
    "@enter": enter,
    "@exception": sys.exception,
    "@finish": finish,
    "@generator": GeneratorType,
    "@getframe": sys._getframe,
    "@go_on": go_on,
    "@goes_on": goes_on,
    "@going": going,
    "@hasattr": hasattr,
    "@list": list,
    "@none": none,
    "@noop": noop,
    "@raised": raised,
    "@recoveries": recoveries,
    "@settle": settle,
    "@settle_finish": settle_finish,
    "@take": take,
    "@type": type,
    "@unwind_list": unwind_list,
}
