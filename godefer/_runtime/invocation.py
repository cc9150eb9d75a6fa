"""Find the invocation that a `defer` statement belongs to: Go's check of `sp` (D3, D4).

While a body runs, `live` leads from the wrapper's frame to the invocation's record. A frame that
calls `defer` is the body of a decorated function if two things are true: its caller is such a
wrapper, and the record has the code of the frame.

The search goes one step up and never further. So a helper cannot attach a call to a decorated
function further up the stack (D3). There is no "current function" of a thread or a context either:
a suspended generator, a child task or a greenlet could see it (D4).

Rejected, with the time that one `defer` takes then on 3.11:

- to read the record from the wrapper's `f_locals`, which copies all locals before 3.13 (1.4 times);
- a table by the body's frame, which must then be kept until its entry is removed (1.3 times).
"""

from __future__ import annotations

import atexit
import sys
from types import CodeType

from godefer import _errors
from godefer._decision import decision_on
from godefer._runtime.frames import COMPREHENSIONS, at_exit, function_frame
from godefer._runtime.record import Record
from godefer._runtime.unwind import record_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType


_getframe = sys._getframe


class _Live(dict["FrameType | None", Record]):
    """A table from a frame to the record of an invocation with a running body.

    Wrappers have it as a constant of their code, so it needs a hash. It pickles by reference, so
    that a wrapper pickled by value does not get a copy.
    """

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> str:
        return self.name


live = _Live("live")  # by the frame of the wrapper
bodies = _Live("bodies")  # by the frame of the body, for async generators: see `wrapper`
# At the end of the program a suspended generator must be closed, but its frame is in a table. Only
# the code of wrappers refers to the tables then. The garbage collector does not look into code, so
# it would never free them.
atexit.register(live.clear)
atexit.register(bodies.clear)


def find_record(statement: str, caller: FrameType | None) -> tuple[Record, FrameType]:
    """Return the record of the invocation that calls *statement*, and the frame of its body.

    Args:
        statement: The name of the statement, for an error.
        caller: The frame that called it: the body, or before 3.12 a comprehension in it. None if
            no Python code has called the statement.

    Raises:
        DeferError: *caller* is not the body of a decorated function, or code without a frame has
            called the statement (D3).
    """
    if caller is None:
        raise _errors.no_caller(statement)
    sp = caller if caller.f_code.co_name not in COMPREHENSIONS else function_frame(caller)
    record = live.get(sp.f_back)
    if record is None or record.sp is not sp.f_code:
        record = bodies.get(sp)
    if record is None:
        if at_exit(sp):
            where = f" at {_errors.place(sp.f_code, sp.f_lineno)}"
            raise _errors.deferred_statement(statement, where)
        making = record_of(sp)
        if making is not None:
            raise _errors.deferred_statement(statement, _where_deferred(making))
    known = record.calls if record is not None else None
    try:
        # Not needed if all functions are open-coded.
        from godefer._runtime.call_sites import calls_statement  # noqa: PLC0415
    except ImportError:  # the interpreter is shutting down
        pass
    else:
        if not calls_statement(caller, _getframe(1), sp, known):
            raise _errors.called_by_compiled(statement, sp)
    if record is not None:
        return record, sp
    if decision_on(sp.f_code) is not None:
        raise _errors.not_compiled_in(statement, sp)
    from godefer._runtime.decorators import around_with_defers  # noqa: PLC0415  # only for an error

    raise _errors.no_decorated_function(statement, sp, around_with_defers(sp))


def _where_deferred(making: Record) -> str:
    """Return the place of the `defer` statement of the call under way in *making*, for an error."""
    d, code = making.running, making.sp
    if d is None or not isinstance(code, CodeType):  # no call: a `__del__` between two
        return ""
    return f" at {_errors.place(code, _errors.line_at(code, d.pc))}"
