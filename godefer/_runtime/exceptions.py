"""Changes to exception objects that their classes cannot refuse.

A frozen dataclass refuses assignments, and a proxy has every attribute that it is asked for. So
everything here goes by the descriptors of BaseException and object.
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
    """Return the links and the traceback that it overwrites to raise *exc* once more.

    The links are the ``__context__`` of *exc*, and the exception that has *exc* as its own. The
    interpreter puts the exception being handled at the end of the chain of *exc*. Lest there be a
    cycle, it cuts the chain of the handled one where it leads to *exc* (`_PyErr_SetObject`).
    """
    handled, seen = sys.exception(), set()
    while handled is not None and handled is not exc and id(handled) not in seen:
        if handled.__context__ is exc:
            return exc.__context__, handled, exc.__traceback__
        seen.add(id(handled))
        handled = handled.__context__
    return exc.__context__, None, exc.__traceback__


def restore(exc: BaseException, saved: Saved) -> None:
    """Undo what it did to raise *exc* once more."""
    # PyPy sets no context any more once None was assigned.
    if exc.__context__ is not saved[0]:
        set_context(exc, saved[0])
    if saved[1] is not None:
        set_context(saved[1], exc)
    set_traceback(exc, saved[2])


def raise_again(exc: BaseException | None) -> None:
    """Raise *exc*, unless it is None, as if it had never stopped.

    Its chain stays as it is, and its traceback does not show this frame.

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


# Exits that go on (P3)
# =====================

_ABORTED = "__godefer_aborted_exit__"


def remember_exit(was: BaseException, exc: BaseException, *, recovered: bool) -> None:
    """If *exc*, raised by a call that ran because of *was*, aborted an exit, note that on *exc*.

    On the exception, so that it is found wherever that is recovered: here or in a caller. Not by
    its ``__context__``: that looks the same when an `except` clause has handled an exit.

    Args:
        was: The exception because of which the call ran.
        exc: The exception that the call raised.
        recovered: Whether the call had recovered *was*.
    """
    replaced_too = recovered or isinstance(was, Exception)
    aborted = attributes(was).pop(_ABORTED, None) if replaced_too else was
    if aborted is not None and aborted is not exc:
        attributes(exc)[_ABORTED] = aborted


def aborted_exit(exc: BaseException) -> BaseException | None:
    """Return the exit that the recovered *exc* had aborted, and that goes on now, if any."""
    aborted: BaseException | None = attributes(exc).pop(_ABORTED, None)
    return aborted
