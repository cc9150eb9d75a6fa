"""Tracebacks: the user's frames, each once, and the `defer` of a call that failed (P6).

The interpreter enters every frame that an exception passes. Where the runtime catches one, it
takes its own frames off the beginning. At most the wrapper's remains, which called the body.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType, TracebackType

from godefer import _errors
from godefer._decision import wraps
from godefer._runtime.exceptions import attributes, set_traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from godefer._runtime.record import _defer

WRAPPER = "<godefer wrapper>"  # the file name of every wrapper's code


def is_runtime(code: CodeType) -> bool:
    """Return whether *code* is a wrapper's, or that of a function in this folder."""
    return code.co_filename == WRAPPER or code.co_filename.startswith(_FOLDER)


_FOLDER = is_runtime.__code__.co_filename.removesuffix("traceback.py")


def without_runtime_frames(tb: TracebackType | None) -> TracebackType | None:
    """Return *tb* without the frames at its beginning that are the runtime's."""
    while tb is not None and is_runtime(tb.tb_frame.f_code):
        tb = tb.tb_next
    return tb


def strip(exc: BaseException) -> BaseException:
    """Take the runtime's frames off the beginning of the traceback of *exc*, and return *exc*."""
    return set_traceback(exc, without_runtime_frames(exc.__traceback__))


def blame(
    exc: BaseException, d: _defer, sp: FrameType | CodeType, was: BaseException | None
) -> None:
    """Let the traceback of *exc* lead through the `defer` statement that ordered the call (P6).

    Args:
        exc: The exception that the call raised.
        d: The node of the call.
        sp: The record's: the frame of an open-coded function, or the code of a body.
        was: The exception because of which the call ran, if there is one.
    """
    tb = without_runtime_frames(exc.__traceback__)
    if tb is None and isinstance(exc, TypeError):  # the call itself failed (D7)
        _errors.add_called_not_passed(exc, d.fn)
    if not isinstance(sp, CodeType):
        # The open-coded function is in the traceback, but perhaps at another line.
        if d.pc:
            tb = TracebackType(tb, sp, _instruction(sp.f_code, -d.pc), -d.pc)
        set_traceback(exc, tb)
        return
    line = _errors.line_at(sp, d.pc)
    # If the body raised, its frame is in the traceback of that. If it returned, the frame is gone:
    # to keep it would make every call that defers a fifth slower. Then a frame stands in for it
    # that prints the same, but has no variables.
    failed = was.__traceback__ if was is not None else None
    if failed is not None and failed.tb_frame.f_code is sp:
        set_traceback(exc, TracebackType(tb, failed.tb_frame, d.pc, line))
    else:
        frame = _stand_in(sp)
        set_traceback(exc, TracebackType(tb, frame, _instruction(frame.f_code, None), line))
    add_note(exc, f"deferred at {_errors.place(sp, line)} in {sp.co_qualname}")


def add_note(exc: BaseException, note: str) -> None:
    """Add a note to *exc*, whatever its class says of assignments.

    An exception whose ``__notes__`` is no list has no place for a note, and gets none.
    """
    notes = attributes(exc).get("__notes__")
    if notes is None and not any("__notes__" in vars(cls) for cls in type(exc).__mro__):
        attributes(exc)["__notes__"] = [note]
    elif isinstance(notes, list) and note not in notes:  # it may be raised each time
        notes.append(note)


def passes_again(exc: BaseException, sp: FrameType | None) -> None:
    """Prepare *exc* to pass *sp*, an open-coded function, again: each line there is shown once."""
    while sp is not None and is_runtime(sp.f_code):
        sp = sp.f_back
    tb = exc.__traceback__
    if sp is not None and tb is not None and tb.tb_frame is sp and tb.tb_lineno == sp.f_lineno:
        set_traceback(exc, tb.tb_next)


def before_pep_479(exc: BaseException) -> BaseException:
    """Return the StopIteration of which the interpreter has made *exc* (PEP 479); else *exc*.

    A hand-written `finally` sees the StopIteration itself, and so must deferred calls. It is
    converted again when it leaves the wrapper. A RuntimeError that only passed through, from a
    generator further in, has further frames in its traceback.
    """
    cause = exc.__cause__
    if type(exc) is not RuntimeError or not isinstance(cause, (StopIteration, StopAsyncIteration)):
        return exc
    made = {
        f"{kind} raised {type(cause).__name__}"
        for kind in ("generator", "coroutine", "async generator")
    }
    return cause if str(exc) in made and without_runtime_frames(exc.__traceback__) is None else exc


def _stand_in(code: CodeType) -> FrameType:
    """Return a frame that a traceback shows as one of *code*: with its file and name.

    Rejected: the positions of *code*, too, which would underline the statement. CPython 3.11
    writes beyond the end of a table of positions that is longer than the code, if it is traced.
    """
    looks = _suspended.__code__.replace(
        co_filename=code.co_filename,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_firstlineno=code.co_firstlineno,
    )
    caller: FrameType | None = sys._getframe()
    while caller is not None and not wraps(caller.f_code, code):
        caller = caller.f_back
    module_globals = {} if caller is None else caller.f_globals
    frame: FrameType = FunctionType(looks, module_globals)().gi_frame
    return frame


# A generator function with a frame that has no caller to keep alive. It is on one line, and so has
# no line but its first one. The closure's variable takes an instruction that has no line at all,
# for `_instruction`.
_suspended = lambda: (yield [cell := None, lambda: cell])  # noqa: E731


def _instruction(code: CodeType, line: int | None) -> int:
    """Return the first instruction of *code* that is on *line*; -1 if there is none.

    A traceback is shown with the line of its instruction, if that has one. The instruction -1 has
    none, but some tools (executing, and with it IPython) never return from looking it up.
    """
    positions = enumerate(code.co_positions())
    return next((i * 2 for i, (first, *_) in positions if first == line), -1)
