"""Inspect Python frames."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
ASYNC = 0x80 | 0x200  # inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def function_frame(frame: FrameType) -> FrameType:
    """Return *frame*, or for a comprehension's frame that of its function (D3).

    Comprehensions have frames of their own before 3.12 (PEP 709).
    """
    while frame.f_code.co_name in COMPREHENSIONS and frame.f_back is not None:
        frame = frame.f_back
    return frame


def calling_frame() -> FrameType:
    """Return the frame of the caller's caller.

    A thread, `atexit` or compiled code may have called the caller. Then return the caller's own.
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

    Before 3.13 `f_locals` leaves a copy of all locals on the frame. It is cleared, so that it does
    not keep objects alive that the function drops (D9).
    """
    variables = frame.f_locals
    value = variables[name]
    if sys.version_info < (3, 13):
        variables.clear()
    return value
