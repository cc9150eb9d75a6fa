"""Keep tracebacks to the user's frames, and show the `defer` of a failed call in them (P6).

The interpreter adds each frame that an exception passes to its traceback. Where the runtime catches
an exception, it takes its own frames off the beginning. At most one remains: the frame of the
wrapper that called the body.
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
    """Return whether *code* is that of a wrapper, or of a function in this folder."""
    return code.co_filename == WRAPPER or code.co_filename.startswith(_FOLDER)


_FOLDER = is_runtime.__code__.co_filename.removesuffix("traceback.py")


def without_runtime_frames(tb: TracebackType | None) -> TracebackType | None:
    """Return *tb* without the frames of the runtime at its beginning."""
    while tb is not None and is_runtime(tb.tb_frame.f_code):
        tb = tb.tb_next
    return tb


def strip(exc: BaseException) -> BaseException:
    """Take the runtime's frames off the beginning of the traceback of *exc*, and return *exc*."""
    return set_traceback(exc, without_runtime_frames(exc.__traceback__))


def blame(
    exc: BaseException, d: _defer, sp: FrameType | CodeType, was: BaseException | None
) -> None:
    """Add the `defer` statement of a failed call to the traceback of *exc* (P6).

    Args:
        exc: The exception that the call raised.
        d: The node of the call.
        sp: The owner of the call: the frame of an open-coded function, or the code of a body.
        was: The exception because of which the call ran; None if there was none.
    """
    tb = without_runtime_frames(exc.__traceback__)
    if tb is None and isinstance(exc, TypeError):  # the call itself failed (D7)
        _errors.add_called_not_passed(exc, d.fn)
    if not isinstance(sp, CodeType):
        # The open-coded function is in the traceback already, but perhaps at another line.
        if d.pc:
            tb = TracebackType(tb, sp, _instruction(sp.f_code, -d.pc), -d.pc)
        set_traceback(exc, tb)
        return
    line = _errors.line_at(sp, d.pc)
    # If the body raised, its frame is in the traceback of *was*. If it returned, the frame is gone.
    # Then use another frame, which prints the same but has no variables. Rejected: to keep the
    # frame, which makes each call of a function that defers a fifth slower.
    failed = was.__traceback__ if was is not None else None
    if failed is not None and failed.tb_frame.f_code is sp:
        set_traceback(exc, TracebackType(tb, failed.tb_frame, d.pc, line))
    else:
        frame = _stand_in(sp)
        set_traceback(exc, TracebackType(tb, frame, _instruction(frame.f_code, None), line))
    add_note(exc, f"deferred at {_errors.place(sp, line)} in {sp.co_qualname}")


def add_note(exc: BaseException, note: str) -> None:
    """Add a note to *exc*, even if its class refuses assignments.

    If ``__notes__`` is not a list, the exception gets no note.
    """
    notes = attributes(exc).get("__notes__")
    if notes is None and not any("__notes__" in vars(cls) for cls in type(exc).__mro__):
        attributes(exc)["__notes__"] = [note]
    elif isinstance(notes, list) and note not in notes:  # the same object may be raised twice
        notes.append(note)


def passes_again(exc: BaseException, sp: FrameType | None) -> None:
    """Prepare *exc* to pass the open-coded function of *sp* again, without a line shown twice."""
    while sp is not None and is_runtime(sp.f_code):
        sp = sp.f_back
    tb = exc.__traceback__
    if sp is not None and tb is not None and tb.tb_frame is sp and tb.tb_lineno == sp.f_lineno:
        set_traceback(exc, tb.tb_next)


def before_pep_479(exc: BaseException) -> BaseException:
    """Return the StopIteration that the interpreter converted to *exc* (PEP 479); else *exc*.

    A hand-written `finally` sees the StopIteration itself, and so must deferred calls. It is
    converted again when it leaves the wrapper. A RuntimeError from a generator that the body has
    called is not converted back: it has more frames in its traceback.
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
    """Return a frame that a traceback shows with the file and the name of *code*.

    Rejected: to copy the positions of *code* too, so that the statement is underlined. If the table
    of positions is longer than the code, CPython 3.11 writes beyond its end while tracing.
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


# A generator function, since the frame of a suspended generator keeps no caller alive. It is on one
# line, so the first line is its only line. The variable of its closure needs an instruction that
# has no line at all, and `blame` uses that instruction.
_suspended = lambda: (yield [cell := None, lambda: cell])  # noqa: E731


def _instruction(code: CodeType, line: int | None) -> int:
    """Return the first instruction of *code* that is on *line*; -1 if there is none.

    If the instruction of a traceback has a line, tools show that line instead of ``tb_lineno``. The
    instruction -1 has no line either. But executing, which IPython uses, hangs on it.
    """
    positions = enumerate(code.co_positions())
    return next((i * 2 for i, (first, *_) in positions if first == line), -1)
