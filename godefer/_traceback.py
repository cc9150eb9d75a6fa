"""What a traceback shows: the user's frames, each once, with the `defer` statement that ordered a call which failed (P6).

The interpreter enters every frame that an exception passes. Those of the runtime at the beginning of a traceback are taken off where the
exception is caught; between the user's frames at most the wrapper's remains, which is the one that calls the body.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType, TracebackType

from godefer import _errors
from godefer._record import attributes, set_traceback
from godefer._results import awaited, drop
from godefer._statements import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from godefer._record import _defer

WRAPPER = (
    "<godefer wrapper>"  # the file name of every wrapper's code, of which no line is the user's
)

# The code of the runtime that can be at the beginning of a traceback, by its identity, and the files that it is in: what a code object hashes
# is all that it consists of.
_runtime: dict[int, CodeType] = {}
_files = {WRAPPER}


def hide(*codes: CodeType) -> None:
    """Let tracebacks not begin with frames of these."""
    _runtime.update((id(code), code) for code in codes)
    _files.update(code.co_filename for code in codes)


hide(drop.__code__, awaited.__code__)


def blame(
    exc: BaseException, d: _defer, sp: FrameType | CodeType, was: BaseException | None
) -> None:
    """Let the traceback of what the call raised lead through the `defer` statement that ordered it (P6).

    Args:
        exc: What it raised.
        d: Its node.
        sp: The frame record's: the frame of an open-coded function, or the code of a body.
        was: Because of what it ran, if it ran because of an exception.
    """
    tb = without_runtime_frames(exc.__traceback__)
    if not isinstance(
        sp, CodeType
    ):  # an open-coded function: it is in the traceback, where another line of it may be missing
        set_traceback(
            exc, TracebackType(tb, sp, _instruction(sp.f_code, -d.pc), -d.pc) if d.pc else tb
        )
        return
    line = _errors.line_at(sp, d.pc)
    if tb is None and isinstance(exc, TypeError):  # it was the call itself that failed (D7)
        _errors.add_called_not_passed(exc, d.fn)
    # The body's own frame is in the traceback of what it raised. If it returned it is gone: keeping it would make every call that
    # defers a fifth slower. Then another stands there that prints the same, but has no variables.
    failed = was.__traceback__ if was is not None else None
    if failed is not None and failed.tb_frame.f_code is sp:
        set_traceback(exc, TracebackType(tb, failed.tb_frame, d.pc, line))
    else:
        frame = stand_in(sp)
        set_traceback(exc, TracebackType(tb, frame, _instruction(frame.f_code, None), line))
    add_note(exc, f"deferred at {_errors.place(sp, line)} in {sp.co_qualname}")


def add_note(exc: BaseException, note: str) -> None:
    """Add a note to *exc*, whatever its class says of assignments; where its notes are no list it has no place for one."""
    notes = attributes(exc).get("__notes__")
    if notes is None and not any("__notes__" in vars(cls) for cls in type(exc).__mro__):
        attributes(exc)["__notes__"] = [note]
    elif (
        isinstance(notes, list) and note not in notes
    ):  # an exception that is raised each time has it already
        notes.append(note)


def passes_again(exc: BaseException, sp: FrameType | None) -> None:
    """*exc* is about to pass the frame of an open-coded function, on its way through *sp*: if it is at the same line there, once is enough."""
    while sp is not None and id(sp.f_code) in _runtime:
        sp = sp.f_back
    tb = exc.__traceback__
    if sp is not None and tb is not None and tb.tb_frame is sp and tb.tb_lineno == sp.f_lineno:
        set_traceback(exc, tb.tb_next)


def without_runtime_frames(tb: TracebackType | None) -> TracebackType | None:
    """*tb* without the frames at its beginning that are the runtime's."""
    while tb is not None:
        code = tb.tb_frame.f_code
        if code.co_filename not in _files or (
            code.co_filename != WRAPPER and id(code) not in _runtime
        ):
            break
        tb = tb.tb_next
    return tb


def before_pep_479(exc: BaseException) -> BaseException:
    """What left the body, of which the interpreter has made *exc*, if that is what becomes of a StopIteration (PEP 479); else *exc*.

    A hand-written `finally` sees the StopIteration itself, and so must deferred calls; the wrapper has it converted again
    when it leaves. A RuntimeError that only passed through, from a generator further in, has further frames in its traceback.
    """
    cause = exc.__cause__
    if type(exc) is not RuntimeError or not isinstance(cause, (StopIteration, StopAsyncIteration)):
        return exc
    made = {
        f"{kind} raised {type(cause).__name__}"
        for kind in ("generator", "coroutine", "async generator")
    }
    return cause if str(exc) in made and without_runtime_frames(exc.__traceback__) is None else exc


def stand_in(code: CodeType) -> FrameType:
    """A frame that a traceback shows as one of *code*: with its file and name; the line is the traceback's own.

    Rejected: the positions of *code* too, which would underline the statement. A table of positions longer than the code is
    written beyond its end by CPython 3.11 when the frame is traced.
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


# A generator function with a frame that has no caller to keep alive. It is on one line, and so has no line
# but its first one. The variable of a closure takes an instruction that has no line, for `_instruction`.
_suspended = lambda: (yield [cell := None, lambda: cell])  # noqa: E731


def _instruction(code: CodeType, line: int | None) -> int:
    """Return the first instruction of *code* that is on *line*; -1 if there is none.

    A traceback is shown with the line of its instruction, if that has one. An instruction of -1 has none, but some tools
    (executing, and with it IPython) never return from looking it up.
    """
    positions = enumerate(code.co_positions())
    return next((i * 2 for i, (first, *_) in positions if first == line), -1)
