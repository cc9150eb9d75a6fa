"""Decide whether a frame may recover (P2), and note recoveries for open-coded functions.

A deferred function may recover the exception because of which it is called. The runtime way keeps
that exception on the node of the call, as its ``panic``.

An open-coded function has no node: it makes the call itself. The instruction that makes the call
shows whether there is an exception (`Decision.failing_exits`). `recover` notes the recovery in a
table. The function looks there after the call, and takes the note out.
"""

from __future__ import annotations

from godefer._decision import wraps
from godefer._runtime.frames import ASYNC, at_exit, local
from godefer._runtime.unwind import DRIVING, PANICKING, RETURNS, record_of, role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from godefer._runtime.record import _defer

    Recovery = BaseException | tuple[BaseException, BaseException]


class _Table(dict["FrameType", "Recovery"]):
    """A table that open code has as a constant: it has a hash, and is pickled by reference."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __reduce__(self) -> str:
        return "recovered"


class _Recoveries:
    """Holds the table for a test of its truth: the compiler would drop the test of a constant."""

    __slots__ = ("pending",)

    def __init__(self, pending: _Table) -> None:
        self.pending = pending

    def __reduce__(self) -> str:
        return "recoveries"


# The key is the frame of an open-coded function. The value is the exception that one of its calls
# has recovered. If that exception had replaced an exit such as SystemExit, the value is a tuple of
# both, since the exit goes on (P3).
recovered = _Table()
recoveries = _Recoveries(recovered)
take = recovered.pop

Recoverable = tuple["BaseException | None", "_defer | FrameType | None"]


def recoverable(caller: FrameType, handled: BaseException | None) -> Recoverable:
    """Return the exception that *caller* may recover, and the place for a note of the recovery.

    Args:
        caller: The frame that has called `recover`.
        handled: The exception being handled.

    Returns:
        The exception, or None; and the node of the call, or the frame of the open-coded function.
    """
    called_by = caller.f_back
    if role(caller) is PANICKING:  # defer(recover), on the function's own panic
        return None, None
    if role(caller) is RETURNS:  # defer(recover), run when its function returns
        while role(called_by) is DRIVING:
            called_by = called_by.f_back  # type: ignore[union-attr]
        called_by = called_by.f_back if called_by is not None else None
    elif at_exit(caller):  # defer(recover), open-coded: both cases
        if in_flight(caller, caller.f_lasti, handled) is not None:
            return None, None
    elif called_by is not None and wraps(called_by.f_code, caller.f_code):
        called_by = called_by.f_back
    if called_by is None:
        return None, None
    if at_exit(called_by):
        if called_by in recovered:
            return None, None
        return in_flight(called_by, called_by.f_lasti, handled), called_by
    record = record_of(called_by)
    d = record.running if record is not None and role(called_by) is PANICKING else None
    return d.panic if d is not None else None, d


def in_flight(frame: FrameType, at: int, handled: BaseException | None) -> BaseException | None:
    """Return the exception because of which an open-coded function makes a deferred call.

    An async function keeps it in a hidden local (`shapes.ASYNC_FAILING`). In other functions it is
    on the chain of *handled*. It need not be *handled* itself: the deferred function may be in an
    `except` block of its own.

    Args:
        frame: The frame of the open-coded function.
        at: The instruction that makes the call.
        handled: The exception being handled.

    Returns:
        The exception; None if the function is returning.
    """
    if frame.f_code.co_flags & ASYNC:
        failing: BaseException | None = local(frame, "@failing")
        return failing
    if not frame.f_code.co_consts[-1].failing_exits >> (at >> 1) & 1:
        return None
    chain: list[tuple[BaseException, FrameType | None]] = []
    while handled is not None and all(handled is not exc for exc, _ in chain):
        tb = handled.__traceback__
        chain.append((handled, tb.tb_frame if tb is not None else None))
        if chain[-1][1] is frame:
            return handled
        handled = handled.__context__
    # No traceback begins with *frame*: the exception was raised again elsewhere, or its traceback
    # was removed. On the chain, it comes after the exceptions that were caught by the deferred
    # function, or by functions that this has called; and before those that a caller of *frame* is
    # handling. It may be missing: `throw` of a generator raises an exception without a context.
    for exc, head in chain:
        if head is not None and _is_below(head, frame):
            return None
        if head is None or _has_left(exc, frame):
            return exc
    return None


def _has_left(exc: BaseException, frame: FrameType) -> bool:
    """Return whether *exc* has been raised in *frame*, or has passed it."""
    tb = exc.__traceback__
    while tb is not None and tb.tb_frame is not frame:
        tb = tb.tb_next
    return tb is not None


def _is_below(frame: FrameType, other: FrameType | None) -> bool:
    """Return whether *frame* is *other*, or one of its direct or indirect callers."""
    while other is not None and other is not frame:
        other = other.f_back
    return other is not None
