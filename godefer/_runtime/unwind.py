"""Run the pending calls of a record: ``deferreturn`` and ``gopanic``.

A record is a state machine. Its ``error`` is the exception in flight, or None while the function
is returning. The caller sets it at the beginning. Then only the loops change it. When no call is
left, the caller raises it.

=================  =================  ===========================================================
state              loop               next
=================  =================  ===========================================================
``error`` is None  `deferreturn`      a call raises: ``error`` is its exception
``error`` is set   `gopanic`          a call raises: ``error`` is its exception
                                      a call recovers: ``error`` is None, or the exit that goes on
                                      after all (P3)
``link`` is None   (no call is left)  the caller raises ``error``, or returns
=================  =================  ===========================================================

A loop ends when the state changes, and its caller runs the next one: the wrapper of a function
(`wrapper`), or `unwind` for the lists of open-coded functions and for scopes.

*Chains.* Each call runs while the exception in flight *is being handled*, as in the `finally` of a
hand-written function. So the interpreter itself sets the ``__context__`` of an exception that the
call raises, and `sys.exception()` is right in the call. If a call raises, the caller of the loop
raises that exception again and catches it, to make it the handled one. Then it puts back the
``__context__`` and the traceback that this has changed. Rejected: to repair the chain afterwards,
as ExitStack does; a nested `try` statement for each call.

*Recovering.* If a call runs because of an exception, its node has that as ``panic``. `recover` sets
``panic`` to None, and `gopanic` sees that when the call has returned. The remaining calls run
outside of the handler, as on a normal return (P4).

*No reference cycles.* A frame in a traceback outlives its call. If a local of that frame still held
the exception, there would be a cycle (D9). So these functions clear such locals before they end.
The record's ``error`` is cleared when it is raised (`Record.let_go`).

*Interrupts.* The interpreter handles signals at the start of a function, at a jump backwards and
after a call. There is no such place between the moment when a call is taken off the list and the
moment when it is made. An interrupt at any other moment leaves the list complete, and the caller of
the loop continues with the interrupt as the exception in flight. For that, the jump backwards must
be inside of the caller's `try`. For the condition of a `while`, 3.13 and 3.14 put it outside. So
the caller's loop has no condition and ends with `continue`. On 3.11 and 3.12 the instruction before
the loop must be inside, too.

*Threads.* Other threads may add to the list of a scope while its calls run. Threads switch only at
the places named above. So no such place may be between reading the head of the list and taking it
off. A `while` with the head in its condition would have one: the jump backwards after the
condition.

Each loop exists twice, since an async function must await between calls. To drive a coroutine by
hand would cost more than the loop itself.
"""

from __future__ import annotations

from types import CoroutineType

from godefer._runtime.exceptions import (
    aborted_exit,
    remember_exit,
    restore,
    save,
)
from godefer._runtime.frames import local
from godefer._runtime.record import (
    ALWAYS,
    ASYNC_EXIT,
    EXIT,
    FAILING,
    RETURNING,
    freedefer,
    pool,
)
from godefer._runtime.results import awaited, awaits, drop
from godefer._runtime.traceback import blame, strip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from godefer._runtime.record import Record

_give_back = pool.append


def deferreturn(record: Record) -> None:
    """Run the pending calls of a function that returns, last in, first out, until one raises.

    Go: ``deferreturn`` in ``runtime/panic.go``.
    """
    try:
        while True:  # see "Threads"
            if (d := record.link) is None:
                break
            record.link = d.link
            record.running = d
            if d.when:
                if d.when == RETURNING:
                    if (result := d.fn(*d.args, **(d.kwargs or {}))) is not None:
                        drop(result, d.fn, d.args)
                elif d.when == EXIT:
                    d.fn(None, None, None)
                d.when = ALWAYS
            elif (
                result := d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)
            ) is not None:
                drop(result, d.fn, d.args)
                result = None
            # freedefer, inlined: this loop is most of the runtime way's cost
            record.running = d.fn = d.kwargs = d.link = d.sp = None
            d.args = ()
            _give_back(d)
    except BaseException as e:
        d = result = None
        _replace(record, e)


async def adeferreturn(record: Record) -> None:
    """Do the same as `deferreturn`, and await the results that can be awaited (D6)."""
    try:
        while True:  # see "Threads"
            if (d := record.link) is None:
                break
            record.link = d.link
            record.running = d
            if d.when == EXIT:
                d.fn(None, None, None)
            elif d.when == ASYNC_EXIT:
                result = d.fn(None, None, None)
                if result.__class__ is not CoroutineType:
                    result = awaited("__aexit__", result)
                await result
                result = None
            elif d.when == FAILING:
                pass
            elif (
                result := d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)
            ) is not None:
                if awaits(result, d.fn, d.args):
                    await result
                result = None
            record.running = None
            freedefer(d)
    except BaseException as e:
        d = result = None
        _replace(record, e)


def gopanic(record: Record) -> None:
    """Run the pending calls because of the exception in flight, until one raises or recovers.

    The caller must be handling that exception. Go: ``gopanic`` in ``runtime/panic.go``.
    """
    exc = record.error
    kind = type(exc)  # before the loop, since it is a call: see "Interrupts"
    try:
        while True:  # see "Threads"
            if (d := record.link) is None:
                break
            record.link = d.link
            record.running = d
            if d.when <= FAILING:
                d.panic = exc
                if (
                    result := d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)
                ) is not None:
                    drop(result, d.fn, d.args)
                if d.panic is None:
                    _recovery(record)
                    break
            elif d.when == EXIT and d.fn(kind, exc, exc.__traceback__):  # type: ignore[union-attr]
                _recovery(record)
                break
            # freedefer, inlined. `result` is the last target below: when its `__del__` runs,
            # `running` and `panic` are None already, so it cannot recover.
            record.running = d.fn = d.kwargs = d.link = d.panic = d.sp = result = None
            d.args = ()
            d.when = ALWAYS
            _give_back(d)
    except BaseException as e:
        _replace(record, e)
    finally:
        exc = d = result = None


async def agopanic(record: Record) -> None:
    """Do the same as `gopanic`, and await the results that can be awaited (D6).

    This coroutine handles the exception in flight itself. An exception that the event loop throws
    in passes this coroutine on its way to an awaited call, and is chained to the handled exception.
    """
    exc = record.error
    kind, saved = type(exc), save(exc)  # type: ignore[arg-type]
    try:
        raise exc  # type: ignore[misc]
    except BaseException:
        restore(exc, saved)  # type: ignore[arg-type]
        saved = None  # type: ignore[assignment]
        try:
            while True:  # see "Threads"
                if (d := record.link) is None:
                    break
                record.link = d.link
                if d.when == RETURNING:
                    freedefer(d)
                    continue
                record.running = d
                if d.when == EXIT:
                    recovered = bool(d.fn(kind, exc, exc.__traceback__))  # type: ignore[union-attr]
                elif d.when == ASYNC_EXIT:
                    result = d.fn(kind, exc, exc.__traceback__)  # type: ignore[union-attr]
                    if result.__class__ is not CoroutineType:
                        result = awaited("__aexit__", result)
                    recovered = bool(await result)
                    result = None
                else:
                    d.panic = exc
                    result = d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)
                    if result is not None and awaits(result, d.fn, d.args):
                        await result
                    recovered = d.panic is None
                    d.panic = result = None
                if recovered:
                    _recovery(record)
                    break
                record.running = None
                freedefer(d)
        except BaseException as e:
            result = None
            _replace(record, e)
        d = None
    exc = None


def unwind(record: Record, *, handling: bool = False) -> None:
    """Run the pending calls until none is left.

    Args:
        record: The record.
        handling: Whether the caller is handling an exception. If so, `unwind` returns after a
            recovery even if calls are left. The caller leaves its handler, and calls it again.
    """
    while record.link is not None:
        try:
            error = saved = None  # an instruction before the loop: see "Interrupts"
            while True:
                if (error := record.error) is not None:
                    saved = save(error)
                    try:
                        raise error
                    except BaseException as again:
                        if again is not error:  # an interrupt, which 3.12 catches in this `try`
                            raise
                        restore(error, saved)
                        error = saved = None
                        gopanic(record)
                elif handling:
                    return
                else:
                    deferreturn(record)
                if record.link is None:
                    break
                continue
        except BaseException as failed:  # a loop could not begin
            record.error = failed
            error = saved = record.running = None
            # The last resort: an interrupt has come, or the stack has no room for the loop. Make
            # one call here, where there is room. It cannot recover, but it is not lost.
            try:
                if (d := record.link) is not None:
                    record.link = d.link
                    if d.when > RETURNING:
                        d.fn(failed.__class__, failed, None)
                    elif d.when != RETURNING:
                        d.fn(*d.args, **(d.kwargs or {}))
            except BaseException as again:
                record.error = again
            d = None  # type: ignore[assignment]


async def aunwind(record: Record, *, handling: bool = False) -> None:
    """Do the same as `unwind` for an async function."""
    result: Any
    while record.link is not None:
        try:
            result = None  # as in `unwind`
            while True:
                if record.error is not None:
                    await agopanic(record)
                elif handling:
                    return
                else:
                    await adeferreturn(record)
                if record.link is None:
                    break
                continue
        except GeneratorExit:  # this was closed during a call, and the loop has ended
            pass
        except BaseException as failed:
            record.error = failed
            result = record.running = None
            try:  # the last resort
                if (d := record.link) is not None:
                    record.link = d.link
                    if d.when > RETURNING:
                        result = d.fn(failed.__class__, failed, None)
                    elif d.when != RETURNING:
                        result = d.fn(*d.args, **(d.kwargs or {}))
                    if hasattr(result, "__await__") and (
                        d.when > RETURNING or awaits(result, d.fn, d.args)
                    ):
                        await result
            except BaseException as again:
                record.error = again
            d = result = None  # type: ignore[assignment]


def _recovery(record: Record) -> None:
    """End the exception in flight: the call under way has recovered or suppressed it.

    Go: ``recovery`` in ``runtime/panic.go``, which makes the function return.
    """
    d, exc = record.running, record.error
    suppressed = d.when >= EXIT  # type: ignore[union-attr]  # by a context manager: nothing goes on
    record.running = None
    freedefer(d)  # type: ignore[arg-type]
    aborted = aborted_exit(exc)  # type: ignore[arg-type]
    # PyPy keeps the frames that handled the exit in its traceback, even if that was assigned since.
    record.error = None if suppressed or aborted is None else strip(aborted)


def _replace(record: Record, exc: BaseException) -> None:
    """Make *exc*, which the call under way has raised, the exception in flight (P5)."""
    d, was = record.running, record.error
    record.error = exc
    if d is None:  # an interrupt, between two calls
        strip(exc)
        return
    record.running = None
    blame(exc, d, d.sp or record.sp, was)  # type: ignore[arg-type]
    if was is not None and d.when < EXIT:
        remember_exit(was, exc, recovered=d.panic is None)
    freedefer(d)


# The roles of these functions, for `recover`
# ===========================================

PANICKING = "makes it because of an exception"
RETURNS = "makes it on a normal exit"
DRIVING = "may stand between one of those and the function that is returning"
# By the id of the code. A code object would be a slow key: its hash covers all of its parts.
_roles: dict[int, str] = {
    id(gopanic.__code__): PANICKING,
    id(agopanic.__code__): PANICKING,
    id(deferreturn.__code__): RETURNS,
    id(adeferreturn.__code__): RETURNS,
    id(unwind.__code__): DRIVING,
    id(aunwind.__code__): DRIVING,
}


def role(frame: FrameType | None) -> str | None:
    """Return the role of the function of *frame*; None if it is not in the table above."""
    return None if frame is None else _roles.get(id(frame.f_code))


def record_of(frame: FrameType) -> Record | None:
    """Return the record of a loop; None if *frame* is not the frame of a loop."""
    if role(frame) not in {PANICKING, RETURNS}:
        return None
    record: Record = local(frame, "record")
    return record
