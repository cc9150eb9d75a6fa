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
from godefer._record import RETURNING, _defer, _frame, newdefer, restore_context, save_context
from godefer._results import awaitable, awaited, drop
from godefer._statements import special_pair
from godefer._unwind import (
    adeferreturn,
    agopanic,
    deferreturn,
    finishers,
    gopanic,
    helpers,
    remember_exit,
    unwinding,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

    Site = tuple[int, int, int, tuple[str, ...], bool]  # when, line, positionals, keywords, starred

GOING = "@going"  # an answer of settle: the exception goes on; a string, so that the lowered code can hold it


_exception = sys.exception


def noop(*_args: object) -> None:
    """What stands in a call's place once it has run."""


def noop_keywords(*_args: object, **_kwargs: object) -> None:
    """`noop`, for a call with keywords; the other is faster."""


def nil(*_args: object, **_kwargs: object) -> NoReturn:
    """What stands in the place of a callee that is None: it fails when it is called, as in Go (D7)."""
    raise _errors.none_called()


def unwind(pending: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> bool:
    """Run one call because of the exception being handled; True if it recovered, False if that goes on.

    This is `gopanic` for a single call, without a record: an error path, but one that people time. *pending* holds the callee, and
    when that is called, the exception, for `recover`. If this function could not even begin, for want of stack or for an
    interrupt, the open-coded function finds the callee still there, and makes the call itself.
    """
    fn = pending[0]
    # In no local: before 3.13, `recover` reading *pending* leaves a copy of the locals on this frame.
    pending[0] = _exception()
    try:
        if (result := fn(*args) if kwargs is None else fn(*args, **kwargs)) is not None:
            drop(result)
    except BaseException:
        fn = args = kwargs = None  # type: ignore[assignment]  # this frame will be in the traceback
        abort(pending)
        raise
    if len(pending) == 1:
        pending[0] = None
        return False
    if not pending:
        return True
    exc = pending.pop()  # the exit that the recovered exception had aborted
    saved = save_context(exc)
    try:
        raise exc
    finally:
        restore_context(exc, saved)
        pending.clear()
        fn = args = kwargs = exc = saved = None  # type: ignore[assignment]


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
        abort(pending)
        raise
    if len(pending) == 1:
        pending[0] = None
        return False
    if not pending:
        return True
    exc = pending.pop()
    saved = save_context(exc)
    try:
        raise exc
    finally:
        restore_context(exc, saved)
        pending.clear()
        fn = args = kwargs = result = exc = saved = None  # type: ignore[assignment]


def abort(pending: list[Any]) -> None:
    """The call of `unwind` raised: see `_unwind.remember_exit`."""
    state = pending[:]
    pending.clear()
    exc = _exception()
    if exc is not None and state:
        remember_exit(state[-1], exc, recovered=False)  # the one not recovered, or the exit that was to go on after it
    del state, exc


def unwind_list(holder: list[Any], sites: tuple[Site, ...]) -> None:
    """Run a list of calls because of the exception being handled; `settle` tells how that went.

    *holder* holds the list, and None once it has been taken; then also the frame record and the exception that goes on, if any. The
    outcome is left there, neither returned nor raised: a coroutine that is closed while it waits in here would lose what it
    returns, and the interpreter would change the ``__context__`` of what it raises.
    """
    frame = record(holder[0], sites, sys._getframe(1))
    holder[0] = None
    error: BaseException | None = None
    try:
        error = gopanic(frame)
    except BaseException as e:  # it had no stack to begin; make the calls from here
        error = e
        while (d := frame.link) is not None:
            frame.link = d.link
            try:
                if d.when < RETURNING:
                    d.fn(*d.args, **(d.kwargs or {}))
                elif d.when > RETURNING:
                    d.fn(type(error), error, None)
            except BaseException as again:
                error = again
        frame.sp = None
    holder += (frame, error)
    error = None


async def aunwind_list(holder: list[Any], sites: tuple[Site, ...]) -> None:
    """`unwind_list`, for an async function."""
    frame = record(holder[0], sites, sys._getframe(1))
    holder[0] = None
    error: BaseException | None = None
    try:
        error = await agopanic(frame)
    except BaseException as e:
        if frame.outcome is None:
            error = e
            while (d := frame.link) is not None:
                frame.link = d.link
                try:
                    if d.when < RETURNING:
                        result = d.fn(*d.args, **(d.kwargs or {}))
                        if hasattr(result, "__await__"):
                            await result
                    elif d.when > RETURNING:
                        d.fn(type(error), error, None)
                except BaseException as again:
                    error = again
            frame.sp = None
        else:  # closed while it waited in there
            (error,) = frame.outcome
    frame.outcome = None
    holder += (frame, error)
    error = None


def settle(holder: list[Any]) -> Any:
    """What `unwind_list` left.

    GOING if the exception being handled goes on, which the open-coded function can raise again itself;
    after a recovery, a record of the calls that remain, for `finish`. An exception that has taken over is raised from here.
    """
    _, frame, error = holder
    holder.clear()
    if error is None:
        return frame
    if error is _exception():
        error = None
        return GOING
    saved = save_context(error)
    try:
        raise error
    finally:
        restore_context(error, saved)
        del error, saved


def finish(frame: _frame) -> None:
    """Run the calls that a recovery left, as on a normal return; `settle_finish` raises what goes on."""
    error = None
    while frame.sp is not None:
        try:
            deferreturn(frame)
        except BaseException:
            error = gopanic(frame)
    frame.outcome = (error,)
    error = None


async def afinish(frame: _frame) -> None:
    """`finish`, for an async function."""
    error = None
    while frame.sp is not None:
        try:
            await adeferreturn(frame)
        except BaseException:
            error = await agopanic(frame)
    frame.outcome = (error,)
    error = None


def settle_finish(frame: _frame) -> None:
    """Raise the exception that `finish` left, if one goes on."""
    (error,) = frame.outcome or (None,)
    frame.outcome = None
    if error is None:
        return
    saved = save_context(error)
    try:
        raise error
    finally:
        restore_context(error, saved)
        del error, saved


def enter(cm: Any) -> tuple[Any, Any]:
    """Enter a context manager: its exit, and what entering gave."""
    enter, leave = special_pair(cm, "__enter__", "__exit__")
    if enter is None or leave is None:
        with cm:  # the interpreter's own TypeError, in the words of this version
            raise _errors.internal("enter")
    return leave, enter()


async def aenter(acm: Any) -> tuple[Any, Any]:
    """`enter`, for an asynchronous context manager."""
    enter, leave = special_pair(acm, "__aenter__", "__aexit__")
    if enter is None or leave is None:
        async with acm:  # the interpreter's own TypeError, in the words of this version
            raise _errors.internal("aenter")
    return leave, await awaited("__aenter__", enter())


def record(pending: Any, sites: tuple[Site, ...], sp: FrameType) -> _frame:
    """A frame record with nodes for a list of calls."""
    frame = _frame()
    frame.sp = sp
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
        # The function's own line in the traceback is the only site's, or the first one's.
        d.when, d.pc, d.fn = when, 0 if single else -line, fn
        if starred:
            d.args, d.kwargs = rest[0], rest[1] or None
        else:
            d.args = tuple(rest[:positionals])
            d.kwargs = dict(zip(keywords, rest[positionals:], strict=True)) or None
        if last is None:
            frame.link = d
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
    enter,
    aenter,
):
    helpers.add(_helper.__code__)
unwinding.update((unwind.__code__, aunwind.__code__))
finishers.update((finish.__code__, afinish.__code__))

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
    GOING: GOING,
    "@finish": finish,
    "@afinish": afinish,
    "@enter": enter,
    "@aenter": aenter,
    "@drop": drop,
    "@awaitable": awaitable,
    "@awaited": awaited,
    "@type": type,
    "@coroutine": CoroutineType,
    "@dict": dict,
}
