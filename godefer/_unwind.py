"""Running deferred calls: the normal exit, panicking, recover.

Theory of operation
-------------------

A decorated function's wrapper (`_wrapper`) runs the body, then this, in pseudo-code::

    try:
        result = body()
    except BaseException:
        error = gopanic(frame)       # the calls run while the exception is being handled
    while frame.sp is not None:      # nothing was raised, or a call recovered
        try:
            deferreturn(frame)
        except BaseException:        # a call raised
            error = gopanic(frame)
    if error is not None:
        raise error
    return result

*Chains.* Every deferred call runs while the exception in flight *is being handled*, exactly as it would in the
`finally` of a hand-written function, so the interpreter itself sets the `__context__` of whatever the call raises, and
`sys.exception()` is right inside it. When a call raises, its exception takes over, and for the next call that one has to be
the handled one. Nested try statements would need a level for each; instead `gopanic` raises the exception again inside its own
loop, which only touches its `__context__` and `__traceback__`, and puts these two back. (ExitStack does the opposite: it
runs the calls outside of any handler and mends the chain afterwards, by searching it for a place that fits.) So a
million calls that all raise are a loop, and the chain is the interpreter's.

*Recovering.* `recover` marks the panic. `gopanic` sees the mark when the call has returned, and returns None with
the remaining calls still on the list: the wrapper, by then out of its `except`, runs them as on any normal exit.

*Who may recover.* The function that `gopanic` itself calls, and nobody else (P2): `recover` looks at its caller, steps over
wrappers, and must find `gopanic`'s frame. A deferred `recover` has a loop as its caller: run by `gopanic` it is nobody's
call; run by `deferreturn` it counts as called by the function that is returning, as in Go.

*Exits that go on.* SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError behave as Go's Goexit (P3): when a call
that runs because of one raises, and that is recovered later, the exit is still on its way, and goes on. Without
this a cancelled task whose clean-up failed and recovered would no longer be cancelled.

*Nothing stays.* Locals of these functions never hold an exception when they return, raise or call: frames outlive their
calls in tracebacks, and a traceback held by a frame that it holds is a cycle (D9). The `_panic` record holds
it instead, and `take` empties that.

The two loops exist twice, because an async function must await between calls, and a coroutine driven by hand costs
more than the loop itself on the normal exit. What does not await is shared.
"""

from __future__ import annotations

import sys
from types import TracebackType

from godefer import _errors
from godefer._record import ALWAYS, ASYNC_EXIT, EXIT, FAILING, RETURNING, _defer, _frame, _panic, freedefer, pool
from godefer._results import awaitable, awaited, drop
from godefer._statements import end, function_frame, live, unwinders, wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import NoReturn, TypeVar, overload

    E = TypeVar("E", bound=BaseException)
else:

    def overload(_: object) -> None:
        """Stand in for typing's, which costs more to import than all of godefer."""


_forget = live.pop
_give_back = pool.append

WRAPPER = "<godefer wrapper>"  # the file name of every wrapper's code, of which no line is the user's


class Panic(RuntimeError):  # noqa: N818  # Go's name
    """What `panic` raises: a Go panic, with the value it was given as ``value``.

    ``value`` is any object, None too (P1). After Go's ``panic``; ``gopanic`` in ``runtime/panic.go``.

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
    if isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException)):
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
    p = _recoverable(function_frame(sys._getframe(1)))
    if p is None:
        return None
    if isinstance(p, list):  # of `_cold.unwind`: the exception, while it is not recovered
        exc = p[0] if len(p) == 1 else None
        if not isinstance(exc, types or Exception):
            return None
        p.clear()
        aborted = aborted_exit(exc)
        if aborted is not None:  # `_cold.go_on` will raise it
            p += (None, aborted)
        return exc
    if p.recovered or not isinstance(p.exc, types or Exception):
        return None
    p.recovered = True
    return p.exc


def _recoverable(caller: FrameType) -> _panic | list[BaseException | None] | None:
    """The panic because of which *caller* was called by the runtime itself, if it was."""
    called_by = caller.f_back
    if caller.f_code in _PANICKING or caller.f_code in unwinding:  # defer(recover), on the function's own panic
        return None
    if caller.f_code in _RETURNING:  # defer(recover), run when the function that says it is returning
        if called_by is not None and called_by.f_code in finishers:
            called_by = called_by.f_back
        called_by = called_by.f_back if called_by is not None else None
    elif called_by is not None and wraps(called_by.f_code, caller.f_code):
        called_by = called_by.f_back
    if called_by is None:
        return None
    if called_by.f_code in unwinding:
        p: list[BaseException | None] = called_by.f_locals["pending"]
        return p
    if called_by.f_code not in _PANICKING:
        return None
    running: _defer | None = called_by.f_locals["frame"].running
    return None if running is None else running.panic


def deferreturn(frame: _frame) -> None:
    """Run the pending calls of a function that returns, last in, first out.

    Go: ``deferreturn`` in ``runtime/panic.go``. What a call raises leaves at once, for `gopanic` to go on with.
    """
    frame.ended = True  # `end`, written out
    _forget(frame.sp, None)  # type: ignore[arg-type]  # never None here
    while (d := frame.link) is not None:
        frame.link = d.link
        frame.running = d
        if d.when:
            if d.when == RETURNING:
                if (result := d.fn(*d.args, **(d.kwargs or {}))) is not None:
                    drop(result)
            elif d.when == EXIT:
                d.fn(None, None, None)
            d.when = ALWAYS
        elif (result := d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)) is not None:
            drop(result)
            result = None
        frame.running = d.fn = d.kwargs = d.link = None  # freedefer, written out: this loop is the runtime way's cost
        d.args = ()
        _give_back(d)
    frame.sp = None


async def adeferreturn(frame: _frame) -> None:
    """`deferreturn` for an async function: what a call returns is awaited, if it can be, before the next call (D6)."""
    end(frame)
    while (d := frame.link) is not None:
        frame.link = d.link
        if d.when == FAILING:
            freedefer(d)
            continue
        frame.running = d
        if d.when == EXIT:
            d.fn(None, None, None)
        elif d.when == ASYNC_EXIT:
            await awaited("__aexit__", d.fn(None, None, None))
        elif (result := d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)) is not None:
            if awaitable(result):
                await result
            result = None
        frame.running = None
        freedefer(d)
    frame.sp = None


def gopanic(frame: _frame) -> BaseException | None:
    """Run the pending calls because of the exception that the caller is handling.

    Returns the exception to raise when all have run, or None when one of them recovered; the calls then still pending
    are `deferreturn`'s. Go: ``gopanic`` in ``runtime/panic.go``.
    """
    end(frame)
    p = newpanic(frame, None)
    suppressed = False  # by a context manager's exit: as after `with`, nothing goes on
    while frame.link is not None:
        try:
            p.save()
            raise p.exc  # type: ignore[misc]  # so that it is the handled one; see "Chains" above
        except BaseException:
            try:
                p.restore()
                while not p.recovered and (d := frame.link) is not None:
                    frame.link = d.link
                    if d.when == RETURNING:
                        freedefer(d)
                        continue
                    frame.running = d
                    if d.when == EXIT:
                        p.recovered = suppressed = bool(d.fn(*p.details()))
                    else:
                        d.panic = p
                        if (result := d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)) is not None:
                            drop(result)
                            result = None
                    frame.running = None
                    freedefer(d)
            except BaseException:
                p = newpanic(frame, p)
        if p.recovered:
            aborted = None if suppressed else aborted_exit(p.exc)
            p.take()
            if aborted is None:
                return None
            p, aborted = _panic(aborted), None
    frame.sp = None
    return p.take()


async def agopanic(frame: _frame) -> BaseException | None:
    """`gopanic` for an async function: what a call returns is awaited, if it can be, before the next call (D6).

    What it returns, the frame record holds as well: close() while a call is awaited closes this coroutine too, and drops
    what that returns. The caller empties it.
    """
    end(frame)
    p = newpanic(frame, None)
    suppressed = False  # by a context manager's exit: as after `with`, nothing goes on
    while frame.link is not None:
        try:
            p.save()
            raise p.exc  # type: ignore[misc]
        except BaseException:
            try:
                p.restore()
                while not p.recovered and (d := frame.link) is not None:
                    frame.link = d.link
                    if d.when == RETURNING:
                        freedefer(d)
                        continue
                    frame.running = d
                    if d.when == EXIT:
                        p.recovered = suppressed = bool(d.fn(*p.details()))
                    elif d.when == ASYNC_EXIT:
                        p.recovered = suppressed = bool(await awaited("__aexit__", d.fn(*p.details())))
                    else:
                        d.panic = p
                        if (result := d.fn(*d.args) if d.kwargs is None else d.fn(*d.args, **d.kwargs)) is not None:
                            if awaitable(result):
                                await result
                            result = None
                    frame.running = None
                    freedefer(d)
            except BaseException:
                p = newpanic(frame, p)
        if p.recovered:
            aborted = None if suppressed else aborted_exit(p.exc)
            p.take()
            if aborted is None:
                frame.outcome = (None,)
                return None
            p, aborted = _panic(aborted), None
    frame.sp = None
    frame.outcome = (p.take(),)
    return frame.outcome[0]


def newpanic(frame: _frame, replaced: _panic | None) -> _panic:
    """The record of the exception being handled, its traceback made to start in the user's code (P6)."""
    exc = sys.exception()
    if exc is None:
        raise _errors.internal("newpanic: no exception is being handled")
    d = frame.running
    exc = before_pep_479(exc, d)
    if d is None:
        exc.__traceback__ = without_runtime_frames(exc.__traceback__)
    else:
        frame.running = None
        blame(exc, d, frame.sp)  # type: ignore[arg-type]  # a frame with a running call has a body
        if replaced is not None and d.when < EXIT:
            remember_exit(replaced.exc, exc, recovered=replaced.recovered)
        freedefer(d)
    if replaced is not None:
        replaced.take()
    p = _panic(exc)
    del exc
    return p


def remember_exit(was: BaseException | None, exc: BaseException, *, recovered: bool) -> None:
    """A deferred call that ran because of *was* raised *exc*: if an exit was thereby aborted, remember it on *exc*.

    On the exception, so that it is found wherever that is recovered, in this function or in a caller of it. Not in its
    ``__context__``, which looks the same when an `except` clause dealt with the exit and then raised something else.
    """
    aborted = getattr(was, _ABORTED, None) if recovered or isinstance(was, Exception) else was
    if aborted is not None and aborted is not exc:
        BaseException.__setattr__(exc, _ABORTED, aborted)  # a frozen dataclass's own would refuse


def aborted_exit(exc: BaseException | None) -> BaseException | None:
    """The exit that the recovered *exc* had aborted, and that goes on now, if there is one."""
    aborted: BaseException | None = getattr(exc, _ABORTED, None)
    if exc is not None and aborted is not None:
        BaseException.__delattr__(exc, _ABORTED)
        # PyPy keeps the frames that handled it, whatever was assigned meanwhile.
        aborted.__traceback__ = without_runtime_frames(aborted.__traceback__)
    return aborted


_ABORTED = "__godefer_aborted_exit__"


def blame(exc: BaseException, d: _defer, sp: FrameType) -> None:
    """Let the traceback of what the call raised lead through the `defer` statement that ordered it (P6)."""
    code = sp.f_code
    tb = without_runtime_frames(exc.__traceback__)
    if d.pc <= 0:  # an open-coded function: it is in the traceback, where another line of it may be missing
        exc.__traceback__ = TracebackType(tb, sp, -1, -d.pc) if d.pc else tb
        return
    line = next((n for start, stop, n in code.co_lines() if start <= d.pc < stop and n is not None), sp.f_lineno)
    if tb is None and isinstance(exc, TypeError):  # it was the call itself that failed (D7)
        _errors.add_called_not_passed(exc, d.fn)
    exc.__traceback__ = TracebackType(tb, sp, d.pc, line)
    exc.add_note(f"deferred at {_errors.place(code, line)} in {code.co_qualname}")


def without_runtime_frames(tb: TracebackType | None) -> TracebackType | None:
    """*tb* without the frames at its beginning that are the runtime's."""
    while tb is not None and is_runtime(tb.tb_frame.f_code):
        tb = tb.tb_next
    return tb


def is_runtime(code: CodeType) -> bool:
    return code.co_filename == WRAPPER or code in unwinders or code in helpers


def before_pep_479(exc: BaseException, d: _defer | None) -> BaseException:
    """The StopIteration that left the body, or a call that a coroutine of ours has run, if *exc* is what that has been made (PEP 479).

    A hand-written `finally` sees the StopIteration itself, and so must deferred calls; the wrapper has it converted again
    when it leaves. A RuntimeError that only passed through, from a generator further in, has further frames in its traceback.
    """
    cause = exc.__cause__
    if type(exc) is not RuntimeError or not isinstance(cause, (StopIteration, StopAsyncIteration)):
        return exc
    made_by = ("generator", "coroutine", "async generator") if d is None else ("coroutine",)
    if str(exc) not in {f"{kind} raised {type(cause).__name__}" for kind in made_by}:
        return exc
    if d is not None and not (cause.__traceback__ and cause.__traceback__.tb_frame.f_code in unwinders):
        return exc  # a deferred coroutine raised it, not a call in a coroutine of ours
    return cause if without_runtime_frames(exc.__traceback__) is None else exc


# The functions of _cold that run one call of an open-coded function because of an exception.
unwinding: set[CodeType] = set()
# What runs remaining calls for an open-coded function, and whatever else of the runtime's can be in a traceback.
finishers: set[CodeType] = set()
helpers: set[CodeType] = {drop.__code__, awaited.__code__}

_RETURNING = {deferreturn.__code__, adeferreturn.__code__}
_PANICKING = {gopanic.__code__, agopanic.__code__}
unwinders.update(_RETURNING, _PANICKING)
