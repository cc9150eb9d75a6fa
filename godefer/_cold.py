"""What an open-coded function calls: nothing when it returns, these when it fails.

`_lower` writes the normal exit into the function, call by call. When an exception is in flight, and that is rare and may be slow, the
function hands a list of pending calls to the runtime's own loops: it builds a frame record and nodes for them, and lets
`_unwind.gopanic` do what it does for a wrapper. A single call is so common that `unwind` runs it without a record.

Lists (the calls deferred in loops) arrive as `_lower` links them: tuples ``(link, site, fn, *arguments)`` or, where the list
has a single site, ``(link, fn, *arguments)``; *sites* says what each site's arguments are. Like nodes, they are linked backwards.
"""

from __future__ import annotations

import sys
from types import CoroutineType

from godefer import _errors
from godefer._record import RETURNING, _defer, newdefer, restore_context, save
from godefer._results import awaitable, awaited, drop
from godefer._statements import MISSING, special_pair
from godefer._traceback import hide, passes_again
from godefer._unwind import DRIVING, UNWINDING, adrive, drive, plays, remember_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

    from godefer._record import Frame

    Site = tuple[int, int, int, tuple[str, ...], bool]  # when, line, positionals, keywords, starred

_exception = sys.exception


def noop(*_args: object) -> None:
    """What stands in a call's place once it has run."""


def noop_keywords(*_args: object, **_kwargs: object) -> None:
    """`noop`, for a call with keywords; the other is faster."""


def nil(*args: object, **kwargs: object) -> NoReturn:
    """What stands in the place of a callee that is None: it fails when it is called, as in Go (D7)."""
    del args, kwargs  # this frame will be in the traceback
    raise _errors.none_called()


def going() -> None:
    """An answer of `settle`: the exception goes on. A function, since that is pickled by reference with the code that compares with it."""


def unwind(pending: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> bool:
    """Run one call because of the exception being handled; True if it recovered, False if that goes on.

    This is `gopanic` for a single call, without a record: an error path, but one that people time. *pending* holds the callee, and
    when that is called, the exception, for `recover`. If this function could not even begin, for want of stack or for an
    interrupt, the open-coded function finds the callee still there, and makes the call itself.
    """
    fn = pending[0]
    # In no local: this frame may be in its traceback.
    pending[0] = _exception()
    try:
        if (result := fn(*args) if kwargs is None else fn(*args, **kwargs)) is not None:
            drop(result)
    except BaseException:
        fn = args = kwargs = result = None  # type: ignore[assignment]  # this frame will be in the traceback
        was, pending[:] = pending[:], ()  # before anything that can be interrupted: the call has been made
        abort(was)
        raise
    if not pending:
        return True
    if pending[0] is not None:
        pending[0] = None
        return False
    exc, pending[:] = pending[1], ()  # the exit that the recovered exception had aborted
    saved = save(exc)
    try:
        raise exc
    finally:
        restore_context(exc, saved)
        fn = args = kwargs = result = exc = saved = None  # type: ignore[assignment]


async def aunwind(pending: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> bool:
    """`unwind`, for an async function."""
    fn = pending[0]
    pending[0] = _exception()
    result = None
    try:
        if (result := fn(*args) if kwargs is None else fn(*args, **kwargs)) is not None and awaitable(result):
            await result
    except BaseException:
        fn = args = kwargs = result = None  # type: ignore[assignment]
        was, pending[:] = pending[:], ()
        abort(was)
        raise
    if not pending:
        return True
    if pending[0] is not None:
        pending[0] = None
        return False
    exc, pending[:] = pending[1], ()
    saved = save(exc)
    try:
        raise exc
    finally:
        restore_context(exc, saved)
        fn = args = kwargs = result = exc = saved = None  # type: ignore[assignment]


def abort(was: list[Any]) -> None:
    """The call of `unwind` raised: see `_unwind.remember_exit`. Nothing is left in *was*."""
    exc = _exception()
    if exc is not None and was:
        remember_exit(was.pop(), exc, recovered=False)  # the one not recovered, or the exit that was to go on after it
    was.clear()
    del exc


def unwind_list(holder: list[Any], sites: tuple[Site, ...]) -> None:
    """Run a list of calls because of the exception being handled; `settle` tells how that went.

    *holder* holds the list and None; once it has been taken, None and the frame record; at the end also the exception that goes on, if any. The
    outcome is left there, neither returned nor raised: a coroutine that is closed while it waits in here would lose what it
    returns, and the interpreter would change the ``__context__`` of what it raises.
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

    `going` if the exception being handled goes on, which the open-coded function can raise again itself;
    None after a recovery: `finish` makes the calls that remain. An exception that has taken over is raised from here.
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
        restore_context(error, saved)
        del error, saved


def finish(frame: Frame) -> None:
    """Run the calls that a recovery left, as on a normal return; `settle_finish` raises what goes on."""
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
        restore_context(error, saved)
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
    noop,
    noop_keywords,
    nil,
    unwind,
    aunwind,
    abort,
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
plays(UNWINDING, unwind.__code__, aunwind.__code__)
plays(DRIVING, finish.__code__, afinish.__code__)

# What the lowered code names, put into it as constants.
RUNTIME: dict[str, Any] = {
    "@noop": noop,
    "@noop_keywords": noop_keywords,
    "@nil": nil,
    "@unwind": unwind,
    "@aunwind": aunwind,
    "@unwind_list": unwind_list,
    "@aunwind_list": aunwind_list,
    "@settle": settle,
    "@settle_finish": settle_finish,
    "@exception": sys.exception,
    "@going": going,
    "@list": list,
    "@base": BaseException,
    "@finish": finish,
    "@afinish": afinish,
    "@go_on": go_on,
    "@ago_on": ago_on,
    "@enter": enter,
    "@aenter": aenter,
    "@drop": drop,
    "@awaitable": awaitable,
    "@awaited": awaited,
    "@type": type,
    "@coroutine": CoroutineType,
    "@dict": dict,
}
