"""Running the pending calls of a record: ``deferreturn`` and ``gopanic``.

A record is a state machine. Its ``error`` is the exception in flight, or None while the function
is returning. The caller sets it when it begins; then only the loops change it, until no call is
left and the caller raises it.

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
call raises, and `sys.exception()` is right inside of the call. When a call has raised, the caller
of the loop raises that exception again, which makes it the handled one, and puts back the
``__context__`` and the traceback that this has changed. Rejected: to mend the chain afterwards, as
ExitStack does by searching it for a place that fits; nested `try` statements, one for each call.

*Recovering.* A node whose call runs because of an exception has it as its ``panic``, and `recover`
takes it. `gopanic` sees that when the call has returned. The calls that are left run outside of
the handler, as on a normal return (P4).

*Nothing stays.* A frame outlives its call in a traceback. So no local of these functions holds an
exception when they end: with the traceback, that would be a cycle (D9). The record's ``error`` is
cleared where it is raised (`Record.let_go`).

*Interrupts.* The interpreter handles signals where a function is entered, at a jump backwards and
after a call. There is no such place between the moment when a call is taken off the list and the
moment when it is made. An interrupt at any other moment leaves the list whole, and the caller of
the loop goes on with the interrupt as the exception in flight.

*Threads.* Other threads may add to the list of a scope while it is run. Threads, too, only change
at the places named above. So there is none between reading the head of the list and taking it off.
In particular, that is not the condition of a `while`, which a jump backwards leads to.

Each loop exists twice: an async function must await between calls, and to drive a coroutine by
hand costs more than the loop itself.
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
            # freedefer, written out: the runtime way's cost is this loop
            record.running = d.fn = d.kwargs = d.link = d.sp = None
            d.args = ()
            _give_back(d)
    except BaseException as e:
        d = result = None
        _replace(record, e)


async def adeferreturn(record: Record) -> None:
    """`deferreturn` for an async function: it awaits a result that can be awaited (D6)."""
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

    The caller is handling it. Go: ``gopanic`` in ``runtime/panic.go``.
    """
    exc = record.error
    kind = type(exc)  # a call, before any is taken off the list: see "Interrupts"
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
            # freedefer, written out; and the result, whose `__del__` must not recover
            record.running = d.fn = d.kwargs = d.link = d.panic = d.sp = result = None
            d.args = ()
            d.when = ALWAYS
            _give_back(d)
    except BaseException as e:
        _replace(record, e)
    finally:
        exc = d = result = None


async def agopanic(record: Record) -> None:
    """`gopanic` for an async function: it awaits a result that can be awaited (D6).

    It handles the exception in flight itself. An exception that is thrown into a coroutine is
    chained to those that the coroutines on its way are handling, and it passes this one.
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
        handling: Whether the caller is handling an exception, and has to leave that before the
            calls run that a recovery leaves.
    """
    while record.link is not None:
        try:
            error = saved = None  # an instruction of this `try`, see "Interrupts"
            while True:
                if (error := record.error) is not None:
                    saved = save(error)
                    try:
                        raise error
                    except BaseException as again:
                        if again is not error:  # an interrupt: 3.12 takes it for one in this `try`
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
        except BaseException as failed:  # the loop could not begin
            record.error = failed
            error = saved = record.running = None
            # The last resort: want of stack, or an interrupt, has kept the loop from beginning. So
            # one call is made here, where there is room. It cannot recover, but it is not lost.
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
    """`unwind` for an async function."""
    result: Any
    while record.link is not None:
        try:
            result = None  # as above
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
        except GeneratorExit:  # it was closed while the loop waited, and the loop has ended
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
    """The call under way has recovered, or is an exit that suppressed the exception in flight.

    Go: ``recovery`` in ``runtime/panic.go``, which makes the function return.
    """
    d, exc = record.running, record.error
    suppressed = d.when >= EXIT  # type: ignore[union-attr]  # as after `with`, nothing goes on
    record.running = None
    freedefer(d)  # type: ignore[arg-type]
    aborted = aborted_exit(exc)  # type: ignore[arg-type]
    # PyPy keeps the frames that have handled it, whatever was assigned meanwhile.
    record.error = None if suppressed or aborted is None else strip(aborted)


def _replace(record: Record, exc: BaseException) -> None:
    """Let *exc*, which the call under way has raised, take over as the exception in flight (P5)."""
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


# Who makes a call, for `recover`
# ===============================

# What a function of this module does with a deferred call, by the identity of its code: the hash
# of code takes in all that it consists of.
PANICKING = "makes it because of an exception"
RETURNS = "makes it on a normal exit"
DRIVING = "may stand between one of those and the function that is returning"
_roles: dict[int, str] = {
    id(gopanic.__code__): PANICKING,
    id(agopanic.__code__): PANICKING,
    id(deferreturn.__code__): RETURNS,
    id(adeferreturn.__code__): RETURNS,
    id(unwind.__code__): DRIVING,
    id(aunwind.__code__): DRIVING,
}


def role(frame: FrameType | None) -> str | None:
    """Return what the code of *frame* does with a deferred call; None if it is not of here."""
    return None if frame is None else _roles.get(id(frame.f_code))


def record_of(frame: FrameType) -> Record | None:
    """Return the record that a loop is running, if *frame* is one of a loop."""
    if role(frame) not in {PANICKING, RETURNS}:
        return None
    record: Record = local(frame, "record")
    return record
