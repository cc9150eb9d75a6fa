"""Change exception objects in ways that their classes cannot refuse.

A frozen dataclass refuses assignments, and a proxy claims to have every attribute. So this module
uses the descriptors of BaseException and object directly.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    Saved = tuple[BaseException | None, BaseException | None, TracebackType | None]

set_traceback = BaseException.with_traceback
set_context = BaseException.__dict__["__context__"].__set__


def attributes(exc: BaseException) -> dict[str, Any]:
    """Return the instance ``__dict__``, bypassing overridden attribute access."""
    return object.__getattribute__(exc, "__dict__")  # type: ignore[no-any-return]


def save(exc: BaseException) -> Saved:
    """Return the links and the traceback that raising *exc* again would overwrite.

    The interpreter makes the exception being handled the ``__context__`` of *exc*. To avoid a
    cycle, it first cuts the chain of the handled exception where that leads to *exc*
    (`_PyErr_SetObject`). So there are two links to save: the ``__context__`` of *exc*, and the
    exception that has *exc* as its ``__context__``.
    """
    handled, seen = sys.exception(), set()
    while handled is not None and handled is not exc and id(handled) not in seen:
        if handled.__context__ is exc:
            return exc.__context__, handled, exc.__traceback__
        seen.add(id(handled))
        handled = handled.__context__
    return exc.__context__, None, exc.__traceback__


def restore(exc: BaseException, saved: Saved) -> None:
    """Put back the links and the traceback of *exc* after it was raised again."""
    # On PyPy an assigned None is final: raising *exc* later would set no context.
    if exc.__context__ is not saved[0]:
        set_context(exc, saved[0])
    if saved[1] is not None:
        set_context(saved[1], exc)
    set_traceback(exc, saved[2])


def raise_again(exc: BaseException | None) -> None:
    """Raise *exc* again, unless it is None.

    Its chain stays unchanged, and its traceback does not show this frame.

    Raises:
        BaseException: *exc*.
    """
    if exc is None:
        return
    saved = save(exc)
    try:
        raise exc
    finally:
        restore(exc, saved)
        del exc, saved


# Aborted exits
# =============
#
# An *exit* is an exception that is not an Exception, such as SystemExit or CancelledError. If a
# deferred call raises during an exit, its exception replaces the exit. When that exception is
# recovered, the exit goes on (P3).

_ABORTED = "__godefer_aborted_exit__"


def remember_exit(was: BaseException, exc: BaseException, *, recovered: bool) -> None:
    """Note on *exc* the exit that it aborted, if there is one.

    The note is on the exception, so that it is found wherever the exception is recovered: in this
    function or in a caller. Rejected: to search the chain of *exc* for an exit. The chain looks the
    same after an `except` clause has handled an exit.

    Args:
        was: The exception because of which the deferred call ran.
        exc: The exception that the call raised.
        recovered: Whether the call had recovered *was*.
    """
    replaced_too = recovered or isinstance(was, Exception)
    aborted = attributes(was).pop(_ABORTED, None) if replaced_too else was
    if aborted is not None and aborted is not exc:
        attributes(exc)[_ABORTED] = aborted


def aborted_exit(exc: BaseException) -> BaseException | None:
    """Take the note of an aborted exit off the recovered *exc*, and return the exit, or None."""
    aborted: BaseException | None = attributes(exc).pop(_ABORTED, None)
    return aborted
