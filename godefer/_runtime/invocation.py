"""Which invocation a `defer` statement belongs to: Go's check of `sp` (D3, D4).

While a body runs, the wrapper's frame and the invocation's record are in `live`. The frame that
says `defer` is the body of a decorated function exactly if its caller is such a wrapper, and the
record's code is its own. The search goes one step up and never further, so that a helper cannot
attach a call to some decorated function up the stack (D3). And there is no "current function" of
a thread or a context, which a suspended generator, a child task or a greenlet could see (D4).

Rejected, measured with one defer on 3.11: to read the record from the wrapper's `f_locals`, which
copies them all before 3.13 (1.4 times the time); to enter the frame of the body instead, which
must then be kept beyond its end to be removed again (1.3 times).
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
    """A frame -> the record of an invocation whose body runs.

    Wrappers hold it as a constant of their code. So it has a hash, and a wrapper that is pickled
    by value leads to this table, not to a copy.
    """

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> str:
        return self.name


live = _Live("live")  # by the frame of the wrapper
bodies = _Live("bodies")  # by that of the body, of an async generator: see `wrapper`
# The garbage collector does not look into code, and so cannot know that only code leads to these
# tables. Were they not cleared at the end of the program, a suspended generator that has deferred
# would not be closed.
atexit.register(live.clear)
atexit.register(bodies.clear)


def find_record(statement: str, caller: FrameType | None) -> tuple[Record, FrameType]:
    """Return the record of the invocation that says *statement*, and the frame of its body.

    Args:
        statement: The name of the statement, for an error.
        caller: The frame that said it: the body, or before 3.12 a comprehension in it. None if
            no Python code has called the statement.

    Raises:
        DeferError: *caller* is no decorated function's, or has not said it (D3).
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
    from godefer._runtime.decorators import around_with_defers  # noqa: PLC0415  # for the error

    raise _errors.no_decorated_function(statement, sp, around_with_defers(sp))


def _where_deferred(making: Record) -> str:
    """Return where the call was deferred that *making* has under way, for an error."""
    d, code = making.running, making.sp
    if d is None or not isinstance(code, CodeType):  # None: a `__del__` between two calls
        return ""
    return f" at {_errors.place(code, _errors.line_at(code, d.pc))}"
