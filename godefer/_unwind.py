"""Running deferred calls: the normal exit, panicking, recover.

Theory of operation
-------------------

A decorated function's wrapper (`_wrapper`) runs the body, then this, in pseudo-code::

    error = None
    try:
        result = body()
    except BaseException as exc:
        error = gopanic(frame, exc)             # the calls run while the exception is being handled
    while frame[0] is not None:                 # calls remain: nothing was raised, or a call raised, or one recovered
        if error is None:
            error = deferreturn(frame)
        else:
            try:
                raise error
            except BaseException:
                error = gopanic(frame, error)
    if error is not None:
        raise error
    return result

Both functions return when all calls have run, when one has raised, or when one has recovered, with what is in flight from then on:
an exception, or None. `drive` is that loop, for those who have no body.

*Chains.* Every deferred call runs while the exception in flight *is being handled*, exactly as it would in the
`finally` of a hand-written function, so the interpreter itself sets the `__context__` of whatever the call raises, and
`sys.exception()` is right inside it. When a call raises, its exception takes over, and for the next call that one has to be
the handled one. Nested try statements would need a level for each; instead the exception is raised again in the wrapper's
loop, which only touches its `__context__` and `__traceback__`, and these two are put back. (ExitStack does the opposite: it
runs the calls outside of any handler and mends the chain afterwards, by searching it for a place that fits.) So a
million calls that all raise are a loop, and the chain is the interpreter's.

*Recovering.* A node whose call runs because of an exception has it as its `panic`, and `recover` takes it away. `gopanic` sees that when
the call has returned, and returns None with the remaining calls still on the list: the wrapper, by then out of its `except`,
runs them as on any normal exit.

*Who may recover.* The function that `gopanic` itself calls, and nobody else (P2): `recover` looks at its caller, steps over
wrappers, and must find `gopanic`'s frame. A deferred `recover` has a loop as its caller: run by `gopanic` it is nobody's
call; run by `deferreturn` it counts as called by the function that is returning, as in Go.

*Exits that go on.* SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError behave as Go's Goexit (P3): when a call
that runs because of one raises, and that is recovered later, the exit is still on its way, and goes on. Without
this a cancelled task whose clean-up failed and recovered would no longer be cancelled.

*Nothing stays.* Locals of these functions never hold an exception when they return or raise: frames outlive their
calls in tracebacks, and a traceback held by a frame that it holds is a cycle (D9).

*Interrupts.* The interpreter handles signals where a function is entered, at a jump backwards and after a call, so a KeyboardInterrupt can
come there. Between the moment a call is taken off the list and the one it is made there is no such place: nothing is called in
between, and its arguments are at hand. Whatever comes at any other moment leaves the list whole, for the one who caught it. And each
call is made from the frame next to the wrapper's, so at the edge of the stack it has as much room as its `defer` statement had.

*Threads.* The list of a scope (`_scope`) may be added to by other threads while it is run. Threads, too, only change at the places named above. So
the head of the list is read and taken off with no such place in between: in particular not as the condition of a `while`, after which comes the
jump backwards.

The two loops exist twice, because an async function must await between calls, and a coroutine driven by hand costs
more than the loop itself on the normal exit. What does not await is shared.
"""

from __future__ import annotations

import sys
from types import CoroutineType

from godefer import _errors
from godefer._record import (
    ALWAYS,
    ASYNC_EXIT,
    EXIT,
    FAILING,
    RETURNING,
    _defer,
    attributes,
    freedefer,
    pool,
    restore,
    save,
    set_traceback,
)
from godefer._results import awaitable, awaited, drop
from godefer._statements import ASYNC, at_exit, function_frame, local, unwinders, wraps
from godefer._traceback import blame, hide, without_runtime_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import NoReturn, TypeVar, overload

    from godefer._record import Frame

    E = TypeVar("E", bound=BaseException)
else:

    def overload(_: object) -> None:
        """Stand in for typing's, which costs more to import than all of godefer."""


_exception, _getframe = sys.exception, sys._getframe
_give_back = pool.append


class Panic(RuntimeError):  # noqa: N818  # Go's name
    """What `panic` raises: a Go panic, with the value it was given as ``value`` (P1).

    Args:
        value: Any object, None too.

    Attributes:
        value: That object.

    After Go's ``panic``; ``gopanic`` in ``runtime/panic.go``.

    Example:
        >>> from godefer import Panic
        >>> Panic(7).value
        7
    """

    def __init__(self, value: object = None) -> None:
        super().__init__(value)
        self.value = value


def panic(value: object) -> NoReturn:
    """Raise ``Panic(value)``; an exception given as *value* is raised as it is.

    A panic is a Python exception like any other (P1): deferred calls run, and one of them may `recover` it.

    Args:
        value: Any object; an exception, or an exception class, is raised itself.

    Raises:
        Panic: With *value* as its ``value``.

    After Go's ``panic``.

    Example:
        >>> from godefer import Panic, panic
        >>> try:
        ...     panic("no route")
        ... except Panic as e:
        ...     print(e.value)
        no route
    """
    if isinstance(value, BaseException) or (
        isinstance(value, type) and issubclass(value, BaseException)
    ):
        raise value
    raise Panic(value)


@overload
def recover() -> Exception | None: ...
@overload
def recover(*types: type[E]) -> E | None: ...  # noqa: F811
def recover(*types: type[BaseException]) -> BaseException | None:  # noqa: F811
    """Inside a deferred call: stop the exception in flight and return it.

    It does so if it is called directly by a deferred function that is run because of that exception (P2). Otherwise,
    on a normal exit, in a helper, outside of deferred calls or a second time, it returns None. The function that was failing
    then returns to its caller (P4): what a ``return`` had already evaluated, else None.

    Args:
        *types: What to stop instead of every Exception; an exception of another type is not stopped. Naming
            SystemExit, KeyboardInterrupt, GeneratorExit or CancelledError is the only way to stop one (P3).

    Returns:
        The exception, or None.

    Raises:
        TypeError: One of *types* is not an exception type.

    After Go's ``recover``; ``gorecover`` in ``runtime/panic.go``.

    Example:
        >>> from godefer import defer, panic, recover, with_defers
        >>> @with_defers
        ... def safely():
        ...     def caught():
        ...         print("recovered:", recover())
        ...     defer(caught)
        ...     panic("out of tea")
        >>> safely()
        recovered: out of tea
    """
    if types and (error := _errors.not_exception_types(types)) is not None:
        raise error
    exc = _exception()
    if exc is not None and exc.__context__ is None and not recovered:
        # The usual case: an open-coded function is handling it, and has called the caller.
        try:
            called_by, tb = _getframe(2), exc.__traceback__
            if (
                tb is not None
                and tb.tb_frame is called_by
                and called_by.f_lasti in called_by.f_code.co_consts[-1].failing_exits
            ):
                if isinstance(exc, types or Exception):
                    recovered[called_by] = exc
                    return exc
                return None
        except (AttributeError, IndexError, ValueError):
            pass  # not open-coded, or at the beginning of the stack
    exc, frame, p = _recoverable(function_frame(_getframe(1)), exc)
    if exc is None or not isinstance(exc, types or Exception):
        return None
    if p is not None:
        p.panic = None
    elif frame is not None:
        aborted = aborted_exit(exc)
        recovered[frame] = exc if aborted is None else (exc, aborted)
    return exc


def _recoverable(
    caller: FrameType, handled: BaseException | None
) -> tuple[BaseException | None, FrameType | None, _defer | None]:
    """Return the exception that *caller* may recover, and its open-coded frame or its node."""
    called_by, role = caller.f_back, _roles.get(id(caller.f_code))
    if role is _PANICKING:  # defer(recover), on the function's own panic
        return None, None, None
    if role is _RETURNING:  # defer(recover), run when the function that says it is returning
        while called_by is not None and _roles.get(id(called_by.f_code)) is DRIVING:
            called_by = called_by.f_back
        called_by = called_by.f_back if called_by is not None else None
    elif at_exit(caller):  # the same, open-coded
        if in_flight(caller, caller.f_lasti, handled, None) is not None:
            return None, None, None
    elif called_by is not None and wraps(called_by.f_code, caller.f_code):
        called_by = called_by.f_back
    if called_by is None:
        return None, None, None
    if at_exit(called_by):
        return (
            None
            if called_by in recovered
            else in_flight(called_by, called_by.f_lasti, handled, caller),
            called_by,
            None,
        )
    if _roles.get(id(called_by.f_code)) is not _PANICKING:
        return None, None, None
    running: _defer | None = local(called_by, "frame")[2]
    return running.panic if running is not None else None, None, running


class _ByName(dict["FrameType", "BaseException | tuple[BaseException, BaseException]"]):
    """A table that open code holds: hashable, as constants are, and pickled by reference."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __reduce__(self) -> str:
        return "recovered"


class _Recoveries:
    """The open-coded functions that have recovered and have not noticed yet.

    ``pending``: a frame -> the exception; with the exit that goes on after all, if there is one
    (P3). An attribute, since the compiler takes a constant's truth for granted.
    """

    __slots__ = ("pending",)

    def __init__(self, pending: _ByName) -> None:
        self.pending = pending

    def __reduce__(self) -> str:
        return "recoveries"


recovered = _ByName()
recoveries = _Recoveries(recovered)
take = recovered.pop


def in_flight(
    frame: FrameType, at: int, handled: BaseException | None, caller: FrameType | None
) -> BaseException | None:
    """Return the exception because of which the open-coded function of *frame* makes a call.

    None if it is returning. An async function keeps the exception in a hidden local
    (`_shapes.ASYNC_FAILING`). Otherwise the instruction *at* which the call is made tells whether
    the function is handling an exception. It is on the chain of the *handled* one, since the
    deferred function *caller* may be in an `except` block of its own.
    """
    if frame.f_code.co_flags & ASYNC:
        failing: BaseException | None = local(frame, "@failing")
        return failing
    if at not in frame.f_code.co_consts[-1].failing_exits:
        return None
    chain: list[tuple[BaseException, FrameType | None]] = []
    while handled is not None and all(handled is not exc for exc, _ in chain):
        tb = handled.__traceback__
        chain.append((handled, tb.tb_frame if tb is not None else None))
        if chain[-1][1] is frame:
            return handled
        handled = handled.__context__
    # Somebody has raised it once more, or changed its traceback, which began with *frame*. It comes
    # after those that *caller* has caught, and before those that a function further out handles.
    found = None
    for exc, head in chain:
        if head is not None and _is_below(head, frame):
            break
        found = exc
        if head is not caller:
            break
    return found


def _is_below(frame: FrameType, other: FrameType | None) -> bool:
    """Return whether *frame* has called *other*, or a caller of it."""
    while other is not None and other is not frame:
        other = other.f_back
    return other is not None


def deferreturn(frame: Frame) -> BaseException | None:
    """Run the pending calls of a function that returns, last in, first out, until one raises.

    Returns what that raised; None when all have run. Go: ``deferreturn`` in ``runtime/panic.go``.
    """
    try:
        while True:  # see "Threads" above
            if (d := frame[0]) is None:
                break
            frame[0] = d.link
            frame[2] = d
            if d.when:
                if d.when == RETURNING:
                    if (result := d.fn(*d.args, **(d.kwargs or {}))) is not None:
                        drop(result)
                elif d.when == EXIT:
                    d.fn(None, None, None)
                d.when = ALWAYS
            elif (
                result := d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)
            ) is not None:
                drop(result)
                result = None
            frame[2] = d.fn = d.kwargs = d.link = d.sp = (
                None  # freedefer, written out: this loop is the runtime way's cost
            )
            d.args = ()
            _give_back(d)
    except BaseException as e:
        d = result = None
        return replaced(frame, e, None)
    return None


async def adeferreturn(frame: Frame) -> BaseException | None:
    """`deferreturn` for an async function: what a call returns is awaited, if it can be, before the next call (D6).

    What this returns is in the frame record as well: close() while a call is awaited closes this coroutine too, and drops what it returns.
    """
    try:
        while True:  # see "Threads" above
            if (d := frame[0]) is None:
                break
            frame[0] = d.link
            frame[2] = d
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
                if awaitable(result):
                    await result
                result = None
            frame[2] = None
            freedefer(d)
        frame[3] = (None,)
    except BaseException as e:
        d = result = None
        frame[3] = (replaced(frame, e, None),)
    return frame[3][0]  # type: ignore[no-any-return]  # in no local, see above


def gopanic(frame: Frame, exc: BaseException | None) -> BaseException | None:
    """Run the pending calls because of *exc*, which the caller is handling, until one raises or recovers.

    Returns *exc* when all have run; what one of them raised; or, when one recovered, None, or the exit that goes on after all (P3).
    Go: ``gopanic`` in ``runtime/panic.go``.
    """
    kind = type(
        exc
    )  # before any call is taken off the list: this is one, too, see "Interrupts" above
    try:
        while True:  # see "Threads" above
            if (d := frame[0]) is None:
                break
            frame[0] = d.link
            frame[2] = d
            if d.when <= FAILING:
                d.panic = exc
                if (
                    result := d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)
                ) is not None:
                    drop(result)
                if d.panic is None:
                    return recovery(frame, exc)
            elif d.when == EXIT and d.fn(kind, exc, exc.__traceback__):  # type: ignore[union-attr]
                return recovery(frame, exc)
            # freedefer, as above; and what the call returned, whose `__del__` is nobody that may recover
            frame[2] = d.fn = d.kwargs = d.link = d.panic = d.sp = result = None
            d.args = ()
            d.when = ALWAYS
            _give_back(d)
    except BaseException as e:
        return replaced(frame, e, exc)
    else:
        return exc
    finally:
        exc = d = result = None


async def agopanic(frame: Frame, exc: BaseException | None) -> BaseException | None:
    """`gopanic` for an async function: what a call returns is awaited, if it can be, before the next call (D6).

    The caller need not be handling *exc*: what is thrown into a coroutine is chained to what the coroutines that it passes are handling, and it
    passes this one alone. What this returns is in the frame record as well; see `adeferreturn`.
    """
    kind, saved = type(exc), save(exc)  # type: ignore[arg-type]
    try:
        raise exc  # type: ignore[misc]
    except BaseException:
        restore(exc, saved)  # type: ignore[arg-type]
        saved = None  # type: ignore[assignment]
        try:
            while True:  # see "Threads" above
                if (d := frame[0]) is None:
                    break
                frame[0] = d.link
                if d.when == RETURNING:
                    freedefer(d)
                    continue
                frame[2] = d
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
                    if result is not None and awaitable(result):
                        await result
                    recovered = d.panic is None
                    d.panic = result = None
                if recovered:
                    exc = recovery(frame, exc)
                    break
                frame[2] = None
                freedefer(d)
            frame[3] = (exc,)
        except BaseException as e:
            frame[3] = (replaced(frame, e, exc),)
            result = None
        d = None
    exc = None
    return frame[3][0]  # type: ignore[no-any-return]  # in no local, see above


def drive(frame: Frame, error: BaseException | None, *, panicking: bool) -> BaseException | None:
    """Run the pending calls, as the loop above, for who has no body.

    Args:
        frame: The frame record.
        error: The exception in flight, or None on a normal exit.
        panicking: Whether the caller is handling an exception, so that after a recovery it has to leave that first: then this
            returns None, and calls may remain.

    Returns:
        What is in flight after the last call.
    """
    while frame[0] is not None:
        if error is not None:
            saved = save(error)
            try:
                raise error
            except BaseException as again:
                if (
                    again is not error
                ):  # an interrupt at the jump to here, which 3.12 takes for one in this `try`
                    raise
                restore(error, saved)
                saved = None  # type: ignore[assignment]
                error = gopanic(frame, error)
        elif panicking:
            return None
        else:
            error = deferreturn(frame)
    frame[1] = None
    try:
        return error
    finally:
        error = None


async def adrive(
    frame: Frame, error: BaseException | None, *, panicking: bool
) -> BaseException | None:
    """`drive`, for an async function; what this returns is in the frame record as well, see `adeferreturn`."""
    while frame[0] is not None:
        try:
            if error is not None:
                error = await agopanic(frame, error)
            elif panicking:
                break
            else:
                error = await adeferreturn(frame)
        except BaseException:
            if not frame[3]:  # it could not begin
                raise
            (error,) = frame[3]  # it was closed while it waited
        frame[3] = ()
    if frame[0] is None:
        frame[1] = None
    frame[3] = (error,)
    error = None
    return frame[3][0]  # type: ignore[no-any-return]  # in no local, see above


def recovery(frame: Frame, exc: BaseException | None) -> BaseException | None:
    """The call under way has recovered *exc*, or is a context manager's exit that suppressed it: what is in flight now.

    Go: ``recovery`` in ``runtime/panic.go``, which makes the function return.
    """
    d: _defer = frame[2]
    suppressed = d.when >= EXIT  # as after `with`, nothing goes on
    frame[2] = None
    freedefer(d)
    aborted = aborted_exit(exc)
    return None if suppressed else aborted


def replaced(frame: Frame, exc: BaseException, was: BaseException | None) -> BaseException:
    """The call under way, run because of *was*, or on a normal exit, has raised *exc*, which is in flight now (P5)."""
    d: _defer | None = frame[2]
    if d is None:  # an interrupt, between two calls
        set_traceback(exc, without_runtime_frames(exc.__traceback__))
        return exc
    frame[2] = None
    blame(exc, d, d.sp or frame[1], was)
    if was is not None and d.when < EXIT:
        remember_exit(was, exc, recovered=d.panic is None)
    freedefer(d)
    return exc


def remember_exit(was: BaseException, exc: BaseException, *, recovered: bool) -> None:
    """A deferred call that ran because of *was* raised *exc*: if an exit was thereby aborted, remember it on *exc*.

    On the exception, so that it is found wherever that is recovered, in this function or in a caller of it. Not in its
    ``__context__``, which looks the same when an `except` clause dealt with the exit and then raised something else.
    """
    replaced_too = recovered or isinstance(was, Exception)
    aborted = attributes(was).pop(_ABORTED, None) if replaced_too else was
    if aborted is not None and aborted is not exc:
        attributes(exc)[_ABORTED] = aborted


def aborted_exit(exc: BaseException | None) -> BaseException | None:
    """The exit that the recovered *exc* had aborted, and that goes on now, if there is one."""
    aborted: BaseException | None = attributes(exc).pop(_ABORTED, None) if exc is not None else None
    if aborted is not None:
        # PyPy keeps the frames that handled it, whatever was assigned meanwhile.
        set_traceback(aborted, without_runtime_frames(aborted.__traceback__))
    return aborted


_ABORTED = "__godefer_aborted_exit__"


# What a function of the runtime does with a deferred call, by its code: by the identity of that, since what a code object hashes is all that it
# consists of.
_PANICKING = "runs it because of an exception"
_RETURNING = "runs it on a normal exit"
DRIVING = "may stand between one of those and the function that is returning"
_roles: dict[int, str] = {}


def plays(role: str, *codes: CodeType) -> None:
    """Let `recover` know these, which live as long as the runtime does; and tracebacks, and a `defer` that is itself deferred."""
    _roles.update((id(code), role) for code in codes)
    hide(*codes)
    if role is not DRIVING:
        unwinders.update(codes)


plays(_PANICKING, gopanic.__code__, agopanic.__code__)
plays(_RETURNING, deferreturn.__code__, adeferreturn.__code__)
plays(DRIVING, drive.__code__, adrive.__code__)
