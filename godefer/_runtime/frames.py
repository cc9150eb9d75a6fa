"""Questions of the runtime about Python frames."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
ASYNC = 0x80 | 0x200  # inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def function_frame(frame: FrameType) -> FrameType:
    """Return *frame*; before 3.12 (PEP 709), for a comprehension's, that of its function (D3)."""
    while frame.f_code.co_name in COMPREHENSIONS and frame.f_back is not None:
        frame = frame.f_back
    return frame


def calling_frame() -> FrameType:
    """Return the frame of the caller's caller; the caller's own if no Python code has called it.

    A thread, `atexit` or compiled code may have done so.
    """
    frame = sys._getframe(1)
    return frame.f_back or frame


def at_exit(frame: FrameType | None) -> bool:
    """Return whether *frame* is an open-coded function that makes a deferred call at its exit."""
    if frame is None:
        return False
    consts = frame.f_code.co_consts  # the last one is its `Decision`
    at, exits = frame.f_lasti, getattr(consts[-1], "exits", 0) if consts else 0
    return at >= 0 and bool(exits >> (at >> 1) & 1)


def local(frame: FrameType, name: str) -> Any:
    """Return a local variable of *frame*.

    Before 3.13 `f_locals` leaves a copy of all locals on the frame, which would keep what it lets
    go of (D9).
    """
    variables = frame.f_locals
    value = variables[name]
    if sys.version_info < (3, 13):
        variables.clear()
    return value
